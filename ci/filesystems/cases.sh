# The places that break libraries, each with the outcome to expect of a save: outcome, durability
# and losses, or kind, step and state of the target. In every case, besides: the target is whole
# (old or new, as that says), and no temp file is left unless the error named one. Sourced by
# ci/filesystems.sh.
# shellcheck shell=bash disable=SC2154

all_cases=(every_place full quota read_only remount mount_point dropbox sticky immutable no_proc
    user_namespace symlink default_acl limits overlay shutdown device)
old='old contents'

cases() {
    head -c 3 /dev/urandom >"$work/small"
    head -c 1000000 /dev/urandom >"$work/large"
    local name
    for name in "$@"; do "case_$name" || row "$name" 'set-up' done "FAILED with $?"; done
}

# small_image NAME SIZE MKFS…: a file system of that size on $root, mounted with $options.
small_image() {
    local name=$1 size=$2
    shift 2
    image "$name" "$size"
    "$@" "$device" >/dev/null 2>&1
    root=$work/$name
    mkdir -p "$root"
    mount ${options:+-o "$options"} "$device" "$root"
}

remove_image() {
    umount -l "$root"
    losetup -d "$device"
    rm -f "$work/$(basename "$root").image"
}

# fresh: an old file as the target, in $directory (by default the root of the mount).
fresh() {
    target=${directory:-$root}/target
    rm -f "${directory:-$root}"/.wholefile-*.tmp
    printf %s "$old" >"$target"
}

# What the target has now: old, new, nothing, or TORN contents.
contents() {
    if [ ! -e "$target" ]; then
        echo nothing
    elif [ "$(head -c 100 "$target" | tr -d '\0')" = "$old" ]; then
        echo old
    elif cmp -s "$target" "$work/small" || cmp -s "$target" "$work/large"; then
        echo new
    else
        echo TORN
    fi
}

save() { WHOLEFILE_PLACES=1 "$work/save" --contents "$work/small" "$@" "$target"; }
large() { WHOLEFILE_PLACES=1 "$work/save" --contents "$work/large" "$@" "$target"; }
way() { WHOLEFILE_PLACES=1 "$work/save" --contents "$work/small" --way "$@" "$target"; }
stream() { WHOLEFILE_PLACES=1 "$work/save" --contents "$work/large" --way stream "$@" "$target"; }
export_functions() { export -f save large stream way nobody; export work target directory root device; }
nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }

# check PLACE CASE EXPECTED COMMAND…: runs COMMAND, which ends in a save, and compares what it says,
# what is on disk with what it says, and what $also prints.
check() {
    local place=$1 name=$2 expected=$3 line before after temps
    shift 3
    export_functions
    before=$(contents)
    line=$(timeout 60 bash -c 'set -e; "$@"' bash "$@" 2>"$work/stderr") ||
        line="FAILED: $(tail -n 1 "$work/stderr")"
    [ -z "${recover:-}" ] || eval "$recover"
    after=$(contents)
    temps=$(find "${beside:-$(dirname "$target")}" -maxdepth 1 -name '.wholefile-*' \
        ! -name '*.tree' 2>/dev/null | wc -l)
    case $line in
    *Untouched*) [ "$after" = "$before" ] || line+=", BUT THE TARGET IS $after" ;;
    *) [ "$after" = new ] || line+=", BUT THE TARGET IS $after" ;;
    esac
    # What cannot be recovered stays, for whoever can tell.
    [ "$temps" = 0 ] || [[ $line = *'leftover named'* || $line = Unrecoverable* ]] ||
        line+=", BUT $temps LEFT OVER"
    [ -z "${also:-}" ] || line+="; $(eval "$also")"
    row "$place" "$name" "$expected" "$line"
}

