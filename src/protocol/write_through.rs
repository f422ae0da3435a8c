//! A FIFO, a device, a socket or an open descriptor cannot be replaced, only written into.

use std::fs::File;
use std::io;

use super::staging::{Contents, Plan};
use crate::commit::{Commit, Outcome};
use crate::error::{self, Error, ErrorKind, Result, Step, TargetState};
use crate::fault::Op;
use crate::options::{Durability, SyncPlan};
use crate::sys::{self, FileKind, Through};

const CHUNK_LEN: usize = 64 << 10;

/// Writes all contents into the target. What was written cannot be taken back.
pub(crate) fn commit(mut contents: Contents, plan: Plan<'_>, through: Through) -> Result<Commit> {
    let Plan { target, options } = plan;
    let failed = |step| move |error| Error::failed(step, &target.path, error);
    let file = sys::open_through(&target.directory, &target.name, through)
        .map_err(failed(Step::Publish))?;
    let info = sys::inspect(&file).map_err(failed(Step::Publish))?;
    match (info.kind, through) {
        // A regular file has taken the name since: writing into it would destroy it.
        (FileKind::File, Through::File) => {
            return Err(Error::refused(ErrorKind::SpecialFile, Step::Publish, &target.path));
        }
        // Nor may another user's FIFO have taken it.
        (_, Through::File) => {
            let is_planted = sys::may_be_planted(&target.directory, &info);
            if is_planted.map_err(failed(Step::Publish))? {
                return Err(failed(Step::Publish)(error::planted()));
            }
        }
        _ => {}
    }
    if options.require_durability {
        // Whether it can be synced at all must be known before anything is written.
        if sync(&file, plan)? < options.durability {
            let kind = ErrorKind::DurabilityUnavailable;
            return Err(Error::refused(kind, Step::SyncFile, &target.path));
        }
    }
    let len = copy(&mut contents, plan, &file)?;
    let durability = sync(&file, plan).map_err(|error| error.with_state(TargetState::Replaced))?;
    if durability == Durability::None {
        // The first and the last time that a network file system can say what it had no room for.
        sys::close(file)
            .map_err(failed(Step::Write))
            .map_err(|error| error.with_state(TargetState::Replaced))?;
    }
    let (path, not_preserved) = (target.path.clone(), Vec::new());
    let (version, version_check) = (None, None);
    Ok(Commit {
        outcome: Outcome::WrittenThrough,
        durability,
        sync_plan: SyncPlan::Portable,
        len,
        path,
        not_preserved,
        version,
        version_check,
        backup: None,
    })
}

fn copy(contents: &mut Contents, plan: Plan<'_>, to: &File) -> Result<u64> {
    let mut total = 0;
    let mut write = |bytes: &[u8]| {
        let result = sys::write_all(Op::WriteThrough, to, bytes);
        total += bytes.len() as u64;
        result.map_err(|error| {
            Error::failed(Step::Publish, &plan.target.path, error).with_state(TargetState::Unknown)
        })
    };
    let Some(from) = contents.rewind(plan)? else {
        write(contents.in_memory().unwrap_or_default())?;
        return Ok(total);
    };
    let mut chunk = vec![0; CHUNK_LEN];
    // Bounded by the length of the spooled file.
    loop {
        let len = sys::read(Op::ReadTemp, from, &mut chunk).map_err(|error| {
            Error::failed(Step::Read, &plan.target.path, error).with_state(TargetState::Unknown)
        })?;
        if len == 0 {
            return Ok(total);
        }
        write(&chunk[..len])?;
    }
}

/// The durability that a sync of the target gives: none for a FIFO or a terminal.
fn sync(file: &File, plan: Plan<'_>) -> Result<Durability> {
    let wanted = plan.options.durability;
    if wanted == Durability::None {
        return Ok(Durability::None);
    }
    match sys::sync_file(file, wanted) {
        Ok(achieved) => Ok(achieved),
        Err(error) if sys::lacks_directory_sync(&error) => Ok(Durability::None),
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(Durability::None),
        Err(error) => Err(Error::failed(Step::SyncFile, &plan.target.path, error)),
    }
}
