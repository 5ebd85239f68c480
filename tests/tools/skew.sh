#!/usr/bin/env bash
# An older binary of this repository beside the present one, and what the last line says of them. OLD=<rev> chooses which.
#
# The older one is built in a worktree of its own below the target folder, once for each commit. Nothing is fetched but
# what Cargo.lock of that commit names.
set -uo pipefail
cd "$(dirname "$0")/../.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
place=$target/skew
tree=$place/tree
record=$(mktemp)

leave() {
    rm -f "$record"
    [ ! -e "$tree" ] || git worktree remove --force "$tree"
}
trap leave EXIT

fail() { echo "skew: $1"; exit 1; }

# The first commit of what replicas share: cookies, files and the stream have been kept since.
first() {
    git log --reverse --diff-filter=A --format=%H -- src/replication.rs | head -n 1
}

old=$(git rev-parse --verify --quiet "${OLD:-$(first)}^{commit}") || fail "there is no commit ${OLD:-with src/replication.rs}"
name=$(git rev-parse --short "$old")
binary=$place/portvakt-$old

build_old() {
    mkdir -p "$place"
    git worktree prune
    [ ! -e "$tree" ] || git worktree remove --force "$tree" || return
    git worktree add --quiet --detach "$tree" "$old" || return
    # What both are built from is there already, as far as its version is the same.
    if [ ! -e "$place/build" ]; then
        mkdir -p "$place/build/debug/deps"
        find "$target/debug/deps" -maxdepth 1 ! -name '*portvakt*' \
            \( -name 'lib*.rlib' -o -name 'lib*.rmeta' -o -name 'lib*.so' -o -name '*.d' \) \
            -exec cp -al -t "$place/build/debug/deps" {} +
        cp -a "$target/debug/build" "$target/debug/.fingerprint" "$place/build/debug/"
        find "$place/build/debug" -mindepth 2 -maxdepth 2 -name '*portvakt*' -exec rm -rf {} +
    fi
    (cd "$tree" && CARGO_TARGET_DIR=$place/build cargo build --quiet --locked --package portvakt --bin portvakt) || return
    mv "$place/build/debug/portvakt" "$binary"
}

cargo build --quiet --workspace --bins || exit 1
cargo test --quiet --test scenarios --no-run || exit 1
if [ ! -x "$binary" ]; then
    echo "skew: building $name, $(git log -1 --format='%s' "$old")"
    build_old || fail "$name cannot be built"
fi

PORTVAKT_OLD=$binary timeout --kill-after=10 8m \
    cargo test --quiet --test scenarios skew:: -- --ignored --nocapture 2>&1 | tee "$record"
status=$?
figures=$(awk -v name="$name" '
    match($0, /skew: [0-9]+ checks, [0-9]+ failed of [0-9]+ requests, [0-9]+ revived, [0-9]+ wrong identities$/) {
        split(substr($0, RSTART), word, " ")
        checks += word[2]; failed += word[4]; requests += word[7]; revived += word[9]; wrong += word[11]
    }
    /skew: the older one has no / { sub(/.*has no /, ""); without = "; it has no " $0 }
    END {
        if (checks && requests)
            printf "old %s beside new: %d checks, %d failed of %d requests, %d revived, %d wrong identities%s\n",
                name, checks, failed, requests, revived, wrong, without
    }' "$record")
if [ "$status" -ne 0 ] || [ -z "$figures" ]; then
    fail "FAILED${figures:+; $figures}"
fi
echo "$figures"
