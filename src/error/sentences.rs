//! Every sentence that the crate can say.
//!
//! An operation and a path, to follow "failed to"; the cause is in the source, or else named here.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;

use super::{Details, ErrorKind, Step, TargetState};

/// The cause of a [`ErrorKind::PermissionDenied`] that the crate itself decides on.
pub(crate) fn planted() -> io::Error {
    let reason = "another user may have put it there, in a directory that everybody may write to";
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

/// Why a backup cannot have the name that it is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoBackup {
    Keep,
    Suffix,
    Target,
    Reserved,
}

/// The cause of an [`ErrorKind::InvalidOption`] about the backup.
pub(crate) fn no_backup(reason: NoBackup) -> io::Error {
    let reason = match reason {
        NoBackup::Keep => "no backup at all is to be kept",
        NoBackup::Suffix => "the suffix of the backup cannot be the end of a name",
        NoBackup::Target => "the backup would be the target itself",
        NoBackup::Reserved => "the backup would have the name of a temp file or of a lock",
    };
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// The cause of an error where something else than a file is where a backup is to be.
pub(crate) fn no_place_for_backup(path: &Path, kind: io::ErrorKind) -> io::Error {
    let what = match kind {
        io::ErrorKind::IsADirectory => "a directory",
        _ => "a FIFO, a device or a socket",
    };
    io::Error::new(kind, format!("`{}`, where the backup is to be, is {what}", path.display()))
}

/// The cause of an error where there are too many numbered backups at once.
pub(crate) fn no_free_number() -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, "no number is free for one more backup")
}

/// The cause of a [`ErrorKind::Unsupported`] in a process that was forked from a saver's.
pub(crate) fn forked() -> io::Error {
    let reason = "the thread that saves stayed in the process that this one was forked from";
    io::Error::new(io::ErrorKind::Unsupported, reason)
}

/// The cause of an [`ErrorKind::InvalidPath`] that a journal cannot hold.
pub(crate) fn not_text() -> io::Error {
    let reason = "it is not UTF-8, and a journal holds text";
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// The cause of an error where a staged file is not as long as what was written to it.
pub(crate) fn not_whole() -> io::Error {
    let reason = "the staged file is not as long as what was written to it";
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// The cause of an [`ErrorKind::InvalidOption`] where a batch has files before its journal.
pub(crate) fn late_journal() -> io::Error {
    let reason = "the batch has files already, which a journal must come before";
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// The cause of an [`ErrorKind::InvalidJournal`].
pub(crate) fn invalid_journal(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Why a file cannot be recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    Moved,
    Replaced,
    Gone,
    Changed,
    Directory,
    Displaced,
    Exists,
    Alike,
    Missing,
}

impl Obstacle {
    /// What the target is.
    pub(crate) fn state(self) -> TargetState {
        match self {
            Obstacle::Moved
            | Obstacle::Replaced
            | Obstacle::Gone
            | Obstacle::Changed
            | Obstacle::Alike => TargetState::Unknown,
            Obstacle::Displaced => TargetState::Replaced,
            Obstacle::Directory | Obstacle::Exists | Obstacle::Missing => TargetState::Untouched,
        }
    }
}

/// The cause of an [`ErrorKind::Unrecoverable`]: what stands in the way of the file at `path`, and
/// of so many others.
pub(crate) fn obstacle(path: &Path, obstacle: Obstacle, others: usize) -> io::Error {
    let reason = match obstacle {
        Obstacle::Moved => "its directory is not where it was",
        // As sshfs does.
        Obstacle::Replaced => {
            "its directory, or the one that it was staged in, is not where it was, or the file \
             system has numbered it anew"
        }
        Obstacle::Gone => "its new contents are not staged any more, nor published",
        Obstacle::Changed => "somebody has replaced or changed it since",
        Obstacle::Directory => "it is a directory",
        Obstacle::Displaced => {
            "a directory that it has displaced is where it was staged, and is to be put elsewhere"
        }
        Obstacle::Exists => "it exists, and was to be created",
        Obstacle::Alike => "it exists, and nobody can tell whether it is what was to be created",
        Obstacle::Missing => "it does not exist, and was to be replaced",
    };
    let path = path.display();
    io::Error::other(match others {
        0 => format!("`{path}`: {reason}"),
        _ => format!("`{path}`: {reason}; and {others} more of its files are not as they were"),
    })
}

/// The cause of an [`ErrorKind::Unrecoverable`] where a journal names a directory that no batch has
/// staged files in for it.
pub(crate) fn foreign_stage(path: &Path) -> io::Error {
    let reason = "it is not the staging directory of this journal";
    io::Error::other(format!("`{}`: {reason}", path.display()))
}

/// The cause of an error where a directory has no path that a journal could have.
pub(crate) fn not_to_be_found_again() -> io::Error {
    let reason = "its path does not lead to it, so that nothing in it could be recovered";
    io::Error::new(io::ErrorKind::NotFound, reason)
}

/// The cause of an error where a commit panicked.
pub(crate) fn panicked(payload: &(dyn Any + Send)) -> io::Error {
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(message), _) => message,
        (_, Some(message)) => message.as_str(),
        _ => "without a message",
    };
    io::Error::other(format!("a panic: {message}"))
}

/// The cause of a [`ErrorKind::IsADirectory`] where a link is to be switched.
pub(crate) fn no_link() -> io::Error {
    let reason = "it is no link, and only a link can be switched to another directory";
    io::Error::new(io::ErrorKind::IsADirectory, reason)
}

impl ErrorKind {
    /// Why, in words, for an error that has no source to say it.
    pub(super) fn reason(self) -> &'static str {
        match self {
            ErrorKind::InvalidPath => "the path names no file",
            ErrorKind::InvalidOption => {
                "the temp file's prefix or suffix cannot be part of a name, or the expected \
                 version contradicts another option"
            }
            ErrorKind::IsADirectory => "it is a directory",
            ErrorKind::NotADirectory => "it, or a part of its path, is not a directory",
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
            ErrorKind::Locked => "its lock is held",
            ErrorKind::Conflict => "it is not the version that was expected",
            ErrorKind::Deadlock => "the call would wait for its own thread",
            ErrorKind::Duplicate => "the batch has it already, or it is its journal",
            ErrorKind::Cancelled => "it was cancelled",
            ErrorKind::RecoveryNeeded => "a batch is to be recovered from this journal first",
            ErrorKind::InvalidJournal => "it is not a journal",
            ErrorKind::Unrecoverable => "what it says does not match what is there",
            ErrorKind::StagingReplaced => {
                "something else is in the place of what was staged, and has not been synced"
            }
            ErrorKind::Poisoned => "an earlier operation on the writer failed",
            ErrorKind::Closure => "the closure that writes the contents failed",
            ErrorKind::Unsupported => "this is not supported here",
            ErrorKind::Io => "the system reported an error",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Resolve => "resolve",
            Step::CreateParents => "create the directories that lead to",
            Step::Lock => "lock",
            Step::CreateTemp => "create a temp file for",
            Step::Reserve => "reserve space for",
            Step::Write => "write the new contents of",
            Step::Read => "read the contents of",
            Step::Metadata => "set the metadata of the new",
            Step::SyncFile => "sync the new contents of",
            Step::Backup => "back up",
            Step::Publish => "publish",
            Step::SyncDirectory => "sync the directory of",
            Step::RemoveTemp => "remove the temp file of",
            Step::Sweep => "sweep",
            Step::Save => "save",
            Step::RemoveJournal => "remove the journal",
            Step::Recover => "recover by",
        })
    }
}

