#!/usr/bin/env bash
# Checks with cargo-deny what the library and the packages beside it are built with (deny.toml): licences,
# sources, duplicates; and the advisories of RustSec, if its database can be fetched. Installs cargo-deny into
# target/tools if there is none, which takes some minutes.
#
# The database is on a network that others run. Without it the script says so, twice, and does not fail.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/target/tools/bin:$PATH"
# It runs for a second: a build without optimizations is soonest done.
command -v cargo-deny >/dev/null || cargo install cargo-deny --locked --quiet --debug --root target/tools

# A package, and what to check.
check() {
    echo "supply-chain: $1: ${*:2}"
    cargo deny --locked --manifest-path "$1/Cargo.toml" check "${@:2}"
}

beside=(fuzz benches proof/mutants proof/powercut proof/syscalls)
check . licenses bans sources
# Only what comes with the library must be there once.
for package in "${beside[@]}"; do check "$package" --allow duplicate licenses bans sources; done

advisories="no advisories"
if timeout 120 cargo deny --locked fetch db; then
    for package in . "${beside[@]}"; do check "$package" advisories; done
else
    advisories="ADVISORIES NOT CHECKED"
    echo "supply-chain: WARNING the database of RustSec cannot be fetched: $advisories" >&2
fi
echo "supply-chain: PASS licences, sources, duplicates of $((1 + ${#beside[@]})) packages; $advisories"
