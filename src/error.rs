//! Every sentence that the crate can say when something goes wrong.
//!
//! An [`Error`] is opaque and answers the questions that a caller has: what kind of failure, at
//! which step, what became of the target, and did anything stay behind. The other modules build one
//! through [`Error::refused`] (the crate says no) or [`Error::failed`] (the system said no).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file could not be replaced, and what became of it.
///
/// [`target_state`](Error::target_state) answers the question that matters most after a failed
/// save: is the old file still there, or are the new contents already visible?
///
/// # Examples
///
/// ```
/// use wholefile::{ErrorKind, TargetState, atomic_write};
///
/// let error = atomic_write("/no/such/directory/settings.toml", "a = 1").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(error.target_state(), TargetState::Untouched);
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Details>);

#[derive(Debug, thiserror::Error)]
#[error("failed to {step} `{}`{}{}", path.display(), Reason(self), Aftermath(self))]
struct Details {
    kind: ErrorKind,
    step: Step,
    path: PathBuf,
    state: TargetState,
    leftover: Option<PathBuf>,
    source: Option<io::Error>,
}

/// What became of the target when an [`Error`] was returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TargetState {
    /// The target is as it was: the old contents, or nothing where there was nothing.
    Untouched,
    /// The new contents are visible under the target's name, but it is not proven that they would
    /// survive a power cut.
    Replaced,
    /// It is not known whether the target has the old or the new contents. Where the target is
    /// replaced atomically, it is one of the two, whole; a special file that was written through
    /// ([`SpecialFiles::WriteThrough`](crate::SpecialFiles::WriteThrough)) may have taken a part.
    Unknown,
}

/// The step of a save at which an [`Error`] occurred, in the order of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Checking the options and the path, opening the directory, following links, applying the
    /// policies to what is there.
    Resolve,
    /// Creating the directories that lead to the target.
    CreateParents,
    /// Creating the temp file.
    CreateTemp,
    /// Reserving space for the new contents.
    Reserve,
    /// Taking the new contents: a write, a seek, a change of length, or the caller's own closure.
    Write,
    /// Reading the staged contents back.
    Read,
    /// Giving the staged file the owner, mode, ACL, xattrs and times that it should have.
    Metadata,
    /// Syncing the staged file.
    SyncFile,
    /// Making the staged file the target.
    Publish,
    /// Syncing the target's directory and the directories that were created.
    SyncDirectory,
    /// Removing the temp file.
    RemoveTemp,
}

/// What went wrong, as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The path names no file: it is empty, ends in a separator, `.` or `..`, holds a NUL byte, or
    /// is longer than the file system takes.
    InvalidPath,
    /// An option has a value that cannot work, for instance a prefix with a separator in it.
    InvalidOption,
    /// The target is a directory.
    IsADirectory,
    /// A component of the path that should be a directory is something else.
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
    /// [`SpecialFiles::Refuse`](crate::SpecialFiles::Refuse) holds.
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
    /// An earlier operation on the writer failed, so what is staged may be incomplete.
    Poisoned,
    /// The caller's own closure returned an error.
    Closure,
    /// The operation does not exist on this platform or for this kind of target.
    Unsupported,
    /// Any other error of the system; [`Error::io_error`] has it.
    Io,
}

impl Error {
    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The step at which it went wrong.
    #[must_use]
    pub fn step(&self) -> Step {
        self.0.step
    }

    /// The path that was to be replaced: as the caller gave it, with its symlinks followed once
    /// they have been.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What became of the target.
    #[must_use]
    pub fn target_state(&self) -> TargetState {
        self.0.state
    }

    /// The temp file that stayed behind, if one did because removing it failed as well.
    #[must_use]
    pub fn leftover(&self) -> Option<&Path> {
        self.0.leftover.as_deref()
    }

    /// The system's own error, if there was one. It is also the
    /// [`source`](std::error::Error::source).
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        self.0.source.as_ref()
    }

    /// The crate says no: a policy, an option or a check.
    pub(crate) fn refused(kind: ErrorKind, step: Step, path: &Path) -> Self {
        Error::new(kind, step, path, None)
    }

    /// The system said no.
    pub(crate) fn failed(step: Step, path: &Path, source: io::Error) -> Self {
        let kind = match (source.kind(), step) {
            (io::ErrorKind::ResourceBusy, Step::Publish) => ErrorKind::MountPoint,
            (kind, _) => ErrorKind::of(kind),
        };
        Error::new(kind, step, path, Some(source))
    }

    fn new(kind: ErrorKind, step: Step, path: &Path, source: Option<io::Error>) -> Self {
        let path = path.to_path_buf();
        let state = TargetState::Untouched;
        Error(Box::new(Details { kind, step, path, state, leftover: None, source }))
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(crate) fn with_state(mut self, state: TargetState) -> Self {
        self.0.state = state;
        self
    }

    pub(crate) fn with_leftover(mut self, leftover: Option<PathBuf>) -> Self {
        self.0.leftover = leftover.or(self.0.leftover.take());
        self
    }
}

