# The places that break libraries, each with the outcome to expect of a save: outcome, durability
# and losses, or kind, step and state of the target. In every case, besides: the target is whole (old
# or new, as that says), and no temp file is left unless the error named one. Sourced by
# ci/filesystems.sh.
# shellcheck shell=bash disable=SC2154

all_cases=(every_place full quota read_only remount mount_point dropbox sticky immutable no_proc
    user_namespace symlink default_acl limits overlay shutdown device)
old='old contents'

cases() {
    head -c 3 /dev/urandom >"$work/small"
    head -c 1000000 /dev/urandom >"$work/large"
    local name
    for name in "$@"; do "case_$name" || row "$name" 'set-up' done "failed: $?"; done
}

# mounted NAME PLACE COMMAND…: mounts a place like in the suite, runs COMMAND in it, takes it away.
mounted() {
    local place=$1 device='' root=''
    shift
    if make_place "$place" 2>"$work/why"; then
        "$@"
        remove_place "$place"
    else
        skip "$place" "$1" "cannot be mounted: $(tail -n 1 "$work/why")"
    fi
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

# fresh [NAME]: an old file as the target, in $directory.
fresh() {
    directory=${directory:-$root}
    target=$directory/target
    rm -f "$directory"/.wholefile-*.tmp
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
stream() { WHOLEFILE_PLACES=1 "$work/save" --contents "$work/large" --way stream "$@" "$target"; }
export_functions() { export -f save stream; export work target; }
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
    temps=$(find "$(dirname "$target")" -maxdepth 1 -name '.wholefile-*' 2>/dev/null | wc -l)
    case $line in
    *Untouched*) [ "$after" = "$before" ] || line+=", BUT THE TARGET IS $after" ;;
    *) [ "$after" = new ] || line+=", BUT THE TARGET IS $after" ;;
    esac
    [ "$temps" = 0 ] || [[ $line = *'leftover named'* ]] || line+=", BUT $temps LEFT OVER"
    [ -z "${also:-}" ] || line+="; $(eval "$also")"
    row "$place" "$name" "$expected" "$line"
}
