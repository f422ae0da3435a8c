//! The receipt of a commit: what was done, and how well.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::concurrency::version::Version;
use crate::options::{Durability, Metadata, SyncPlan};

/// The receipt of a commit. It tells what happened, not what was asked for.
///
/// # Examples
///
/// ```
/// use wholefile::{Durability, Outcome, atomic_write};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("settings.toml");
/// let commit = atomic_write(&path, "theme = 'dark'")?;
/// assert_eq!(commit.outcome(), Outcome::Created);
/// assert_eq!(commit.len(), 14);
/// if commit.outcome() != Outcome::Unchanged && commit.durability() < Durability::Full {
///     eprintln!("saved, but this file system cannot promise that it survives a power cut");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Commit {
    pub(crate) outcome: Outcome,
    pub(crate) durability: Durability,
    pub(crate) sync_plan: SyncPlan,
    pub(crate) len: u64,
    pub(crate) path: PathBuf,
    pub(crate) not_preserved: Vec<NotPreserved>,
    pub(crate) version: Option<Version>,
    pub(crate) version_check: Option<VersionCheck>,
    pub(crate) backup: Option<PathBuf>,
}

/// How a commit made sure that it replaced the version that was expected
/// ([`expect`](crate::Builder::expect)) and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VersionCheck {
    /// In the step that published: the two files were exchanged, and what was displaced was the
    /// version that was expected; or none was expected, and the file was given a name that was
    /// free. Whoever changed the target at any moment before would have been noticed.
    Atomic,
    /// By a look at the target right before the rename, under the lock: who asks for the lock could
    /// not come in between, others could. That is so where the system or the file system cannot
    /// exchange two files.
    UnderLock,
}

impl fmt::Display for VersionCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            VersionCheck::Atomic => "atomic",
            VersionCheck::UnderLock => "under lock",
        })
    }
}

/// What a commit did to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// There was no target; now there is one.
    Created,
    /// The target was replaced. Whether there was one is as seen right before it was published.
    Replaced,
    /// The target had these contents already, and nothing was written
    /// ([`skip_unchanged`](crate::Builder::skip_unchanged), [`update`](crate::Builder::update)).
    Unchanged,
    /// The contents were written into a FIFO, a device or an open descriptor
    /// ([`SpecialFiles::WriteThrough`](crate::SpecialFiles::WriteThrough)).
    WrittenThrough,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Outcome::Created => "created",
            Outcome::Replaced => "replaced",
            Outcome::Unchanged => "unchanged",
            Outcome::WrittenThrough => "written through",
        })
    }
}

/// Metadata of the old file that the new one does not have.
#[derive(Debug)]
pub struct NotPreserved {
    pub(crate) metadata: Metadata,
    pub(crate) xattr: Option<OsString>,
    pub(crate) cause: io::ErrorKind,
}

impl Commit {
    /// What the commit did to the target.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The durability that was achieved, at most the one that was asked for.
    ///
    /// It is lower where the file system cannot sync a directory, or where the directory may not be
    /// read (and so not be synced). On Apple's systems it is lower where the file system has no
    /// `F_FULLFSYNC`, as some network file systems have not: [`Durability::Ordered`] if it has
    /// `F_BARRIERFSYNC`, else [`Durability::None`], since a bare fsync leaves the data in the
    /// drive's cache, to be written in any order (fsync(2) of macOS). And it is
    /// [`Durability::None`] where nothing was written at all ([`Outcome::Unchanged`]), since
    /// nothing was synced either, unless
    /// [`require_durability`](crate::Builder::require_durability) asks for it.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// How the durability was achieved: [`SyncPlan::Fewest`] only if it was asked for and the file
    /// system is known to allow it.
    #[must_use]
    pub fn sync_plan(&self) -> SyncPlan {
        self.sync_plan
    }

    /// The length of the published contents in bytes.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a receipt is not a container")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The file that was replaced: the path as the caller gave it, with its symlinks followed. It
    /// is relative if the caller's path was.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the old file is now, if [`backup`](crate::Builder::backup) asked for it and there was
    /// one that was replaced: beside [`path`](Commit::path), or at the path that was given.
    #[must_use]
    pub fn backup(&self) -> Option<&Path> {
        self.backup.as_deref()
    }

    /// The metadata of the old file that could not be kept.
    #[must_use]
    pub fn not_preserved(&self) -> &[NotPreserved] {
        &self.not_preserved
    }

    /// The version that was published, if [`tracking`](crate::Builder::tracking) asked for it, so
    /// that the next save can [`expect`](crate::Builder::expect) it. What others did to the file
    /// since, even right after it was published, is no part of it. `None` for
    /// [`Outcome::WrittenThrough`].
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// How it was made sure that the target was the version that was expected. `None` where none
    /// was, and for [`Outcome::Unchanged`].
    #[must_use]
    pub fn version_check(&self) -> Option<VersionCheck> {
        self.version_check
    }
}

impl NotPreserved {
    /// The kind of metadata.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        self.metadata
    }

    /// The name of the extended attribute, for [`Metadata::Xattrs`]. `None` if not even their
    /// names could be read.
    #[must_use]
    pub fn xattr(&self) -> Option<&OsStr> {
        self.xattr.as_deref()
    }

    /// Why the system did not let it be kept.
    #[must_use]
    pub fn cause(&self) -> io::ErrorKind {
        self.cause
    }
}

/// For instance `owner: permission denied`, or `xattr security.capability: operation not
/// permitted`.
impl fmt::Display for NotPreserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.xattr {
            Some(xattr) => write!(f, "xattr {}: {}", xattr.to_string_lossy(), self.cause),
            None => write!(f, "{}: {}", self.metadata, self.cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shown: impl fmt::Display, expected: &str) {
        assert_eq!(shown.to_string(), expected);
    }

    #[test]
    fn what_is_on_a_receipt_can_be_shown() {
        check(Outcome::Created, "created");
        check(Outcome::Replaced, "replaced");
        check(Outcome::Unchanged, "unchanged");
        check(Outcome::WrittenThrough, "written through");
        check(VersionCheck::Atomic, "atomic");
        check(VersionCheck::UnderLock, "under lock");
        check(Durability::Full, "full");
        check(Durability::Ordered, "ordered");
        check(Durability::None, "none");
        check(SyncPlan::Portable, "portable");
        check(SyncPlan::Fewest, "fewest");
        assert_eq!(format!("{:>8}|{:<8}", Outcome::Created, SyncPlan::Fewest), " created|fewest  ");

        let lost = |metadata, xattr: Option<&str>| {
            let cause = io::ErrorKind::PermissionDenied;
            NotPreserved { metadata, xattr: xattr.map(OsString::from), cause }
        };
        check(lost(Metadata::Owner, None), "owner: permission denied");
        check(lost(Metadata::Mode, None), "mode: permission denied");
        check(lost(Metadata::Times, None), "times: permission denied");
        check(lost(Metadata::Xattrs, None), "xattrs: permission denied");
        check(lost(Metadata::Xattrs, Some("user.a")), "xattr user.a: permission denied");
    }
}
