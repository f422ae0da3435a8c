//! Batches with a journal: all files of a commit are new after a recovery, or all are old.

use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use wholefile::{AtomicBatch, Durability, ErrorKind, Progress, Step, SyncPlan};

use super::sound::{OVERWRITE, batch_files, sweep};
use super::{File, Place, Scenario, Unit, sync_directory};

/// The base of all of them.
pub(super) const JOURNALLED: Scenario = Scenario {
    name: "journal",
    commits: 24,
    before: || batch_files(0),
    files: batch_files,
    commit: journalled,
    restart: recover,
    unit: Unit::CommitIfFull,
    ..OVERWRITE
};

/// In the scenario's folder, which none of the files is in.
const JOURNAL: &str = "journal";

fn journalled(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    commit_with(place, commit, files, |_| Ok(()))
}

/// The process dies when it has published some of the files, and another one recovers.
pub(super) fn interrupted(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    let last = 1 + commit as usize % files.len();
    let die = |progress: &Progress| {
        if is_published(progress, last) {
            panic::resume_unwind(Box::new("killed"));
        }
        Ok(())
    };
    let died = panic::catch_unwind(AssertUnwindSafe(|| commit_with(place, commit, files, die)));
    ensure!(died.is_err(), "nobody died");
    let recovery = wholefile::recover(place.folder.join(JOURNAL))?;
    ensure!(recovery.files().len() == files.len(), "there was no journal");
    Ok(())
}

/// The journal goes while one file is not published yet.
pub(super) fn removed_too_early(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    commit_with(place, commit, files, |progress| {
        if is_published(progress, files.len() - 1) {
            fs::remove_file(place.folder.join(JOURNAL))?;
            sync_directory(place.folder)?;
        }
        Ok(())
    })
}

/// Everything is synced but the journal, and when one file is published, somebody else happens to
/// sync its directory.
pub(super) fn never_synced(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    let mut builder = place.builder.clone();
    builder.durability(Durability::None);
    let place = Place { builder, ..*place };
    commit_with(&place, commit, files, |progress| {
        if progress.step() == Step::SyncFile {
            rustix::fs::syncfs(fs::File::open(place.folder)?.file())?;
        }
        for (index, file) in files.iter().enumerate() {
            let are_all_there = is_published(progress, files.len());
            if are_all_there || (index == 0 && is_published(progress, 1)) {
                sync_directory_of(&place.path(file))?;
            }
        }
        Ok(())
    })?;
    sync_directory(place.folder)
}

fn sync_directory_of(path: &Path) -> Result<()> {
    sync_directory(path.parent().context("a file without a directory")?)
}

fn is_published(progress: &Progress, files: usize) -> bool {
    progress.step() == Step::Publish && progress.files_done() == files
}

fn commit_with(
    place: &Place<'_>,
    commit: u32,
    files: &[File],
    mut meanwhile: impl FnMut(&Progress) -> Result<()>,
) -> Result<()> {
    let mut batch = AtomicBatch::new();
    batch.options(&place.builder).journal(place.folder.join(JOURNAL))?;
    for file in files {
        batch.write(place.path(file), file.contents(commit))?;
    }
    let mut done = Ok(());
    let receipt = batch.commit_with(|progress| {
        if done.is_ok() {
            done = meanwhile(progress);
        }
        ControlFlow::Continue(())
    })?;
    done?;
    for receipt in receipt.commits() {
        // The contents must be durable before the journal is.
        ensure!(receipt.sync_plan() == SyncPlan::Portable, "the journal came before the contents");
    }
    Ok(())
}

/// What the journal needs must outlast the first sweep. Under less than `Full` the journal may not
/// match what is on disk any more: then a program that gives it up keeps each file as it is.
pub(super) fn recover(folder: &Path, durability: Durability) -> Result<()> {
    const GIVEN_UP: [ErrorKind; 2] = [ErrorKind::InvalidJournal, ErrorKind::Unrecoverable];
    let journal = folder.join(JOURNAL);
    sweep(folder, durability)?;
    match wholefile::recover(&journal) {
        Err(error) if durability < Durability::Full && GIVEN_UP.contains(&error.kind()) => {
            fs::remove_file(&journal)?;
        }
        result => drop(result?),
    }
    ensure!(wholefile::recover(&journal)?.files().len() == 0, "it was recovered twice");
    sweep(folder, durability)
}
