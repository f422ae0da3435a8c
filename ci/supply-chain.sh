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

# A package, then options of `cargo deny`, a dash, and what to check.
check() {
    local package=$1 options=()
    shift
    while [ "$1" != - ]; do options+=("$1"); shift; done
    shift
    echo "supply-chain: $package ${options[*]}: $*"
    cargo deny --locked --manifest-path "$package/Cargo.toml" ${options[@]+"${options[@]}"} check "$@"
}

beside=(fuzz benches proof/powercut proof/syscalls)
# What comes with the library, in each version once.
check . --exclude-dev - licenses bans sources
# What tests, benchmarks and proofs use may be there twice.
check . - --allow duplicate licenses bans sources
for package in "${beside[@]}"; do
    check "$package" - --allow duplicate licenses bans sources
done

advisories="no advisories"
if timeout 120 cargo deny --locked fetch db; then
    for package in . "${beside[@]}"; do check "$package" - advisories; done
else
    advisories="ADVISORIES NOT CHECKED"
    echo "supply-chain: WARNING the database of RustSec cannot be fetched: $advisories" >&2
fi
echo "supply-chain: PASS licences, sources, duplicates of $((1 + ${#beside[@]})) packages; $advisories"
