//! What a save said of itself, as the scenario program hands it on.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wholefile::{Commit, Error};

/// The receipt or the error. Kinds, steps and states by their names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    Ok {
        outcome: String,
        durability: String,
        sync_plan: String,
        /// The kinds of metadata that were not kept.
        lost: Vec<String>,
    },
    Err {
        kind: String,
        step: String,
        state: String,
        leftover: Option<PathBuf>,
        code: Option<i32>,
        sentence: String,
    },
}

impl From<Result<Commit, Error>> for Report {
    fn from(result: Result<Commit, Error>) -> Report {
        match result {
            Ok(commit) => Report::Ok {
                outcome: format!("{:?}", commit.outcome()),
                durability: format!("{:?}", commit.durability()),
                sync_plan: format!("{:?}", commit.sync_plan()),
                lost: commit
                    .not_preserved()
                    .iter()
                    .map(|lost| format!("{:?}", lost.metadata()))
                    .collect(),
            },
            Err(error) => Report::Err {
                kind: format!("{:?}", error.kind()),
                step: format!("{:?}", error.step()),
                state: format!("{:?}", error.target_state()),
                leftover: error.leftover().map(PathBuf::from),
                code: error.io_error().and_then(io::Error::raw_os_error),
                sentence: error.to_string(),
            },
        }
    }
}
