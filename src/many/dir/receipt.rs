//! The receipt of a tree's commit.

use std::path::{Path, PathBuf};

use crate::commit::{NotPreserved, Outcome};
use crate::options::Durability;

/// The receipt of the commit of an [`AtomicDir`](crate::AtomicDir). It tells what happened, not
/// what was asked for.
///
/// # Examples
///
/// ```
/// use wholefile::{AtomicDir, Outcome};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("site");
/// let commit = AtomicDir::builder().open(&path)?.commit()?;
/// assert_eq!(commit.outcome(), Outcome::Created);
/// assert_eq!(commit.leftover(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DirCommit {
    pub(super) outcome: Outcome,
    pub(super) durability: Durability,
    pub(super) path: PathBuf,
    pub(super) not_preserved: Vec<NotPreserved>,
    pub(super) leftovers: Vec<PathBuf>,
}

impl DirCommit {
    /// What the commit did to the target: [`Outcome::Created`] or [`Outcome::Replaced`].
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The durability that was achieved, at most the one that was asked for.
    ///
    /// Where the directory that the target is in cannot be synced, it is [`Durability::Ordered`]
    /// for a tree that is new, but [`Durability::None`] for one that replaced another and for
    /// [`Swap::Link`](crate::Swap::Link): a power cut might undo that and not the removal of the
    /// old tree. It is [`Durability::None`] too where the directories in the tree cannot be synced,
    /// since files in it might be missing after a power cut then.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// The directory that was replaced: the path as the caller gave it, with its symlinks followed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The metadata of the old tree that the new one does not have: that of its topmost directory,
    /// and after [`edit`](crate::AtomicDirBuilder::edit) of all that was copied. Each loss is
    /// listed once, however many files it concerns.
    #[must_use]
    pub fn not_preserved(&self) -> &[NotPreserved] {
        &self.not_preserved
    }

    /// The directory that stayed behind with the old tree in it, or what is left of that, if the
    /// old tree could not be removed: for instance because something in it belongs to another user.
    /// With [`Swap::Link`](crate::Swap::Link) also the old generation, if it cannot be told whether
    /// another link names it, since the directory cannot be listed.
    /// It has the name of an orphan, and a [`sweep`](crate::sweep()) tries again.
    #[must_use]
    pub fn leftover(&self) -> Option<&Path> {
        self.leftovers().next()
    }

    /// All that stayed behind. It is more than one only with [`Swap::Link`](crate::Swap::Link): the
    /// old generation and the staging directory.
    pub fn leftovers(&self) -> impl Iterator<Item = &Path> {
        self.leftovers.iter().map(PathBuf::as_path)
    }
}
