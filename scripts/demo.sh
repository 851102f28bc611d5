#!/usr/bin/env bash
# An exporter and a consumer find each other, and a third process watches: found, called, and gone again.
# The one that watches runs the registry, so that nothing else is needed; with an argument, the etcd at
# HOST:PORT is the registry of all three.
# Everything that is started here listens on loopback only and ends with this script.
# OSGI_REMOTE_SAMPLES names a folder of samples that are built already.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -le 1 ] || { printf 'usage: %s [HOST:PORT of etcd]\n' "$0" >&2; exit 2; }
etcd="${1:-}"
# Where another etcd is, and who is let in there, is of no use to the registry that runs here.
[ -n "$etcd" ] || unset "${!ETCDCTL_@}"
examples="${OSGI_REMOTE_SAMPLES:-${CARGO_TARGET_DIR:-target}/debug/examples}"
work="$(mktemp -d)"
watcher_pid="" exporter_pid="" consumer_pid=""

say() { printf 'demo: %s\n' "$*"; }

fail() {
    printf 'demo: FAILED: %s\n' "$*" >&2
    local name
    for name in watcher exporter consumer; do
        [ -s "$work/$name.log" ] || continue
        printf -- '--- the end of what the %s wrote ---\n' "$name" >&2
        tail -n 20 "$work/$name.log" >&2
    done
    exit 1
}

cleanup() {
    local pid
    for pid in $consumer_pid $exporter_pid $watcher_pid; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

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
    [ "$status" -eq 0 ] || fail "the $name ended with status $status after SIGTERM"
}

if [ -z "${OSGI_REMOTE_SAMPLES:-}" ]; then
    say "building the samples"
    cargo build --quiet --features embedded --example hello_exporter --example hello_consumer --example watcher
fi

if [ -n "$etcd" ]; then
    registry=(--etcd "$etcd")
else
    registry=(--embedded 127.0.0.1:0)
fi
"$examples/watcher" "${registry[@]}" >"$work/watcher.log" 2>&1 &
watcher_pid=$!
await watcher "$watcher_pid" 1 connected
if [ -z "$etcd" ]; then
    await watcher "$watcher_pid" 1 listening
    etcd="$(sed -n 's/^listening on //p' "$work/watcher.log")"
fi

"$examples/hello_exporter" --etcd "$etcd" >"$work/exporter.log" 2>&1 &
exporter_pid=$!
await exporter "$exporter_pid" 1 exported
await watcher "$watcher_pid" 1 added

"$examples/hello_consumer" --etcd "$etcd" >"$work/consumer.log" 2>&1 &
consumer_pid=$!
await consumer "$consumer_pid" 1 imported
await consumer "$consumer_pid" 3 answer

say "stopping the exporter"
terminate exporter "$exporter_pid"
exporter_pid=""
await consumer "$consumer_pid" 1 removed
await watcher "$watcher_pid" 1 removed
terminate consumer "$consumer_pid"
consumer_pid=""
terminate watcher "$watcher_pid"
watcher_pid=""
say "OK: found through $etcd, called three times, and its end was noticed by both"
