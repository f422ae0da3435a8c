//! How a file is replaced on Windows: one way after another, with waits in between.
//!
//! Nothing here calls the system, so that every system can test it: the calls are a [`Calls`], and
//! the error codes are plain numbers (winerror.h).

use std::time::Duration;

use crate::options::{InUse, ReadOnly};

/// A system error code.
pub(crate) type Code = u32;

pub(crate) mod code {
    use super::Code;

    pub(crate) const INVALID_FUNCTION: Code = 1;
    pub(crate) const FILE_NOT_FOUND: Code = 2;
    pub(crate) const ACCESS_DENIED: Code = 5;
    pub(crate) const SHARING_VIOLATION: Code = 32;
    pub(crate) const LOCK_VIOLATION: Code = 33;
    pub(crate) const NOT_SUPPORTED: Code = 50;
    pub(crate) const INVALID_PARAMETER: Code = 87;
    pub(crate) const CALL_NOT_IMPLEMENTED: Code = 120;
    pub(crate) const INVALID_LEVEL: Code = 124;
    pub(crate) const DELETE_PENDING: Code = 303;
    pub(crate) const UNABLE_TO_REMOVE_REPLACED: Code = 1175;
    pub(crate) const UNABLE_TO_MOVE_REPLACEMENT: Code = 1176;
    pub(crate) const UNABLE_TO_MOVE_REPLACEMENT_2: Code = 1177;
    pub(crate) const USER_MAPPED_FILE: Code = 1224;
}

/// A way of giving the staged file the target's name, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rung {
    /// FileRenameInfoEx with POSIX semantics: atomic, and over a file that others have open too, if
    /// they share it for deletion. NTFS since Windows 10 1607.
    PosixRename,
    /// MoveFileExW: atomic, but not over a file that anybody has open.
    MoveFile,
    /// ReplaceFileW moves the target aside first, so that for a moment there is none; a reader that
    /// asks then is told so. That is why it comes last and only for those who accept it.
    ReplaceFile,
    /// MoveFileExW without the flag to replace.
    MoveNew,
}

/// What an error code says about a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This system or file system does not have it.
    Lacking,
    /// Somebody may have one of the files open.
    Denied,
    /// The target is under the backup's name, and nothing under its own.
    Displaced,
    Failed,
}

/// What stands in the way of a rename that was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Somebody has it open, or it is about to be gone.
    Passing,
    /// It will be denied the next time too.
    Lasting,
}

/// What is known about the files of a rename that was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The target's attributes, for which no right to the file is needed.
    pub(crate) target: Result<Attributes, Code>,
    /// Whether the target could be opened for deletion, as a rename over it does.
    pub(crate) delete_target: Result<(), Code>,
    /// Whether the staged file could be opened for deletion, as a rename of it does.
    pub(crate) delete_staged: Result<(), Code>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) directory: bool,
    pub(crate) read_only: bool,
}

/// The calls of the system that the ladder needs.
pub(crate) trait Calls {
    fn attempt(&mut self, rung: Rung) -> Result<(), Code>;
    fn facts(&mut self) -> Facts;
    /// Waits. The implementation shortens it at random, by no more than a half.
    fn pause(&mut self, longest: Duration);
    /// Gives the target, which is under the backup's name, its own name back.
    fn put_back(&mut self) -> Result<(), Code>;
    /// Removes the backup.
    fn remove_backup(&mut self) -> Result<(), Code>;
}

/// Why the staged file does not have the target's name, or not only that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing has changed.
    Untouched(Code),
    /// The old file is under the backup's name, and nothing under the target's.
    Stranded(Code),
    /// The target is replaced, but the old file is still there under the backup's name.
    BackupStays(Code),
}

/// In total, a denied rename is tried for at most so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// Long enough not to be a burden, short enough to find the moment between two readers.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause after so many earlier ones, `None` once they add up to [`PATIENCE`].
pub(crate) fn pause_after(pauses: u32) -> Option<Duration> {
    let pause = |n: u32| FIRST_PAUSE.saturating_mul(1 << n.min(16)).min(LONGEST_PAUSE);
    let spent: Duration = (0..pauses).map(pause).sum();
    (spent < PATIENCE).then(|| pause(pauses))
}

