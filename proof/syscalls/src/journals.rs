//! Batches of twenty files with a journal, and their recovery.

use std::path::Path;

use anyhow::{Context as _, Result};
use fs_err as fs;
use wholefile::{AtomicBatch, Builder, recover};

use crate::calls::Call;
use crate::groups::Group;
use crate::place::{OLD_LEN, contents, write_with_metadata};
use crate::report::Report;

/// The name of the journal.
pub(crate) const JOURNAL: &str = "batch.journal";

/// The name of what marks a staging directory as needed by a journal.
pub(crate) const MARK: &str = "journal";

/// In two directories; every third one has metadata, and every third one is not there before.
#[rustfmt::skip]
pub(crate) const TARGETS: &[&str] = &[
    "00", "sub/01", "02", "sub/03", "04", "sub/05", "06", "sub/07", "08", "sub/09",
    "10", "sub/11", "12", "sub/13", "14", "sub/15", "16", "sub/17", "18", "sub/19",
];

/// When the process died that left a journal to be recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// Once the journal was there, and before anything else.
    Declared,
    /// Halfway through the files.
    Halfway,
    /// When all files were published, and nothing was synced yet.
    Published,
    /// Before the journal was removed, the last that was there to be removed.
    Removed,
}

/// Puts what is there before into `dir`.
pub(crate) fn prepare(dir: &Path) -> Result<()> {
    fs::create_dir(dir.join("sub"))?;
    let old = contents('o', OLD_LEN);
    for (index, target) in TARGETS.iter().enumerate() {
        match index % 3 {
            0 => write_with_metadata(&dir.join(target), &old)?,
            1 => fs::write(dir.join(target), &old)?,
            _ => {}
        }
    }
    Ok(())
}

/// What the batch writes: each file has its own contents.
pub(crate) fn contents_of(target: &Path, version: char) -> Vec<u8> {
    let index = TARGETS.iter().position(|it| target.ends_with(it)).unwrap_or(TARGETS.len());
    contents(version, 400 + 8 * index)
}

fn stage(batch: &mut AtomicBatch, path: &Path, version: char) -> wholefile::Result<()> {
    batch.journal(path.with_file_name(JOURNAL))?;
    let mut targets = TARGETS.iter().map(|target| path.with_file_name(target));
    targets.try_for_each(|target| batch.write(&target, contents_of(&target, version)))
}

/// Commits new contents of all targets as one batch; the first of them is at `path`.
pub(crate) fn commit(builder: &mut Builder, path: &Path, _: &[u8]) -> Report {
    let mut batch = AtomicBatch::new();
    match stage(batch.options(builder), path, 'n') {
        Ok(()) => batch.commit().into(),
        Err(error) => Report::of_rollback(error, batch.rollback()),
    }
}

/// The next such commit.
pub(crate) fn commit_next(path: &Path) -> wholefile::Result<()> {
    let mut batch = AtomicBatch::new();
    stage(&mut batch, path, 'x')?;
    batch.commit().map(drop)
}

pub(crate) fn recover_all(_: &mut Builder, path: &Path, _: &[u8]) -> Report {
    recover(path.with_file_name(JOURNAL)).into()
}

impl Death {
    /// The number of the call of a commit at which that is.
    pub(crate) fn of(self, calls: &[Call]) -> Result<usize> {
        let names = |call: &Call, name: &str| {
            let path = call.paths.last().map(Path::new);
            path.and_then(Path::file_name) == Path::new(name).file_name()
        };
        let publishes = |name: &str| {
            calls.iter().position(|call| call.group() == Group::Publish && names(call, name))
        };
        let at = match self {
            Death::Declared => publishes(JOURNAL).map(|at| at + 1),
            Death::Halfway => publishes(TARGETS[TARGETS.len() / 2]),
            Death::Published => TARGETS.last().and_then(|last| publishes(last)).map(|at| at + 1),
            Death::Removed => calls
                .iter()
                .position(|call| call.group() == Group::RemoveTemp && names(call, JOURNAL)),
        };
        at.with_context(|| format!("a commit is never {self:?}"))
    }
}
