#!/usr/bin/env bash
# Drives a gateway of its own into each of its pages, and judges them in every language; screenshots in .demo/pages.
# The last line: `N pages, N languages, N violations`.
set -euo pipefail
cd "$(dirname "$0")/../.."

free() {
    local offset
    for offset in 0 1 2 3 4 5; do
        if (exec 3<>"/dev/tcp/127.0.0.1/$(($1 + offset))") 2>/dev/null; then return 1; fi
    done
}
port=29000
until free "$port"; do
    port=$((port + 10))
    [ "$port" -lt 29900 ] || { echo "pages: no six free ports" >&2; exit 1; }
done

folder=$(mktemp -d)
trap 'kill "${surroundings:-}" 2>/dev/null; rm -rf "$folder"' EXIT
screenshots=$PWD/.demo/pages
rm -rf "$screenshots"
programs=${CARGO_TARGET_DIR:-target}/debug
export SLOW_PORT=$((port + 4)) NOWHERE_PORT=$((port + 5)) DEMO_CONFIG=tests/pages/gateway.yaml DEMO_KEYS="client-ansattporten client-nowhere"
export DEMO_BUILD=${DEMO_BUILD:-cargo build --quiet --workspace --bins}
export programs folder screenshots
node tests/pages/surroundings.mjs "$SLOW_PORT" "$NOWHERE_PORT" >"$folder/surroundings.log" &
surroundings=$!
# shellcheck disable=SC2016  # the demo exports these
PORT=$port DEMO_DIR=$folder tests/tools/demo.sh bash -c '
    "$programs/portvakt" keys list client-ansattporten --jwks --config "$DEMO_CONFIG" >"$folder/ansattporten.jwks"
    exec node tests/pages/pages.mjs --gateway "$GATEWAY" --simulator "$SIMULATOR" --jwks "$folder/ansattporten.jwks" \
        --screenshots "$screenshots" ${ONLY:+--only "$ONLY"}'
