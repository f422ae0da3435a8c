//! The thread of a saver, and what its handles share with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::result;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::state::{Batch, Next, Pace, State, Wake};
use crate::builder::Builder;
use crate::commit::Commit;
use crate::concurrency::version::Version;
use crate::error::{self, Error, Result, Step, TargetState};
use crate::options::Backup;

/// What is told of each commit.
pub(super) type Callback = dyn Fn(result::Result<&Commit, &Error>) + Send + Sync;

/// What the handles and the thread share.
pub(super) struct Shared {
    pub(super) path: PathBuf,
    pace: Pace,
    callback: Option<Arc<Callback>>,
    state: Mutex<State>,
    /// Wakes the thread.
    work: Condvar,
    /// Wakes those who flush.
    done: Condvar,
}

impl Shared {
    pub(super) fn new(path: PathBuf, pace: Pace, callback: Option<Arc<Callback>>) -> Self {
        let state = Mutex::new(State::default());
        Shared { path, pace, callback, state, work: Condvar::new(), done: Condvar::new() }
    }

    /// No panic happens while the lock is held, so that what it guards is always whole.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn save(&self, contents: Vec<u8>) -> Result<()> {
        let mut state = self.state();
        let earlier = state.untold();
        let (wake, superseded) = state.save(contents, Instant::now());
        drop(state);
        if wake == Wake::Needed {
            self.work.notify_one();
        }
        drop(superseded);
        earlier
    }

    pub(super) fn flush(&self) -> Result<()> {
        let mut state = self.state();
        let barrier = state.ask();
        self.work.notify_one();
        // Two commits at most: the one that is under way, and the next, which has the latest.
        loop {
            match state.passed(barrier) {
                Some(result) => return result,
                None => state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    pub(super) fn close(&self) {
        self.state().close();
        self.work.notify_one();
    }

    /// The thread: commits what is due until the saver is closed.
    pub(super) fn work(&self, mut saves: Saves) {
        while let Some(batch) = self.next() {
            let result = saves.commit(&self.path, &batch.contents, batch.ticket);
            self.tell(&result);
            let mut state = self.state();
            let superfluous = state.finish(batch, result);
            drop(state);
            self.done.notify_all();
            drop(superfluous);
        }
    }

    /// Waits for what is to be committed next; `None` at the end.
    fn next(&self) -> Option<Batch> {
        let mut state = self.state();
        // Until the saver is closed. It sleeps until something is due or somebody wakes it.
        loop {
            state = match state.next(Instant::now(), self.pace) {
                Next::Commit(batch) => return Some(batch),
                Next::End => return None,
                Next::Wait(None) => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Next::Wait(Some(left)) => {
                    let woken = self.work.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            }
        }
    }

    /// Before those who flush are woken, so that they find it told.
    fn tell(&self, result: &Result<Commit>) {
        if let Some(callback) = &self.callback {
            // The panic hook has reported it, and the next save must find the thread alive.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(result.as_ref())));
        }
    }
}

/// The commits of one saver, one after the other.
pub(super) struct Saves {
    builder: Builder,
    /// The ticket of what a commit has made visible, and what may not survive a power cut. Contents
    /// that are there already are then no reason to skip the next one: it would be told as saved,
    /// and not be.
    unproven: Option<u64>,
}

impl Saves {
    pub(super) fn new(builder: Builder) -> Self {
        Saves { builder, unproven: None }
    }

    pub(super) fn commit(&mut self, path: &Path, contents: &[u8], ticket: u64) -> Result<Commit> {
        let mut builder = self.builder.clone();
        if self.unproven.is_some() {
            builder.skip_unchanged(false);
        }
        if self.unproven == Some(ticket) && has_contents(path, contents) {
            // What it has replaced has its backup, which this would replace by these very contents.
            builder.backup(Backup::None);
        }
        let result = guarded(path, || builder.write(path, contents));
        match &result {
            Ok(_) => self.unproven = None,
            Err(error) if error.target_state() != TargetState::Untouched => {
                self.unproven = Some(ticket);
            }
            Err(_) => {}
        }
        result
    }
}

/// Whether there is a file with these contents.
fn has_contents(path: &Path, contents: &[u8]) -> bool {
    Version::with_contents_of(path).is_ok_and(|version| version.is_of_contents(contents))
}

/// A panic in a commit, from a function that the options brought along, is told as its error: the
/// thread goes on, and who waits for the commit must not wait forever.
pub(super) fn guarded(path: &Path, commit: impl FnOnce() -> Result<Commit>) -> Result<Commit> {
    catch_unwind(AssertUnwindSafe(commit)).unwrap_or_else(|payload| {
        let cause = error::panicked(&*payload);
        Err(Error::failed(Step::Save, path, cause).with_state(TargetState::Unknown))
    })
}
