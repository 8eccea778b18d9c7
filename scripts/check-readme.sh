#!/usr/bin/env bash
# Holds README.md against what is built and tested: the module it shows is examples/hello, word for word, and under 20 lines.
#
# Called by `make test`.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
readonly hello=$root/examples/hello/src/lib.rs

fail() {
    printf 'check-readme: %s\n' "$1" >&2
    exit 1
}

shown=$(awk '/^```rust$/ { inside = 1; next } /^```$/ { if (inside) exit } inside' "$root/README.md")
[ -n "$shown" ] || fail "README.md shows no Rust code"
diff <(printf '%s\n' "$shown") "$hello" >&2 || fail "the first Rust code of README.md is not examples/hello/src/lib.rs"
lines=$(wc -l <"$hello")
[ "$lines" -lt 20 ] || fail "the hello module has $lines lines, which is not under 20"
