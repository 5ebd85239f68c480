#!/usr/bin/env bash
# Runs the browser scenario against a demo of its own: own ports, own keys.
set -euo pipefail
cd "$(dirname "$0")/../.."

# shellcheck source=tests/tools/ports.sh
. tests/tools/ports.sh
port=$(free_ports browser 28080 29000 4)

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
screenshots=$PWD/.demo/screenshots
# Tests choose other features of some dependencies. What they have built is taken as it is.
export DEMO_BUILD="cargo test --quiet --workspace --no-run"
# shellcheck disable=SC2016  # the demo exports these
PORT=$port DEMO_DIR=$folder tests/tools/demo.sh bash -c 'exec node tests/browser/login.mjs \
    --gateway "$GATEWAY" --admin "$ADMIN" --simulator "$SIMULATOR" --screenshots "$0"' "$screenshots"
