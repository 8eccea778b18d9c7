#!/usr/bin/env bash
# Measures what the program for boards takes: its size, and its memory (PSS) as a device of a hub, over MQTT by TLS.
#
# Called by `make bench-board`: scripts/bench-board.sh DEVICE-PROGRAM FULL-PROGRAM COMPONENTS [--json FILE]
# SETTLE is how many seconds a device runs before it is looked at. Each row is one process that is started anew.
# Called by `make board-functions` with --functions FILE instead: then it writes there which functions those devices
# run, which takes valgrind and a program with symbols.
set -euo pipefail

device=$1 full=$2 components=$(realpath "$3")
json= functions=
case ${4:-} in
--json) json=$5 ;;
--functions) functions=$5 ;;
esac
settle=${SETTLE:-30}
# What a small board may have, in bytes and in KiB.
readonly memory_bytes=67108864 address_space_kib=1048576

scratch=$(mktemp -d)
pids=()
finish() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait
    [ -z "${group:-}" ] || rmdir "$group" 2>/dev/null || true
    rm -rf "$scratch"
}
trap finish EXIT

give_up() {
    echo "bench-board: $1" >&2
    exit 1
}

# Waits until a command succeeds, for a minute.
until_ok() {
    local what=$1 _
    shift
    for _ in $(seq 600); do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.1
    done
    cat "$scratch"/*.log >&2
    give_up "waited in vain: $what"
}

# A hub of its own, as another process.
"$full" hub serve --listen 127.0.0.1 --mqtt-port 0 --https-port 0 --quiet --output json \
    --data-dir "$scratch/hub" >"$scratch/told" 2>"$scratch/hub.log" &
pids+=($!)
until_ok "the hub to listen" test -s "$scratch/told"
port() {
    sed -n "s/.*\"$1\":\[\"[^\"]*:\([0-9]*\)\".*/\1/p" "$scratch/told"
}
hub() {
    "$full" "$@" --quiet --data-dir "$scratch/hub"
}
hub hub ca --output-file "$scratch/ca.pem" >/dev/null
# A device holds the certificates of its system: those of this one, and that of the hub.
cat /etc/ssl/certs/ca-certificates.crt "$scratch/ca.pem" >"$scratch/trusted.pem" 2>/dev/null || true

# manifest MODULES ROUTES [TWINS]
manifest() {
    cat <<END
{"modulesContent": {
  "\$edgeAgent": {"properties.desired": {"schemaVersion": "1.1", "modules": {$1}}},
  "\$edgeHub": {"properties.desired": {"schemaVersion": "1.1", "routes": {$2}}}${3:-}
}}
END
}
sensor='"sensor": {"type": "wasm", "settings": {"image": "file:'$components'/system-sensor.wasm",
  "wasm": {"grants": [{"file": "/proc/loadavg"}, {"file": "/proc/meminfo"}]}}}'
filter='"filter": {"type": "wasm", "settings": {"image": "file:'$components'/threshold-filter.wasm"}}'
routes='"a": "FROM /messages/modules/sensor/outputs/readings INTO BrokeredEndpoint(\"/modules/filter/inputs/input\")",
  "b": "FROM /messages/modules/filter/outputs/alerts INTO $upstream"'
twins=', "sensor": {"properties.desired": {"interval_ms": 1000, "fields": ["load1", "memory_used_percent"]}},
  "filter": {"properties.desired": {"field": "memory_used_percent", "threshold": 0.1}}'
manifest "" "" >"$scratch/idle.json"
manifest "$sensor, $filter" "$routes" "$twins" >"$scratch/modules.json"

runs() {
    local list
    list=$("$device" list --output json --data-dir "$scratch/$1") || return 1
    [ "$(grep -c '"status": "running"' <<<"$list")" = "$2" ]
}
has_deployment() {
    "$device" deploy show --output json --data-dir "$scratch/$1" | grep -q '"phase": "applied"'
}

