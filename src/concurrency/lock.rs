//! Advisory locks, held for as long as a file is open.

use std::fs::File;
use std::io;
use std::mem;

use crate::fault::Op;
use crate::sys::{self, Directory};

/// What came of asking for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The lock is held until the file is closed, in every process that has it open.
    Held,
    /// Somebody else holds it.
    Busy,
    /// The file system has no locks.
    Unavailable,
}

/// Takes the exclusive lock of `file`, without waiting.
pub(crate) fn hold(file: &File) -> io::Result<Answer> {
    // The guard borrows the lock, so a file and its guard cannot live in one struct. Forgotten, it
    // never unlocks: the system does, when the file is closed.
    answer(sys::run(Op::Lock, || sys::RwLock::new(file).try_write().map(mem::forget)))
}

/// As [`hold`], of a directory.
pub(crate) fn hold_directory(directory: &Directory) -> io::Result<Answer> {
    answer(sys::run(Op::Lock, || sys::RwLock::new(directory).try_write().map(mem::forget)))
}

/// Takes the exclusive lock of `file`, as soon as nobody else has it.
pub(crate) fn wait(file: &File) -> io::Result<Answer> {
    answer(sys::run(Op::Lock, || sys::RwLock::new(file).write().map(mem::forget)))
}

fn answer(result: io::Result<()>) -> io::Result<Answer> {
    match result {
        Ok(()) => Ok(Answer::Held),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Answer::Busy),
        Err(error) if sys::lacks_locks(&error) => Ok(Answer::Unavailable),
        Err(error) => Err(error),
    }
}
