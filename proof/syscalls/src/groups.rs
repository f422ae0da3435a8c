//! What system calls are for: the errors that they can return, and the steps at which a save may
//! report them.

use nix::errno::Errno;

/// What a call is for. Two calls of one group differ neither in their errors nor in their steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    OpenDirectory,
    /// Opens a directory below another, and nothing that a link leads to.
    OpenBelow,
    /// Opens what is there, to look at it or to read it.
    Open,
    CreateTemp,
    CreateUnnamed,
    OpenLock,
    Look,
    ReadLink,
    Lock,
    Write,
    Read,
    Seek,
    SetLen,
    Reserve,
    StartWriteback,
    Sync,
    /// Gives the staged file the target's name.
    Publish,
    /// Gives an unnamed file a temp file's name.
    Name,
    RemoveTemp,
    RemoveLock,
    MakeDirectory,
    RemoveDirectory,
    Attribute,
    ListXattrs,
    ReadXattr,
    ChangeXattr,
    /// Reads the names in a directory.
    List,
    MakeLink,
    /// Lets a file share the blocks of another.
    Clone,
    /// Of a descriptor.
    Duplicate,
    Close,
    /// Concerns the process itself: it is not failed.
    Ask,
    Other,
}

use Errno::{
    EACCES, EAGAIN, EBUSY, EDQUOT, EINTR, EINVAL, EIO, EMFILE, ENAMETOOLONG, ENFILE, ENOLCK,
    ENOMEM, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM, EROFS, ESTALE, EXDEV,
};

const ANY: &[Errno] = &[EIO, EINTR, ENOMEM, ESTALE];
const PATH: &[Errno] = &[EACCES, ENAMETOOLONG, EPERM];
const OPEN: &[Errno] = &[EMFILE, ENFILE, EINVAL];
const GROW: &[Errno] = &[ENOSPC, EDQUOT];
const CHANGE: &[Errno] = &[EROFS, EPERM, EACCES];
const LACKING: &[Errno] = &[EINVAL, ENOSYS, EOPNOTSUPP];

impl Group {
    /// The errors that the manual pages and the network file systems have for such a call.
    pub(crate) fn errors(self) -> Vec<Errno> {
        let lists: &[&[Errno]] = match self {
            Group::OpenDirectory | Group::Open => &[ANY, PATH, OPEN],
            Group::OpenBelow => &[ANY, PATH, OPEN, &[EAGAIN, ENOSYS, EXDEV]],
            Group::CreateTemp | Group::OpenLock => &[ANY, PATH, OPEN, GROW, CHANGE, &[EBUSY]],
            Group::CreateUnnamed => &[ANY, PATH, OPEN, GROW, CHANGE, &[EOPNOTSUPP]],
            Group::Look | Group::ReadLink => &[ANY, PATH],
            Group::Lock => &[ANY, LACKING, &[EAGAIN, ENOLCK]],
            Group::Write => &[ANY, GROW, &[EAGAIN, EPERM, EROFS, EINVAL]],
            Group::Read => &[ANY, &[EAGAIN, EINVAL]],
            Group::Seek => &[&[EINVAL, EIO]],
            Group::SetLen => &[ANY, GROW, CHANGE, &[EINVAL]],
            Group::Reserve => &[ANY, GROW, LACKING, &[EPERM]],
            Group::StartWriteback => &[&[EIO, ENOSPC, ENOMEM, EINVAL, ENOSYS]],
            Group::Sync => &[ANY, GROW, LACKING, &[EROFS]],
            Group::Publish | Group::Name => &[ANY, PATH, GROW, CHANGE, LACKING, &[EBUSY, EXDEV]],
            Group::RemoveTemp | Group::RemoveLock | Group::RemoveDirectory => {
                &[ANY, CHANGE, &[EBUSY]]
            }
            Group::MakeDirectory => &[ANY, PATH, GROW, CHANGE],
            Group::Attribute => &[ANY, GROW, CHANGE, LACKING],
            // EOPNOTSUPP would say that no file here has any, and there is nothing to be lost.
            Group::ListXattrs => &[ANY, &[EACCES, EPERM, EINVAL, ENOSYS]],
            Group::ReadXattr => &[ANY, LACKING, &[EACCES, EPERM]],
            Group::ChangeXattr => &[ANY, GROW, CHANGE, LACKING],
            Group::Close => &[&[EIO, EINTR, ENOSPC, EDQUOT]],
            Group::List => &[&[EIO, EINTR, ENOMEM, ESTALE, EACCES]],
            Group::MakeLink => &[ANY, PATH, GROW, CHANGE],
            Group::Clone => &[ANY, GROW, LACKING, &[EPERM, EXDEV, EBUSY]],
            Group::Duplicate => &[&[EMFILE]],
            Group::Other => &[ANY],
            Group::Ask => &[],
        };
        let mut errors = lists.concat();
        errors.sort_unstable_by_key(|errno| *errno as i32);
        errors.dedup();
        errors
    }

