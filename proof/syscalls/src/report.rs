//! What a save said of itself, as the scenario program hands it on.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wholefile::{
    BatchCommit, Commit, DirCommit, Durability, Error, Outcome, Recovery, TargetState,
};

/// The step of what the caller does on its own, such as to write into a staged directory.
pub(crate) const OWN_STEP: &str = "the caller's own";

/// The receipt or the error. Kinds, steps and states by their names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What became of each target, in the order of the targets.
    pub(crate) files: Vec<FileReport>,
    /// What is said to have stayed behind.
    pub(crate) leftovers: Vec<PathBuf>,
    /// The journal that is said to be there.
    pub(crate) journal: Option<PathBuf>,
    pub(crate) end: Ending,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FileReport {
    pub(crate) path: PathBuf,
    pub(crate) state: String,
    /// The kinds of metadata that were not kept.
    pub(crate) lost: Vec<String>,
    pub(crate) backup: Option<PathBuf>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Ending {
    Ok { durability: String, sync_plan: String },
    Err { kind: String, step: String, code: Option<i32>, sentence: String },
}

impl FileReport {
    fn of(commit: &Commit) -> FileReport {
        let state = match commit.outcome() {
            Outcome::Unchanged => "Untouched",
            _ => "Replaced",
        };
        let lost = commit.not_preserved().iter().map(|lost| format!("{:?}", lost.metadata()));
        FileReport {
            path: commit.path().into(),
            state: state.into(),
            lost: lost.collect(),
            backup: commit.backup().map(PathBuf::from),
        }
    }
}

impl Report {
    pub(crate) fn of(commits: &[Commit], durability: Durability) -> Report {
        let plans: BTreeSet<String> =
            commits.iter().map(|commit| format!("{:?}", commit.sync_plan())).collect();
        Report {
            end: Ending::Ok {
                durability: format!("{durability:?}"),
                sync_plan: Vec::from_iter(plans).join(", "),
            },
            ..Report::of_files(commits.iter().map(FileReport::of).collect())
        }
    }

    /// Of a success.
    pub(crate) fn of_files(files: Vec<FileReport>) -> Report {
        let (durability, sync_plan) = ("Full".to_owned(), "Portable".to_owned());
        let end = Ending::Ok { durability, sync_plan };
        Report { files, leftovers: Vec::new(), journal: None, end }
    }
}

impl From<Error> for Report {
    fn from(error: Error) -> Report {
        let file = |(path, state): (&Path, TargetState)| FileReport {
            path: path.into(),
            state: format!("{state:?}"),
            lost: Vec::new(),
            backup: None,
        };
        Report {
            files: error.files().map(file).collect(),
            leftovers: error.leftovers().map(PathBuf::from).collect(),
            journal: error.journal().map(PathBuf::from),
            end: Ending::Err {
                kind: format!("{:?}", error.kind()),
                step: format!("{:?}", error.step()),
                code: error.io_error().and_then(io::Error::raw_os_error),
                sentence: error.to_string(),
            },
        }
    }
}

/// What went wrong in what the caller does on its own.
impl From<io::Error> for Report {
    fn from(error: io::Error) -> Report {
        let error = match error.downcast::<Error>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        let is_full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        let kind = if is_full.contains(&error.kind()) { "StorageFull" } else { "Io" };
        let (kind, step) = (kind.to_owned(), OWN_STEP.to_owned());
        let (code, sentence) = (error.raw_os_error(), error.to_string());
        Report { end: Ending::Err { kind, step, code, sentence }, ..Report::of_files(Vec::new()) }
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
    /// Of what was abandoned because of `error`.
    pub(crate) fn of_rollback(error: impl Into<Report>, rollback: Result<(), Error>) -> Report {
        let mut report = error.into();
        if let Err(error) = rollback {
            report.leftovers.extend(error.leftovers().map(PathBuf::from));
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

impl From<Result<DirCommit, Error>> for Report {
    fn from(result: Result<DirCommit, Error>) -> Report {
        let commit = match result {
            Ok(commit) => commit,
            Err(error) => return error.into(),
        };
        let lost = commit.not_preserved().iter().map(|lost| format!("{:?}", lost.metadata()));
        let (path, lost) = (commit.path().into(), lost.collect());
        let (durability, sync_plan) = (format!("{:?}", commit.durability()), "Portable".to_owned());
        Report {
            leftovers: commit.leftovers().map(PathBuf::from).collect(),
            end: Ending::Ok { durability, sync_plan },
            ..Report::of_files(vec![FileReport {
                path,
                state: "Replaced".into(),
                lost,
                backup: None,
            }])
        }
    }
}

/// A recovery says nothing of durability, but what it has recovered is durable.
impl From<Result<Recovery, Error>> for Report {
    fn from(result: Result<Recovery, Error>) -> Report {
        let file = |path: &Path| FileReport {
            path: path.into(),
            state: "Replaced".into(),
            lost: Vec::new(),
            backup: None,
        };
        match result {
            Ok(recovery) => Report::of_files(recovery.files().map(|it| file(it.0)).collect()),
            Err(error) => error.into(),
        }
    }
}

/// Of something without a target.
impl From<Result<(), Error>> for Report {
    fn from(result: Result<(), Error>) -> Report {
        result.map_or_else(Report::from, |()| Report::of_files(Vec::new()))
    }
}
