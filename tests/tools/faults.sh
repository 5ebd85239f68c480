#!/usr/bin/env bash
# Plants one fault after the other and runs the suites: each must turn red, or it proves nothing.
set -uo pipefail
cd "$(dirname "$0")/../.."

suites=("-p portvakt-core --lib" "-p portvakt --test scenarios")
faults=(revocation unwritten level nonce associated_data)
planted=0 caught=0
record=$(mktemp)
trap 'rm -f "$record"' EXIT
for fault in "${faults[@]}"; do
    for suite in "${suites[@]}"; do
        read -ra arguments <<<"$suite"
        planted=$((planted + 1))
        export PORTVAKT_PLANTED_FAULT=$fault
        if ! cargo build --quiet --workspace --bins || ! cargo test --quiet --no-run "${arguments[@]}"; then
            echo "faults: $fault does not build"
        elif cargo test --quiet "${arguments[@]}" >"$record" 2>&1; then
            echo "faults: $fault is NOT noticed by: $suite"
        elif ! grep -q '^test result: FAILED' "$record"; then
            echo "faults: with $fault this did not come to an end: $suite"
        else
            red=$(sed -nE 's/^test result: FAILED\. .* ([0-9]+) failed;.*/\1/p' "$record" | tail -n 1)
            echo "faults: $fault is noticed by $red tests of: $suite"
            caught=$((caught + 1))
        fi
    done
done
unset PORTVAKT_PLANTED_FAULT
echo "$planted faults planted, $caught caught"
[ "$planted" -eq "$caught" ]
