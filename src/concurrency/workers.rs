//! The same work on many things, by a few threads, one of which is the caller's.

use std::io;
use std::mem;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::fault;

/// Why not everything was done.
#[derive(Debug)]
pub(crate) enum Interruption {
    /// It went wrong at the thing of this number.
    Failed(usize, io::Error),
    /// The caller did not want to go on.
    Cancelled,
}

/// Tells the other threads to stop when it is dropped: `progress` may panic, and the scope would
/// wait until they had done all the rest.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does `work` on the things numbered from 0 to `count`, on at most `threads` threads, and tells
/// `progress` how many are done, after each that the caller's own thread does. After a failure or a
/// cancellation no further one is begun.
pub(crate) fn each(
    count: usize,
    threads: usize,
    work: &(dyn Fn(usize) -> io::Result<()> + Sync),
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<(), Interruption> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stop = AtomicBool::new(false);
    let first_failure = Mutex::new(None);
    // One thing. `None` if there is nothing left to do.
    let step = || {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= count || stop.load(Ordering::Relaxed) {
            return None;
        }
        match work(index) {
            Ok(()) => Some(done.fetch_add(1, Ordering::Relaxed) + 1),
            Err(error) => {
                stop.store(true, Ordering::Relaxed);
                let mut failure = first_failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert((index, error));
                None
            }
        }
    };
    let mut cancelled = false;
    thread::scope(|scope| {
        for _ in 1..fault::most_threads(threads).min(count) {
            let worker = || while step().is_some() {};
            if thread::Builder::new().spawn_scoped(scope, worker).is_err() {
                break; // fewer do it as well
            }
        }
        let on_panic = Stop(&stop);
        // Bounded by `count`.
        while let Some(done) = step() {
            if progress(done).is_break() {
                cancelled = true;
                stop.store(true, Ordering::Relaxed);
            }
        }
        mem::forget(on_panic); // another thread may have a thing left to do
    });
    match first_failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((index, error)) => Err(Interruption::Failed(index, error)),
        None if cancelled => Err(Interruption::Cancelled),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::time::Duration;

    use super::*;

    /// Miri takes more than a minute for a thousand.
    const MANY: usize = if cfg!(miri) { 100 } else { 1000 };

    #[test]
    fn everything_is_done_once() {
        for (count, threads) in [(0, 4), (1, 4), (3, 1), (MANY, 4), (5, 100)] {
            let times: Vec<_> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            let work = |index: usize| {
                times[index].fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            let mut last = 0;
            let result = each(count, threads, &work, &mut |done| {
                assert!((1..=count).contains(&done) && done > last);
                last = done;
                ControlFlow::Continue(())
            });
            assert!(result.is_ok());
            assert!(times.iter().all(|times| times.load(Ordering::Relaxed) == 1));
        }
    }

    /// How many things are begun of `count` if the one numbered 5 fails and each after it, which
    /// can only be another thread's, takes a millisecond.
    fn begun_until_failure(count: usize, threads: usize) -> usize {
        let begun = AtomicUsize::new(0);
        let work = |index: usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            if index == 5 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if index > 5 {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        };
        let result = each(count, threads, &work, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(result, Err(Interruption::Failed(5, _))), "{result:?}");
        begun.into_inner()
    }

    #[test]
    fn nothing_more_is_begun_after_a_failure() {
        assert_eq!(begun_until_failure(1000, 1), 6);
        // A thread that has begun with the failing thing may have to wait for a processor.
        let ten_seconds = MANY * 10;
        assert!(begun_until_failure(ten_seconds, 2) < ten_seconds);
    }

    /// The caller waited until the other threads had done all the rest: seconds for many files.
    #[test]
    fn nothing_more_is_begun_after_a_panic_of_the_caller() {
        let begun = AtomicUsize::new(0);
        let work = |_| {
            begun.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(1));
            Ok(())
        };
        let ten_seconds = MANY * 10;
        let result = catch_unwind(AssertUnwindSafe(|| {
            each(ten_seconds, 2, &work, &mut |_| resume_unwind(Box::new("a panic")))
        }));
        assert!(result.is_err() && begun.into_inner() < ten_seconds);
    }

    #[test]
    fn nothing_more_is_begun_after_a_cancellation() {
        let begun = AtomicUsize::new(0);
        let work = |_| {
            begun.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        let result = each(1000, 1, &work, &mut |_| ControlFlow::Break(()));
        assert!(matches!(result, Err(Interruption::Cancelled)), "{result:?}");
        assert_eq!(begun.into_inner(), 1);
    }
}
