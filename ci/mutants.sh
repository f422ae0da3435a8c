#!/usr/bin/env bash
# Changes the library in one place after the other, and fails when no test notices a change that
# ci/mutants-not.txt does not explain (Linux, as root, since much of the suite is root's).
#
#   bash ci/mutants.sh                every change, which takes some hours on two cores
#   bash ci/mutants.sh --every 40     every 40th, beginning with the first
#   bash ci/mutants.sh --only NAME    those whose name contains this
#   bash ci/mutants.sh --again        what nobody has looked for yet, and what has survived
#   bash ci/mutants.sh alone          those that need a build of their own, which is a minute for each
#   bash ci/mutants.sh report         what was found so far, also while it is looked for
#
# cargo-mutants says what is changed (ci/mutants.toml says where), proof/mutants builds all changes at
# once and has the tests look for each; what cannot be built so, cargo-mutants tries by itself.
# Installs cargo-mutants into target/tools if there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/target/tools/bin:$PATH"
work=$PWD/target/mutants
# The package is built in folders of its own.
unset CARGO_TARGET_DIR

# The changed library runs as root and may remove or replace whatever there is, /dev/null for one: all
# but the work folder is read-only for it, or its own.
confined() {
    unshare --mount --propagation private bash -euc '
        work=$1
        shift
        mount --bind "$work" "$work"
        mount -t tmpfs tmpfs /tmp
        mount -t tmpfs tmpfs /dev/shm
        findmnt --raw --noheadings --output TARGET | sort -u | while read -r mounted; do
            case $mounted in
            "$work" | /tmp | /dev/shm | /dev/pts | /proc | /proc/*) ;;
            *) mount -o remount,bind,ro "$mounted" ;;
            esac
        done
        cd "$PWD"
        exec "$@"' confined "$work" "$@"
}

# Those that can only be built where the unchanged code is not, one build for each.
alone() {
    local names pattern files status=0 host
    names=$("$work/mutants" alone)
    [ -n "$names" ] || return 0
    pattern=$(sed 's/[][\.*+?(){}|^$]/\\&/g' <<<"$names" | paste -sd '|')
    # It lets fields of structs pass whatever pattern it is given, and so gets the files as well.
    mapfile -t files < <(sed 's/:.*//; s/^/--file=/' <<<"$names" | sort -u)
    # One test that notices a change is enough. The harness hides that option from stable toolchains.
    host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    confined env "CARGO_TARGET_${host}_RUNNER=env RUSTC_BOOTSTRAP=1" \
        CARGO_PROFILE_DEV_DEBUG=none CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_NET_OFFLINE=true \
        cargo mutants --config ci/mutants.toml --output "$work" --colors never --jobs 2 \
        --timeout-multiplier 2 --re "^($pattern)\$" "${files[@]}" \
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

run() {
    [ "$(id -u)" = 0 ] || { echo "mutants: FAIL this is not root" >&2; exit 1; }
    command -v cargo-mutants >/dev/null ||
        cargo install cargo-mutants --locked --quiet --root target/tools
    mkdir -p "$work"
    cargo build --quiet --locked --release --manifest-path proof/mutants/Cargo.toml
    cp proof/mutants/target/release/mutants "$work/mutants"
    "$work/mutants" build
    confined "$work/mutants" look "$@"
}

case ${1:-} in
report) ;;
alone) alone ;;
'')
    rm -f "$work/found.jsonl"
    run
    alone
    ;;
*) run "$@" ;;
esac
"$work/mutants" report
