//! What one contender does in its turns. It runs in this process, or in a child that is told of it
//! in a line of JSON.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::allocations;
use crate::contenders::{self, Task, batch, tree, update};
use crate::memory;
use crate::payload::{self, Contents, Payload};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// A file that did not exist.
    Create,
    /// One file, again and again.
    Overwrite,
    /// So many files in one folder, shared out among so many threads.
    OverwriteMany { files: usize, threads: usize },
    /// So many files in one folder, while the system has so many MiB of another to write out.
    OverwriteBeside { files: usize, dirty_mib: usize },
    /// A tree of so many files, by another.
    ReplaceTree { files: usize },
    /// So many updates of one file by each of so many threads.
    Update { updates: usize, threads: usize },
}

/// What a session does, for as long as it lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) contender: String,
    pub(crate) work: Work,
    pub(crate) contents: Contents,
    pub(crate) folder: PathBuf,
}

/// What came of one turn.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) nanoseconds: u64,
    /// Of the thread that works, if that is one.
    pub(crate) allocations: u64,
    /// By how much the most memory that the process has had so far has grown meanwhile.
    pub(crate) growth_kib: u64,
}

/// A job made ready.
#[derive(Debug)]
pub(crate) struct Session {
    task: Task,
    payload: Payload,
    job: Job,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Begin,
    End,
}

impl Work {
    /// How many files, or updates, are done when it is done once.
    pub(crate) fn pieces(self) -> usize {
        match self {
            Work::Create | Work::Overwrite => 1,
            Work::OverwriteMany { files, .. }
            | Work::OverwriteBeside { files, .. }
            | Work::ReplaceTree { files } => files,
            Work::Update { updates, threads } => updates * threads,
        }
    }
}

impl Session {
    pub(crate) fn new(job: Job) -> Result<Self> {
        let task = contenders::find(&job.contender)
            .with_context(|| format!("no contender is called {}", job.contender))?;
        fs::create_dir_all(&job.folder)?;
        let payload = job.contents.prepare();
        let session = Session { task, payload, job };
        let old = session.payload.as_bytes().unwrap_or(b"old");
        match session.job.work {
            Work::Create => {}
            Work::Overwrite => fs::write(session.path(0), old)?,
            Work::Update { .. } => fs::write(session.path(0), b"0")?,
            Work::OverwriteMany { files, .. } | Work::OverwriteBeside { files, .. } => {
                // A turn in a process of its own finds what the turn before it has left.
                let paths = (0..files).map(|index| session.path(index));
                let mut missing = paths.filter(|path| !path.exists());
                missing.try_for_each(|path| fs::write(path, old))?;
            }
            Work::ReplaceTree { files } => tree::fill(&session.path(0), files, old)?,
        }
        Ok(session)
    }

    /// Does it so many times. `mark` is called right before the first and right after the last.
    pub(crate) fn turn(&mut self, times: usize, mark: impl Fn(Mark)) -> Result<Outcome> {
        let files = match self.job.work {
            Work::OverwriteMany { files, .. } | Work::OverwriteBeside { files, .. } => files,
            _ => times,
        };
        if let Work::OverwriteBeside { dirty_mib, .. } = self.job.work {
            self.make_dirty(dirty_mib)?;
        }
        let paths: Vec<PathBuf> = (0..files).map(|index| self.path(index)).collect();
        let peak = memory::peak_kib()?;
        let before = allocations::so_far();
        mark(Mark::Begin);
        let started = Instant::now();
        self.work(&paths, times).with_context(|| format!("{} failed", self.job.contender))?;
        let nanoseconds = started.elapsed().as_nanos() as u64;
        mark(Mark::End);
        let allocations = allocations::so_far() - before;
        let growth_kib = memory::peak_kib()?.saturating_sub(peak);
        match self.job.work {
            Work::Create => paths.iter().try_for_each(fs::remove_file)?,
            Work::Update { .. } => self.check_counter(times)?,
            Work::OverwriteBeside { .. } => fs::remove_file(self.dirty())?,
            Work::ReplaceTree { files } => tree::check(&self.path(0), files)?,
            Work::Overwrite | Work::OverwriteMany { .. } => {}
        }
        Ok(Outcome { nanoseconds, allocations, growth_kib })
    }

    fn work(&self, paths: &[PathBuf], times: usize) -> io::Result<()> {
        match (self.job.work, self.task) {
            (Work::Create | Work::Overwrite, Task::Save(it)) => {
                paths.iter().try_for_each(|path| (it.save)(path, &self.payload))
            }
            (Work::OverwriteMany { threads, .. }, Task::Save(it)) => {
                let save = |paths: &[PathBuf]| batch::one_by_one(it, paths, &self.payload);
                (0..times).try_for_each(|_| share_out(paths, threads, save))
            }
            (Work::OverwriteMany { threads, .. }, Task::Batch(it)) => {
                let save = |paths: &[PathBuf]| (it.save)(paths, &self.payload);
                (0..times).try_for_each(|_| share_out(paths, threads, save))
            }
            (Work::OverwriteBeside { .. }, Task::Batch(it)) => (it.save)(paths, &self.payload),
            (Work::ReplaceTree { files }, Task::Tree(it)) => {
                (0..times).try_for_each(|_| (it.replace)(&self.path(0), files, &self.payload))
            }
            (Work::Update { updates, threads }, Task::Update(it)) => {
                let path = self.path(0);
                let update =
                    |_: &[usize]| (0..updates * times).try_for_each(|_| (it.update)(&path));
                share_out(&vec![0; threads], threads, update)
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Starts the counter anew, if none of the updates was lost.
    fn check_counter(&self, times: usize) -> Result<()> {
        let counted = update::count(&fs::read(self.path(0))?)?;
        let updates = (self.job.work.pieces() * times) as u64;
        ensure!(counted == updates, "{}: {counted} of {updates}", self.job.contender);
        Ok(fs::write(self.path(0), b"0")?)
    }

    /// Writes what the system has to write out meanwhile.
    fn make_dirty(&self, mib: usize) -> Result<()> {
        let piece = payload::bytes(1 << 20);
        let mut file = fs::File::create(self.dirty())?;
        Ok((0..mib).try_for_each(|_| file.write_all(&piece))?)
    }

    fn dirty(&self) -> PathBuf {
        self.job.folder.join("dirty")
    }

    fn path(&self, index: usize) -> PathBuf {
        let folder: &Path = &self.job.folder;
        match self.job.work {
            Work::Overwrite | Work::Update { .. } => folder.join("file"),
            Work::ReplaceTree { .. } => folder.join("tree"),
            _ => folder.join(format!("file-{index}")),
        }
    }
}

/// Gives each thread its share. Where there is one, it is this one.
fn share_out<T: Sync>(
    items: &[T],
    threads: usize,
    work: impl Fn(&[T]) -> io::Result<()> + Sync,
) -> io::Result<()> {
    if threads <= 1 {
        return work(items);
    }
    let share = items.len().div_ceil(threads).max(1);
    let work = &work;
    thread::scope(|scope| {
        let started: Vec<_> =
            items.chunks(share).map(|items| scope.spawn(move || work(items))).collect();
        started.into_iter().try_for_each(|it| {
            it.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
        })
    })
}
