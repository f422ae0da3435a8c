//! The steps of a commit up to the publish, in the order of the protocol.

use std::fs::File;

use crate::commit::{Commit, NotPreserved};
use crate::concurrency::version::Version;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::protocol::backup::Made;
use crate::protocol::expected::Guard;
use crate::protocol::metadata::{Snapshot, permit_as_created};
use crate::protocol::publish::{Published, Unpublished};
use crate::protocol::staging::{Contents, Plan, Staged};
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
    Swept(File, Error),
}

pub(super) struct Done {
    pub(super) published: Published,
    pub(super) tracked: Option<Tracked>,
    pub(super) len: u64,
    pub(super) not_preserved: Vec<NotPreserved>,
    pub(super) backup: Option<Made>,
}

pub(super) fn publish_once(contents: Contents, plan: Plan<'_>) -> Result<Attempt> {
    let Plan { target, options } = plan;
    let Prepared { staged, not_preserved, .. } = prepare(contents, plan)?;
    let len = staged.len;
    let sealed = sync::seal(staged, target, options)?;
    let (sealed, tracked) = tracking::before(sealed, target, options)?;
    let expected = match guarded(target, options) {
        Ok(expected) => expected,
        Err(error) => return Err(sealed.abandon(&target.path, error)),
    };
    let backup = match backup::make(target, options) {
        Ok(backup) => backup,
        Err(error) => return Err(sealed.abandon(&target.path, error)),
    };
    let published = match &expected {
        Some((version, guard)) => {
            expected::publish(version, sealed, guard, backup.as_ref(), target, options)
        }
        None => publish::publish(sealed, target.destination(), options),
    };
    match published {
        Ok(published) => {
            Ok(Attempt::Published(Done { published, tracked, len, not_preserved, backup }))
        }
        // The next attempt makes it anew.
        Err(Unpublished::Swept(file, error)) => match undone(backup, error) {
            error if error.leftover().is_none() => Ok(Attempt::Swept(file, error)),
            error => Err(error),
        },
        Err(Unpublished::Failed(error)) => Err(undone(backup, error)),
    }
}

/// The version that is expected, if one is, and what keeps those out who ask for the lock. Whoever
/// waits for it has no backup in the making, for which somebody may wait who has it.
fn guarded<'a>(target: &'a Target, options: &Options) -> Result<Option<(&'a Version, Guard)>> {
    let Some(version) = &target.expected else { return Ok(None) };
    expected::guard(target, options).map(|guard| Some((version, guard)))
}

fn undone(backup: Option<Made>, error: Error) -> Error {
    match backup {
        Some(backup) => backup.undo(error),
        None => error,
    }
}
