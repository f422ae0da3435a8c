//! Many files at once.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{self, CWD};
use wholefile::{AtomicBatch, AtomicWriter, SyncPlan};

use super::bare::{self, DIRECTORY, TEMP};
use super::{Contender, EVERYTHING, NOTHING, Survives, parent_and_name};
use crate::payload::Payload;

/// One way to save many files, all of which are durable once it returns.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) name: &'static str,
    pub(crate) survives: Survives,
    pub(crate) keeps: &'static str,
    pub(crate) save: fn(&[PathBuf], &Payload) -> io::Result<()>,
}

pub(crate) const OURS: &str = "wholefile, batch";
pub(crate) const OURS_FEWEST: &str = "wholefile, batch with the fewest flushes";
pub(crate) const OURS_JOURNALLED: &str = "wholefile, batch with a journal";
pub(crate) const BARE_SYNCFS: &str = "bare system calls, no metadata, one syncfs";

pub(crate) const ALL: &[Batch] = &[
    Batch { name: OURS, survives: Survives::Full, keeps: EVERYTHING, save: ours },
    Batch { name: OURS_FEWEST, survives: Survives::Full, keeps: EVERYTHING, save: ours_fewest },
    Batch {
        name: OURS_JOURNALLED,
        survives: Survives::Full,
        keeps: "owner, mode, xattrs; recoverable as one",
        save: ours_journalled,
    },
    Batch { name: BARE_SYNCFS, survives: Survives::Full, keeps: NOTHING, save: one_syncfs },
];

fn ours(paths: &[PathBuf], payload: &Payload) -> io::Result<()> {
    commit(AtomicBatch::new(), paths, payload)
}

fn ours_fewest(paths: &[PathBuf], payload: &Payload) -> io::Result<()> {
    let mut batch = AtomicBatch::new();
    batch.options(AtomicWriter::builder().sync_plan(SyncPlan::Fewest));
    commit(batch, paths, payload)
}

fn ours_journalled(paths: &[PathBuf], payload: &Payload) -> io::Result<()> {
    let Some(first) = paths.first() else { return Ok(()) };
    let mut batch = AtomicBatch::new();
    batch.journal(first.with_extension("journal"))?;
    commit(batch, paths, payload)
}

fn commit(batch: AtomicBatch, paths: &[PathBuf], payload: &Payload) -> io::Result<()> {
    let bytes = payload.as_bytes().ok_or(io::ErrorKind::Unsupported)?;
    for path in paths {
        batch.write(path, bytes)?;
    }
    batch.commit()?;
    Ok(())
}

/// Stages all, waits for the whole file system, renames all, syncs the directory.
fn one_syncfs(paths: &[PathBuf], payload: &Payload) -> io::Result<()> {
    let Some(first) = paths.first() else { return Ok(()) };
    let (parent, _) = parent_and_name(first)?;
    let directory = fs::openat(CWD, parent, DIRECTORY, fs::Mode::empty())?;
    let mut staged = Vec::with_capacity(paths.len());
    for _ in paths {
        let name = bare::temp_name();
        let mode = fs::Mode::from_raw_mode(0o666);
        payload.write_to(&mut File::from(fs::openat(&directory, &name, TEMP, mode)?))?;
        staged.push(name);
    }
    fs::syncfs(&directory)?;
    for (staged, path) in staged.iter().zip(paths) {
        fs::renameat(&directory, staged, &directory, parent_and_name(path)?.1)?;
    }
    Ok(fs::fsync(&directory)?)
}

/// One file after the other.
pub(crate) fn one_by_one(
    contender: &Contender,
    paths: &[PathBuf],
    payload: &Payload,
) -> io::Result<()> {
    paths.iter().try_for_each(|path: &PathBuf| (contender.save)(Path::new(path), payload))
}
