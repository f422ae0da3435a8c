# How each file system is made, and what the integration suite must find missing there: it skips the
# tests that need it (tests/it/place.rs). A list that is too long or too short is a difference, so
# that a skipped test cannot hide a regression. Sourced by ci/filesystems.sh.
# shellcheck shell=bash disable=SC2034,SC2154

all_places=(ext4 xfs btrfs tmpfs overlayfs bindfs sshfs ntfs-3g exfat-fuse)

# Without FUSE_POSIX_ACL the kernel applies the umask itself; the older interface of libfuse has
# neither rename flags nor O_TMPFILE nor a way to replace an open file without hiding it first.
no_acls='ACLs, default ACLs instead of the umask, exchange'
hides='replacing of open files in one step, reservation'
declare -A lacking=(
    [ext4]='' [xfs]='' [btrfs]='' [tmpfs]='' [overlayfs]=''
    [bindfs]="default ACLs instead of the umask, exact times, exchange, fresh link counts, \
held numbers, $hides, unnamed files"
    # Its protocol (sftp 3) has no counts of links and few kinds of errors; all files are made by the
    # user who is logged in; times are whole seconds.
    [sshfs]="ACLs, FIFOs, default ACLs instead of the umask, exact times, exchange, fresh link counts, \
link counts, link numbers, names of 255 bytes, owners of new files, $hides, system xattrs, unnamed files, \
user xattrs"
    # As it is mounted without options: everybody may do everything.
    [ntfs-3g]="$no_acls, modes, names of 255 bytes, owners, owners of new files, $hides, \
system xattrs, this file system does not take every name, unnamed files"
    [exfat-fuse]="ACLs, FIFOs, default ACLs instead of the umask, exact times, exchange, fresh link counts, \
hard links, link counts, link numbers, modes, owners, owners of new files, rename without replacing, $hides, \
symlinks, system xattrs, this file system does not take every name, unnamed files, user xattrs"
)

# image NAME SIZE: a sparse file on a loop device, whose name is then in $device.
image() {
    truncate -s "$2" "$work/$1.image"
    device=$(losetup --find --show "$work/$1.image")
    loops+=("$device")
}

# make_place NAME: mounts it on $root, which is then an empty folder of everybody's to enter.
make_place() {
    root=$work/$1
    mkdir -p "$root"
    case $1 in
    ext4 | xfs) image "$1" 1g && "mkfs.$1" -q "$device" ;;
    # On a small one the room for metadata can end while much of it is pinned (ENOSPC at a sync).
    btrfs) image "$1" 4g && mkfs.btrfs -q "$device" >/dev/null 2>&1 ;;
    ntfs-3g) image "$1" 1g && mkfs.ntfs -q -F "$device" >/dev/null 2>&1 ;;
    exfat-fuse) image "$1" 1g && mkfs.exfat "$device" >/dev/null ;;
    tmpfs) ;;
    overlayfs) base overlayfs && mkdir "$base"/{lower,upper,work} ;;
    bindfs | sshfs) base "$1" ;;
    esac && mount_place "$1" && chmod 755 "$root"
}

# mount_place NAME: mounts what was made.
mount_place() {
    case $1 in
    ext4 | xfs | btrfs) mount "$device" "$root" ;;
    tmpfs) mount -t tmpfs -o size=1g tmpfs "$root" ;;
    overlayfs)
        mount -t overlay -o "lowerdir=$base/lower,upperdir=$base/upper,workdir=$base/work" \
            overlay "$root" ;;
    bindfs) bindfs "$base" "$root" ;;
    sshfs)
        # The server of sftp on a pipe: what sshfs does with a network in between. The server has
        # no umask, since the kernel applies the writer's, and links may lead anywhere.
        rm -f "$work/to-server" "$work/to-client"
        mkfifo "$work/to-server" "$work/to-client" || return
        # Each opens the pipe to the server first: in another order both would wait.
        /usr/lib/openssh/sftp-server -u 0000 <"$work/to-server" >"$work/to-client" 2>/dev/null &
        sshfs -f -o passive,allow_other,default_permissions,no_contain_symlinks ":$base" "$root" \
            >"$work/to-server" <"$work/to-client" 2>/dev/null &
        # As long as it lives, it may yet.
        for _ in $(seq 1200); do
            mountpoint -q "$root" || ! kill -0 $! 2>/dev/null && break || sleep 0.05
        done ;;
    ntfs-3g) ntfs-3g "$device" "$root" ;;
    exfat-fuse) mount.exfat-fuse "$device" "$root" >/dev/null 2>&1 ;;
    esac || return
    mountpoint -q "$root" || { echo "$root is no mount point" >&2; return 1; }
}

