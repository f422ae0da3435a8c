//! The steps of a commit up to the publish, in the order of the protocol.

use std::fs::File;

use crate::commit::{Commit, NotPreserved};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::protocol::backup::Made;
use crate::protocol::expected::Guard;
use crate::protocol::metadata::{Snapshot, permit_as_created};
use crate::protocol::publish::{Published, Unpublished};
use crate::protocol::staging::{Contents, Plan, Staged};
use crate::protocol::sync::Sealed;
use crate::protocol::target::Target;
use crate::protocol::tracking::Tracked;
use crate::protocol::{backup, expected, publish, sync, tracking};

/// What came of steps 1 and 2 of the protocol.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(crate) enum Readiness {
    Prepared(Prepared, Target),
    Unchanged(Commit),
}

/// The new contents, complete and with their metadata, but not synced.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) staged: Staged,
    /// The metadata that they were given.
    pub(crate) snapshot: Snapshot,
    pub(crate) not_preserved: Vec<NotPreserved>,
}

pub(super) fn prepare(contents: Contents, plan: Plan<'_>) -> Result<Prepared> {
    let Plan { target, options } = plan;
    let mut snapshot = match Snapshot::take(target, options) {
        Ok(snapshot) => snapshot,
        Err(error) => return Err(contents.abandon(&target.path, error)),
    };
    let staged = contents.stage(plan, &snapshot)?;
    match give_metadata(&mut snapshot, &staged, plan) {
        Ok(not_preserved) => Ok(Prepared { staged, snapshot, not_preserved }),
        Err(error) => Err(staged.temp.abandon(&target.path, error)),
    }
}

fn give_metadata(
    snapshot: &mut Snapshot,
    staged: &Staged,
    plan: Plan<'_>,
) -> Result<Vec<NotPreserved>> {
    let Plan { target, options } = plan;
    if snapshot.has_nothing_to_set(options) {
        // The file whose mode it was to have may be gone since it was staged.
        permit_as_created(&staged.temp, snapshot.creation(options), &target.path, options)?;
    }
    snapshot.apply(&staged.temp.file, &target.path, options)
}

/// What came of steps 1 to 4 of the protocol.
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(super) enum Attempt {
    Published(Done),
    Swept(File, Error, Ready),
}

pub(super) struct Done {
    pub(super) published: Published,
    pub(super) tracked: Option<Tracked>,
    pub(super) len: u64,
    pub(super) not_preserved: Vec<NotPreserved>,
    pub(super) backup: Option<Made>,
}

/// What is made once for all attempts.
#[derive(Default)]
pub(super) struct Ready {
    backup: Option<Made>,
    /// If a version is expected: what keeps those out who ask for the lock. Let go of after the
    /// backup, and taken before: whoever waits for it has no backup in the making, for which
    /// somebody may wait who has it.
    guard: Option<Guard>,
}

/// The new contents, sealed, and what the receipt says of them.
type New = (Sealed, Option<Tracked>, u64, Vec<NotPreserved>);

pub(super) fn publish_once(contents: Contents, plan: Plan<'_>, ready: Ready) -> Result<Attempt> {
    let Plan { target, options } = plan;
    let (sealed, tracked, len, not_preserved) = match seal(contents, plan) {
        Ok(new) => new,
        Err(error) => return Err(ready.undone(error)),
    };
    let ready = match ready.complete(plan) {
        Ok(ready) => ready,
        Err(error) => return Err(sealed.abandon(&target.path, error)),
    };
    let published = match (&target.expected, &ready.guard) {
        (Some(version), Some(guard)) => {
            expected::publish(version, sealed, guard, ready.backup.as_ref(), target, options)
        }
        _ => publish::publish(sealed, target.destination(), options),
    };
    match published {
        Ok(published) => {
            let backup = ready.backup;
            Ok(Attempt::Published(Done { published, tracked, len, not_preserved, backup }))
        }
        Err(Unpublished::Swept(file, error)) => Ok(Attempt::Swept(file, error, ready)),
        Err(Unpublished::Failed(error)) => Err(ready.undone(error)),
    }
}

fn seal(contents: Contents, plan: Plan<'_>) -> Result<New> {
    let Plan { target, options } = plan;
    let Prepared { staged, not_preserved, .. } = prepare(contents, plan)?;
    let len = staged.len;
    let sealed = sync::seal(staged, target, options)?;
    let (sealed, tracked) = tracking::before(sealed, target, options)?;
    Ok((sealed, tracked, len, not_preserved))
}

/// The contents for the next attempt, unless this was the last.
pub(super) fn again(
    (file, error, ready): (File, Error, Ready),
    attempts: usize,
    plan: Plan<'_>,
) -> Result<(Contents, Ready)> {
    if attempts == 0 {
        return Err(ready.undone(error));
    }
    match Contents::read_back(file, plan) {
        Ok(contents) => Ok((contents, ready)),
        Err(error) => Err(ready.undone(error)),
    }
}

impl Ready {
    /// Makes what is not there yet, and the backup anew if the target is another file by now.
    fn complete(mut self, Plan { target, options }: Plan<'_>) -> Result<Ready> {
        if let (Some(_), None) = (&target.expected, &self.guard) {
            self.guard = Some(expected::guard(target, options)?);
        }
        if let Some(backup) = self.backup.take() {
            if backup.is_of(target) {
                return Ok(Ready { backup: Some(backup), ..self });
            }
            let stale = Error::refused(ErrorKind::Io, Step::Backup, &target.path);
            let stale = backup.undo(stale);
            if stale.leftover().is_some() {
                return Err(stale);
            }
        }
        Ok(Ready { backup: backup::make(target, options)?, ..self })
    }

    fn undone(self, error: Error) -> Error {
        match self.backup {
            Some(backup) => backup.undo(error),
            None => error,
        }
    }
}
