//! What a save said of itself, as the scenario program hands it on.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wholefile::{BatchCommit, Commit, Durability, Error, Outcome, TargetState};

/// The receipt or the error. Kinds, steps and states by their names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What became of each target, in the order of the targets.
    pub(crate) files: Vec<FileReport>,
    pub(crate) end: Ending,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FileReport {
    pub(crate) path: PathBuf,
    pub(crate) state: String,
    /// The kinds of metadata that were not kept.
    pub(crate) lost: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Ending {
    Ok {
        durability: String,
        sync_plan: String,
    },
    Err {
        kind: String,
        step: String,
        /// What is said to have stayed behind.
        leftovers: Vec<PathBuf>,
        code: Option<i32>,
        sentence: String,
    },
}

impl FileReport {
    fn of(commit: &Commit) -> FileReport {
        let state = match commit.outcome() {
            Outcome::Unchanged => "Untouched",
            _ => "Replaced",
        };
        let lost = commit.not_preserved().iter().map(|lost| format!("{:?}", lost.metadata()));
        FileReport { path: commit.path().into(), state: state.into(), lost: lost.collect() }
    }
}

impl Report {
    pub(crate) fn of(commits: &[Commit], durability: Durability) -> Report {
        let plans: BTreeSet<String> =
            commits.iter().map(|commit| format!("{:?}", commit.sync_plan())).collect();
        Report {
            files: commits.iter().map(FileReport::of).collect(),
            end: Ending::Ok {
                durability: format!("{durability:?}"),
                sync_plan: Vec::from_iter(plans).join(", "),
            },
        }
    }
}

impl From<Error> for Report {
    fn from(error: Error) -> Report {
        let file = |(path, state): (&Path, TargetState)| FileReport {
            path: path.into(),
            state: format!("{state:?}"),
            lost: Vec::new(),
        };
        Report {
            files: error.files().map(file).collect(),
            end: Ending::Err {
                kind: format!("{:?}", error.kind()),
                step: format!("{:?}", error.step()),
                leftovers: error.leftover().map(PathBuf::from).into_iter().collect(),
                code: error.io_error().and_then(io::Error::raw_os_error),
                sentence: error.to_string(),
            },
        }
    }
}

impl From<Result<Commit, Error>> for Report {
    fn from(result: Result<Commit, Error>) -> Report {
        match result {
            Ok(commit) => Report::of(std::slice::from_ref(&commit), commit.durability()),
            Err(error) => error.into(),
        }
    }
}

impl Report {
    /// Of a batch that was abandoned because of `error`.
    pub(crate) fn of_rollback(error: Error, rollback: Result<(), Error>) -> Report {
        let mut report = Report::from(error);
        if let (Err(error), Ending::Err { leftovers, .. }) = (rollback, &mut report.end) {
            leftovers.extend(error.leftover().map(PathBuf::from));
        }
        report
    }
}

impl From<Result<BatchCommit, Error>> for Report {
    fn from(result: Result<BatchCommit, Error>) -> Report {
        match result {
            Ok(commit) => Report::of(commit.commits(), commit.durability()),
            Err(error) => error.into(),
        }
    }
}
