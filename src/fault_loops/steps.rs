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
            Step::Backup,
        ],
        Op::ReadLink => &[Step::Resolve],
        Op::MakeDirectory | Op::RemoveDirectory => &[Step::CreateParents],
        Op::OpenTarget | Op::ReadTarget => &[Step::Read, Step::Publish, Step::Backup],
        Op::CreateTemp | Op::CreateUnnamed | Op::LinkUnnamed => &[Step::CreateTemp, Step::Backup],
        Op::Lock => &[Step::CreateTemp, Step::Lock, Step::Backup],
        Op::Inspect => {
            const STEPS: &[Step] = &[
                Step::Resolve,
                Step::CreateTemp,
                Step::Lock,
                Step::Write,
                Step::Metadata,
                Step::Read,
                Step::Publish,
                Step::Backup,
            ];
            STEPS
        }
        Op::Reserve => &[Step::Reserve],
        Op::Write | Op::SetLen | Op::Close => &[Step::Write, Step::Backup],
        Op::Seek => &[Step::Write, Step::Read, Step::Backup],
        Op::ReadTemp => &[Step::Read],
        Op::ListXattrs
        | Op::GetXattr
        | Op::SetXattr
        | Op::RemoveXattr
        | Op::SetOwner
        | Op::SetMode
        | Op::SetTimes => &[Step::Metadata, Step::Backup],
        Op::SyncFile | Op::WriteOut => &[Step::SyncFile, Step::Backup],
        Op::SyncDirectory => &[Step::SyncDirectory, Step::Backup],
        Op::Rename | Op::RenameNoReplace | Op::Link => &[Step::Publish, Step::Backup],
        // Without it, the lock is needed.
        Op::Exchange => &[Step::Publish, Step::Lock, Step::Backup],
        Op::OpenThrough | Op::WriteThrough => &[Step::Publish],
        Op::OpenSideFile => &[Step::Lock],
        Op::OpenStaged | Op::CloneContents | Op::List | Op::RemoveEntry => &[Step::Backup],
        Op::Identify | Op::MakeSymlink | Op::ListMounts => &[],
        Op::RemoveSideFile | Op::OpenOrphan | Op::MoveDirectory => &[],
        Op::RemoveTemp => &[Step::RemoveTemp, Step::Backup],
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