/// The reason, unless the source gives it: a cause is named once, in the chain or in the sentence.
pub(super) struct Reason<'a>(pub(super) &'a Details);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names_more_than_its_source = matches!(
            self.0.kind,
            ErrorKind::MountPoint
                | ErrorKind::NotPreserved
                | ErrorKind::DurabilityUnavailable
                | ErrorKind::Conflict
                | ErrorKind::Poisoned
                | ErrorKind::Closure
        );
        if self.0.source.is_none() || names_more_than_its_source {
            write!(f, ": {}", self.0.kind.reason())?;
        }
        if let Some((path, waited)) = &self.0.lock {
            write!(f, " (`{}`, waited for {waited:.1?})", path.display())?;
        }
        Ok(())
    }
}

/// What the failure left on disk, where that is not simply the old file.
pub(super) struct Aftermath<'a>(pub(super) &'a Details);

impl fmt::Display for Aftermath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.state {
            TargetState::Untouched => {}
            // What was not synced, and failed to be written when it was closed.
            TargetState::Replaced if self.0.step == Step::Write => {
                f.write_str("; the new contents are in place, and may be incomplete")?;
            }
            // Only an earlier backup could not be removed.
            TargetState::Replaced if self.0.step == Step::Backup => {
                f.write_str("; the new contents and the backup are in place")?;
            }
            TargetState::Replaced => {
                f.write_str("; the new contents are in place, their durability is not proven")?;
            }
            TargetState::Unknown => f.write_str("; it may have the old or the new contents")?,
            TargetState::Displaced => f.write_str("; it has lost its name")?,
        }
        if !self.0.files.is_empty() {
            let is_new = |state: &TargetState| *state == TargetState::Replaced;
            let new = self.0.files.iter().filter(|(_, state)| is_new(state)).count();
            write!(f, "; {new} of the {} files of the batch are new", self.0.files.len())?;
        }
        if let Some(path) = self.0.journal.as_ref().filter(|path| **path != self.0.path) {
            write!(f, "; it can be recovered from the journal `{}`", path.display())?;
        }
        match &*self.0.leftovers {
            [] => Ok(()),
            [path, ..] if self.0.has_displaced() => {
                write!(f, "; the old contents are in `{}`", path.display())
            }
            paths if self.0.has_backups => write_backups(f, paths),
            [path] => write!(f, "; the temp file `{}` stayed behind", path.display()),
            [first, others @ ..] => {
                write!(f, "; the temp files `{}`", first.display())?;
                others.iter().try_for_each(|path| write!(f, ", `{}`", path.display()))?;
                f.write_str(" stayed behind")
            }
        }
    }
}

fn write_backups(f: &mut fmt::Formatter<'_>, paths: &[std::path::PathBuf]) -> fmt::Result {
    let paths: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    write!(f, "; {} stayed behind", paths.join(", "))
}
