#!/usr/bin/env bash
# Three replicas behind HAProxy with a Redis under load: what the last line says. `replicas.sh soak MINUTES` troubles them
# for longer; a soak that was cut off goes on from its last five minutes, unless the sources changed. FLEET_BUILD=debug
# where a release build takes too long.
set -uo pipefail
cd "$(dirname "$0")/../.."

record=$(mktemp)
trap 'rm -f "$record"' EXIT
build=(--release)
[ "${FLEET_BUILD:-release}" = release ] || build=()
cargo build --quiet "${build[@]}" --workspace --bins || exit 1
cargo test --quiet "${build[@]}" --test scenarios --no-run || exit 1
mkdir -p docs/measurements
if [ "${1:-}" = soak ]; then
    name=soak spare=600 test=fleet::whatever_happens_to_them_for_long minutes=${2:-30} last='[0-9.]+ minutes, .* wrong identities'
    [[ $minutes =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo "soak: MINUTES=$minutes is no number"; exit 1; }
    export PORTVAKT_SOAK_MINUTES=$minutes
    sources=$(git ls-files -z Cargo.lock src core simulator tests | xargs -0 sha256sum 2>/dev/null | sha256sum)
    export PORTVAKT_SOAK_SO_FAR=${CARGO_TARGET_DIR:-$PWD/target}/soak-${sources:0:16}.json
else
    name=replicas spare=300 test=fleet::three_replicas_under_load minutes=5 last='revocation p99 .* wrong identities'
fi
PORTVAKT_FLEET_RESULT=$PWD/docs/measurements/$name.json \
    timeout --kill-after=10 "$(awk "BEGIN {print int($minutes * 60) + $spare}")" \
    cargo test --quiet "${build[@]}" --test scenarios "$test" -- --nocapture 2>&1 | tee "$record"
status=$?
# Whether it held or not, it is over: only who was cut off goes on.
[ -z "${PORTVAKT_SOAK_SO_FAR:-}" ] || rm -f "$PORTVAKT_SOAK_SO_FAR"
figures=$(sed -nE "s/^($last)\$/\1/p" "$record" | tail -n 1)
if [ "$status" -ne 0 ] || [ -z "$figures" ]; then
    echo "$name: FAILED${figures:+; $figures}"
    exit 1
fi
echo "$figures"