    pub(crate) fn opens_directory(self) -> bool {
        matches!(self, Group::OpenDirectory | Group::OpenBelow)
    }

    /// Whether it changes what is on disk, so that a file system that has become read-only, or is
    /// full, refuses it.
    pub(crate) fn changes(self) -> bool {
        self.grows()
            || matches!(
                self,
                Group::RemoveTemp | Group::RemoveLock | Group::RemoveDirectory | Group::SetLen
            )
    }

    pub(crate) fn grows(self) -> bool {
        matches!(
            self,
            Group::CreateTemp
                | Group::CreateUnnamed
                | Group::OpenLock
                | Group::Write
                | Group::Reserve
                | Group::Publish
                | Group::Name
                | Group::MakeDirectory
                | Group::Attribute
                | Group::ChangeXattr
                | Group::MakeLink
                | Group::Clone
        )
    }

    /// The steps at which the save of a file may report that such a call failed.
    pub(crate) fn steps(self) -> &'static [&'static str] {
        match self {
            // A directory that may not be read cannot be synced, where that is required.
            Group::OpenDirectory => &["Resolve", "CreateParents", "SyncDirectory"],
            Group::OpenBelow => &["CreateTemp"],
            Group::Open => {
                &["Resolve", "Lock", "CreateTemp", "Read", "Metadata", "SyncFile", "Publish"]
            }
            Group::CreateTemp | Group::CreateUnnamed | Group::Name => &["CreateTemp"],
            Group::OpenLock => &["Lock"],
            Group::Look => &[
                "Resolve",
                "Lock",
                "CreateTemp",
                "Read",
                "Write",
                "Metadata",
                "Publish",
                "Reserve",
            ],
            Group::ReadLink => &["Resolve"],
            Group::Lock => &["Lock", "CreateTemp"],
            Group::Write | Group::Seek | Group::SetLen | Group::Close => &["Write"],
            Group::Read => &["Read"],
            Group::Reserve => &["Reserve"],
            Group::Sync => &["SyncFile", "SyncDirectory"],
            Group::Publish => &["Publish"],
            Group::RemoveTemp => &["RemoveTemp"],
            Group::MakeDirectory => &["CreateParents", "CreateTemp"],
            Group::RemoveDirectory => &["CreateParents", "RemoveTemp"],
            // That of a staging directory belongs to its creation.
            Group::Attribute => &["CreateTemp", "Metadata"],
            Group::ListXattrs | Group::ReadXattr | Group::ChangeXattr => &["Metadata"],
            Group::StartWriteback
            | Group::RemoveLock
            | Group::List
            | Group::MakeLink
            | Group::Clone
            | Group::Duplicate
            | Group::Ask
            | Group::Other => &[],
        }
    }

    /// Those at which the commit of a tree or of a batch may report it besides.
    pub(crate) fn steps_of_many(self) -> &'static [&'static str] {
        match self {
            Group::OpenDirectory
            | Group::OpenBelow
            | Group::Open
            | Group::Look
            | Group::ReadLink
            | Group::Read
            | Group::List
            | Group::Duplicate => &[
                "Resolve",
                "CreateTemp",
                "Read",
                "Write",
                "Metadata",
                "SyncFile",
                "Publish",
                "SyncDirectory",
                "RemoveTemp",
                "Recover",
            ],
            Group::Lock => &["Publish"],
            Group::CreateTemp | Group::MakeDirectory | Group::Clone => &["Write"],
            Group::MakeLink => &["Write", "Publish"],
            // That of a mark.
            Group::Write | Group::Close => &["CreateTemp"],
            // Of a mark, and of the name of a generation.
            Group::Sync => &["CreateTemp", "Publish"],
            // What was moved aside or is removed from the staged tree.
            Group::RemoveTemp | Group::RemoveDirectory => &["RemoveJournal", "Write"],
            Group::Attribute => &["Write", "SyncFile", "RemoveTemp"],
            Group::StartWriteback => &["SyncFile"],
            _ => &[],
        }
    }
}