impl ErrorKind {
    /// The kind of a plain system error.
    fn of(kind: io::ErrorKind) -> Self {
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
    fn to_io(self) -> io::ErrorKind {
        match self {
            ErrorKind::InvalidPath | ErrorKind::InvalidOption => io::ErrorKind::InvalidInput,
            ErrorKind::IsADirectory => io::ErrorKind::IsADirectory,
            ErrorKind::NotADirectory => io::ErrorKind::NotADirectory,
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnly => io::ErrorKind::PermissionDenied,
            ErrorKind::ReadOnlyFilesystem => io::ErrorKind::ReadOnlyFilesystem,
            ErrorKind::MountPoint => io::ErrorKind::ResourceBusy,
            ErrorKind::StorageFull => io::ErrorKind::StorageFull,
            ErrorKind::SpecialFile
            | ErrorKind::DurabilityUnavailable
            | ErrorKind::NotPreserved
            | ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::Symlink
            | ErrorKind::SymlinkLoop
            | ErrorKind::HardLinked
            | ErrorKind::Poisoned
            | ErrorKind::Closure
            | ErrorKind::Io => io::ErrorKind::Other,
        }
    }

    /// Why, in words, for an error that has no source to say it.
    fn reason(self) -> &'static str {
        match self {
            ErrorKind::InvalidPath => "the path names no file",
            ErrorKind::InvalidOption => "the temp file's prefix or suffix cannot be part of a name",
            ErrorKind::IsADirectory => "it is a directory",
            ErrorKind::NotADirectory => "a part of the path is not a directory",
            ErrorKind::NotFound => "it does not exist",
            ErrorKind::AlreadyExists => "it exists already",
            ErrorKind::PermissionDenied => "permission denied",
            ErrorKind::ReadOnly => "it is marked read-only",
            ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only",
            ErrorKind::Symlink => "it is a symlink",
            ErrorKind::SymlinkLoop => "too many symlinks lead to it",
            ErrorKind::SpecialFile => "it is a FIFO, a device, a socket or an open descriptor",
            ErrorKind::HardLinked => "it has other hard links",
            ErrorKind::MountPoint => "it is a mount point",
            ErrorKind::StorageFull => "there is not enough space",
            ErrorKind::NotPreserved => "metadata that must be kept cannot be kept",
            ErrorKind::DurabilityUnavailable => "the required durability cannot be had here",
            ErrorKind::Poisoned => "an earlier operation on the writer failed",
            ErrorKind::Closure => "the closure that writes the contents failed",
            ErrorKind::Unsupported => "this is not supported here",
            ErrorKind::Io => "the system reported an error",
        }
    }
}

/// The cause of a [`ErrorKind::PermissionDenied`] that the crate itself decides on.
pub(crate) fn planted() -> io::Error {
    let reason = "another user may have put it there, in a directory that everybody may write to";
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Resolve => "resolve",
            Step::CreateParents => "create the directories that lead to",
            Step::CreateTemp => "create a temp file for",
            Step::Reserve => "reserve space for",
            Step::Write => "write the new contents of",
            Step::Read => "read the staged contents of",
            Step::Metadata => "set the metadata of the new",
            Step::SyncFile => "sync the new contents of",
            Step::Publish => "publish",
            Step::SyncDirectory => "sync the directory of",
            Step::RemoveTemp => "remove the temp file of",
        })
    }
}

/// The reason, unless the source gives it: a cause is named once, in the chain or in the sentence.
struct Reason<'a>(&'a Details);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names_more_than_its_source = matches!(
            self.0.kind,
            ErrorKind::MountPoint
                | ErrorKind::NotPreserved
                | ErrorKind::DurabilityUnavailable
                | ErrorKind::Poisoned
                | ErrorKind::Closure
        );
        if self.0.source.is_none() || names_more_than_its_source {
            write!(f, ": {}", self.0.kind.reason())?;
        }
        Ok(())
    }
}

/// What the failure left on disk, where that is not simply the old file.
struct Aftermath<'a>(&'a Details);

impl fmt::Display for Aftermath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.state {
            TargetState::Untouched => {}
            TargetState::Replaced => {
                f.write_str("; the new contents are in place, their durability is not proven")?;
            }
            TargetState::Unknown => f.write_str("; it may have the old or the new contents")?,
        }
        match &self.0.leftover {
            Some(path) => write!(f, "; the temp file `{}` stayed behind", path.display()),
            None => Ok(()),
        }
    }
}

/// Keeps the kind of the underlying system error (or the nearest one) and the whole sentence; the
/// [`Error`] itself is inside, to be had with [`io::Error::get_ref`] or a downcast.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error.0.source {
            Some(source) => source.kind(),
            None => error.0.kind.to_io(),
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: Error, sentence: &str, kind: io::ErrorKind) {
        assert_eq!(error.to_string(), sentence);
        let io_error = io::Error::from(error);
        assert_eq!(io_error.kind(), kind);
        assert_eq!(io_error.to_string(), sentence);
    }

    #[test]
    fn a_sentence_names_operation_path_reason_and_aftermath() {
        let path = Path::new("/etc/app.toml");
        check(
            Error::refused(ErrorKind::HardLinked, Step::Resolve, path),
            "failed to resolve `/etc/app.toml`: it has other hard links",
            io::ErrorKind::Other,
        );
        check(
            Error::failed(Step::Write, path, io::ErrorKind::QuotaExceeded.into()),
            "failed to write the new contents of `/etc/app.toml`",
            io::ErrorKind::QuotaExceeded,
        );
        check(
            Error::failed(Step::SyncDirectory, path, io::ErrorKind::TimedOut.into())
                .with_state(TargetState::Replaced)
                .with_leftover(Some("/etc/.t".into())),
            "failed to sync the directory of `/etc/app.toml`; the new contents are in place, \
             their durability is not proven; the temp file `/etc/.t` stayed behind",
            io::ErrorKind::TimedOut,
        );
    }
}
