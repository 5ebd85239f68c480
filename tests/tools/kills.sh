#!/usr/bin/env bash
# Kills the gateway under load, KILLS times at least, and says in its last line what was lost.
set -uo pipefail
cd "$(dirname "$0")/../.."

record=$(mktemp)
trap 'rm -f "$record"' EXIT
cargo build --quiet --workspace --bins || exit 1
PORTVAKT_KILLS=${KILLS:-100} timeout 30m cargo test --test scenarios kills:: -- --nocapture 2>&1 | tee "$record"
status=$?
figures=$(sed -nE 's/.*\b([0-9]+ kills, [0-9]+ logouts answered, .*)/\1/p' "$record" | tail -n 1)
if [ "$status" -ne 0 ] || [ -z "$figures" ]; then
    echo "kills: FAILED${figures:+; $figures}"
    exit 1
fi
echo "$figures"
