#!/usr/bin/env bash
# Builds the program for boards, which has no compiler and no hub, and prints where it is. With RELEASE=1 as it is
# shipped, else as the tests use it.
#
# What it has in common with the full build is shared: only the program itself has a folder of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
if [ -n "${RELEASE:-}" ]; then profile=release folder=release; else profile=dev folder=debug; fi
CARGO_BUILD_BUILD_DIR=$target cargo build --quiet --profile "$profile" --target-dir "$target/device" \
    -p wasm-edge-cli --no-default-features --features device
echo "$target/device/$folder/wasm-edge"
