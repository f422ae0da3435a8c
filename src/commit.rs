//! The receipt of a commit: what was done, and how well.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

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
/// if commit.durability() < Durability::Full {
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
    /// ([`skip_unchanged`](crate::Builder::skip_unchanged)).
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
    /// It is lower where the file system cannot sync a directory, where the directory may not be
    /// read (and so not be synced). On Apple's systems it is lower where the file system has no
    /// `F_FULLFSYNC`, as some network file systems have not: [`Durability::Ordered`] if it has
    /// `F_BARRIERFSYNC`, else [`Durability::None`], since a bare fsync leaves the data in the
    /// drive's cache, to be written in any order (fsync(2) of macOS). And it is
    /// [`Durability::None`] where nothing was written at all ([`Outcome::Unchanged`]), since
    /// nothing was synced either.
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

    /// The metadata of the old file that could not be kept.
    #[must_use]
    pub fn not_preserved(&self) -> &[NotPreserved] {
        &self.not_preserved
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
