#!/usr/bin/env bash
# Makes the Python environment that tests/sdk runs in, with the official Azure SDKs as they are on PyPI, into a folder.
# It is made again only when the pins or the interpreter changed. Needs no root and installs nothing elsewhere.
#
# Called by the test `sdk` of the black-box tests; prints the environment's interpreter.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
readonly folder=${1:-$root/target/sdk-venv}
readonly pins=$root/tests/sdk/requirements.txt

fail() {
    printf 'python-sdk: %s\n' "$1" >&2
    exit 1
}

# The SDKs' AMQP library has wheels for no other versions, and building it needs a C++ compiler and cmake.
fits() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

python=
for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11 python3.10 python3.9; do
    if fits "$candidate"; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "no Python from 3.9 to 3.13 with its module venv is here (on Debian: apt install python3-venv)"

mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
digest=$({ cat "$pins"; "$python" -c 'import sys; print(sys.version, sys.executable)'; } | sha256sum)
if [ "$(cat "$folder/made-of" 2>/dev/null)" != "$digest" ]; then
    printf 'python-sdk: installing the SDKs into %s\n' "$folder" >&2
    rm -rf "$folder"
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --use-pep517 --require-hashes --requirement "$pins" >&2 ||
        fail "the SDKs cannot be had from PyPI; \`pip config list\` shows what pip is told of mirrors and proxies"
    printf '%s\n' "$digest" >"$folder/made-of"
fi
printf '%s\n' "$folder/bin/python"
