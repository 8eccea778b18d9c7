#!/usr/bin/env bash
# Prints the notices of the crates that are part of the program, each text once with the names of those that have it.
set -euo pipefail
cd "$(dirname "$0")/.."

registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
printf 'wasm-edge holds the crates below. Their notices follow, each with the crates that have it.\n\n'
crates=$(cargo tree --locked -p wasm-edge-cli -e normal,no-proc-macro --prefix none --format '{p}|{l}' |
    sed 's/ (\*)$//; s/ (\/[^)]*)//' | grep -v '^wasm-edge' | LC_ALL=C sort -u)
while IFS='|' read -r name licence; do
    printf '  %s: %s\n' "${name/ v/ }" "$licence"
done <<<"$crates"

# By the sum of a text: which crates have it, and one file that holds it.
declare -A holders files
while read -r name version _; do
    for file in "$registry"/*/"$name-${version#v}"/{LICEN[CS]E,COPYING,COPYRIGHT,NOTICE}*; do
        [ -f "$file" ] || continue
        sum=$(sha256sum <"$file")
        holders[$sum]+=" $name"
        files[$sum]=$file
    done
done < <(sed 's/|.*//' <<<"$crates")
[ "${#files[@]}" -gt 0 ] || { echo "licences: the crates' sources are not in $registry" >&2 && exit 1; }
for sum in $(printf '%s\n' "${!files[@]}" | LC_ALL=C sort | cut -d ' ' -f 1); do
    key="$sum  -"
    printf '\n----\n%s\n\n' "$(tr ' ' '\n' <<<"${holders[$key]# }" | LC_ALL=C sort -u | paste -sd ' ')" | fold -s -w 100
    cat "${files[$key]}"
done
