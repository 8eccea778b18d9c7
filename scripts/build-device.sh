#!/usr/bin/env bash
# Builds the program for boards, which has no compiler and no hub, and prints where it is. With RELEASE=1 as it is
# shipped, else as the tests use it.
#
# What it has in common with the full build is shared: only the program itself has a folder of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
build() {
    CARGO_BUILD_BUILD_DIR=$target cargo rustc --quiet --profile "$1" --target-dir "$target/device" \
        -p wasm-edge-cli --bin wasm-edge --no-default-features --features device -- "${@:2}"
}
if [ -n "${RELEASE:-}" ]; then
    # The names of functions that the linker is to find have their types in them.
    RUSTFLAGS="${RUSTFLAGS:-} -C symbol-mangling-version=v0" build board -C linker="$PWD/scripts/link-board.sh"
    echo "$target/device/board/wasm-edge"
else
    build dev
    echo "$target/device/debug/wasm-edge"
fi