/// What `code` means when it comes from `rung`.
pub(crate) fn verdict(rung: Rung, code: Code) -> Verdict {
    match (rung, code) {
        (
            Rung::PosixRename,
            code::INVALID_FUNCTION
            | code::NOT_SUPPORTED
            | code::INVALID_PARAMETER
            | code::CALL_NOT_IMPLEMENTED
            | code::INVALID_LEVEL,
        ) => Verdict::Lacking,
        (
            _,
            code::ACCESS_DENIED
            | code::SHARING_VIOLATION
            | code::LOCK_VIOLATION
            | code::DELETE_PENDING
            | code::USER_MAPPED_FILE,
        ) => Verdict::Denied,
        // Both files still have their names, since there is a backup name.
        (Rung::ReplaceFile, code::UNABLE_TO_REMOVE_REPLACED | code::UNABLE_TO_MOVE_REPLACEMENT) => {
            Verdict::Denied
        }
        (Rung::ReplaceFile, code::UNABLE_TO_MOVE_REPLACEMENT_2) => Verdict::Displaced,
        _ => Verdict::Failed,
    }
}

/// What stands in the way, as far as the facts tell.
pub(crate) fn obstacle(facts: Facts, read_only: ReadOnly) -> Obstacle {
    // A file that is about to be deleted denies everything, even a look.
    let Ok(target) = facts.target else {
        return match facts.delete_staged {
            Err(code::ACCESS_DENIED) => Obstacle::Lasting,
            _ => Obstacle::Passing,
        };
    };
    let marked = target.read_only && read_only == ReadOnly::Refuse;
    let denied = [facts.delete_target, facts.delete_staged].contains(&Err(code::ACCESS_DENIED));
    if target.directory || marked || denied { Obstacle::Lasting } else { Obstacle::Passing }
}

/// Makes the staged file the target.
pub(crate) fn replace(
    calls: &mut impl Calls,
    read_only: ReadOnly,
    in_use: InUse,
) -> Result<(), Failure> {
    let error = match climb(calls, Rung::PosixRename, read_only) {
        Err((Rung::PosixRename, Verdict::Lacking, _)) => {
            match climb(calls, Rung::MoveFile, read_only) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            }
        }
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    match (error, in_use) {
        ((Rung::MoveFile, Verdict::Denied, _), InUse::TwoSteps) => in_two_steps(calls, read_only),
        ((_, _, code), _) => Err(Failure::Untouched(code)),
    }
}

/// Gives the staged file the target's name, unless something has it.
pub(crate) fn create(calls: &mut impl Calls) -> Result<(), Code> {
    climb(calls, Rung::MoveNew, ReadOnly::Refuse).map_err(|(_, _, code)| code)
}

/// Tries one rung until it works, is known not to, or patience is at its end.
fn climb(
    calls: &mut impl Calls,
    rung: Rung,
    read_only: ReadOnly,
) -> Result<(), (Rung, Verdict, Code)> {
    // Bounded: the pauses add up to PATIENCE.
    for pauses in 0.. {
        let Err(code) = calls.attempt(rung) else { break };
        let verdict = verdict(rung, code);
        if verdict != Verdict::Denied {
            return Err((rung, verdict, code));
        }
        if obstacle(calls.facts(), read_only) == Obstacle::Lasting {
            return Err((rung, Verdict::Failed, code));
        }
        match pause_after(pauses) {
            Some(pause) => calls.pause(pause),
            None => return Err((rung, verdict, code)),
        }
    }
    Ok(())
}

fn in_two_steps(calls: &mut impl Calls, read_only: ReadOnly) -> Result<(), Failure> {
    match climb(calls, Rung::ReplaceFile, read_only) {
        Ok(()) => calls.remove_backup().map_err(Failure::BackupStays),
        Err((_, Verdict::Displaced, code)) => match calls.put_back() {
            Ok(()) => Err(Failure::Untouched(code)),
            Err(_) => Err(Failure::Stranded(code)),
        },
        Err((_, _, code)) => Err(Failure::Untouched(code)),
    }
}

#[cfg(test)]
mod tests;
