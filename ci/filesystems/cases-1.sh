case_full() {
    local options='' root device directory='' target
    for kind in ext4 xfs btrfs; do
        directory=''
        small_image "full-$kind" 310m "mkfs.$kind"
        fresh; sync
        for size in 256M 64M 16M 4M 1M 256K 64K 16K 4K; do
            n=0; while fallocate -l $size "$root/filler-$size-$n" 2>/dev/null; do n=$((n + 1)); done
        done
        local i=0; while head -c 4096 /dev/zero >"$root/small-filler-$i" 2>/dev/null; do i=$((i+1)); [ $i -lt 2000 ] || break; done
        check "full $kind" 'small save' '?' save
        check "full $kind" 'stream' '?' stream
        check "full $kind" 'stream, unnamed' '?' stream --unnamed
        check "full $kind" 'reserve 1 MB at open' '?' stream --reserve 1000000
        rm "$target"
        check "full $kind" 'create' '?' save
        remove_image
    done
}
