#!/usr/bin/env bash
# The demo: a server of its own on a free port, ovdiff-demo as its client, both
# stopped at the end. `make demo` builds and then calls this.
#   OVDIFF_BIN   folder of the programs     (default: build/release/bin)
#   DEMO_STORE   kept, so that the next run reuses what is in it
#   DEMO_OUT     where the pictures go      (default: demo-out)
set -euo pipefail
cd "$(dirname "$0")/../.."

bin=${OVDIFF_BIN:-build/release/bin}
store=${DEMO_STORE:-build/demo-store}
out=${DEMO_OUT:-demo-out}
bundle=deploy/bundles/demo
run=$(mktemp -d)
log=build/demo-server.log
server=

say() { printf 'demo: %s\n' "$*"; }
die() { printf 'demo: error: %s\n' "$*" >&2; exit 1; }

stop_server() {
  [[ -n $server ]] || return 0
  local pid=$server
  server=
  kill -TERM "$pid" 2>/dev/null || true
  wait "$pid"
}
clean_up() {
  stop_server || true
  rm -rf "$run"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p build "$(dirname "$store")"
if [[ -d $store ]]; then
  say "store $store is there: what is in it will be reused (rm -r $store starts afresh)"
fi
"$bin/ovdiffd" --bundle "$bundle" --store "$store" --listen 127.0.0.1:0 \
  --address-file "$run/address" --admin-listen 127.0.0.1:0 \
  >"$log" 2>&1 </dev/null &
server=$!
say "server $bin/ovdiffd, process $server, log $log"

# The address file appears, whole, once the server is ready.
for ((i = 0; i < 3000; ++i)); do
  [[ -s $run/address ]] && break
  kill -0 "$server" 2>/dev/null || { cat "$log" >&2; server=; die "the server did not start"; }
  sleep 0.1
done
[[ -s $run/address ]] || { cat "$log" >&2; die "the server was not ready in 300 s"; }
read -r address <"$run/address"
say "ready on $address"

"$bin/ovdiff-demo" --server "$address" --scenes "$bundle/scenes" --out "$out"

stop_server || die "the server ended with status $?; see $log"
say "the server has stopped"
say "for a server that stays: $bin/ovdiffd --bundle $bundle --store $store"
printf '\nLook at  %s/index.html\n' "$(realpath "$out")"
printf 'Next     make demo again: it reuses the stored classes. README.md shows how to call a server\n'
