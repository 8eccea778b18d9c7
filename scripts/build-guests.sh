#!/usr/bin/env bash
# Builds the example modules and the guests that tests need, and puts the components into
# target/guests/components/{examples,tests}/NAME.wasm. Cargo knows what is fresh, so a second call does next to nothing.
#
# Called by `make guests` (and so by `make demo` and `make test`). Arguments go to cargo, such as `--offline`.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
readonly target=$root/target/guests
readonly built=$target/wasm32-wasip2/release

"$root/scripts/ensure-wasm-target.sh"

# Copies what changed and takes away what no longer has a source, so that a folder holds what its workspace builds.
collect() {
    local workspace=$1 folder=$target/components/$2 names name file
    mkdir -p "$folder"
    names=$(sed -n 's/^name = "\(.*\)"$/\1/p' "$workspace"/*/Cargo.toml)
    for name in $names; do
        # A `cdylib` is named with underscores, a program with the name as it is.
        file=$built/$name.wasm
        [ -e "$built/${name//-/_}.wasm" ] && file=$built/${name//-/_}.wasm
        [ "$folder/$name.wasm" -nt "$file" ] || cp -f "$file" "$folder/$name.wasm"
    done
    for file in "$folder"/*.wasm; do
        name=$(basename "$file" .wasm)
        grep -qx "$name" <<<"$names" || rm -f "$file"
    done
}

for workspace in examples tests/guests; do
    (cd "$root/$workspace" && cargo build --release --locked --quiet --target wasm32-wasip2 --target-dir "$target" "$@")
done
collect "$root/examples" examples
collect "$root/tests/guests" tests
