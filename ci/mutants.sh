#!/usr/bin/env bash
# Changes the library in one place after the other, and fails when no test notices a change that
# ci/mutants-not.txt does not explain (Linux, as root, since much of the suite is root's).
#
#   bash ci/mutants.sh           every change, which takes a day on two cores
#   bash ci/mutants.sh 0/40      every 40th, from all files, beginning with the first
#   bash ci/mutants.sh report    reports on the last run again, also while it goes on
#
# CARGO_MUTANTS_JOBS says how many are tried at once (default: 1), each in a copy of the package.
# ci/mutants.toml says what is left out. Installs cargo-mutants into target/tools if there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/target/tools/bin:$PATH"
# The tests take half as long, and what is built for them hardly longer.
export CARGO_PROFILE_DEV_DEBUG=none CARGO_PROFILE_DEV_OPT_LEVEL=1
# The changed copy of the package is built in a folder of its own.
unset CARGO_TARGET_DIR
# One test that notices a change is enough. The harness hides that option from stable toolchains.
host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
export "CARGO_TARGET_${host}_RUNNER=env RUSTC_BOOTSTRAP=1"

run() {
    local status=0
    command -v cargo-mutants >/dev/null ||
        cargo install cargo-mutants --locked --quiet --root target/tools
    mkdir -p target/mutants
    cargo mutants --config ci/mutants.toml --output target/mutants --colors never \
        --sharding round-robin --shard "$1" \
        -- --locked --lib --test it --test budget --test examples \
        -- -Zunstable-options --fail-fast || status=$?
    # 2: some survived; 3: some went on for ever, which is noticed.
    case $status in
    0 | 2 | 3) ;;
    *)
        echo "mutants: FAIL cargo-mutants ended with $status" >&2
        exit 1
        ;;
    esac
}

lines() { cat "$@" | wc -l; }

report() {
    local known=$PWD/ci/mutants-not.txt survived noticed unexplained
    cd target/mutants/mutants.out
    survived=$(lines missed.txt)
    noticed=$(lines caught.txt timeout.txt)
    # Where in a file it is changes with every edit.
    unexplained=$(sed -E 's/:[0-9]+:[0-9]+: / /' missed.txt | grep -vxFf "$known" || true)
    awk -v n="$noticed" -v all="$((survived + noticed))" -v not="$(lines unviable.txt)" 'BEGIN {
        printf "mutants: %d changes compile, %d noticed (%.1f %%); %d do not compile\n", \
            all, n, 100 * n / (all ? all : 1), not }'
    [ -z "$unexplained" ] || sed 's/^/NEW /' <<<"$unexplained"
    unexplained=$(grep -c . <<<"$unexplained" || true)
    echo "$unexplained of $survived that survived are not in ci/mutants-not.txt"
    [ "$unexplained" = 0 ]
}

case ${1:-0/1} in
report) ;;
*/*) run "${1:-0/1}" ;;
*)
    echo "mutants: FAIL no such command: $1" >&2
    exit 2
    ;;
esac
report
