#!/usr/bin/env bash
# Drives a gateway of its own into each of its pages, and judges them in every language; screenshots in .demo/pages.
# The last line: `N pages, N languages, N violations`.
set -euo pipefail
cd "$(dirname "$0")/../.."

# shellcheck source=tests/tools/ports.sh
. tests/tools/ports.sh
port=$(free_ports pages 29000 29900 7)

folder=$(mktemp -d)
trap 'kill "${surroundings:-}" 2>/dev/null; rm -rf "$folder"' EXIT
screenshots=$PWD/.demo/pages
rm -rf "$screenshots"
programs=${CARGO_TARGET_DIR:-target}/debug
export SLOW_PORT=$((port + 4)) NOWHERE_PORT=$((port + 5)) BALANCED_PORT=$((port + 6)) DEMO_CONFIG=tests/pages/gateway.yaml DEMO_KEYS="client-ansattporten client-nowhere"
export DEMO_BUILD=${DEMO_BUILD:-cargo build --quiet --workspace --bins --example pages}
export programs folder screenshots
node tests/pages/surroundings.mjs "$SLOW_PORT" "$NOWHERE_PORT" >"$folder/surroundings.log" &
surroundings=$!
# shellcheck disable=SC2016  # the demo exports these
PORT=$port DEMO_DIR=$folder tests/tools/demo.sh bash -c '
    "$programs/portvakt" keys list client-ansattporten --jwks --config "$DEMO_CONFIG" >"$folder/ansattporten.jwks"
    "$programs/examples/pages" >"$folder/staged.json"
    exec node tests/pages/pages.mjs --gateway "$GATEWAY" --admin "$ADMIN" --simulator "$SIMULATOR" \
        --balanced "http://localhost:$BALANCED_PORT" --jwks "$folder/ansattporten.jwks" --staged "$folder/staged.json" \
        --revocations "$REVOCATIONS" --screenshots "$screenshots" ${ONLY:+--only "$ONLY"}'
