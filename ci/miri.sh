#!/usr/bin/env bash
# Runs under Miri what can run there: everything that asks the system for nothing but threads and time.
#
#   bash ci/miri.sh [seeds] [target...]
#
# With so many schedules of the threads (default: 8), and then, with one, as if for each of the
# targets, such as s390x-unknown-linux-gnu, where numbers are big-endian. Needs rustup, which fetches
# a nightly toolchain if there is none.
#
# Miri knows neither openat(2) nor renameat2(2), so that no save runs under it. What is left are the
# threads of a saver and of a batch, the text of the journal, names, lists, ACLs and decisions.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${1:-8}
cargo +nightly miri --version >/dev/null 2>&1 ||
    rustup toolchain install nightly --profile minimal --component miri --component rust-src ||
    { echo "miri: FAIL there is no nightly toolchain with miri" >&2; exit 1; }

# Without what only the other tests need: it would take longer to build than all of this to run.
output=${CARGO_TARGET_DIR:-$PWD/target}/miri
copy=$output/package
rm -rf "$copy"
mkdir -p "$copy"
cp -r src README.md Cargo.lock "$copy"
{
    awk '/^\[/ { is_left_out = /dev-dependencies/ || /^\[\[/ } !is_left_out' Cargo.toml
    printf '[dev-dependencies]\n'
    grep -m 1 '^fs-err' Cargo.toml
    grep -m 1 '^rustix = .*"mount"' Cargo.toml
} >"$copy/Cargo.toml"
cd "$copy"
export CARGO_TARGET_DIR=$output

# The fault loops save, so they are left out whole.
run() { # name, flags of Miri, arguments of cargo
    local flags=$2
    echo "miri: $1"
    MIRIFLAGS="-Zmiri-disable-isolation $flags" \
        cargo +nightly miri test --quiet --lib "${@:3}" -- --skip fault_loops
}
run "this machine, $seeds schedules" "-Zmiri-many-seeds=0..$seeds"
for target in "${@:2}"; do run "$target" "" --target "$target"; done
echo "miri: PASS"
