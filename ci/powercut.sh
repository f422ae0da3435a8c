#!/usr/bin/env bash
# Cuts the power while files are saved, on ext4, xfs and btrfs (as root, on Debian 12).
#
#   bash ci/powercut.sh                          the short form: the self-test, a little of every point of every kind of save
#   bash ci/powercut.sh --all                    everything
#   bash ci/powercut.sh --fs ext4 --states 10000 and whatever else proof/powercut understands
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "powercut: FAIL needs root, to mount" >&2; exit 1; }
bash ci/packages.sh btrfs-progs e2fsprogs mount util-linux xfsprogs
[ $# -gt 0 ] || set -- --short
keep=$PWD/target/powercut-violations
cd proof/powercut
cargo build --quiet --locked --release
target=${CARGO_TARGET_DIR:-target}
exec "$target/release/powercut" --keep "$keep" "$@"