case_full() {
    local options='' directory='' root device target size kind at
    for kind in ext4 xfs btrfs; do
        # XFS has no room for the inode of a temp file then.
        [ "$kind" = xfs ] && at=(CreateTemp CreateTemp) || at=(Write Reserve)
        small_image "full-$kind" 310m "mkfs.$kind"
        fresh
        sync -f "$root"
        for size in 64M 16M 4M 1M 256K 64K 16K 4K; do
            local n=0
            while fallocate -l "$size" "$root/filler-$size-$n" 2>/dev/null; do n=$((n + 1)); done
        done
        sync -f "$root"
        check "full $kind" 'small save' "StorageFull at ${at[0]}, Untouched" save
        check "full $kind" stream "Poisoned at ${at[0]}, Untouched" stream
        check "full $kind" 'stream, unnamed' "Poisoned at ${at[0]}, Untouched" stream --unnamed
        check "full $kind" 'reserve 1 MB at open' "StorageFull at ${at[1]}, Untouched" \
            stream --reserve 1000000
        remove_image
    done
}

# This kernel has no quotas of users for ext4 and none for XFS (CONFIG_QFMT_V2, CONFIG_XFS_QUOTA):
# the quota group of a btrfs subvolume stands for them all. Each answers EDQUOT.
case_quota() {
    local options='' directory root device target
    small_image quota 310m mkfs.btrfs
    directory=$root/limited
    btrfs quota enable "$root" && btrfs subvolume create "$directory" >/dev/null
    btrfs qgroup limit 500K "$directory"
    fresh
    sync -f "$root"
    check 'quota (btrfs qgroup)' 'small save' 'replaced full' save
    fresh
    check 'quota (btrfs qgroup)' stream 'Poisoned at Write, Untouched' stream
    check 'quota (btrfs qgroup)' 'reserve 1 MB at open' \
        'StorageFull at Reserve, Untouched' stream --reserve 1000000
    remove_image
}

case_read_only() {
    local options='' directory='' root device target
    mkdir "$work/squashed" && printf %s "$old" >"$work/squashed/target"
    mksquashfs "$work/squashed" "$work/squash.image" -quiet -no-progress >/dev/null
    root=$work/squash && mkdir "$root" && mount -o loop "$work/squash.image" "$root"
    target=$root/target
    check squashfs save 'ReadOnlyFilesystem at CreateTemp, Untouched' save
    check squashfs unnamed 'ReadOnlyFilesystem at CreateTemp, Untouched' save --unnamed
    umount "$root"
    small_image read-only 64m mkfs.ext4
    fresh
    mount -o remount,ro "$root"
    check 'ext4 mounted ro' save 'ReadOnlyFilesystem at CreateTemp, Untouched' save
    check 'ext4 mounted ro' 'reserve at open' 'ReadOnlyFilesystem at CreateTemp, Untouched' \
        stream --reserve 1000
    remove_image
}

case_remount() {
    local options=errors=remount-ro directory='' root device target also='' recover
    small_image remount 64m mkfs.ext4
    fresh
    recover='mount -o remount,rw "$root"'
    check 'ext4 made ro meanwhile' 'after open' \
        'ReadOnlyFilesystem at CreateTemp, Untouched' save --once-open 'mount -o remount,ro "$root"'
    local break_it='echo 1 >"/sys/fs/ext4/$(basename "$device")/trigger_fs_error"'
    recover='umount "$root"; e2fsck -fy "$device" >/dev/null 2>&1; mount "$device" "$root"'
    check 'ext4 made ro meanwhile' 'by an error, after staging' \
        'ReadOnlyFilesystem at Metadata, Untouched, leftover named' stream --once-staged "$break_it"
    remove_image
}

case_mount_point() {
    local options='' directory='' root device target
    small_image mount-point 64m mkfs.ext4
    fresh
    printf %s "$old" >"$root/other" && mount --bind "$root/other" "$target"
    check 'file on a file' save 'MountPoint at Publish, Untouched' save
    check 'file on a file' existing 'MountPoint at Publish, Untouched' save --publish existing
    umount "$target"
    remove_image
}

