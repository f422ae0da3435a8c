//! What a batch tells: how far its commit has come, and what it did.

use crate::commit::{Commit, Outcome};
use crate::error::Step;
use crate::options::Durability;

/// How far the commit of a batch has come.
#[derive(Clone, Debug)]
pub struct Progress {
    pub(super) step: Step,
    pub(super) files: usize,
    pub(super) files_done: usize,
    pub(super) bytes: u64,
    pub(super) bytes_done: u64,
}

impl Progress {
    /// What is being done: [`Step::SyncFile`] for all files, then [`Step::Publish`] unless all of
    /// them have their contents already.
    #[must_use]
    pub fn step(&self) -> Step {
        self.step
    }

    /// How many files the batch has.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files
    }

    /// With how many of them this step is done.
    #[must_use]
    pub fn files_done(&self) -> usize {
        self.files_done
    }

    /// How many bytes the files have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// With how many of them this step is done: about, while files are synced by several threads.
    #[must_use]
    pub fn bytes_done(&self) -> u64 {
        self.bytes_done
    }
}

/// The receipt of the commit of a batch.
#[derive(Debug)]
pub struct BatchCommit {
    pub(super) commits: Vec<Commit>,
}

impl BatchCommit {
    /// The receipt for each file, in the order in which they were added.
    #[must_use]
    pub fn commits(&self) -> &[Commit] {
        &self.commits
    }

    /// The receipt for each file, in the order in which they were added.
    #[must_use]
    pub fn into_commits(self) -> Vec<Commit> {
        self.commits
    }

    /// The durability that was achieved for every file: the lowest of them. Files that had these
    /// contents already ([`Outcome::Unchanged`](crate::Outcome::Unchanged)) do not count, and where
    /// there are no others, it is [`Durability::Full`].
    #[must_use]
    pub fn durability(&self) -> Durability {
        let written = self.commits.iter().filter(|it| it.outcome() != Outcome::Unchanged);
        written.map(Commit::durability).min().unwrap_or(Durability::Full)
    }
}
