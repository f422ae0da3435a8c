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

/// A name or a path is longer than the file system takes.
pub(crate) fn is_too_long(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::NAMETOOLONG])
}

/// The file system cannot sync a directory: a lower durability, not an error.
pub(crate) fn lacks_directory_sync(error: &io::Error) -> bool {
    let errnos = [Errno::INVAL, Errno::BADF, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS];
    is_one_of(error, &errnos)
}

/// The file system has no advisory locks.
pub(crate) fn lacks_locks(error: &io::Error) -> bool {
    let errnos = [Errno::NOLCK, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL];
    is_one_of(error, &errnos)
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

/// The error by which a file system says that it does not have an operation, or denies it.
#[cfg(test)]
pub(crate) fn lacking_error(op: crate::fault::Op) -> i32 {
    use crate::fault::Op;
    match op {
        Op::RenameNoReplace | Op::Exchange | Op::SyncDirectory => Errno::INVAL,
        Op::Lock => Errno::NOLCK,
        Op::RemoveTemp | Op::SetOwner => Errno::PERM,
        _ => Errno::OPNOTSUPP,
    }
    .raw_os_error()
}

/// The errors that an operation can give, for the tests that inject each of them.
#[cfg(test)]
pub(crate) fn errors_of(op: crate::fault::Op) -> Vec<i32> {
    use crate::fault::Op;
    let mut errnos = vec![Errno::INTR, Errno::IO, Errno::NOMEM];
    errnos.extend_from_slice(match op {
        Op::OpenDirectory | Op::OpenTarget | Op::OpenThrough => &[
            Errno::ACCESS,
            Errno::NOENT,
            Errno::NOTDIR,
            Errno::LOOP,
            Errno::MFILE,
            Errno::NFILE,
            Errno::STALE,
        ],
        Op::MakeDirectory | Op::RemoveDirectory => {
            &[Errno::ACCESS, Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::EXIST, Errno::MLINK]
        }
        Op::Look | Op::ReadLink | Op::Inspect => &[Errno::ACCESS, Errno::MFILE, Errno::STALE],
        Op::CreateTemp => &[
            Errno::ACCESS,
            Errno::PERM,
            Errno::ROFS,
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOENT,
            Errno::EXIST,
        ],
        Op::CreateUnnamed => &[
            Errno::OPNOTSUPP,
            Errno::ISDIR,
            Errno::NOENT,
            Errno::ACCESS,
            Errno::ROFS,
            Errno::NOSPC,
            Errno::MFILE,
        ],
        Op::LinkUnnamed | Op::Link => {
            &[Errno::EXIST, Errno::NOSPC, Errno::DQUOT, Errno::PERM, Errno::MLINK, Errno::ROFS]
        }
        Op::Lock => &[Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS, Errno::AGAIN],
        Op::Reserve | Op::Write | Op::SetLen | Op::WriteThrough => {
            &[Errno::NOSPC, Errno::DQUOT, Errno::FBIG, Errno::AGAIN, Errno::ROFS]
        }
        Op::Seek | Op::ReadTemp | Op::ReadTarget => &[Errno::INVAL, Errno::OVERFLOW],
        Op::ListXattrs | Op::GetXattr | Op::SetXattr | Op::RemoveXattr => &[
            Errno::OPNOTSUPP,
            Errno::PERM,
            Errno::ACCESS,
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::RANGE,
        ],
        Op::SetOwner | Op::SetMode | Op::SetTimes => {
            &[Errno::PERM, Errno::ACCESS, Errno::INVAL, Errno::ROFS, Errno::DQUOT]
        }
        Op::SyncFile => &[Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::INVAL],
        Op::SyncDirectory => {
            &[Errno::INVAL, Errno::BADF, Errno::OPNOTSUPP, Errno::NOSYS, Errno::NOSPC, Errno::ROFS]
        }
        Op::Rename | Op::RenameNoReplace | Op::Exchange => &[
            Errno::ACCESS,
            Errno::PERM,
            Errno::BUSY,
            Errno::XDEV,
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::ROFS,
            Errno::NOENT,
            Errno::EXIST,
            Errno::ISDIR,
            Errno::INVAL,
            Errno::NOSYS,
            Errno::OPNOTSUPP,
            Errno::STALE,
        ],
        Op::RemoveTemp => &[Errno::ACCESS, Errno::PERM, Errno::BUSY, Errno::ROFS],
    });
    errnos.iter().map(|errno| errno.raw_os_error()).collect()
}
