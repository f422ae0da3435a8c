#!/usr/bin/env bash
# Checks the library with the oldest Rust that it promises to build with (`rust-version`).
#
# Takes that toolchain from rustup if it is installed there, else Debian's packages of it, which are
# unpacked below target/ and not installed.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
export CARGO_TARGET_DIR=target/msrv

if rustup run "$version" rustc -V 2>/dev/null; then
    exec cargo "+$version" check --locked
fi
root=$PWD/target/tools/rust-$version
if [ ! -x "$root/usr/bin/rustc" ]; then
    package=$(apt-cache madison rustc-web | awk -v v="$version" 'index($3, v ".") == 1 { print $3; exit }')
    [ -n "$package" ] || { echo "msrv: FAIL neither rustup nor Debian has Rust $version" >&2; exit 1; }
    mkdir -p "$root/packages"
    (
        cd "$root/packages"
        apt-get download -qq "rustc-web=$package" "libstd-rust-web-dev=$package" \
            "libstd-rust-web-$version=$package" libllvm19 2>/dev/null
        for file in *.deb; do dpkg -x "$file" "$root"; done
    )
fi
libraries=$root/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$libraries:$root/usr/lib/llvm-19/lib RUSTC=$root/usr/bin/rustc
"$RUSTC" -V
cargo check --locked
echo "msrv: PASS the library builds with Rust $version"
