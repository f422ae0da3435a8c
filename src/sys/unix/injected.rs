//! The errors that each operation can give, for the tests that inject them, and what they plant.

use std::path::Path;

use rustix::io::Errno;

use crate::fault::Op;

/// The error by which a file system says that it does not have an operation, or denies it.
pub(crate) fn lacking_error(op: Op) -> i32 {
    match op {
        Op::RenameNoReplace | Op::Exchange | Op::SyncDirectory => Errno::INVAL,
        Op::Lock => Errno::NOLCK,
        Op::RemoveTemp | Op::SetOwner | Op::Link => Errno::PERM,
        _ => Errno::OPNOTSUPP,
    }
    .raw_os_error()
}

/// Not by a program: one that is just starting has the locks of all tests in it.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn make_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
}

/// Apple's systems have no mkfifoat(2).
#[cfg(target_vendor = "apple")]
pub(crate) fn make_fifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
}

const ANY: &[Errno] = &[Errno::INTR, Errno::IO, Errno::NOMEM];
const OPEN: &[Errno] = &[Errno::ACCESS, Errno::NOENT, Errno::MFILE, Errno::NFILE, Errno::STALE];
const CHANGE: &[Errno] =
    &[Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::NOSPC, Errno::DQUOT, Errno::EXIST];
const DATA: &[Errno] = &[Errno::NOSPC, Errno::DQUOT, Errno::FBIG, Errno::AGAIN, Errno::ROFS];
const ATTRIBUTE: &[Errno] = &[Errno::PERM, Errno::ACCESS, Errno::INVAL, Errno::ROFS, Errno::DQUOT];
const XATTR: &[Errno] =
    &[Errno::OPNOTSUPP, Errno::PERM, Errno::ACCESS, Errno::NOSPC, Errno::DQUOT, Errno::RANGE];
const RENAME: &[Errno] = &[
    Errno::BUSY,
    Errno::XDEV,
    Errno::NOENT,
    Errno::ISDIR,
    Errno::INVAL,
    Errno::NOSYS,
    Errno::OPNOTSUPP,
    Errno::STALE,
];
const NO_UNNAMED: &[Errno] = &[Errno::OPNOTSUPP, Errno::ISDIR];
const NO_LOCKS: &[Errno] = &[Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS, Errno::AGAIN];
const SYNC: &[Errno] = &[Errno::NOSPC, Errno::DQUOT, Errno::ROFS];
const NO_SYNC: &[Errno] = &[Errno::INVAL, Errno::BADF, Errno::OPNOTSUPP, Errno::NOSYS];

/// The errors that an operation can give, each once.
pub(crate) fn errors_of(op: Op) -> Vec<i32> {
    let own: &[&[Errno]] = match op {
        Op::OpenDirectory
        | Op::OpenTarget
        | Op::OpenThrough
        | Op::OpenSideFile
        | Op::OpenStaged
        | Op::OpenOrphan => &[OPEN, &[Errno::NOTDIR, Errno::LOOP]],
        Op::MakeDirectory | Op::RemoveDirectory => &[CHANGE, &[Errno::MLINK]],
        Op::Look | Op::List | Op::ListMounts | Op::ReadLink => {
            &[&[Errno::ACCESS, Errno::MFILE, Errno::STALE]]
        }
        Op::Inspect => &[&[Errno::ACCESS, Errno::NOENT, Errno::STALE]],
        Op::CreateTemp => &[OPEN, CHANGE],
        Op::CreateUnnamed => &[OPEN, NO_UNNAMED, &[Errno::ROFS, Errno::NOSPC]],
        Op::LinkUnnamed | Op::Link | Op::MakeSymlink => &[CHANGE, &[Errno::MLINK]],
        Op::CloneContents => &[DATA, &[Errno::OPNOTSUPP, Errno::XDEV, Errno::NOTTY]],
        Op::Lock => &[NO_LOCKS],
        Op::Reserve | Op::Write | Op::SetLen | Op::WriteThrough => &[DATA],
        Op::Seek | Op::ReadTemp | Op::ReadTarget => &[&[Errno::INVAL, Errno::OVERFLOW]],
        Op::ListXattrs | Op::GetXattr | Op::SetXattr | Op::RemoveXattr => &[XATTR],
        Op::SetOwner | Op::SetMode | Op::SetTimes => &[ATTRIBUTE],
        Op::SyncFile => &[SYNC, &[Errno::INVAL]],
        Op::Close => &[&[Errno::NOSPC, Errno::DQUOT, Errno::STALE]],
        Op::WriteOut => &[SYNC, &[Errno::INVAL, Errno::SPIPE]],
        Op::Identify => &[&[Errno::ACCESS, Errno::NOSYS, Errno::NOTTY, Errno::OPNOTSUPP]],
        Op::SyncDirectory => &[SYNC, NO_SYNC],
        Op::Rename | Op::RenameNoReplace | Op::Exchange | Op::MoveDirectory => &[CHANGE, RENAME],
        Op::RemoveTemp | Op::RemoveSideFile | Op::RemoveEntry => {
            &[&[Errno::ACCESS, Errno::PERM, Errno::BUSY, Errno::ROFS]]
        }
    };
    let all = ANY.iter().chain(own.iter().copied().flatten());
    let mut errors: Vec<i32> = all.map(|errno| errno.raw_os_error()).collect();
    errors.sort_unstable();
    errors.dedup();
    errors
}
