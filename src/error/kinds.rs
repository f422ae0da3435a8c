//! What an error is about: kinds, steps, states.

use std::io;

/// What became of the target when an [`Error`](crate::Error) was returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TargetState {
    /// The target is as it was: the old contents, or nothing where there was nothing.
    Untouched,
    /// The new contents are visible under the target's name, but it is not proven that they would
    /// survive a power cut. With [`Durability::None`](crate::Durability::None) and at
    /// [`Step::Write`], not even that they are complete; at [`Step::Backup`], they are as durable
    /// as was asked for, or as the file system allows.
    Replaced,
    /// It is not known whether the target has the old or the new contents. Where the target is
    /// replaced atomically, it is one of the two, whole; a special file that was written through
    /// ([`SpecialFiles::WriteThrough`](crate::SpecialFiles::WriteThrough)) may have taken a part.
    Unknown,
    /// There is no file under the target's name: the old one, whole, is where
    /// [`Error::leftover`](crate::Error::leftover) says. Only
    /// [`InUse::TwoSteps`](crate::InUse::TwoSteps) can lead to this.
    Displaced,
}

/// The step of a save at which an [`Error`](crate::Error) occurred, in the order of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Checking the options and the path, opening the directory, following links, applying the
    /// policies to what is there.
    Resolve,
    /// Creating the directories that lead to the target.
    CreateParents,
    /// Taking the lock.
    Lock,
    /// Creating the temp file.
    CreateTemp,
    /// Reserving space for the new contents.
    Reserve,
    /// Taking the new contents: a write, a seek, a change of length, or the caller's own closure.
    Write,
    /// Reading the staged contents back, or the old ones for an update.
    Read,
    /// Giving the staged file the owner, mode, ACL, xattrs and times that it should have.
    Metadata,
    /// Syncing the staged file.
    SyncFile,
    /// Keeping the old file ([`Backup`](crate::Backup)), or removing the oldest ones that were
    /// kept. With [`TargetState::Replaced`], the target and its backup are as they should be, and
    /// only the removal of an earlier backup failed.
    Backup,
    /// Making the staged file the target.
    Publish,
    /// Syncing the target's directory and the directories that were created.
    SyncDirectory,
    /// Removing the temp file.
    RemoveTemp,
    /// Looking for orphans, and removing them.
    Sweep,
    /// Handing contents to the thread of a [`Saver`](crate::Saver), or waiting for it.
    Save,
    /// Removing the journal of a batch whose files are all published.
    RemoveJournal,
    /// Recovering from a journal: reading it, and looking at what it names.
    Recover,
}

