#!/usr/bin/env bash
# Sees to it that `cargo build --target wasm32-wasip2` works: uses what is installed, else asks rustup for the target,
# else builds the target's standard library from the sources that Debian packages.
#
# Called by build-guests.sh; safe to call at any time and by several at once. Needs no root and writes nothing into the
# machine's package database. What it fetches stays in target/cache.
set -euo pipefail

readonly TARGET=wasm32-wasip2
# Suites that may carry the sources of this compiler, and how long rustup's server may take.
readonly SUITES="trixie-backports trixie sid"
readonly RUSTUP_TIMEOUT_S=120

root=$(cd "$(dirname "$0")/.." && pwd)
cache=$root/target/cache
sysroot=$(rustc --print sysroot)
readonly root cache sysroot
readonly library=$sysroot/lib/rustlib/$TARGET

say() { printf 'ensure-wasm-target: %s\n' "$*" >&2; }
fail() {
    say "$1"
    [ -z "${2:-}" ] || say "hint: $2"
    exit 1
}

# Whether the compiler itself finds a standard library for the target.
installed() {
    compgen -G "$library/lib/libstd-*.rlib" >/dev/null && [ -e "$library/lib/self-contained/libc.a" ]
}

from_rustup() {
    command -v rustup >/dev/null || return 1
    # A toolchain that is not rustup's cannot be given a target by it.
    rustup which rustc >/dev/null 2>&1 || return 1
    [ "$(rustup run "$(rustup show active-toolchain | cut -d' ' -f1)" rustc --print sysroot)" = "$sysroot" ] || return 1
    say "rustup target add $TARGET"
    timeout "$RUSTUP_TIMEOUT_S" rustup target add "$TARGET" >&2
}

# apt-get with a state of its own, so that the machine's is neither read nor written.
apt() {
    apt-get -q -y \
        -o Dir::Etc::sourcelist="$cache/apt/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State="$cache/apt/state" -o Dir::State::status="$cache/apt/status" \
        -o Dir::Cache="$cache/apt/cache" -o APT::Get::List-Cleanup=0 \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 "$@"
}

# The URI of the Debian archive that this machine already uses.
mirror() {
    { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
        sed -n -e 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' -e 's/^URIs: *\([^ ]*\).*/\1/p' |
        awk '/\/debian\/*$/ && !found { print; found = 1 } END { exit !found }'
}

# Asks apt for the lists of the suites, of which those that the archive does not have may be missing.
apt_lists() {
    local uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=""
    uri=$(mirror) || fail "apt's sources on this machine name no Debian archive"
    [ ! -e "$keyring" ] || signed="[signed-by=$keyring] "
    mkdir -p "$cache/apt/state/lists/partial" "$cache/apt/cache/archives/partial"
    : >"$cache/apt/status"
    for suite in $SUITES; do
        echo "deb $signed$uri $suite main"
    done >"$cache/apt/sources.list"
    apt update >"$cache/apt/update.log" 2>&1 || true
}

# The newest version of a package that begins with a prefix.
apt_version() {
    apt-cache -o Dir::Etc::sourcelist="$cache/apt/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State="$cache/apt/state" -o Dir::State::status="$cache/apt/status" \
        -o Dir::Cache="$cache/apt/cache" madison "$1" |
        awk -F' *[|] *' -v prefix="$2" 'index($2, prefix) == 1 { print $2; exit }'
}

# Unpacks a package into a folder of the cache, once.
unpack() {
    local name=$1 prefix=$2 folder=$3 version
    [ ! -e "$folder" ] || return 0
    version=$(apt_version "$name" "$prefix")
    [ -n "$version" ] || fail "no package \`$name\` of version \`$prefix*\` in $(mirror) (suites: $SUITES)" \
        "install the target by other means: \`rustup target add $TARGET\` on a machine that reaches its server, or copy $library from one"
    say "fetching $name $version"
    mkdir -p "$cache/packages"
    (cd "$cache/packages" && apt download "$name=$version" >&2) ||
        fail "cannot fetch \`$name=$version\`" "the log of apt is $cache/apt/update.log"
    rm -rf "$folder.part"
    dpkg-deb -x "$cache/packages/${name}_"*"$(printf %s "$version" | sed 's/:/%3a/; s/^.*%3a//')"_*.deb "$folder.part"
    mv "$folder.part" "$folder"
}

# Builds the standard library in an empty crate and puts it into a folder shaped as the sysroot expects.
build_std() {
    local sources=$1 libc=$2 work=$3
    rm -rf "$work"
    mkdir -p "$work/empty/src" "$work/out/lib/self-contained"
    cp "$libc/usr/lib/$TARGET/"* "$work/out/lib/self-contained/"
    printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n' >"$work/empty/Cargo.toml"
    echo '#![no_std]' >"$work/empty/src/lib.rs"
    say "building the standard library for $TARGET (about a minute)"
    # With bitcode, as rustup's own has it, or a guest could not be built with link-time optimisation.
    # Cargo takes the sources from where the variable says, so that no link to them has to be left in the toolchain.
    (
        cd "$work/empty"
        __CARGO_TESTS_ONLY_SRC_ROOT=$sources/library RUSTC_BOOTSTRAP=1 \
            RUSTFLAGS="-L native=$work/out/lib/self-contained -C embed-bitcode=yes" CARGO_TARGET_DIR=$work/target \
            cargo build --quiet --release --target "$TARGET" \
            -Zbuild-std=std,panic_abort,panic_unwind,proc_macro >&2
    )
    find "$work/target/$TARGET/release/deps" -name 'lib*.rlib' ! -name 'libempty-*' -exec cp {} "$work/out/lib/" \;
}

from_debian() {
    local version sources libc
    for tool in apt-get apt-cache dpkg-deb; do
        command -v "$tool" >/dev/null || fail "cannot build $TARGET from Debian's sources: \`$tool\` is missing" \
            "\`rustup target add $TARGET\` where rustup's server can be reached"
    done
    [ -w "$sysroot/lib/rustlib" ] || fail "cannot write to $sysroot/lib/rustlib" "run as the owner of the toolchain"
    version=$(rustc --version | cut -d' ' -f2)
    sources=$cache/rust-src-$version
    libc=$cache/wasi-libc
    if [ ! -e "$sources" ] || [ ! -e "$libc" ]; then
        say "asking for the lists of the suites $SUITES"
        apt_lists
    fi
    # The sources have to be those of this very compiler: others do not build with it.
    unpack rust-src "$version+" "$sources"
    unpack wasi-libc 0.0~git "$libc"
    [ -d "$libc/usr/lib/$TARGET" ] || fail "package \`wasi-libc\` has no $TARGET" "it is too old; suites looked at: $SUITES"
    build_std "$sources/usr/src/rustc-$version" "$libc" "$cache/std-$version"
    # One rename makes the target appear whole; who comes second finds it and drops their own.
    mkdir -p "$sysroot/lib/rustlib"
    rm -rf "$library.part"
    cp -r "$cache/std-$version/out" "$library.part"
    rm -rf "$library"
    mv -T "$library.part" "$library"
    rm -rf "$cache/std-$version"
}

# One at a time: the others wait and find the work done.
exec_once() {
    mkdir -p "$cache"
    exec 9>"$cache/ensure-wasm-target.lock"
    flock 9
    installed && return 0
    from_rustup && installed && return 0
    from_debian
    installed || fail "the standard library for $TARGET was built and is not found in $library"
    say "$TARGET is ready"
}

installed || exec_once
