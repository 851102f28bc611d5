#!/usr/bin/env bash
# An exporter and a consumer find each other through a real etcd: found, called, and gone again.
# Everything that is started here listens on loopback only and ends with this script.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Variables named so configure etcd, and are not for this one.
unset "${!ETCD_@}"
examples="${CARGO_TARGET_DIR:-target}/debug/examples"
work="$(mktemp -d)"
etcd_pid="" exporter_pid="" consumer_pid=""

say() { printf 'demo: %s\n' "$*"; }

fail() {
    printf 'demo: FAILED: %s\n' "$*" >&2
    local name
    for name in etcd exporter consumer; do
        [ -s "$work/$name.log" ] || continue
        printf -- '--- the end of what the %s wrote ---\n' "$name" >&2
        tail -n 20 "$work/$name.log" >&2
    done
    exit 1
}

cleanup() {
    local pid
    for pid in $consumer_pid $exporter_pid $etcd_pid; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Usage: etcd_is_healthy PORT. Needs no other program than bash.
etcd_is_healthy() {
    local answer
    answer="$({ exec 3<>"/dev/tcp/127.0.0.1/$1" \
        && printf 'GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3 && cat <&3; } 2>/dev/null)" || return 1
    [[ "$answer" == *'"health":"true"'* ]]
}

# Starts etcd on ports that are free; sets etcd_pid and etcd_port, or returns 1 when a port was taken.
try_etcd() {
    # Below the range from which the kernel takes ports of its own choice.
    etcd_port=$((15000 + RANDOM % 8000))
    local peer_port=$((etcd_port + 8000)) deadline=$((SECONDS + 30))
    local client="http://127.0.0.1:$etcd_port" peer="http://127.0.0.1:$peer_port"
    rm -rf "$work/etcd"
    etcd --name demo --data-dir "$work/etcd" --logger zap --log-outputs stderr --log-level warn \
        --listen-client-urls "$client" --advertise-client-urls "$client" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
        --initial-cluster "demo=$peer" >"$work/etcd.log" 2>&1 &
    etcd_pid=$!
    until etcd_is_healthy "$etcd_port" && kill -0 "$etcd_pid" 2>/dev/null; do
        if ! kill -0 "$etcd_pid" 2>/dev/null; then
            wait "$etcd_pid" || true
            etcd_pid=""
            grep -q 'address already in use' "$work/etcd.log" && return 1
            fail "etcd ended instead of coming up"
        fi
        [ "$SECONDS" -lt "$deadline" ] || fail "etcd did not come up in 30 s"
        sleep 0.1
    done
}

start_etcd() {
    local attempt
    for attempt in 1 2 3 4 5; do
        try_etcd && return
    done
    fail "no free port for etcd in $attempt attempts"
}

# Usage: await NAME PID COUNT WORD: until NAME has written COUNT lines that begin with WORD; shows them.
await() {
    local name="$1" pid="$2" count="$3" word="$4" deadline=$((SECONDS + 30)) seen
    while true; do
        # Looked at before the process, whose last lines count as well.
        local alive=yes
        kill -0 "$pid" 2>/dev/null || alive=no
        seen="$(grep -c "^$word " "$work/$name.log" || true)"
        [ "$seen" -ge "$count" ] && break
        [ "$alive" = yes ] || fail "the $name ended before it wrote '$word ...' $count times"
        [ "$SECONDS" -lt "$deadline" ] || fail "the $name did not write '$word ...' $count times in 30 s"
        sleep 0.05
    done
    grep "^$word " "$work/$name.log" | sed "s/^/$name: /"
}

# Usage: terminate NAME PID: SIGTERM, and the process has to end by itself and well.
terminate() {
    local name="$1" pid="$2" deadline=$((SECONDS + 15)) status=0
    kill -TERM "$pid" 2>/dev/null || fail "the $name was gone before it was stopped"
    while kill -0 "$pid" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || fail "the $name did not end within 15 s of SIGTERM"
        sleep 0.05
    done
    wait "$pid" || status=$?
    # 143 is a plain death by SIGTERM, which is etcd's way.
    [ "$status" -eq 0 ] || { [ "$name" = etcd ] && [ "$status" -eq 143 ]; } \
        || fail "the $name ended with status $status after SIGTERM"
}

command -v etcd >/dev/null || fail "etcd is missing; run make setup"
say "building the samples"
cargo build --quiet --example hello_exporter --example hello_consumer

start_etcd
say "etcd runs at 127.0.0.1:$etcd_port"

"$examples/hello_exporter" --etcd "127.0.0.1:$etcd_port" >"$work/exporter.log" 2>&1 &
exporter_pid=$!
await exporter "$exporter_pid" 1 exported

"$examples/hello_consumer" --etcd "127.0.0.1:$etcd_port" >"$work/consumer.log" 2>&1 &
consumer_pid=$!
await consumer "$consumer_pid" 1 imported
await consumer "$consumer_pid" 3 answer

say "stopping the exporter"
terminate exporter "$exporter_pid"
exporter_pid=""
await consumer "$consumer_pid" 1 removed
terminate consumer "$consumer_pid"
consumer_pid=""
terminate etcd "$etcd_pid"
etcd_pid=""
say "OK: found through etcd, called three times, and its end was noticed"
