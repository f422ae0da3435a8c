//! What a saver knows: what is unsaved and since when, and what came of the last commit.
//!
//! Neither a clock nor a lock nor a thread is in here, so that every order of events can be tried.
//! Each `save` has a ticket, which counts up. The latest contents stand for all earlier ones: once
//! ticket 7 is on disk, so are 1 to 6.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::commit::Commit;
use crate::error::{Error, Result};

/// How long is waited for more before a commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Since the latest save.
    pub(super) debounce: Duration,
    /// Since the first save that is not on disk.
    pub(super) max_delay: Duration,
}

/// Nothing here can be printed: the contents may be a secret, and a log is no place for them.
#[derive(Default)]
pub(super) struct State {
    unsaved: Option<Unsaved>,
    /// The ticket of the latest save.
    handed_over: u64,
    /// The ticket up to which everything is on disk.
    saved: u64,
    /// How many commits failed.
    failures: u64,
    /// The last commit's failure, if it failed.
    failure: Option<Failure>,
    last_commit: Option<Arc<Commit>>,
    is_closing: bool,
    /// Whether the commit that is under way began after the saver was closed.
    is_last: bool,
}

/// The latest contents, while they are neither on disk nor in the hands of the thread.
struct Unsaved {
    batch: Batch,
    due: Due,
}

/// What one commit saves.
pub(super) struct Batch {
    pub(super) contents: Vec<u8>,
    pub(super) ticket: u64,
}

/// When unsaved contents are to be committed.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// As the pace says.
    Paced { first: Instant, latest: Instant },
    /// At once: somebody waits.
    Now,
    /// The commit failed, and nobody has asked for another one.
    WhenAsked,
}

struct Failure {
    ticket: u64,
    error: Error,
    /// Whether a caller has been given the error.
    is_told: bool,
}

/// What the thread does next.
pub(super) enum Next {
    Commit(Batch),
    /// For so long, or until it is woken.
    Wait(Option<Duration>),
    End,
}

/// What a flush waits for: a commit of `ticket`, or a failure of one after the first `failures`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Barrier {
    ticket: u64,
    failures: u64,
}

/// Whether the thread, which may be asleep, must look at the clock anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Needed,
    NotNeeded,
}

impl Pace {
    /// `None` if it is never due by itself.
    fn deadline(self, first: Instant, latest: Instant) -> Option<Instant> {
        let (quiet, late) = (latest.checked_add(self.debounce), first.checked_add(self.max_delay));
        match (quiet, late) {
            (Some(quiet), Some(late)) => Some(quiet.min(late)),
            (quiet, late) => quiet.or(late),
        }
    }
}

impl State {
    /// Takes new contents. What they supersede comes back, to be freed without the lock.
    pub(super) fn save(&mut self, contents: Vec<u8>, now: Instant) -> (Wake, Option<Batch>) {
        self.handed_over += 1;
        let batch = Batch { contents, ticket: self.handed_over };
        let (due, wake) = match self.unsaved.as_ref().map(|unsaved| unsaved.due) {
            // The thread is awake, or wakes at a deadline that is no later than the new one.
            Some(Due::Paced { first, .. }) => (Due::Paced { first, latest: now }, Wake::NotNeeded),
            Some(Due::Now) => (Due::Now, Wake::NotNeeded),
            Some(Due::WhenAsked) | None => (Due::Paced { first: now, latest: now }, Wake::Needed),
        };
        let superseded = self.unsaved.replace(Unsaved { batch, due });
        (wake, superseded.map(|unsaved| unsaved.batch))
    }

    /// Asks for everything to be committed at once.
    pub(super) fn ask(&mut self) -> Barrier {
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.due = Due::Now;
        }
        Barrier { ticket: self.handed_over, failures: self.failures }
    }

    /// Asks for the last commit.
    pub(super) fn close(&mut self) {
        self.ask();
        self.is_closing = true;
    }

    pub(super) fn next(&mut self, now: Instant, pace: Pace) -> Next {
        let due = match &self.unsaved {
            Some(unsaved) => unsaved.due,
            None if self.is_closing => return Next::End,
            None => return Next::Wait(None),
        };
        let left = match due {
            Due::Now => Some(Duration::ZERO),
            Due::WhenAsked if self.is_closing => return Next::End,
            Due::WhenAsked => None,
            Due::Paced { first, latest } => {
                pace.deadline(first, latest).map(|deadline| deadline.saturating_duration_since(now))
            }
        };
        if left != Some(Duration::ZERO) {
            return Next::Wait(left);
        }
        match self.unsaved.take() {
            Some(unsaved) => {
                self.is_last = self.is_closing;
                Next::Commit(unsaved.batch)
            }
            None => Next::Wait(None),
        }
    }

    /// What came of a commit. Contents that it did not save are kept, unless there are newer ones;
    /// those that are not needed any more come back, to be freed without the lock.
    pub(super) fn finish(&mut self, batch: Batch, result: Result<Commit>) -> Option<Batch> {
        match result {
            Ok(commit) => {
                self.saved = batch.ticket;
                self.failure = None;
                self.last_commit = Some(Arc::new(commit));
                Some(batch)
            }
            Err(error) => {
                self.failures += 1;
                self.failure = Some(Failure { ticket: batch.ticket, error, is_told: false });
                if self.unsaved.is_some() {
                    return Some(batch);
                }
                // Whoever closed the saver meanwhile asks for one more.
                let is_asked = self.is_closing && !self.is_last;
                let due = if is_asked { Due::Now } else { Due::WhenAsked };
                self.unsaved = Some(Unsaved { batch, due });
                None
            }
        }
    }

    /// The error of the last commit, if no caller was told.
    pub(super) fn untold(&mut self) -> Result<()> {
        match &mut self.failure {
            Some(failure) if !failure.is_told => {
                failure.is_told = true;
                Err(failure.error.again())
            }
            _ => Ok(()),
        }
    }

    /// What a flush that waits at `barrier` is told; `None` as long as it must wait.
    pub(super) fn passed(&mut self, barrier: Barrier) -> Option<Result<()>> {
        if self.saved >= barrier.ticket {
            return Some(Ok(()));
        }
        match &mut self.failure {
            Some(failure)
                if self.failures > barrier.failures && failure.ticket >= barrier.ticket =>
            {
                failure.is_told = true;
                Some(Err(failure.error.again()))
            }
            _ => None,
        }
    }

    pub(super) fn last_commit(&self) -> Option<Arc<Commit>> {
        self.last_commit.clone()
    }
}
