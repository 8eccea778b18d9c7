#!/usr/bin/env bash
# Unpacks Debian's package of mosquitto, with the libraries that are not installed, into a folder, for `make bench` to
# compare with. Needs no root and installs nothing. Where it cannot be had it says so and the comparison does without.
set -euo pipefail

folder=$1
[ ! -x "$folder/usr/sbin/mosquitto" ] || exit 0
if [ -x /usr/sbin/mosquitto ]; then
    exit 0
fi
give_up() {
    echo "unpack-mosquitto: $1; the comparison does without mosquitto" >&2
    exit 0
}
command -v apt-get >/dev/null && command -v dpkg >/dev/null || give_up "this is no Debian"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
# Nobody but root may use what apt downloads by its sandbox user in a private folder.
apt-get -o APT::Sandbox::User=root -qq download mosquitto 2>/dev/null || give_up "its package cannot be downloaded"
dpkg -x mosquitto_*.deb unpacked

# Libraries that the dynamic loader does not find, by the names of the packages that have them.
missing() {
    LD_LIBRARY_PATH=$(echo unpacked/usr/lib/*-linux-gnu) ldd unpacked/usr/sbin/mosquitto | sed -n 's/^\t\(.*\) => not found$/\1/p'
}
for package in $(dpkg -f mosquitto_*.deb Depends | tr ',' '\n' | sed 's/|.*//; s/(.*//; s/ //g' | grep '^lib'); do
    [ -n "$(missing)" ] || break
    dpkg -s "$package" >/dev/null 2>&1 && continue
    apt-get -o APT::Sandbox::User=root -qq download "$package" 2>/dev/null || give_up "\`$package\` cannot be downloaded"
    dpkg -x "$package"_*.deb unpacked
done
[ -z "$(missing)" ] || give_up "it needs $(missing | tr '\n' ' ')"
mkdir -p "$(dirname "$folder")"
rm -rf "$folder"
mv unpacked "$folder"
