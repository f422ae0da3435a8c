# What a caller gets on each file system, without anything being broken: of a save, of a tree and of
# a batch with a journal. Sourced by ci/filesystems.sh.
# shellcheck shell=bash disable=SC2034,SC2154

case_every_place() {
    local place device root directory target created
    for place in "${all_places[@]}"; do
        device='' root='' directory=''
        if ! make_place "$place" 2>"$work/why"; then
            skip "$place" saves "cannot be mounted: $(tail -n 1 "$work/why")"
            continue
        fi
        fresh
        check "$place" replace 'replaced full' save
        check "$place" 'replace, existing only' 'replaced full' save --publish existing
        check "$place" 'durability required' 'replaced full' save --require-durability
        check "$place" 'stream, unnamed' 'replaced full' stream --unnamed --reserve 1000000
        rm "$target"
        # It can neither rename without replacing nor link.
        [ "$place" = exfat-fuse ] && created='Unsupported at Publish, Untouched' ||
            created='created full'
        check "$place" 'create new' "$created" save --publish create-new
        every_tree "$place"
        every_batch "$place"
        remove_place "$place"
    done
}

# A directory, by an exchange and by a link.
every_tree() {
    local directory=$root/tree target beside=$root also='' exchanged='replaced full'
    [[ ${lacking[$1]} != *exchange* ]] || exchanged='Unsupported at Publish, Untouched'
    mkdir "$directory" && fresh
    check "$1" 'tree, exchanged' "$exchanged" way tree
    target=$root/new/target
    check "$1" 'tree, new' 'created full' way tree
    target=$root/site/target
    if [[ ${lacking[$1]} = *symlinks* ]]; then
        check "$1" 'tree, by a link' 'Unsupported at Publish, Untouched' way link
        return
    fi
    also='find "$root" -maxdepth 1 -name "*.tree" | wc -l'
    check "$1" 'tree, by a link' 'created full; 1' way link
    check "$1" 'tree, by a link' 'replaced full; 1' way link
}

# A batch with a journal, whole, and recovered by another process after the file system was mounted
# anew: by then some of the drivers number their files in another way.
every_batch() {
    local directory=$root target beside='' also='' expected='recovered Before, Now'
    fresh
    if [ "$1" = exfat-fuse ]; then
        check "$1" 'batch with a journal' 'Unsupported at Publish, Untouched' way batch
        return
    fi
    check "$1" 'batch with a journal' 'created full, replaced full' way batch
    rm "$root/target.first" && fresh
    way die
    [ "$1" != sshfs ] || expected='Unrecoverable at Recover, Untouched'
    [ "$1" = tmpfs ] || { umount "$root" && mount_place "$1"; } # which would be empty then
    check "$1" 'batch, died, recovered' "$expected" way recover
}
