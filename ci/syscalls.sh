#!/usr/bin/env bash
# Counts the system calls of each kind of save with strace, and fails when a call too many is made.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v strace >/dev/null || { echo "syscalls: FAIL strace is not installed" >&2; exit 1; }
CI=true exec cargo test --locked --release --test budget
