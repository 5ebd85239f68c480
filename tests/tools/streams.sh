#!/usr/bin/env bash
# Ends sessions with streams open, STREAMS at least, and says in its last line how many outlived their session.
set -uo pipefail
cd "$(dirname "$0")/../.."

record=$(mktemp)
trap 'rm -f "$record"' EXIT
cargo build --quiet --workspace --bins || exit 1
PORTVAKT_STREAMS=${STREAMS:-2500} timeout 15m cargo test --test scenarios streams::ending::of_five -- --nocapture 2>&1 | tee "$record"
status=$?
figures=$(sed -nE 's/.*\b([0-9]+ streams of .* ended, .*)/\1/p' "$record" | tail -n 1)
if [ "$status" -ne 0 ] || [ -z "$figures" ]; then
    echo "streams: FAILED${figures:+; $figures}"
    exit 1
fi
echo "$figures"
