#!/usr/bin/env bash
# Checks that the library builds with the oldest versions of its dependencies that Cargo.toml admits.
#
# Without its dev-dependencies, whose own needs would raise them.
set -euo pipefail
cd "$(dirname "$0")/.."
copy=$PWD/target/minimal-versions
rm -rf "$copy"
mkdir -p "$copy"
cp -r src README.md "$copy"
awk '/^\[/ { is_left_out = /dev-dependencies/ || /^\[\[/ } !is_left_out' Cargo.toml >"$copy/Cargo.toml"
cd "$copy"
# How cargo resolves them is not stable yet; what it then builds with is.
RUSTC_BOOTSTRAP=1 cargo update --quiet -Z direct-minimal-versions
cargo tree --depth 1 --target all --edges normal
CARGO_TARGET_DIR=$copy/build cargo check --quiet --locked
echo "minimal-versions: PASS"
