#!/usr/bin/env bash
# Lists the lines of src/ that no test executes, and fails when one is not in ci/coverage-not.txt,
# which says why. On Linux, as root, since much of the suite is root's.
#
#   bash ci/coverage.sh          builds with counters, runs the tests, reports
#   bash ci/coverage.sh report   reports on the last run again
#
# The counters are the compiler's and their readers LLVM's: rustup's llvm-tools are all it needs.
#
# Code for other systems is not compiled here, so that it is neither counted nor listed; nor is what
# only tests contain. Left out are the tests whose way depends on chance (torture, races,
# neighbours), those that run elsewhere (places, memory), and the examples of the documentation,
# which show more than they check. A process that is killed leaves no counts.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/coverage CARGO_INCREMENTAL=0
data=$CARGO_TARGET_DIR/data
tests=(--lib --test it --test budget --test examples)
mkdir -p "$data"

rustup component list --installed | grep -q '^llvm-tools' || rustup component add llvm-tools ||
    { echo "coverage: FAIL there are no llvm-tools" >&2; exit 1; }
llvm=$(dirname "$(rustc --print target-libdir)")/bin

build() {
    # A stable compiler counts branches too when it is told to.
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-C instrument-coverage -Z coverage-options=branch"
    export CARGO_PROFILE_DEV_DEBUG=line-tables-only LLVM_PROFILE_FILE=/dev/null
    cargo build --locked --quiet --examples
    cargo test --locked --quiet --no-run "${tests[@]}" --message-format=json |
        jq -r 'select(.executable and .profile.test) | "\(.target.name) \(.executable)"' \
            >"$data/programs"
}

# Each process has a file of its own, where every user can write it: tests become others.
run() {
    local name program
    counts=$(mktemp -d)
    trap 'rm -rf "$counts"' EXIT
    chmod 1777 "$counts"
    while read -r name program; do
        echo "coverage: $name"
        LLVM_PROFILE_FILE="$counts/%p-%m.profraw" "$program" 2>&1 </dev/null |
            grep -E '^test result|passed, |FAILED'
    done <"$data/programs"
    find "$counts" -name '*.profraw' >"$data/files"
    echo "coverage: $(wc -l <"$data/files") processes have counted"
    # Whoever was killed while writing it has left half a file.
    "$llvm/llvm-profdata" merge -sparse --failure-mode=all --input-files="$data/files" \
        -o "$data/counts" 2>"$data/passed-over"
}

# What the given programs executed: lines and branches as LCOV has them, regions as rows of TSV.
export_as() {
    local name=$1
    shift
    "$llvm/llvm-cov" export -format=lcov -instr-profile="$data/counts" "$@" >"$data/$name.lcov"
    "$llvm/llvm-cov" export -instr-profile="$data/counts" "$@" |
        jq -r '.data[0].files[] | .filename as $file | .segments[] |
            select(.[3] and .[4] and (.[5] | not)) | [$file, .[0], .[1], .[2]] | @tsv' \
            >"$data/$name.regions"
}

report() {
    local unit it
    unit=$(sed -n 's/^wholefile //p' "$data/programs")
    it=$(sed -n 's/^it //p' "$data/programs")
    # The integration suite has the library as users have it: what is not in there is for tests.
    export_as users "$it"
    export_as all "$it" --object "$unit"
    awk -v root="$root/" -v known=ci/coverage-not.txt -v untaken="$data/branches" -F '\t' \
        -f ci/coverage.awk "$data/users.lcov" "$data/all.lcov" "$data/all.regions"
}

case ${1:-} in
report) ;;
'')
    [ "$(id -u)" = 0 ] || { echo "coverage: FAIL this is not root" >&2; exit 1; }
    build
    run
    ;;
*)
    echo "coverage: FAIL no such command: $1" >&2
    exit 2
    ;;
esac
report
