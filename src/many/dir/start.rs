//! What a staged tree starts from: nothing, or a copy of the tree that is there.

use std::path::Path;

use super::current::Current;
use super::staged::{MODE, Staged};
use super::{Copying, Swap};
use crate::commit::NotPreserved;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::options::Options;
use crate::protocol::target::Target;

/// As often as this may others replace the tree while it is copied.
const MAX_TURNS: usize = 8;

/// What a tree starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Empty,
    Copy(Copying),
}

/// A staged tree, and what its copies could not keep.
pub(super) type Started = (Staged, Vec<NotPreserved>);

/// Stages a tree beside `target`.
pub(super) fn stage(
    target: &mut Target,
    swap: Swap,
    options: &Options,
    start: Start,
) -> Result<Started> {
    let mut current = Current::of(target, swap, options)?;
    let copying = match start {
        Start::Empty => return stage_empty(target, current.as_ref(), options),
        Start::Copy(copying) => copying,
    };
    for _ in 0..MAX_TURNS {
        let Some(from) = current else {
            if target.existing.is_some() {
                // A link that dangles, perhaps since another writer has just switched it.
                return Err(Error::refused(ErrorKind::NotFound, Step::Resolve, &target.path));
            }
            return stage_empty(target, None, options);
        };
        let mut staged = create(target, Some(&from), options)?;
        let copied = from.copy_to(&mut staged, target, copying, options);
        // Whoever replaces a tree removes it next, so that half of it may have been gone already.
        current = match Current::look_again(target, swap, options) {
            Ok(Some(now)) if now.is(&from) => return keep_if_copied(staged, copied),
            Ok(now) => now,
            Err(error) => return Err(staged.abandon(copied.err().unwrap_or(error))),
        };
        staged.roll_back(&target.path)?;
    }
    Err(Error::refused(ErrorKind::Conflict, Step::Read, &target.path))
}

fn stage_empty(target: &Target, current: Option<&Current>, options: &Options) -> Result<Started> {
    let mut staged = create(target, current, options)?;
    let dressed = match current {
        Some(current) => current.dress(&mut staged, target, options),
        None => Ok(()),
    };
    keep_if_copied(staged, dressed.map(|()| Vec::new()))
}

fn create(target: &Target, current: Option<&Current>, options: &Options) -> Result<Staged> {
    let folder = target.path.parent().unwrap_or(Path::new(""));
    let mode = current.map_or(MODE, |current| current.mode_meanwhile(options));
    Staged::create(&target.directory, folder, options, mode)
        .map_err(|not_made| not_made.into_error(&target.path, folder))
}

fn keep_if_copied(staged: Staged, copied: Result<Vec<NotPreserved>>) -> Result<Started> {
    match copied {
        Ok(lost) => Ok((staged, lost)),
        Err(error) => Err(staged.abandon(error)),
    }
}
