#!/usr/bin/env bash
# Counts the system calls, flush requests and allocations of the benchmark's cases, and fails when
# one is more than benches/limits.json allows. As root, since flushes are counted on loop devices.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v strace >/dev/null || { echo "counts: FAIL strace is not installed" >&2; exit 1; }
exec cargo run --quiet --locked --release --manifest-path benches/Cargo.toml -- counts