case_dropbox() {
    local options='' directory root device target
    small_image dropbox 64m mkfs.ext4
    directory=$root/dropbox && mkdir "$directory"
    chown 65534:65534 "$directory" && chmod 300 "$directory"
    fresh && chown 65534:65534 "$target"
    check 'unreadable directory' save 'replaced ordered' nobody bash -c save
    fresh
    check 'unreadable directory' unnamed 'replaced ordered' nobody bash -c 'save --unnamed'
    check 'unreadable directory' 'durability required' \
        'DurabilityUnavailable at SyncDirectory, Untouched' nobody bash -c 'save --require-durability'
    remove_image
}

case_sticky() {
    local options='' directory='' root device target
    small_image sticky 64m mkfs.ext4
    chmod 1777 "$root"
    fresh && chown 12345:12345 "$target" && chmod 666 "$target"
    check 'sticky directory' "another's file" 'PermissionDenied at Publish, Untouched' \
        nobody bash -c save
    remove_image
}

case_immutable() {
    local options='' directory='' root device target
    small_image immutable 64m mkfs.ext4
    fresh && chattr +i "$target"
    check 'immutable file' save \
        'PermissionDenied at Publish, Untouched' save
    chattr -i "$target" && chattr +a "$target"
    check 'append-only file' save \
        'PermissionDenied at Publish, Untouched' save
    chattr -a "$target" && directory=$root/directory && mkdir "$directory" && fresh
    chattr +i "$directory"
    check 'immutable directory' save \
        'PermissionDenied at CreateTemp, Untouched' save
    chattr -i "$directory" && chattr +a "$directory"
    check 'append-only directory' save \
        'PermissionDenied at Publish, Untouched, leftover named' save
    chattr -a "$directory" && fresh && chattr +a "$directory"
    check 'append-only directory' 'save, unnamed' \
        'PermissionDenied at Publish, Untouched, leftover named' save --unnamed
    chattr -a "$directory"
    remove_image
}

case_no_proc() {
    local options='' directory='' root device target
    local hide='mount -t tmpfs none /proc && exec "$@"'
    local also='getfattr --only-values -n user.a "$target" 2>/dev/null || echo no xattr'
    small_image no-proc 64m mkfs.ext4
    fresh && setfattr -n user.a -v kept "$target"
    check 'no /proc' save 'replaced full; kept' unshare -m bash -c "$hide" bash bash -c save
    fresh
    check 'no /proc' 'unnamed becomes named at open' 'replaced full; kept' \
        unshare -m bash -c "$hide" bash bash -c \
        'stream --unnamed --once-staged "ls -A \"\$root\" | grep -q ^.wholefile-"'
    remove_image
}

case_user_namespace() {
    local options='' directory='' root device target
    small_image user-namespace 64m mkfs.ext4
    fresh && chown 12345:12345 "$target"
    check 'user namespace' "another's file" \
        'replaced full, lost owner: invalid input parameter' unshare --user --map-root-user bash -c save
    remove_image
}

case_symlink() {
    local options='' directory='' root device target also='readlink "$root/link"'
    small_image symlink 64m mkfs.ext4
    mkdir "$root/there" && mount -t tmpfs tmpfs "$root/there"
    directory=$root/there && fresh && ln -s there/target "$root/link"
    check 'link to another mount' save 'replaced full; there/target' \
        bash -c 'target=$root/link save'
    umount "$root/there"
    remove_image
}

case_default_acl() {
    local options='' directory='' root device target
    local also='getfacl -cn "$target" 2>/dev/null | grep -c 12345 || true'
    small_image default-acl 64m mkfs.ext4
    fresh && chmod 640 "$target"
    setfacl -m d:u:12345:rwx "$root"
    check 'default ACL' 'replace: not inherited' 'replaced full; 0' save
    rm "$target"
    check 'default ACL' 'create: inherited' 'created full; 1' save --publish create-new
    remove_image
}

