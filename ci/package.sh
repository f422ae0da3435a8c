#!/usr/bin/env bash
# Builds the package from what would be published, and looks at its list of files.
set -euo pipefail
cd "$(dirname "$0")/.."
list=$(cargo package --locked --list --allow-dirty)
for file in Cargo.toml README.md CHANGELOG.md ARCHITECTURE.md DEPENDENCIES.md PLATFORM.md PROOF.md \
    LICENSE-MIT LICENSE-APACHE src/lib.rs examples/save_config.rs; do
    grep -qx "$file" <<<"$list" || { echo "package: FAIL $file is missing"; exit 1; }
done
if unwanted=$(grep -E '^(tests|fuzz|ci|benches|proof|target|\.ci)/' <<<"$list"); then
    printf 'package: FAIL these do not belong in it:\n%s\n' "$unwanted"
    exit 1
fi
cargo package --locked --allow-dirty --quiet
echo "package: PASS $(wc -l <<<"$list") files"
