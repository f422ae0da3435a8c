//! Starting other programs, and knowing that nobody does.
//!
//! Between its fork and its exec a process has all that is open in this one, and with it every
//! lock. So what one test has just let go of may still be held, by a process that another test is
//! starting, and a sweep rightly takes it for somebody's. Whoever expects a lock to be free once
//! it was let go of has [`nobody_forks`] from before it takes the first one to the last sweep: then
//! no process has a copy. Every program is started by [`spawn`], [`status`] or [`output`]
//! (`tests/tidy` sees to that).

use std::cell::Cell;
use std::io;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{RwLock, RwLockReadGuard};

/// Held for writing while a process starts.
static FORKS: RwLock<()> = RwLock::new(());

thread_local! {
    static IS_FORBIDDEN: Cell<bool> = const { Cell::new(false) };
}

/// As long as it lives, no process starts. A test that has it must start none itself.
#[must_use = "dropped, it lets processes start again"]
pub(crate) struct NobodyForks {
    _guard: RwLockReadGuard<'static, ()>,
}

/// Waits until no process is starting, and lets none start.
#[track_caller]
pub(crate) fn nobody_forks() -> NobodyForks {
    forbid();
    NobodyForks { _guard: FORKS.read().unwrap() }
}

/// Says so rather than wait for oneself.
#[track_caller]
fn forbid() {
    assert!(!IS_FORBIDDEN.replace(true), "this test sees to it that nobody forks");
}

impl Drop for NobodyForks {
    fn drop(&mut self) {
        IS_FORBIDDEN.set(false);
    }
}

/// As [`Command::spawn`], which returns once the child has become the program, or failed to.
#[track_caller]
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    assert!(!IS_FORBIDDEN.get(), "this test sees to it that nobody forks");
    let _alone = FORKS.write().unwrap();
    command.spawn()
}

/// As [`Command::status`].
#[track_caller]
pub(crate) fn status(command: &mut Command) -> io::Result<ExitStatus> {
    spawn(command)?.wait()
}

/// As [`Command::output`], where neither stdout nor stderr is to go elsewhere.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> io::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn(command)?.wait_with_output()
}