/// What went wrong, as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The path names no file: it is empty, ends in a separator, `.` or `..`, holds a NUL byte, or
    /// is longer than the file system takes. Or it is not UTF-8 and would be in a journal.
    InvalidPath,
    /// An option has a value that cannot work, for instance a prefix with a separator in it, or a
    /// backup at the target's own path.
    InvalidOption,
    /// The target is a directory, or there is one where its backup is to be.
    IsADirectory,
    /// A component of the path that should be a directory is something else, or the target of an
    /// [`AtomicDir`](crate::AtomicDir) is.
    NotADirectory,
    /// A directory on the way does not exist, or the target does not and
    /// [`Publish::Existing`](crate::Publish::Existing) asks for one.
    NotFound,
    /// There is a target and [`Publish::CreateNew`](crate::Publish::CreateNew) asks for none.
    AlreadyExists,
    /// The system denied an operation, or the link or special file at the path may be a trap
    /// ([`Symlinks::Follow`](crate::Symlinks::Follow)).
    PermissionDenied,
    /// The target is marked read-only and [`ReadOnly::Refuse`](crate::ReadOnly::Refuse) holds.
    ReadOnly,
    /// The file system is mounted read-only.
    ReadOnlyFilesystem,
    /// The target is a symlink and [`Symlinks::Refuse`](crate::Symlinks::Refuse) holds.
    Symlink,
    /// More than 40 symlinks lead from the path to the target.
    SymlinkLoop,
    /// The target is a FIFO, a device, a socket or an open descriptor, and
    /// [`SpecialFiles::Refuse`](crate::SpecialFiles::Refuse) holds; or a special file is where its
    /// backup is to be.
    SpecialFile,
    /// The target has other names and [`HardLinks::Refuse`](crate::HardLinks::Refuse) holds.
    HardLinked,
    /// The target is a mount point, for instance a single file that is bind-mounted into a
    /// container. Nothing can be renamed over it.
    MountPoint,
    /// The file system, a quota or a limit on the size of files leaves no room.
    StorageFull,
    /// Metadata that [`Preserve::Require`](crate::Preserve::Require) asks for could not be kept.
    NotPreserved,
    /// The durability that [`require_durability`](crate::Builder::require_durability) insists on
    /// cannot be had on this file system.
    DurabilityUnavailable,
    /// Somebody else holds the lock of the target, or this thread does: a wait would never end
    /// then. [`Error::lock`](crate::Error::lock) has its file and how long was waited.
    Locked,
    /// The target is not the version that was expected ([`expect`](crate::Builder::expect)):
    /// somebody has changed, replaced, removed or created it since. Or the tree that
    /// [`edit`](crate::AtomicDirBuilder::edit) copies was replaced each time before the copy was
    /// complete.
    Conflict,
    /// The call would wait for its own thread: a [`Saver`](crate::Saver) is flushed from within its
    /// callback.
    Deadlock,
    /// The batch has this target already, or it is where its journal will be
    /// ([`AtomicBatch`](crate::AtomicBatch)).
    Duplicate,
    /// There is a journal at the path, of a batch that was not completed: it is to be recovered
    /// first ([`recover`](crate::recover)).
    RecoveryNeeded,
    /// What is to be recovered from is damaged, or no journal of this version.
    InvalidJournal,
    /// What the journal says does not match what is on disk any more.
    Unrecoverable,
    /// The caller did not want to go on
    /// ([`AtomicBatch::commit_with`](crate::AtomicBatch::commit_with)).
    Cancelled,
    /// Somebody has put something else in the place of what is staged, which has not been synced:
    /// another directory ([`AtomicDir::path`](crate::AtomicDir::path)), or another file
    /// ([`AtomicWriter::staging_path`](crate::AtomicWriter::staging_path)).
    StagingReplaced,
    /// An earlier operation on the writer failed, so what is staged may be incomplete.
    Poisoned,
    /// The caller's own closure returned an error.
    Closure,
    /// The operation does not exist on this platform or for this kind of target.
    Unsupported,
    /// Any other error of the system; [`Error::io_error`](crate::Error::io_error) has it.
    Io,
}

impl ErrorKind {
    /// The kind of a plain system error.
    pub(super) fn of(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            io::ErrorKind::IsADirectory => ErrorKind::IsADirectory,
            io::ErrorKind::NotADirectory => ErrorKind::NotADirectory,
            io::ErrorKind::ReadOnlyFilesystem => ErrorKind::ReadOnlyFilesystem,
            io::ErrorKind::Unsupported => ErrorKind::Unsupported,
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => ErrorKind::StorageFull,
            _ => ErrorKind::Io,
        }
    }

    /// The nearest kind of `std::io`, for an error that no system call gave.
    pub(super) fn to_io(self) -> io::ErrorKind {
        match self {
            ErrorKind::InvalidPath | ErrorKind::InvalidOption => io::ErrorKind::InvalidInput,
            ErrorKind::IsADirectory => io::ErrorKind::IsADirectory,
            ErrorKind::NotADirectory => io::ErrorKind::NotADirectory,
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::AlreadyExists | ErrorKind::Duplicate => io::ErrorKind::AlreadyExists,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnly => io::ErrorKind::PermissionDenied,
            ErrorKind::ReadOnlyFilesystem => io::ErrorKind::ReadOnlyFilesystem,
            ErrorKind::MountPoint | ErrorKind::Locked => io::ErrorKind::ResourceBusy,
            ErrorKind::Deadlock => io::ErrorKind::Deadlock,
            ErrorKind::StorageFull => io::ErrorKind::StorageFull,
            ErrorKind::RecoveryNeeded => io::ErrorKind::AlreadyExists,
            ErrorKind::InvalidJournal => io::ErrorKind::InvalidData,
            ErrorKind::SpecialFile
            | ErrorKind::DurabilityUnavailable
            | ErrorKind::NotPreserved
            | ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::Symlink
            | ErrorKind::SymlinkLoop
            | ErrorKind::HardLinked
            | ErrorKind::Conflict
            | ErrorKind::StagingReplaced
            | ErrorKind::Poisoned
            | ErrorKind::Unrecoverable
            | ErrorKind::Cancelled
            | ErrorKind::Closure
            | ErrorKind::Io => io::ErrorKind::Other,
        }
    }
}
