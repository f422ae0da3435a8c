//! The steps of a commit up to the publish, in the order of the protocol.

use std::fs::File;

use crate::commit::{Commit, NotPreserved};
use crate::error::{Error, Result};
use crate::protocol::metadata::{Snapshot, permit_as_created};
use crate::protocol::publish::{Published, Unpublished};
use crate::protocol::staging::{Contents, Plan, Staged};
use crate::protocol::target::Target;
use crate::protocol::tracking::Tracked;
use crate::protocol::{expected, publish, sync, tracking};

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
pub(super) enum Attempt {
    Published(Published, Option<Tracked>, u64, Vec<NotPreserved>),
    Swept(File, Error),
}

pub(super) fn publish_once(contents: Contents, plan: Plan<'_>) -> Result<Attempt> {
    let Plan { target, options } = plan;
    let Prepared { staged, not_preserved, .. } = prepare(contents, plan)?;
    let len = staged.len;
    let sealed = sync::seal(staged, target, options)?;
    let (sealed, tracked) = tracking::before(sealed, target, options)?;
    let published = match &target.expected {
        Some(version) => expected::publish(version, sealed, target, options),
        None => publish::publish(sealed, target.destination(), options),
    };
    match published {
        Ok(published) => Ok(Attempt::Published(published, tracked, len, not_preserved)),
        Err(Unpublished::Swept(file, error)) => Ok(Attempt::Swept(file, error)),
        Err(Unpublished::Failed(error)) => Err(error),
    }
}
