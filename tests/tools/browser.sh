#!/usr/bin/env bash
# Runs the browser scenario against a demo of its own: own ports, own keys.
set -euo pipefail
cd "$(dirname "$0")/../.."

free() {
    local offset
    for offset in 0 1 2 3; do
        if (exec 3<>"/dev/tcp/127.0.0.1/$(($1 + offset))") 2>/dev/null; then return 1; fi
    done
}
port=28080
until free "$port"; do
    port=$((port + 10))
    [ "$port" -lt 29000 ] || { echo "browser: no four free ports" >&2; exit 1; }
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
screenshots=$PWD/.demo/screenshots
# Tests choose other features of some dependencies. What they have built is taken as it is.
export DEMO_BUILD="cargo test --quiet --workspace --no-run"
# shellcheck disable=SC2016  # the demo exports these
PORT=$port DEMO_DIR=$folder tests/tools/demo.sh bash -c 'exec node tests/browser/login.mjs \
    --gateway "$GATEWAY" --admin "$ADMIN" --simulator "$SIMULATOR" --screenshots "$0"' "$screenshots"
