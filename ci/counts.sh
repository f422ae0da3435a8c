#!/usr/bin/env bash
# Counts the system calls, flush requests and allocations of the benchmark's cases, and fails when
# one is more than benches/limits.json allows. As root, since flushes are counted on loop devices.
#
#   bash ci/counts.sh            compare
#   bash ci/counts.sh --accept   make what is counted the limits
set -euo pipefail
cd "$(dirname "$0")/.."
command -v strace >/dev/null || { echo "counts: FAIL strace is not installed" >&2; exit 1; }
# Without the peers, and built as ci/every-call.sh builds, so that most of it is there already.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-proof/syscalls/target} CARGO_PROFILE_RELEASE_DEBUG=false
exec cargo run --quiet --locked --release --no-default-features --manifest-path benches/Cargo.toml \
    -- counts "$@"
