//! One contender's turn: so many saves of one kind, timed as a whole. It runs in this process, or
//! in a child that is told of it in a line of JSON.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::allocations;
use crate::contenders::{self, Contender};
use crate::memory;
use crate::payload::{Contents, Payload};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Nothing, to see what a process costs by itself.
    Idle,
    /// Files that did not exist.
    Create,
    /// One file, again and again.
    Overwrite,
}

/// What a session does, for as long as it lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) contender: String,
    pub(crate) work: Work,
    pub(crate) contents: Contents,
    /// For this job alone.
    pub(crate) folder: PathBuf,
}

/// What came of one turn.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) nanoseconds: u64,
    pub(crate) allocations: u64,
    /// The most memory that the process has had since it began.
    pub(crate) peak_kib: u64,
}

/// A job made ready.
pub(crate) struct Session {
    contender: &'static Contender,
    payload: Payload,
    job: Job,
}

impl Session {
    pub(crate) fn new(job: Job) -> Result<Self> {
        let contender = contenders::find(&job.contender)
            .with_context(|| format!("no contender is called {}", job.contender))?;
        fs::create_dir_all(&job.folder)?;
        let payload = job.contents.prepare();
        let session = Session { contender, payload, job };
        if session.job.work == Work::Overwrite {
            let old = session.payload.as_bytes().unwrap_or(b"old");
            fs::write(session.path(0), old)?;
        }
        Ok(session)
    }

    /// Saves so many times. `mark` is called right before the first and right after the last.
    pub(crate) fn turn(&mut self, times: usize, mark: impl Fn(Mark)) -> Result<Outcome> {
        let paths: Vec<PathBuf> = (0..times).map(|index| self.path(index)).collect();
        let before = allocations::so_far();
        mark(Mark::Begin);
        let started = Instant::now();
        if self.job.work != Work::Idle {
            for path in &paths {
                (self.contender.save)(path, &self.payload)
                    .with_context(|| format!("{} failed", self.contender.name))?;
            }
        }
        let nanoseconds = started.elapsed().as_nanos() as u64;
        mark(Mark::End);
        let allocations = allocations::so_far() - before;
        if self.job.work == Work::Create {
            paths.iter().try_for_each(fs::remove_file)?;
        }
        Ok(Outcome { nanoseconds, allocations, peak_kib: memory::peak_kib()? })
    }

    fn path(&self, index: usize) -> PathBuf {
        match self.job.work {
            Work::Create | Work::Idle => self.job.folder.join(format!("file-{index}")),
            Work::Overwrite => self.job.folder.join("file"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Begin,
    End,
}
