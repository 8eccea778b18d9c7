#!/usr/bin/env bash
# Measures the hub and, where mosquitto can be had, mosquitto beside it: the same load, certificate and processors.
#
# Called by `make bench-hub`: scripts/bench-hub.sh BINARY FOLDER-OF-MOSQUITTO [OPTION OF bench hub]...
set -euo pipefail

binary=$1
mosquitto=$2
shift 2

if [ -x "$mosquitto/usr/sbin/mosquitto" ]; then
    program=$mosquitto/usr/sbin/mosquitto
    libraries=$(echo "$mosquitto"/usr/lib/*-linux-gnu)
elif [ -x /usr/sbin/mosquitto ]; then
    program=/usr/sbin/mosquitto
    libraries=
else
    exec "$binary" bench hub "$@"
fi

ulimit -n "$(ulimit -Hn)"
scratch=$(mktemp -d)
started=
finish() {
    [ -z "$started" ] || kill "$started" 2>/dev/null || true
    wait
    rm -rf "$scratch"
}
trap finish EXIT

give_up() {
    echo "bench-hub: $1" >&2
    exit 1
}

# The certificate that a hub on this machine makes for itself.
"$binary" hub serve --listen 127.0.0.1 --mqtt-port 0 --https-port 0 --quiet --output json \
    --data-dir "$scratch/data" >"$scratch/told" &
started=$!
until [ -s "$scratch/told" ]; do
    kill -0 "$started" 2>/dev/null || give_up "the hub does not start"
    sleep 0.1
done
kill "$started"
wait "$started" || give_up "the hub does not end well"
started=
pki=$scratch/data/hub/pki

listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

for _ in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 20000))
    ! listens "$port" || continue
    # As root it would change to a user of its own, who cannot write here.
    {
        [ "$(id -u)" != 0 ] || echo "user root"
        echo "listener $port 127.0.0.1"
        echo "certfile $pki/server.pem"
        echo "keyfile $pki/server.pem"
        echo "allow_anonymous true"
        echo "persistence true"
        echo "persistence_location $scratch/"
        echo "max_queued_messages 0"
        echo "log_type error"
    } >"$scratch/mosquitto.conf"
    LD_LIBRARY_PATH=$libraries "$program" -c "$scratch/mosquitto.conf" 2>"$scratch/messages" &
    started=$!
    until listens "$port"; do
        kill -0 "$started" 2>/dev/null || break
        sleep 0.1
    done
    ! kill -0 "$started" 2>/dev/null || break
    started=
done
[ -n "$started" ] || give_up "mosquitto does not start: $(cat "$scratch/messages")"

"$binary" bench hub --broker "localhost:$port" --broker-ca "$pki/ca.pem" --broker-pid "$started" "$@"
