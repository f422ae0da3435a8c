# How each file system is made, and what the integration suite must find missing there: it skips the
# tests that need it (tests/it/place.rs). A list that is too long or too short is a difference, so
# that a skipped test cannot hide a regression. Sourced by ci/filesystems.sh.
# shellcheck shell=bash disable=SC2034,SC2154

all_places=(ext4 xfs btrfs tmpfs overlayfs bindfs sshfs ntfs-3g exfat-fuse)

no_fuse='default ACLs instead of the umask, exchange'
no_fuse_high='replacing of open files in one step, reservation, unnamed files'
declare -A lacking=(
    [ext4]='' [xfs]='' [btrfs]='' [tmpfs]='' [overlayfs]=''
    [bindfs]="$no_fuse, fresh link counts, $no_fuse_high"
    [sshfs]="?"
    [ntfs-3g]="ACLs, $no_fuse, modes, names of 255 bytes, owners, $no_fuse_high"
    [exfat-fuse]="?"
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
    ext4 | xfs)
        image "$1" 1g && "mkfs.$1" -q "$device" && mount "$device" "$root" ;;
    btrfs)
        image "$1" 1g && mkfs.btrfs -q "$device" >/dev/null 2>&1 && mount "$device" "$root" ;;
    tmpfs)
        mount -t tmpfs -o size=1g tmpfs "$root" ;;
    overlayfs)
        base overlayfs && mkdir "$base"/{lower,upper,work} &&
            mount -t overlay -o "lowerdir=$base/lower,upperdir=$base/upper,workdir=$base/work" \
                overlay "$root" ;;
    bindfs)
        base bindfs && bindfs "$base" "$root" ;;
    sshfs)
        # The server of sftp on a pipe: what sshfs does with a network in between.
        base sshfs && mkfifo "$work/to-server" "$work/to-client" || return
        # Each opens the pipe to the server first: in another order both would wait.
        /usr/lib/openssh/sftp-server <"$work/to-server" >"$work/to-client" 2>/dev/null &
        sshfs -f -o passive,allow_other,default_permissions ":$base" "$root" \
            >"$work/to-server" <"$work/to-client" 2>/dev/null &
        for _ in $(seq 100); do mountpoint -q "$root" && break || sleep 0.05; done ;;
    ntfs-3g)
        image "$1" 1g && mkfs.ntfs -q -F "$device" >/dev/null 2>&1 && ntfs-3g "$device" "$root" ;;
    exfat-fuse)
        image "$1" 1g && mkfs.exfat "$device" >/dev/null && mount.exfat-fuse "$device" "$root" \
            >/dev/null 2>&1 ;;
    esac || return
    mountpoint -q "$root" || { echo "$root is no mount point" >&2; return 1; }
    chmod 755 "$root"
}

# base NAME: a folder on ext4 for a file system that keeps its files in another; it is then in $base.
base() {
    image "base-$1" 2g && mkfs.ext4 -q "$device" && base=$work/base-$1 && mkdir "$base" &&
        mount "$device" "$base" && base=$base/files && mkdir -m 755 "$base"
}

remove_place() {
    umount -l "$work/$1"
    [ ! -d "$work/base-$1" ] || umount -l "$work/base-$1"
    [ -n "$device" ] || return 0
    # The FUSE driver of an image writes to it until it ends.
    for _ in $(seq 100); do losetup -d "$device" 2>/dev/null && break || sleep 0.05; done
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

# suite PLACE: the whole suite, in a folder on it.
suite() {
    local out=$work/suite-$1.out err=$work/suite-$1.err seen missing
    mkdir -m 755 "$root/suite"
    WHOLEFILE_TEST_DIR=$root/suite RUST_BACKTRACE=0 timeout 150 \
        "$work/suite" --test-threads=8 --nocapture >"$out" 2>"$err" || true
    if grep -q "^test result: ok. $suite_tests passed; 0 failed" "$out"; then
        seen="all pass"
    else
        seen="FAILED: $(grep -o '^test .* FAILED$' "$out" | cut -d' ' -f2 | sort -u | paste -sd' ')"
        cp "$out" "$err" "${TMPDIR:-/tmp}"
    fi
    # That this kernel has no SELinux is not the file system's doing.
    missing=$(grep -o 'SKIPPED .*' "$err" | sed 's/^SKIPPED [^ ]*: //; s/^the file system has no //' |
        grep -v '^no SELinux here$' | LC_ALL=C sort -u | paste -sd, | sed 's/,/, /g') || true
    row "$1" 'integration suite' "all pass${lacking[$1]:+; lacks ${lacking[$1]}}" \
        "$seen${missing:+; lacks $missing}"
}
