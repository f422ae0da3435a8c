#!/usr/bin/env bash
# Checks with cargo-semver-checks that the version of the package says what has changed in its public
# interface, since the last release or since a revision.
#
#   bash ci/semver.sh [revision]   (default: the last tag v*)
#
# Before the first release there is nothing to keep, and it says so. Installs cargo-semver-checks into
# target/tools if there is none, which takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/target/tools/bin:$PATH"
revision=${1:-$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || true)}

if [ -z "$revision" ]; then
    fail() { echo "semver: FAIL $*" >&2; exit 1; }
    # A release without its tag here is no reason to check nothing.
    [ "$(git rev-parse --is-shallow-repository)" = false ] \
        || fail "a shallow clone has no tags: git fetch --unshallow --tags"
    released=$(grep -E '^## [0-9]' CHANGELOG.md | grep -v '(unreleased)' || true)
    [ -z "$released" ] || fail "there is no tag, but CHANGELOG.md has a release: $released"
    echo "semver: NOT CHECKED: nothing has been released, there is no tag v*" >&2
    exit 0
fi
command -v cargo-semver-checks >/dev/null ||
    cargo install cargo-semver-checks --locked --quiet --debug --root target/tools
echo "semver: compared with $revision"
cargo semver-checks --baseline-rev "$revision"
echo "semver: PASS"
