//! Does the target have these contents already?

use std::fs::File;
use std::io::{self, Read};

use super::staging::{Contents, Plan};
use super::sync;
use crate::commit::{Commit, Outcome};
use crate::error::{Error, Result, Step};
use crate::fault::Op;
use crate::options::{Durability, SyncPlan};
use crate::sys;

/// As much of each is compared at a time.
const CHUNK_LEN: usize = 64 << 10;

/// The receipt, if nothing needs to be written.
pub(crate) fn check(contents: &mut Contents, plan: Plan<'_>) -> Result<Option<Commit>> {
    let Plan { target, options } = plan;
    let Some(existing) = target.existing_file() else { return Ok(None) };
    let len = existing.info.len;
    let mode_differs = options.mode.is_some_and(|mode| mode & 0o7777 != existing.info.mode);
    let len_differs = contents.in_memory().is_some_and(|bytes| bytes.len() as u64 != len);
    if mode_differs || len_differs {
        return Ok(None);
    }
    // Whoever planted it can change it again.
    let is_planted = sys::may_be_planted(&target.directory, &existing.info)
        .map_err(|error| Error::failed(Step::Metadata, &target.path, error))?;
    if is_planted {
        return Ok(None);
    }
    // What cannot be read cannot be compared, and is replaced like anything that differs.
    let Ok(old) = sys::open_target(existing, &target.directory, &target.name) else {
        return Ok(None);
    };
    let old_bytes = FileReader(Op::ReadTarget, &old);
    let chunk_len = usize::try_from(len).unwrap_or(CHUNK_LEN).clamp(1, CHUNK_LEN);
    let same = match contents.rewind(plan)? {
        Some(new) => have_same_contents(old_bytes, FileReader(Op::ReadTemp, new), chunk_len),
        None => {
            let new = contents.in_memory().unwrap_or_default();
            have_same_contents(old_bytes, new, chunk_len)
        }
    };
    if !same.unwrap_or(false) {
        return Ok(None);
    }
    let mut durability = Durability::None;
    if options.require_durability && options.durability > Durability::None {
        // Who insists on it gets it, for the contents that are there.
        durability = sync::unchanged(&old, target, options)?;
    }
    let (path, not_preserved) = (target.path.clone(), Vec::new());
    let sync_plan = SyncPlan::Portable;
    Ok(Some(Commit {
        outcome: Outcome::Unchanged,
        durability,
        sync_plan,
        len,
        path,
        not_preserved,
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
        let (old_len, new_len) = (fill(&mut old, old_chunk)?, fill(&mut new, new_chunk)?);
        if old_chunk[..old_len] != new_chunk[..new_len] {
            return Ok(false);
        }
        if old_len < chunk_len {
            return Ok(true);
        }
    }
}

/// Reads until `chunk` is full or nothing is left.
fn fill(reader: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    // Bounded: every turn but the last reads at least one byte.
    while len < chunk.len() {
        match reader.read(&mut chunk[len..])? {
            0 => break,
            n => len += n,
        }
    }
    Ok(len)
}

/// Reads a file through the fault points.
struct FileReader<'a>(Op, &'a File);

impl Read for FileReader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        sys::read(self.0, self.1, bytes)
    }
}
