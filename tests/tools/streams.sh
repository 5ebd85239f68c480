#!/usr/bin/env bash
# Ends sessions with streams open, STREAMS at least and a fifth as many over HTTP/2, and says in its last lines how many
# outlived their session.
set -uo pipefail
cd "$(dirname "$0")/../.."

record=$(mktemp)
trap 'rm -f "$record"' EXIT
cargo build --quiet --workspace --bins || exit 1
PORTVAKT_STREAMS=${STREAMS:-2500} timeout 15m cargo test --test scenarios -- --nocapture --test-threads=1 \
    streams::ending::of_five streams::http2::of_many 2>&1 | tee "$record"
status=$?
figures=$(sed -nE 's/.* ([0-9]+ (HTTP\/2 )?streams of .* ended, .*)/\1/p' "$record")
if [ "$status" -ne 0 ] || [ "$(wc -l <<<"$figures")" -ne 2 ]; then
    echo "streams: FAILED${figures:+; $figures}"
    exit 1
fi
echo "$figures"
