#!/usr/bin/env bash
# Changes the library in one place after the other, and lists the changes that no test notices (Linux,
# as root, since much of the suite is root's).
#
#   bash ci/mutants.sh         every change, which takes a day or two on two cores
#   bash ci/mutants.sh 0/40    every 40th, from all files, beginning with the first
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
command -v cargo-mutants >/dev/null || cargo install cargo-mutants --locked --quiet --root target/tools
mkdir -p target/mutants
status=0
cargo mutants --config ci/mutants.toml --output target/mutants --colors never \
    --sharding round-robin --shard "${1:-0/1}" \
    -- --locked --lib --test it --test budget --test examples || status=$?
# 2: some survived; 3: some went on for ever, which is noticed.
case $status in 0 | 2 | 3) ;; *) echo "mutants: FAIL cargo-mutants ended with $status" >&2; exit 1 ;; esac

lines() { cat "$@" 2>/dev/null | wc -l; }
cd target/mutants/mutants.out
survived=$(lines missed.txt)
noticed=$(lines caught.txt timeout.txt)
echo "mutants: $((survived + noticed)) changes that compile, $noticed noticed, $survived survived:"
cat missed.txt
