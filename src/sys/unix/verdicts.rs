//! What an error number means for an operation.

use std::io;

use rustix::io::Errno;

fn is_one_of(error: &io::Error, errnos: &[Errno]) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| errnos.contains(&errno))
}

/// Too many links on the way.
pub(crate) fn is_loop(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::LOOP])
}

/// Something is mounted on the file, so that nothing can be renamed over it (rename(2)).
pub(crate) fn is_mount_point(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::BUSY])
}

/// A name or a path is longer than the file system takes.
pub(crate) fn is_too_long(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::NAMETOOLONG])
}

/// The file system cannot sync a directory: a lower durability, not an error.
pub(crate) fn lacks_directory_sync(error: &io::Error) -> bool {
    let errnos = [Errno::INVAL, Errno::BADF, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS];
    is_one_of(error, &errnos)
}

/// The file system has no such flush: fcntl(2) of macOS gives ENOTSUP, network and FUSE file
/// systems of it the others as well.
#[cfg(any(target_vendor = "apple", test))]
pub(crate) fn lacks_flush(error: &io::Error) -> bool {
    let errnos = [Errno::NOTSUP, Errno::OPNOTSUPP, Errno::INVAL, Errno::NOTTY, Errno::NOSYS];
    is_one_of(error, &errnos)
}

/// The file system has no advisory locks.
pub(crate) fn lacks_locks(error: &io::Error) -> bool {
    let errnos = [Errno::NOLCK, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL];
    is_one_of(error, &errnos)
}

/// The file system has no hard links: EPERM is what link(2) says of FAT.
pub(crate) fn lacks_links(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::PERM, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP])
}

/// The file system cannot let two files share their contents, or not these two (ioctl_ficlone(2));
/// ENOTTY is what one without the call says.
pub(crate) fn lacks_clones(error: &io::Error) -> bool {
    let errnos = [
        Errno::OPNOTSUPP,
        Errno::NOTSUP,
        Errno::NOTTY,
        Errno::NOSYS,
        Errno::INVAL,
        Errno::XDEV,
        Errno::PERM,
        Errno::TXTBSY,
    ];
    error.kind() == io::ErrorKind::Unsupported || is_one_of(error, &errnos)
}

/// The file system, or the system, has no rename that does not replace or that exchanges.
pub(crate) fn lacks_rename_flags(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP])
}

/// There are no unnamed files here, or no way to name one.
pub(crate) fn lacks_unnamed(error: &io::Error) -> bool {
    let errnos = [Errno::OPNOTSUPP, Errno::NOTSUP, Errno::ISDIR, Errno::NOENT, Errno::INVAL];
    error.kind() == io::ErrorKind::Unsupported || is_one_of(error, &errnos)
}

/// The caller may not set this metadata, or the file system has no such thing.
pub(crate) fn cannot_be_kept(error: &io::Error) -> bool {
    let errnos = [
        Errno::PERM,
        Errno::ACCESS,
        Errno::NOTSUP,
        Errno::OPNOTSUPP,
        Errno::NOSYS,
        Errno::INVAL,
        Errno::RANGE,
        Errno::TOOBIG,
    ];
    error.kind() == io::ErrorKind::Unsupported || is_one_of(error, &errnos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Errno; 23] = [
        Errno::ACCESS,
        Errno::AGAIN,
        Errno::BADF,
        Errno::BUSY,
        Errno::EXIST,
        Errno::INVAL,
        Errno::IO,
        Errno::ISDIR,
        Errno::LOOP,
        Errno::MLINK,
        Errno::NAMETOOLONG,
        Errno::NOENT,
        Errno::NOLCK,
        Errno::NOSPC,
        Errno::NOSYS,
        Errno::NOTTY,
        Errno::OPNOTSUPP,
        Errno::PERM,
        Errno::RANGE,
        Errno::ROFS,
        Errno::TOOBIG,
        Errno::TXTBSY,
        Errno::XDEV,
    ];

    /// Whoever means too much takes a failure for a file system that has no such thing.
    #[test]
    fn each_verdict_is_of_these_errors_and_of_no_others() {
        #[track_caller]
        fn check(verdict: fn(&io::Error) -> bool, of: &[Errno]) {
            for errno in ALL {
                assert_eq!(verdict(&errno.into()), of.contains(&errno), "{errno:?}");
            }
        }
        const ABSENT: [Errno; 2] = [Errno::NOSYS, Errno::OPNOTSUPP];
        let or_absent = |others: &[Errno]| [others, &ABSENT].concat();
        check(is_loop, &[Errno::LOOP]);
        check(is_mount_point, &[Errno::BUSY]);
        check(is_too_long, &[Errno::NAMETOOLONG]);
        check(lacks_directory_sync, &or_absent(&[Errno::BADF, Errno::INVAL]));
        check(lacks_locks, &or_absent(&[Errno::INVAL, Errno::NOLCK]));
        check(lacks_links, &or_absent(&[Errno::PERM]));
        let no_clone = [Errno::INVAL, Errno::NOTTY, Errno::PERM, Errno::TXTBSY, Errno::XDEV];
        check(lacks_clones, &or_absent(&no_clone));
        check(lacks_rename_flags, &or_absent(&[Errno::INVAL]));
        // No such thing by the system's call, and by nothing that tells more.
        let unnamed = [Errno::INVAL, Errno::ISDIR, Errno::NOENT];
        check(lacks_unnamed, &or_absent(&unnamed));
        let kept = [Errno::ACCESS, Errno::INVAL, Errno::PERM, Errno::RANGE, Errno::TOOBIG];
        check(cannot_be_kept, &or_absent(&kept));
        for verdict in [lacks_clones, lacks_unnamed, cannot_be_kept] {
            assert!(verdict(&io::ErrorKind::Unsupported.into()));
        }
    }
}
