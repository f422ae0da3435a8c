//! Does the target have these contents already?

use std::fs::File;
use std::io::{self, Read};

use super::staging::{Contents, Plan};
use super::sync;
use crate::commit::{Commit, Outcome};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::fault::Op;
use crate::options::{Durability, SyncPlan};
use crate::sys::{self, Existing};

/// As much of each is compared at a time.
const CHUNK_LEN: usize = 64 << 10;

/// The receipt, if the target has the new contents and nothing needs to be written.
pub(crate) fn check(contents: &mut Contents, plan: Plan<'_>) -> Result<Option<Commit>> {
    let target = plan.target;
    let Some(existing) = candidate(plan)? else { return Ok(None) };
    let len = existing.info.len;
    if contents.in_memory().is_some_and(|bytes| bytes.len() as u64 != len) {
        return Ok(None);
    }
    // What cannot be read cannot be compared, and is replaced like anything that differs.
    let Ok(old) = sys::open_target(existing, &target.directory, &target.name) else {
        return Ok(None);
    };
    let old_bytes = sys::Reader(Op::ReadTarget, &old);
    let chunk_len = usize::try_from(len).unwrap_or(CHUNK_LEN).clamp(1, CHUNK_LEN);
    let same = match contents.rewind(plan)? {
        Some(new) => have_same_contents(old_bytes, sys::Reader(Op::ReadTemp, new), chunk_len),
        None => {
            let new = contents.in_memory().unwrap_or_default();
            have_same_contents(old_bytes, new, chunk_len)
        }
    };
    match same.unwrap_or(false) {
        true => receipt(plan, existing, Some(old)),
        false => Ok(None),
    }
}

/// The receipt of an update that made the same bytes of those that it was given, unless something
/// else about the target is to change.
pub(crate) fn check_update(plan: Plan<'_>) -> Result<Option<Commit>> {
    match candidate(plan)? {
        Some(existing) => receipt(plan, existing, None),
        None => Ok(None),
    }
}

/// The target, if it may stay should its contents be the new ones.
fn candidate(plan: Plan<'_>) -> Result<Option<&Existing>> {
    let Plan { target, options } = plan;
    let Some(existing) = target.existing_file() else { return Ok(None) };
    if options.mode.is_some_and(|mode| mode & 0o7777 != existing.info.mode) {
        return Ok(None);
    }
    // Whoever planted it can change it again.
    let is_planted = sys::may_be_planted(&target.directory, &existing.info)
        .map_err(|error| Error::failed(Step::Metadata, &target.path, error))?;
    Ok((!is_planted).then_some(existing))
}

/// `None` if another file bears the name by now.
fn receipt(plan: Plan<'_>, existing: &Existing, old: Option<File>) -> Result<Option<Commit>> {
    let Plan { target, options } = plan;
    let (directory, name) = (&target.directory, &target.name);
    let failed = |error| Error::failed(Step::Read, &target.path, error);
    if let Some(version) = &target.expected {
        if !version.has_contents_of(existing, directory, name).map_err(failed)? {
            return Err(Error::refused(ErrorKind::Conflict, Step::Read, &target.path));
        }
    }
    let mut durability = Durability::None;
    if options.require_durability && options.durability > Durability::None {
        // Who insists on it gets it, for the contents that are there.
        let old = match old {
            Some(old) => old,
            None => match sys::open_target(existing, directory, name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                old => old.map_err(failed)?,
            },
        };
        durability = sync::unchanged(&old, target, options)?;
    }
    Ok(Some(Commit {
        outcome: Outcome::Unchanged,
        durability,
        sync_plan: SyncPlan::Portable,
        len: existing.info.len,
        path: target.path.clone(),
        not_preserved: Vec::new(),
        version: None,
        version_check: None,
        backup: None,
    }))
}

fn have_same_contents(
    mut old: impl Read,
    mut new: impl Read,
    chunk_len: usize,
) -> io::Result<bool> {
    let mut chunks = [vec![0; chunk_len], vec![0; chunk_len]];
    let [old_chunk, new_chunk] = &mut chunks;
    // Bounded by the shorter of the two.
    loop {
        let (old_len, new_len) = (sys::fill(&mut old, old_chunk)?, sys::fill(&mut new, new_chunk)?);
        if old_chunk[..old_len] != new_chunk[..new_len] {
            return Ok(false);
        }
        if old_len < chunk_len {
            return Ok(true);
        }
    }
}
