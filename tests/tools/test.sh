#!/usr/bin/env bash
# Runs every check, also after one has failed, and counts. `test.sh check` leaves the tests out.
set -uo pipefail
cd "$(dirname "$0")/../.."

passed=0 failed=0 broken=()
record=$(mktemp)
trap 'rm -f "$record"' EXIT

check() { # SENTENCE COMMAND…: one check, passed or failed
    local sentence=$1
    shift
    echo "== $sentence"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1)) broken+=("$sentence")
    fi
}

count() { # SENTENCE COMMAND…: counts what the command itself reports
    local sentence=$1 status good bad
    shift
    echo "== $sentence"
    "$@" 2>&1 | tee "$record"
    status=$?
    # cargo: "test result: ok. 3 passed; 0 failed; …"; node: "# pass 3"; the browser: "browser: 3 passed, 0 failed"
    good=$(sed -nE 's/^(test result: .* |browser: )([0-9]+) passed[;,].*/\2/p; s/^# pass ([0-9]+)$/\1/p' "$record" | paste -sd+ | total)
    bad=$(sed -nE 's/^(test result: |browser: ).*[^0-9]([0-9]+) failed.*/\2/p; s/^# fail ([0-9]+)$/\1/p' "$record" | paste -sd+ | total)
    # A command that fails without a failed test did not build, or died; one that ran nothing proves nothing.
    [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ "$good" -gt 0 ] || [ "$bad" -gt 0 ] || bad=1
    passed=$((passed + good)) failed=$((failed + bad))
    [ "$bad" -eq 0 ] || broken+=("$sentence")
}

total() { # of a line such as 3+4
    local sum
    read -r sum || true
    echo $((${sum:-0}))
}

check "formatting" cargo fmt --all --check
check "lints" cargo clippy --quiet --workspace --all-targets -- -D warnings
check "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps --document-private-items
if [ "${1:-}" != check ]; then
    # With CI nothing is left out because something is not installed.
    # Scenarios wait for programs more than they compute.
    count "tests" env CI=true RUST_TEST_THREADS=$(($(nproc) * 3 / 2)) cargo test --workspace --no-fail-fast
    count "the certified provider alone" node --test --test-reporter=tap tests/oidc-provider/flow.test.mjs
    count "a browser through the demo" tests/tools/browser.sh
    # The other kits need more runtimes: `make kits`.
    check "verification kits of Python and Node" env PORT="$((${PORT:-8080} + 10))" tests/tools/kits.sh python node
fi

for sentence in "${broken[@]}"; do echo "failed: $sentence"; done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
