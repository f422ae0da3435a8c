#!/usr/bin/env bash
# Says what this machine lacks of all that the other scripts need and no package brings, each in one
# sentence, and then fails. As root.
set -uo pipefail
cd "$(dirname "$0")/.."
missing=0

# need SENTENCE COMMAND…: without the command's success, the sentence is true.
need() {
    local sentence=$1
    shift
    "$@" >/dev/null 2>&1 && return
    echo "preflight: $sentence" >&2
    missing=$((missing + 1))
}

need 'this is not root, who makes file systems and other users' test "$(id -u)" = 0
need 'nothing can be mounted, not even in a mount namespace of its own' \
    unshare --mount mount -t tmpfs preflight /mnt
need 'there is no loop device to be had (losetup -f)' test -b "$(losetup -f 2>&1)"
need '/dev/fuse cannot be opened' bash -c 'exec 3<>/dev/fuse'
need "user 65534 cannot reach $PWD, where some tests run as that user" \
    setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$PWD"
need 'no program can be traced (ptrace)' strace -o /dev/null true
# Of those numbers there are the same on every architecture: pidfd_open, pidfd_getfd.
need 'a process cannot copy its own descriptors (pidfd_getfd)' \
    perl -e 'exit(syscall(438, syscall(434, $$ + 0, 0), 0, 0) < 0)'
[ $missing = 0 ] || exit 1
