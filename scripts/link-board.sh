#!/usr/bin/env bash
# The linker of the program for boards: `cc`, told to put side by side the functions that a device runs.
#
# Called by rustc, in place of `cc`, with what rustc gives a linker; see scripts/build-device.sh. The system maps a page
# of the program that is touched together with its neighbours, so that functions that lie scattered make nearly the
# whole program resident. Which functions run is in packaging/board-functions.txt.gz, which `make board-functions`
# makes: a name a line, as `nm` demangles it, those of an idle device first. A list that is not up to date costs
# memory and nothing else. BOARD_CC is the C compiler, where it is not `cc`.
set -euo pipefail
list=$(dirname "$0")/../packaging/board-functions.txt.gz

arguments=("$@")
objects=()
lld= static=
for argument in "$@"; do
    case $argument in
    *.o) objects+=("$argument") ;;
    -fuse-ld=lld) lld=yes ;;
    -static*) static=yes ;;
    esac
done
# LLD alone orders functions; rustc has it, and uses it by itself on some machines only.
if [ -z "$lld" ]; then
    for folder in "$(rustc --print sysroot)"/lib/rustlib/*/bin/gcc-ld; do
        if [ -x "$folder/ld.lld" ]; then
            lld=yes
            arguments+=("-B$folder" -fuse-ld=lld)
        fi
    done
fi
if [ -z "$lld" ] || ! command -v nm zcat awk >/dev/null; then
    echo "the functions of the program are not put in order, which takes LLD and binutils" >&2
    exec "${BOARD_CC:-cc}" "$@"
fi

order=$(mktemp)
trap 'rm -f "$order"' EXIT
symbols() {
    nm --no-sort --defined-only --print-size --radix=d --format=posix "$@" "${objects[@]}"
}
# All functions of this build: those on the list in its order, then the others, small ones first. Small ones are many,
# and one that runs though it is not on the list is likely to be among them.
paste -d '\t' <(symbols | cut -d ' ' -f 1,2,4) <(symbols --demangle | sed 's/ [A-Za-z] [0-9]* [0-9]*$//') |
    awk -F '\t' 'NR == FNR { place[$0] = NR; next }
        { split($1, symbol, " ") }
        symbol[2] !~ /[tTwW]/ { next }
        $2 in place { print 0, place[$2], symbol[1]; next }
        { print 1, symbol[3] + 0, symbol[1] }' <(zcat "$list") - |
    sort -k 1n -k 2n | cut -d ' ' -f 3 >"$order"
arguments+=("-Wl,--symbol-ordering-file=$order" -Wl,--no-warn-symbol-ordering)
# Packed relocations are a tenth; a glibc from 2022 on reads them.
[ -n "$static" ] || arguments+=(-Wl,-z,pack-relative-relocs)
"${BOARD_CC:-cc}" "${arguments[@]}"
