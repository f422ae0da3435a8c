//! Where each operation's failure may show.

use crate::Step;
use crate::fault::Op;

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
