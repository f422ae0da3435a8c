#!/usr/bin/env bash
# Lists the lines of src/ that no test executes, and fails when one is not in ci/coverage-not.txt,
# which says why it is not. Linux, as root, since much of the suite is root's.
#
#   bash ci/coverage.sh          builds with counters, runs the tests, reports
#   bash ci/coverage.sh report   reports on what the last run counted
#
# The compiler's own counters and LLVM's own readers of them: rustup's llvm-tools are all it needs.
#
# Code for other systems is not compiled here, so it is neither counted nor listed, and neither is what
# only tests contain. Tests whose way depends on chance (torture, races, neighbours) are left out, and
# so are the examples of the documentation, which show more than they check. A process that is killed
# leaves no counts.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/coverage CARGO_INCREMENTAL=0
counts=$CARGO_TARGET_DIR/counts
tests=(--lib --test it --test budget --test examples)

rustup component list --installed 2>/dev/null | grep -q '^llvm-tools' ||
    rustup component add llvm-tools ||
    { echo "coverage: FAIL there are no llvm-tools" >&2; exit 1; }
llvm=$(dirname "$(rustc --print target-libdir)")/bin

build() {
    # Branches are counted by a stable compiler too, when it is told to.
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-C instrument-coverage -Z coverage-options=branch"
    export CARGO_PROFILE_DEV_DEBUG=line-tables-only LLVM_PROFILE_FILE=/dev/null
    cargo build --locked --quiet --examples
    cargo test --locked --quiet --no-run "${tests[@]}" --message-format=json |
        jq -r 'select(.executable and .profile.test) | "\(.target.name) \(.executable)"' \
            >"$CARGO_TARGET_DIR/programs"
}

# Each process has a file of counts of its own; where the system repeats a number, they are added up.
run_as_root() {
    local name program
    rm -rf "$counts"
    mkdir -p "$counts"
    while read -r name program; do
        echo "coverage: $name"
        LLVM_PROFILE_FILE="$counts/%p-%m.profraw" "$program" 2>&1 </dev/null |
            grep -E '^test result|passed, |FAILED|panicked'
    done <"$CARGO_TARGET_DIR/programs"
}

# As ci/unprivileged.sh does.
run_as_nobody() {
    local folder name program
    folder=$(mktemp -d)
    mkdir "$folder/counts"
    while read -r name program; do
        case $name in wholefile | it) cp "$program" "$folder/$name" ;; esac
    done <"$CARGO_TARGET_DIR/programs"
    chown -R 65534:65534 "$folder"
    chmod 755 "$folder"
    for name in wholefile it; do
        echo "coverage: $name, as a user without rights"
        (cd "$folder" && env -u CI TMPDIR="$folder" LLVM_PROFILE_FILE="$folder/counts/%p-%m.profraw" \
            setpriv --reuid 65534 --regid 65534 --clear-groups \
            "./$name" --nocapture --skip fault_loops:: 2>&1 </dev/null |
            grep -E '^test result|FAILED|panicked')
    done
    for program in "$folder"/counts/*; do
        mv "$program" "$counts/nobody-${program##*/}"
    done
    rm -rf "$folder"
}

# What a program was found to execute: lines and branches as LCOV has them, regions as rows of TSV.
export_from() {
    local name=$1
    shift
    "$llvm/llvm-cov" export -format=lcov -instr-profile="$counts.profdata" "$@" >"$counts.$name.lcov"
    "$llvm/llvm-cov" export -instr-profile="$counts.profdata" "$@" |
        jq -r '.data[0].files[] | .filename as $file | .segments[] |
            select(.[3] and .[4] and (.[5] | not)) | [$file, .[0], .[1], .[2]] | @tsv' \
            >"$counts.$name.regions"
}

report() {
    local unit it
    # What a process that was killed has left of its counts is passed over.
    find "$counts" -name '*.profraw' >"$counts.files"
    "$llvm/llvm-profdata" merge -sparse --failure-mode=all --input-files="$counts.files" \
        -o "$counts.profdata" 2>&1 | grep -c 'invalid instrumentation' |
        xargs -I{} echo "coverage: $(wc -l <"$counts.files") processes, {} of them with no counts" || true
    unit=$(sed -n 's/^wholefile //p' "$CARGO_TARGET_DIR/programs")
    it=$(sed -n 's/^it //p' "$CARGO_TARGET_DIR/programs")
    # The integration suite has the library as it is for users: what is not in there is for tests.
    export_from users "$it"
    export_from all "$it" --object "$unit"
    awk -v root="$root/" -v known=ci/coverage-not.txt -v untaken="$counts.untaken" -F "\t" \
        -f ci/coverage.awk "$counts.users.lcov" "$counts.all.lcov" "$counts.all.regions"
}

case ${1:-} in
report) ;;
'')
    [ "$(id -u)" = 0 ] || { echo "coverage: FAIL this is not root" >&2; exit 1; }
    mkdir -p "$CARGO_TARGET_DIR"
    build
    run_as_root
    run_as_nobody
    ;;
*)
    echo "coverage: FAIL no such command: $1" >&2
    exit 2
    ;;
esac
report
