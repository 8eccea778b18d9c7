#!/usr/bin/env bash
# Measures images of a registry on this machine: pulling beside `skopeo copy` of the same artifact, the memory that a
# pull takes of a running device, and the time from a reference to a message that a module has handled. None of the figures fails.
#
# Called by `make bench-images`: scripts/bench-images.sh BINARY COMPONENT FOLDER-OF-REGISTRY FOLDER-OF-SKOPEO [--json FILE]
set -euo pipefail

binary=$1 component=$2 registry=$3/usr/bin/docker-registry skopeo_folder=$4
json=
[ "${5:-}" != --json ] || json=$6

# Random bytes that are added to the component, in a section that nobody reads.
readonly added_bytes=20000000
readonly rounds=5

[ -x "$registry" ] || registry=$(command -v docker-registry) || { echo "bench-images: there is no docker-registry; left out" >&2; exit 0; }
skopeo() {
    LD_LIBRARY_PATH=$(echo "$skopeo_folder"/usr/lib/*-linux-gnu) "$program" --insecure-policy "$@"
}
program=$skopeo_folder/usr/bin/skopeo
[ -x "$program" ] || program=$(command -v skopeo) || program=

scratch=$(mktemp -d)
started=()
finish() {
    [ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null || true
    wait
    rm -rf "$scratch"
}
trap finish EXIT
export XDG_STATE_HOME=$scratch/state HOME=$scratch

listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
port=$((20000 + RANDOM % 20000))
while listens "$port"; do port=$((port + 1)); done
cat >"$scratch/registry.yml" <<END
version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: $scratch/registry } }
http: { addr: "127.0.0.1:$port" }
END
"$registry" serve "$scratch/registry.yml" >"$scratch/registry.log" 2>&1 &
started+=($!)
until listens "$port"; do
    kill -0 "${started[0]}" 2>/dev/null || { cat "$scratch/registry.log" >&2; exit 1; }
    sleep 0.1
done
config=$scratch/wasm-edge.toml
printf '[registries."localhost:%s"]\nplain_http = true\n' "$port" >"$config"

# A custom section (WebAssembly core specification, *Custom Section*): 0, its size in LEB128, its name.
section_bytes=$((added_bytes + 6))
{
    cat "$component"
    printf '\0'
    left=$section_bytes
    while [ "$left" -ge 128 ]; do
        printf "\\x$(printf %02x $((left & 127 | 128)))"
        left=$((left >> 7))
    done
    printf "\\x$(printf %02x "$left")\\x05noise"
    head -c $added_bytes /dev/urandom
} >"$scratch/large.wasm"
cp "$component" "$scratch/small.wasm"
for name in large small; do
    "$binary" image push "$scratch/$name.wasm" "localhost:$port/bench/$name:1" --config "$config" --quiet >/dev/null
done

now_us() {
    local now=$EPOCHREALTIME
    echo "${now/[.,]/}"
}
# The middle of the times of so many runs, in milliseconds.
middle_ms() {
    local times=() begun runs=$1
    shift
    for ((round = 0; round < runs; round++)); do
        begun=$(now_us)
        "$@" >/dev/null 2>"$scratch/said" || { cat "$scratch/said" >&2; exit 1; }
        times+=($(($(now_us) - begun)))
    done
    local sorted
    sorted=$(printf '%s\n' "${times[@]}" | sort -n | sed -n "$((runs / 2 + 1))p")
    echo $((sorted / 1000))
}
pull() {
    rm -rf "$scratch/data"
    "$binary" image pull "localhost:$port/bench/large:1" --config "$config" --data-dir "$scratch/data"
}
copy() {
    rm -rf "$scratch/copy"
    skopeo copy --src-tls-verify=false "docker://localhost:$port/bench/large:1" "oci:$scratch/copy:1"
}
# From the start of the process until its one message was handled and it has ended in order.
one_message() {
    "$binary" run "localhost:$port/bench/small:1" --name small --config "$config" --quiet \
        --input "$scratch/message.ndjson" --data-dir "$scratch/run"
}
# Anonymous and file pages at their highest since the last look, in KiB.
highest_kib() {
    awk '$1 == "VmHWM:" { print $2 }' "/proc/$1/status"
}

pull_ms=$(middle_ms $rounds pull)
copy_ms=null
[ -z "$program" ] || copy_ms=$(middle_ms $rounds copy)

"$binary" daemon --config "$config" --data-dir "$scratch/device" >"$scratch/daemon.log" 2>&1 &
daemon=$!
started+=("$daemon")
until [ -S "$scratch/device/control.sock" ]; do
    kill -0 "$daemon" 2>/dev/null || { cat "$scratch/daemon.log" >&2; exit 1; }
    sleep 0.2
done
echo 5 >"/proc/$daemon/clear_refs"
idle_kib=$(highest_kib "$daemon")
"$binary" image pull "localhost:$port/bench/large:1" --data-dir "$scratch/device" --quiet >/dev/null
memory_kib=$(($(highest_kib "$daemon") - idle_kib))

echo '{"body": "Ada"}' >"$scratch/message.ndjson"
cold_ms=$(middle_ms 1 one_message)
cached_ms=$(middle_ms $rounds one_message)

row() {
    printf '%-14s %10s %-6s %s\n' "$@"
}
row ROW VALUE UNIT SKOPEO
row pull "$pull_ms" ms "$copy_ms"
row pull-memory "$memory_kib" KiB -
row run-cold "$cold_ms" ms -
row run-cached "$cached_ms" ms -
[ -z "$json" ] || cat >"$json" <<END
{
  "version": $("$binary" --version | sed 's/.* \(.*\)/"\1"/'),
  "componentBytes": $(stat -c %s "$scratch/large.wasm"),
  "rows": [
    { "row": "pull", "value": $pull_ms, "unit": "ms", "baseline": $copy_ms },
    { "row": "pull-memory", "value": $memory_kib, "unit": "KiB", "baseline": null, "idle": $idle_kib },
    { "row": "run-cold", "value": $cold_ms, "unit": "ms", "baseline": null },
    { "row": "run-cached", "value": $cached_ms, "unit": "ms", "baseline": null }
  ]
}
END