rows=()
# measure NAME WHAT BUDGET DEPLOYMENT MODULES [COMMAND...]: the memory of a device that a command starts.
measure() {
    local name=$1 what=$2 budget=$3 deployment=$4 modules=$5
    shift 5
    hub hub device create "$name" --edge >"$scratch/$name.cs" 2>/dev/null
    chmod 600 "$scratch/$name.cs"
    cat >"$scratch/$name.toml" <<END
[provisioning]
source = "connection-string"
connection_string_file = "$name.cs"
[hub]
mqtt_port = $(port mqtt)
https_port = $(port https)
[deployment]
file_images = true
END
    [ "$modules" = 0 ] || "$full" precompile "$scratch/$deployment.json" --data-dir "$scratch/$name" --quiet >/dev/null
    # As after a boot: what lies in memory of the program is what was asked for since.
    sync -d "$device"
    dd if="$device" iflag=nocache count=0 status=none
    SSL_CERT_FILE=$scratch/trusted.pem MALLOC_ARENA_MAX=2 "$@" "$device" daemon --config "$scratch/$name.toml" --data-dir "$scratch/$name" \
        >"$scratch/$name.log" 2>&1 &
    local pid=$!
    pids+=("$pid")
    until_ok "$name to answer" "$device" list --data-dir "$scratch/$name"
    # Under valgrind everything is late: so it has looked for a deployment in vain, and gets it as a change.
    [ -z "$functions" ] || sleep 20
    hub deploy apply "$scratch/$deployment.json" --device "$name" --no-wait >/dev/null
    until_ok "the deployment of $name" has_deployment "$name"
    until_ok "the modules of $name" runs "$name" "$modules"
    sleep "$settle"
    runs "$name" "$modules" || give_up "the modules of $name do not run any more"
    local rollup=/proc/$pid/smaps_rollup
    row "$name" "$what" "$budget" "$(sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "$rollup")" \
        "anonymous $(sed -n 's/^Pss_Anon: *\([0-9]*\) kB/\1/p' "$rollup"), of files $(sed -n 's/^Pss_File: *\([0-9]*\) kB/\1/p' "$rollup"), threads $(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 | wc -l)"
    kill "$pid"
    wait "$pid" || give_up "$name does not end well"
    pids=("${pids[@]:0:1}")
}

row() {
    printf '%-14s %8s KiB  of %8s  %-48s %s\n' "$1" "$4" "${3:--}" "$2" "${5:-}"
    rows+=("{\"name\": \"$1\", \"unit\": \"KiB\", \"value\": $4, \"budget\": ${3:-null}}")
}

# A control group with so much memory, of either version of control groups, where this user may make one.
group=
make_group() {
    local base
    for base in /sys/fs/cgroup/memory /sys/fs/cgroup; do
        mkdir "$base/wasm-edge-bench-$$" 2>/dev/null || continue
        group=$base/wasm-edge-bench-$$
        if echo "$memory_bytes" >"$group/memory.limit_in_bytes" || echo "$memory_bytes" >"$group/memory.max"; then
            return 0
        fi 2>/dev/null
        rmdir "$group"
        group=
    done
    return 1
}

in_group() {
    # shellcheck disable=SC2016 # the shell that is started puts them in
    exec sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
}

in_little_address_space() {
    ulimit -v "$address_space_kib"
    exec "$@"
}

# The functions that a device runs, as `nm` demangles them.
traced() {
    measure "$1" "functions traced" "" "$2" "$3" \
        valgrind --quiet --tool=callgrind --demangle=no --callgrind-out-file="$scratch/$1.calls" >&2
    # Beside them those for processors that valgrind does not know.
    paste -d '\t' <(nm --no-sort -j "$device") <(nm --no-sort -j --demangle "$device") |
        awk -F '\t' 'NR == FNR { run[$0]; next } $1 in run || $2 ~ /avx|clmul|_hw_/ { print $2 }' \
            <(sed -n "s/^c\{0,1\}fn=([0-9]*) \([^' ]*\).*/\1/p" "$scratch/$1.calls") - | sort -u
}

if [ -n "$functions" ]; then
    traced idle idle 0 >"$scratch/idle.txt"
    traced modules modules 2 >"$scratch/modules.txt"
    awk '!seen[$0]++' "$scratch/idle.txt" "$scratch/modules.txt" | gzip -9n >"$functions"
    exit
fi

row binary "the program, stripped" 8192 $(($(stat -c %s "$device") / 1024))
measure idle "a device without modules" 5120 idle 0
measure modules "with a sensor, a filter and upstream" 8192 modules 2
measure ulimit "the same, ulimit -v $address_space_kib" 8192 modules 2 in_little_address_space
if make_group; then
    measure cgroup "the same, 64 MiB for it and its pages" 8192 modules 2 in_group
    peak=$(cat "$group/memory.max_usage_in_bytes" 2>/dev/null || cat "$group/memory.peak" 2>/dev/null || echo 0)
    row cgroup-peak "what that group took at most" 65536 $((peak / 1024))
else
    echo "bench-board: left out what needs a control group, which this user may not make" >&2
fi
[ -z "$json" ] || (IFS=,; printf '{"rows": [%s]}\n' "${rows[*]}") >"$json"
