#!/usr/bin/env bash
# Runs under Miri what can run there: everything that asks the system for nothing but threads and time.
#
#   bash ci/miri.sh [seeds]   with so many schedules of the threads (default: 8)
#
# Miri knows neither openat(2) nor renameat2(2), so that no save runs under it. What is left are the
# threads of a saver and of a batch, the text of the journal, names, lists, ACLs and decisions.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${1:-8}
cargo +nightly miri --version >/dev/null 2>&1 ||
    rustup component add --toolchain nightly miri rust-src ||
    { echo "miri: FAIL there is no nightly toolchain with miri" >&2; exit 1; }
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/miri
MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-many-seeds=0..$seeds" \
    cargo +nightly miri test --lib -- --skip fault_loops --skip stage::tests \
        --skip no_byte_can_change_unseen
echo "miri: PASS"
