#!/usr/bin/env bash
# Runs the library on the file systems that users have, and in the places that break libraries.
#
#   bash ci/filesystems.sh                 everything (as root, on Debian 12; less than 5 minutes)
#   bash ci/filesystems.sh setup           only the packages
#   bash ci/filesystems.sh suite [place…]  only the integration suite, on the given file systems
#   bash ci/filesystems.sh cases [name…]   only the places that break libraries
#
# It mounts loop images, overlays and FUSE drivers in a mount namespace of its own, below one folder
# that is removed at the end. It prints a table, place × case → expected, seen, and fails on any
# difference. Where something cannot be tried it says SKIPPED; with CI=true that is a failure.
#
#   ci/filesystems/places.sh   how each file system is made, and what the suite must miss there
#   ci/filesystems/cases.sh    the places that break libraries, each with the outcome to expect
#   ci/filesystems/every_place.sh   the outcome to expect on each file system
#   tests/places.rs            the program that makes one save and tells its outcome in one line
export LC_ALL=C
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD/ci/filesystems

say() { printf 'filesystems: %s\n' "$*"; }
die() { printf 'filesystems: FAIL %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "needs root, to mount"
if [ "${FILESYSTEMS_NAMESPACE:-}" != own ]; then
    bash ci/packages.sh acl attr bindfs btrfs-progs e2fsprogs exfat-fuse exfatprogs fuse3 jq \
        ntfs-3g openssh-sftp-server quota squashfs-tools sshfs xfsprogs
    [ "${1:-}" != setup ] || exit 0
    say "building"
    # The path of a test program, built.
    binary() {
        cargo test --quiet --no-run --test "$1" --message-format=json |
            jq -r "select(.executable and .target.name == \"$1\") | .executable"
    }
    suite_binary=$(binary it)
    places_binary=$(binary places)
    [ -x "$suite_binary" ] && [ -x "$places_binary" ] || die "the test programs were not built"
    export suite_binary places_binary FILESYSTEMS_NAMESPACE=own
    exec unshare --mount --propagation private bash "$0" "$@"
fi

work=$(mktemp -d)
loops=()
clean_up() {
    cd /
    # The innermost mounts first.
    awk -v root="$work" 'index($2, root) == 1 { print $2 }' /proc/self/mounts | tac |
        while read -r mount; do umount -l "$mount" 2>/dev/null || true; done
    for loop in "${loops[@]}"; do losetup -d "$loop" 2>/dev/null || true; done
    # A FUSE driver that is just ending may hold the folder for a moment.
    for _ in $(seq 100); do
        rm -rf --one-file-system "$work" 2>/dev/null && break || sleep 0.05
    done
}
trap clean_up EXIT
trap 'exit 1' INT TERM
# Images are sparse, and in memory: what a sync costs on this machine's disk is not the question.
mount -t tmpfs -o size=6g,mode=755 work "$work"
chmod 755 "$work"
# Every user must be able to run them.
install -m 755 "$suite_binary" "$work/suite"
install -m 755 "$places_binary" "$work/save"
"$work/suite" --list 2>/dev/null | sed -n 's/: test$//p' | sort >"$work/suite-tests"
suite_tests=$(wc -l <"$work/suite-tests")

rows=0
differences=0
skipped=0

# row PLACE CASE EXPECTED SEEN
row() {
    local verdict='' seen=$4
    rows=$((rows + 1))
    if [ "$3" != "$4" ]; then
        differences=$((differences + 1)) verdict=' <-- DIFFERS'
    else
        seen='as expected'
    fi
    printf '%-22s | %-38s | %s | %s%s\n' "$1" "$2" "$3" "$seen" "$verdict"
}

# skip PLACE CASE REASON
skip() {
    skipped=$((skipped + 1))
    printf '%-22s | %-38s | SKIPPED: %s\n' "$1" "$2" "$3"
}

# shellcheck source=ci/filesystems/places.sh
. "$here/places.sh"
# shellcheck source=ci/filesystems/cases.sh
. "$here/cases.sh"
# shellcheck source=ci/filesystems/every_place.sh
. "$here/every_place.sh"

what=${1:-all}
[ $# -gt 0 ] && shift
printf '%-22s | %-38s | %s | %s\n' place case expected seen
case $what in
all) suites "${all_places[@]}"; cases "${all_cases[@]}" ;;
suite) suites "${@:-${all_places[@]}}" ;;
cases) cases "${@:-${all_cases[@]}}" ;;
*) die "unknown: $what" ;;
esac
say "$rows rows, $differences differences, $skipped skipped, $SECONDS s"
[ "$differences" = 0 ] || die "$differences rows are not as expected"
[ "$skipped" = 0 ] || [ "${CI:-}" != true ] || die "$skipped rows were skipped"
[ "$rows" -gt 0 ] || die "nothing was tried"
say "PASS"
