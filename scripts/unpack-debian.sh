#!/usr/bin/env bash
# unpack-debian.sh PACKAGE FILE FOLDER: unpacks Debian's package with a program or library that tests and benchmarks use, with
# the libraries that are not installed, into a folder. Needs no root and installs nothing. Where the file is on this
# machine there is nothing to do; where it cannot be had this says so, and who wanted it does without.
set -euo pipefail

package=$1 file=$2 folder=$3
[ ! -e "$folder$file" ] || exit 0
if [ -e "$file" ]; then
    exit 0
fi
give_up() {
    echo "unpack-debian: $1; \`${file##*/}\` is done without" >&2
    exit 0
}
command -v apt-get >/dev/null && command -v dpkg >/dev/null || give_up "this is no Debian"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
# Nobody but root may use what apt downloads by its sandbox user in a private folder.
apt-get -o APT::Sandbox::User=root -qq download "$package" 2>/dev/null || give_up "its package cannot be downloaded"
dpkg -x "$package"_*.deb unpacked

# Libraries that the dynamic loader does not find, by the names of the packages that have them.
missing() {
    LD_LIBRARY_PATH=$(echo unpacked/usr/lib/*-linux-gnu) ldd "unpacked$file" | sed -n 's/^\t\(.*\) => not found$/\1/p'
}
for library in $(dpkg -f "$package"_*.deb Depends | tr ',' '\n' | sed 's/|.*//; s/(.*//; s/ //g' | grep '^lib'); do
    [ -n "$(missing)" ] || break
    dpkg -s "$library" >/dev/null 2>&1 && continue
    apt-get -o APT::Sandbox::User=root -qq download "$library" 2>/dev/null || give_up "\`$library\` cannot be downloaded"
    dpkg -x "$library"_*.deb unpacked
done
[ -z "$(missing)" ] || give_up "it needs $(missing | tr '\n' ' ')"
mkdir -p "$(dirname "$folder")"
rm -rf "$folder"
mv unpacked "$folder"