# base NAME: a folder on ext4 for a file system that keeps its files in another; it is then in $base.
base() {
    image "base-$1" 2g && mkfs.ext4 -q "$device" && base=$work/base-$1 && mkdir "$base" &&
        mount "$device" "$base" && base=$base/files && mkdir -m 755 "$base"
}

remove_place() {
    umount -l "$work/$1"
    if [ -d "$work/base-$1" ]; then
        umount -l "$work/base-$1" && rmdir "$work/base-$1"
    fi
    # The FUSE driver of an image writes to it until it ends.
    for _ in $(seq 100); do
        [ -z "$device" ] || losetup -d "$device" 2>/dev/null && break || sleep 0.05
    done
    rm -f "$work/$1.image" "$work/base-$1.image" "$work/to-server" "$work/to-client"
}

suites() {
    local place
    for place in "$@"; do
        [ -n "${lacking[$place]+known}" ] || die "unknown place: $place"
        device='' root=''
        if ! make_place "$place" 2>"$work/why"; then
            skip "$place" 'integration suite' "cannot be mounted: $(tail -n 1 "$work/why")"
            continue
        fi
        suite "$place"
        remove_place "$place"
    done
}

# passes_alone TEST: runs one test by itself.
passes_alone() {
    WHOLEFILE_TEST_DIR=$root/suite RUST_BACKTRACE=0 timeout 300 "$work/suite" --exact "$1" \
        --nocapture 2>&1 | grep -c '^test result: ok. 1 passed' >/dev/null
}

# suite PLACE: the whole suite, in a folder on it.
suite() {
    local out=$work/suite-$1.out err=$work/suite-$1.err seen="all pass" failed=() is_steady=yes test missing
    mkdir -m 755 "$root/suite"
    WHOLEFILE_TEST_DIR=$root/suite RUST_BACKTRACE=0 timeout 600 \
        "$work/suite" --test-threads=8 --nocapture >"$out" 2>"$err" || true
    if ! grep -q "^test result: ok. $suite_tests passed; 0 failed" "$out"; then
        cp "$out" "$err" "${TMPDIR:-/tmp}"
        # Also those that had not ended when the time was over.
        mapfile -t failed < <(comm -23 "$work/suite-tests" \
            <(sed -n 's/^test \(.*\) \.\.\. ok$/\1/p' "$out" | sort))
        seen="NOT PASSED: ${failed[*]}"
    fi
    # A process that one test starts has the locks of all others for a moment, which on a slow file
    # system is long enough to be met. More than two are no accident.
    if [ ${#failed[@]} = 1 ] || [ ${#failed[@]} = 2 ]; then
        for test in "${failed[@]}"; do passes_alone "$test" || is_steady=no; done
        if [ $is_steady = yes ]; then
            seen="all pass"
            say "AGAIN on $1, each by itself, and passed: ${failed[*]}"
        fi
    fi
    # That this kernel has no SELinux is not the file system's doing.
    missing=$(grep -o 'SKIPPED .*' "$err" | sed 's/^SKIPPED [^ ]*: //; s/^the file system has no //' |
        grep -v '^no SELinux here$' | sort -u | paste -sd, | sed 's/,/, /g') || true
    row "$1" 'integration suite' "all pass${lacking[$1]:+; lacks ${lacking[$1]}}" \
        "$seen${missing:+; lacks $missing}"
}
