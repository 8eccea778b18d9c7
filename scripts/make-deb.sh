#!/usr/bin/env bash
# Makes the Debian package of a program that was built: `make-deb.sh PROGRAM FOLDER` puts
# wasm-edge_VERSION_ARCHITECTURE.deb into FOLDER and prints its path. Needs no root.
#
# The package has the full build with unit, init script, manual pages, completions and documents; packaging/ has its
# parts. It is the same to the byte when it is made again of the same commit and program. COMPRESSION=none is quick.
set -euo pipefail

program=$(realpath "$1") folder=$(realpath -m "$2")
cd "$(dirname "$0")/.."
umask 022

version=$("$program" --version | cut -d ' ' -f 2)
architecture=$(dpkg --print-architecture)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tree=$scratch/tree docs=$scratch/tree/usr/share/doc/wasm-edge
mkdir -p "$tree/DEBIAN" "$docs"

# A file of packaging/ or of the repository, where it goes and with which mode.
put() {
    install -D -m "$3" "$1" "$tree/$2"
}

compressed() {
    gzip -9n "$@"
}

put "$program" usr/bin/wasm-edge 0755
strip --strip-unneeded --remove-section=.comment "$tree/usr/bin/wasm-edge"
put packaging/systemd/wasm-edge.service usr/lib/systemd/system/wasm-edge.service 0644
put packaging/systemd/wasm-edge.sysusers usr/lib/sysusers.d/wasm-edge.conf 0644
put packaging/systemd/pulley.conf usr/share/doc/wasm-edge/examples/pulley.conf 0644
put packaging/wasm-edge.init etc/init.d/wasm-edge 0755
# Its group is set when the package is installed, since it exists from then on.
put packaging/config.toml etc/wasm-edge/config.toml 0640
chmod 0750 "$tree/etc/wasm-edge"

mkdir -p "$tree/usr/share/man/man1"
"$program" man --dir "$tree/usr/share/man/man1" --quiet
compressed "$tree"/usr/share/man/man1/*
for shell in bash:bash-completion/completions/wasm-edge zsh:zsh/vendor-completions/_wasm-edge \
    fish:fish/vendor_completions.d/wasm-edge.fish; do
    mkdir -p "$(dirname "$tree/usr/share/${shell#*:}")"
    "$program" completions "${shell%%:*}" >"$tree/usr/share/${shell#*:}"
done

mkdir "$docs/docs"
cp README.md "$docs"
cp docs/*.md "$docs/docs"
chmod 0644 "$docs"/*.md "$docs"/docs/*.md
put packaging/debian/copyright usr/share/doc/wasm-edge/copyright 0644
put packaging/debian/lintian-overrides usr/share/lintian/overrides/wasm-edge 0644
scripts/licences.sh | compressed >"$docs/NOTICES.gz"
compressed <CHANGELOG.md >"$docs/CHANGELOG.md.gz"
maintainer=$(sed -n 's/^Maintainer: //p' packaging/debian/control.in)
printf 'wasm-edge (%s) stable; urgency=medium\n\n  * CHANGELOG.md.gz has what is new.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" | compressed >"$docs/changelog.gz"

# The libraries that it needs, in the versions that it needs.
mkdir -p "$scratch/debian"
printf 'Source: wasm-edge\n\nPackage: wasm-edge\nArchitecture: any\n' >"$scratch/debian/control"
depends=$(cd "$scratch" && dpkg-shlibdeps -O --ignore-missing-info tree/usr/bin/wasm-edge 2>/dev/null |
    sed -n 's/^shlibs:Depends=//p')
sed -e "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@DEPENDS@/${depends:-libc6}/" \
    -e "s/@INSTALLED_KIB@/$(du -sk --apparent-size "$tree" | cut -f 1)/" \
    packaging/debian/control.in >"$tree/DEBIAN/control"
install -m 0644 packaging/debian/conffiles "$tree/DEBIAN/conffiles"
install -m 0755 packaging/debian/{postinst,prerm,postrm} "$tree/DEBIAN"
(cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | LC_ALL=C sort | grep -v '^etc/' |
    xargs -d '\n' md5sum) >"$tree/DEBIAN/md5sums"

mkdir -p "$folder"
file=$folder/wasm-edge_${version}_$architecture.deb
dpkg-deb --root-owner-group "-Z${COMPRESSION:-xz}" --build "$tree" "$file" >/dev/null
echo "$file"
