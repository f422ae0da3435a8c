#!/usr/bin/env bash
# Kills a save at each of its system calls and fails each of them (Linux on x86-64).
#
#   bash ci/every-call.sh                   the short form: every call of a save of files, some of its
#                                           errors; fewer of trees and journals
#   bash ci/every-call.sh --long            every call, every error
#   bash ci/every-call.sh --long --dir DIR  on another file system than /dev/shm
#
# Before either, the self-test: writers that are broken on purpose must be caught.
set -euo pipefail
cd "$(dirname "$0")/../proof/syscalls"
cargo build --quiet --locked --release
target=${CARGO_TARGET_DIR:-target}
"$target/release/syscalls" --self-test
exec "$target/release/syscalls" "$@"
