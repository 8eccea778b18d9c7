#!/usr/bin/env bash
# unpack-debian.sh PACKAGE FILE FOLDER [SUITE]: unpacks Debian's package with a program or library that tests and
# benchmarks use, with the libraries that are not installed, into a folder. Needs no root and installs nothing. Where the
# file is on this machine there is nothing to do; where it cannot be had this says so, and who wanted it does without.
# A SUITE, as `trixie`, is one to look in if this machine's own has no such package.
set -euo pipefail

package=$1 file=$2 folder=$3 suite=${4:-}
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
apt=(-o APT::Sandbox::User=root -qq)

# Lists of packages in the scratch folder, of this machine's sources: those of the system may be old, or not be there.
read_lists() {
    mkdir -p lists/partial
    apt+=(-o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache=$scratch" -o Acquire::Languages=none
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)
    apt-get "${apt[@]}" update 2>/dev/null
}
# The same of another suite, from where this machine has its own.
read_suite() {
    local site
    # No `head`, which would end the others by a broken pipe.
    site=$(apt-get indextargets --format '$(SITE) $(LABEL)' 'Created-By: Packages' | sed -n 's/ Debian$//p' | sort -u | sed -n 1p)
    [ -n "$site" ] || return 1
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $suite main" >suite.list
    rm -rf lists
    apt+=(-o "Dir::Etc::SourceList=$scratch/suite.list" -o Dir::Etc::SourceParts=/dev/null)
    read_lists
}
download() {
    apt-get "${apt[@]}" download "$1" 2>/dev/null
}
download "$package" || { read_lists && download "$package"; } ||
    { [ -n "$suite" ] && read_suite && download "$package"; } || give_up "its package cannot be downloaded"
dpkg -x "$package"_*.deb unpacked

# Libraries that the dynamic loader does not find, and versions of symbols that those of this machine do not have.
missing() {
    LD_LIBRARY_PATH=$(echo unpacked/usr/lib/*-linux-gnu) ldd "unpacked$file" 2>&1 |
        sed -n "s/^\t\(.*\) => not found$/\1/p; s/.* version \`\(.*\)' not found .*/\1/p"
}
for library in $(dpkg -f "$package"_*.deb Depends | tr ',' '\n' | sed 's/|.*//; s/(.*//; s/ //g' | grep '^lib'); do
    [ -n "$(missing)" ] || break
    dpkg -s "$library" >/dev/null 2>&1 && continue
    download "$library" || give_up "\`$library\` cannot be downloaded"
    dpkg -x "$library"_*.deb unpacked
done
[ -z "$(missing)" ] || give_up "it needs $(missing | tr '\n' ' ')"
mkdir -p "$(dirname "$folder")"
rm -rf "$folder"
mv unpacked "$folder"
