#!/usr/bin/env bash
# Plants one fault after the other and runs the suites: each must turn red, or it proves nothing.
set -uo pipefail
cd "$(dirname "$0")/../.."

suites=("-p portvakt-core --lib" "-p portvakt --test scenarios")
faults=(revocation level nonce associated_data)
planted=0 caught=0
for fault in "${faults[@]}"; do
    for suite in "${suites[@]}"; do
        read -ra arguments <<<"$suite"
        planted=$((planted + 1))
        export PORTVAKT_PLANTED_FAULT=$fault
        if ! cargo build --quiet --workspace --bins || ! cargo test --quiet --no-run "${arguments[@]}"; then
            echo "faults: $fault does not build"
        elif cargo test --quiet "${arguments[@]}" >/dev/null 2>&1; then
            echo "faults: $fault is NOT noticed by: $suite"
        else
            echo "faults: $fault is noticed by: $suite"
            caught=$((caught + 1))
        fi
    done
done
unset PORTVAKT_PLANTED_FAULT
echo "$planted faults planted, $caught caught"
[ "$planted" -eq "$caught" ]