case_limits() {
    local options='' directory='' root device target
    small_image limits 64m mkfs.ext4
    fresh
    check RLIMIT_FSIZE 'large save' 'StorageFull at Write, Untouched' \
        bash -c 'trap "" XFSZ; ulimit -f 100; large'
    check RLIMIT_FSIZE stream 'Poisoned at Write, Untouched' \
        bash -c 'trap "" XFSZ; ulimit -f 100; stream'
    # fallocate(2) may reserve beyond the limit as long as the length stays below.
    check RLIMIT_FSIZE 'reserve at open' 'Poisoned at Write, Untouched' \
        bash -c 'trap "" XFSZ; ulimit -f 100; stream --reserve 1000000'
    check RLIMIT_NOFILE 'no descriptor for the target' 'Io at Resolve, Untouched' \
        bash -c 'ulimit -n 4; save'
    check RLIMIT_NOFILE 'no descriptor for the temp' 'Io at CreateTemp, Untouched' \
        bash -c 'ulimit -n 5; save'
    remove_image
}

case_overlay() {
    local options='' directory root device target lower
    small_image overlay 64m mkfs.ext4
    mkdir -p "$root"/{lower/directory,upper,work,merged}
    local name
    for name in one two three; do printf %s "$old" >"$root/lower/directory/$name"; done
    mount -t overlay overlay "$root/merged" \
        -o "lowerdir=$root/lower,upperdir=$root/upper,workdir=$root/work"
    directory=$root/merged/directory
    local also='cat "$root/lower/directory/$(basename "$target")" 2>/dev/null || echo none'
    target=$directory/one
    check 'overlay, lower file' replace "replaced full; $old" save
    target=$directory/two
    check 'overlay, lower file' existing "replaced full; $old" save --publish existing
    target=$directory/three
    check 'overlay, lower file' 'stream, unnamed' "replaced full; $old" stream --unnamed
    target=$directory/new
    check 'overlay, lower directory' 'create new' 'created full; none' save --publish create-new
    rm "$directory/one" && target=$directory/one
    check 'overlay, whiteout' 'create new' "created full; $old" save --publish create-new
    umount "$root/merged"
    remove_image
}

case_shutdown() {
    local options='' directory='' root device target
    # The driver's own ioctl, in which ext4 and XFS agree. Only a mount anew ends it.
    local stop='xfs_io -F -x -c shutdown "$root"' kind
    local recover='umount "$root"; mount "$device" "$root"'
    local -A expected=(
        [ext4 before]='Io at CreateTemp, Untouched'
        [ext4 once-open]='Poisoned at CreateTemp, Untouched'
        [ext4 once-staged]='Io at Metadata, Untouched, leftover named'
        # XFS answers no question about a file any more.
        [xfs before]='Io at Resolve, Untouched'
        [xfs once-open]='Poisoned at Metadata, Untouched'
        [xfs once-staged]='Io at Resolve, Untouched, leftover named'
    )
    for kind in ext4 xfs; do
        small_image "shutdown-$kind" 310m "mkfs.$kind"
        fresh && sync -f "$root"
        check "$kind shut down" 'before the save' "${expected[$kind before]}" \
            bash -c "$stop; save"
        for moment in once-open once-staged; do
            fresh && sync -f "$root"
            check "$kind shut down" "$moment, stream" "${expected[$kind $moment]}" \
                stream "--$moment" "$stop"
        done
        remove_image
    done
}

# A disk that promises more than it has: the loop device's own file cannot grow.
case_device() {
    local options='' directory='' root device target recover
    mkdir "$work/thin" && mount -t tmpfs -o size=40m thin "$work/thin"
    truncate -s 300m "$work/thin/image"
    device=$(losetup --find --show "$work/thin/image") && loops+=("$device")
    mkfs.ext4 -q -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 -J size=4 "$device"
    root=$work/on-thin && mkdir "$root" && mount "$device" "$root"
    fresh && sync -f "$root"
    head -c 100M /dev/zero >"$work/thin/filler" 2>/dev/null || true
    recover='rm "$work/thin/filler"; umount "$root"; mount "$device" "$root"'
    check 'device without room' 'sync of a stream' \
        'StorageFull at SyncFile, Untouched' stream
    umount "$root" && losetup -d "$device" && umount "$work/thin"
}
