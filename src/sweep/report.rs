//! What a sweep has found.

use std::path::PathBuf;

use crate::error::Error;

/// What a [`Sweeper`](crate::Sweeper) found, by what became of it.
#[derive(Debug, Default)]
pub struct Sweep {
    pub(super) removed: Vec<PathBuf>,
    pub(super) alive: Vec<PathBuf>,
    pub(super) young: Vec<PathBuf>,
    pub(super) unknown: Vec<PathBuf>,
    pub(super) kept: Vec<PathBuf>,
    pub(super) errors: Vec<Error>,
}

impl Sweep {
    /// The orphans that were removed, or would have been.
    #[must_use]
    pub fn removed(&self) -> &[PathBuf] {
        &self.removed
    }

    /// The files that were kept because their writer is alive.
    #[must_use]
    pub fn alive(&self) -> &[PathBuf] {
        &self.alive
    }

    /// The orphans that were kept because they are younger than
    /// [`Sweeper::min_age`](crate::Sweeper::min_age).
    #[must_use]
    pub fn young(&self) -> &[PathBuf] {
        &self.young
    }

    /// The files that were kept because it cannot be told whether their writer is alive: there are
    /// no locks on this file system or platform.
    #[must_use]
    pub fn unknown(&self) -> &[PathBuf] {
        &self.unknown
    }

    /// The staging directories that were kept although their writer is dead, because they are
    /// needed to recover what it had begun to publish.
    #[must_use]
    pub fn kept(&self) -> &[PathBuf] {
        &self.kept
    }

    /// What could not be looked at or removed, each with its path.
    #[must_use]
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }
}
