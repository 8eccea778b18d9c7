#!/usr/bin/env bash
# Holds the documents against the repository: links lead to files and headings, the code map names files that are there,
# and every path of the control socket is in its page.
#
# Called by `make test`.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
faults=0

fault() {
    printf 'check-docs: %s\n' "$1" >&2
    faults=$((faults + 1))
}

# The anchors of a page's headings: lower case, spaces as hyphens, no punctuation.
anchors() {
    sed -n 's/^##* //p' "$1" | tr '[:upper:] ' '[:lower:]-' | tr -cd '[:alnum:]_\n-'
}

check_links() {
    local page=$1 folder link file anchor
    folder=$(dirname "$page")
    while read -r link; do
        file=${link%%#*}
        anchor=${link#"$file"}
        file=${file:+$folder/$file}
        file=${file:-$page}
        if [ ! -e "$file" ]; then
            fault "$page links to \`$link\`, which is not there"
        elif [ -n "$anchor" ] && ! anchors "$file" | grep -qx -e "${anchor#\#}"; then
            fault "$page links to \`$link\`, and there is no such heading"
        fi
    done < <(grep -o '](\([^)]*\))' "$page" | sed 's/^](//; s/)$//' | grep -v '^https\?:')
}

# Below a heading that names a folder, names in backquotes with a `/` or an ending are files of it.
check_code_map() {
    local folder="" line name
    while IFS= read -r line; do
        case $line in
        '### `'*) folder=$(printf '%s' "$line" | cut -d'`' -f2) ;;
        '#'*) folder="" ;;
        '- '*)
            [ -n "$folder" ] || continue
            while read -r name; do
                [ -e "$folder/$name" ] || fault "ARCHITECTURE.md names \`$folder/$name\`, which is not there"
            done < <(printf '%s' "$line" | grep -o '`[a-z_-][a-z_/-]*/[a-z_/.-]*`' | tr -d '`')
            ;;
        esac
    done <ARCHITECTURE.md
    while read -r name; do
        [ -e "$name" ] || fault "ARCHITECTURE.md names \`$name\`, which is not there"
    done < <(grep -o '`\(host\|tests\|sdk-guest\|docs\)/[a-zA-Z_/.-]*`' ARCHITECTURE.md | tr -d '`')
}

check_paths() {
    local path paths
    paths=$(tr -d '\n' <host/daemon/src/api.rs | grep -o '\.route( *"[^"]*"' && tr -d '\n' <host/hub/src/rest.rs | grep -o '\.route( *"[^"]*"')
    while read -r path; do
        grep -qF -e "$path\`" docs/management-api.md || fault "docs/management-api.md does not tell of \`$path\`"
    done < <(printf '%s\n' "$paths" | cut -d'"' -f2 | grep -v '.*/$')
}

for page in README.md ARCHITECTURE.md CHANGELOG.md docs/*.md docs/decisions/*.md; do
    check_links "$page"
done
check_code_map
check_paths
[ "$faults" -eq 0 ] || exit 1
