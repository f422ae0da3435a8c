//! Where each operation's failure may show.

use rustix::io::Errno;

use crate::fault::{Fault, Op};
use crate::{Error, Step};

/// The steps at which an operation's failure may be reported.
pub(super) fn steps_of(op: Op) -> &'static [Step] {
    match op {
        Op::OpenDirectory => &[Step::Resolve, Step::CreateParents],
        Op::Look => &[
            Step::Resolve,
            Step::Lock,
            Step::CreateTemp,
            Step::Metadata,
            Step::Read,
            Step::Publish,
        ],
        Op::ReadLink => &[Step::Resolve],
        Op::MakeDirectory | Op::RemoveDirectory => &[Step::CreateParents],
        Op::OpenTarget | Op::ReadTarget => &[Step::Read, Step::Publish],
        Op::CreateTemp | Op::CreateUnnamed | Op::LinkUnnamed => &[Step::CreateTemp],
        Op::Lock => &[Step::CreateTemp, Step::Lock],
        Op::Inspect => {
            &[Step::CreateTemp, Step::Lock, Step::Write, Step::Metadata, Step::Read, Step::Publish]
        }
        Op::Reserve => &[Step::Reserve],
        Op::Write | Op::SetLen | Op::Close => &[Step::Write],
        Op::Seek => &[Step::Write, Step::Read],
        Op::ReadTemp => &[Step::Read],
        Op::ListXattrs
        | Op::GetXattr
        | Op::SetXattr
        | Op::RemoveXattr
        | Op::SetOwner
        | Op::SetMode
        | Op::SetTimes => &[Step::Metadata],
        Op::SyncFile | Op::WriteOut => &[Step::SyncFile],
        Op::SyncDirectory => &[Step::SyncDirectory],
        Op::Rename | Op::RenameNoReplace | Op::Link => &[Step::Publish],
        Op::Exchange => &[Step::Publish, Step::Lock], // without it, the lock is needed
        Op::OpenThrough | Op::WriteThrough => &[Step::Publish],
        Op::OpenSideFile => &[Step::Lock],
        Op::Identify | Op::OpenStaged => &[],
        Op::MakeSymlink | Op::CloneContents | Op::ListMounts => &[],
        Op::RemoveSideFile | Op::List | Op::OpenOrphan | Op::RemoveEntry | Op::MoveDirectory => &[],
        Op::RemoveTemp => &[Step::RemoveTemp],
    }
}

/// That of a disk, which is the answer to no question: nobody may take it for one, and whoever is
/// told that it went wrong is told why.
#[track_caller]
pub(super) fn check_told<T>(result: &Result<T, Error>, fault: Fault, survived: bool, name: &str) {
    let broken = Errno::IO.raw_os_error();
    if !matches!(fault, Fault::Error(code) if code == broken) {
        return;
    }
    match result {
        Ok(_) => assert!(survived, "{name}: reported nothing"),
        Err(error) => {
            let told = error.io_error().and_then(std::io::Error::raw_os_error);
            assert_eq!(told, Some(broken), "{name}: cause");
        }
    }
}
