#!/usr/bin/env bash
# Reloads and hands over under load, and says in its last line how many requests failed. UPGRADES=20, RELOADS=200.
set -uo pipefail
cd "$(dirname "$0")/../.."

record=$(mktemp)
trap 'rm -f "$record"' EXIT
cargo build --quiet --workspace --bins || exit 1
cargo test --quiet --test scenarios --no-run || exit 1
PORTVAKT_UPGRADES=${RELOADS:-200},${UPGRADES:-20} \
    timeout 6m cargo test --test scenarios upgrade:: -- --nocapture 2>&1 | tee "$record"
status=$?
figures=$(sed -nE 's/.*\b([0-9]+ upgrades, [0-9]+ reloads, [0-9]+ failed of [0-9]+ requests)$/\1/p' "$record" | tail -n 1)
if [ -z "$figures" ]; then
    echo "upgrade: FAILED"
    exit 1
fi
echo "$figures"
exit "$status"
