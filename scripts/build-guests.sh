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

# The component of a name: a program keeps the name, a `cdylib` has underscores, and one file of tests/guests is an
# example of its package.
component() {
    local file
    for file in "$built/${1//-/_}.wasm" "$built/examples/${1//-/_}.wasm" "$built/$1.wasm"; do
        if [ -e "$file" ]; then
            echo "$file"
            return
        fi
    done
    echo "build-guests: no component was built for \`$1\`" >&2
    return 1
}

# Copies what changed and takes away what no longer has a source, so that a folder holds what its workspace builds.
collect() {
    local folder=$target/components/$1 name file
    shift
    mkdir -p "$folder"
    for name in "$@"; do
        file=$(component "$name")
        [ "$folder/$name.wasm" -nt "$file" ] || cp -f "$file" "$folder/$name.wasm"
    done
    for file in "$folder"/*.wasm; do
        name=$(basename "$file" .wasm)
        [[ " $* " = *" $name "* ]] || rm -f "$file"
    done
}

# Names of the packages, programs and examples in a manifest.
names() {
    sed -n 's/^name = "\(.*\)"$/\1/p' "$@"
}

build() {
    (cd "$root/$1" && cargo build --release --locked --quiet --target wasm32-wasip2 --target-dir "$target" "${@:2}")
}

build examples "$@"
build bench/guests "$@"
build tests/guests --bins --examples "$@"
# shellcheck disable=SC2046 # names are single words
collect examples $(names "$root"/examples/*/Cargo.toml)
# shellcheck disable=SC2046
collect bench $(names "$root"/bench/guests/*/Cargo.toml)
# shellcheck disable=SC2046
collect tests $(names "$root/tests/guests/Cargo.toml" | grep -vx test-guests)
