//! Saves as they should not be, by hand: each must be caught, or the rig sees nothing.

use std::io::Write;
use std::process::Command;

use anyhow::{Result, ensure};
use fs_err as fs;
use wholefile::Durability;

use super::backups;
use super::journals::{self, JOURNALLED};
use super::sound::{OVERWRITE, new_file};
use super::trees;
use super::{File, Place, Scenario, Unit, sync_directory};

pub(crate) static BROKEN: &[Scenario] = &[
    Scenario { name: "plain-write", commit: plain_write, ..OVERWRITE },
    // Into a new name: ext4 writes out what replaces an old file (auto_da_alloc).
    Scenario { name: "no-file-sync", files: new_file, commit: no_file_sync, ..OVERWRITE },
    Scenario { name: "no-directory-sync", commit: no_directory_sync, ..OVERWRITE },
    Scenario { name: "late-metadata", commit: late_metadata, ..OVERWRITE },
    Scenario { name: "written-out", commit: written_out, ..OVERWRITE },
    Scenario { name: "backup-never-synced", commit: backup_never_synced, ..backups::UNSYNCED },
    Scenario { name: "backup-afterwards", commit: backup_afterwards, ..backups::BESIDE },
    Scenario { name: "one-by-one", files: four_files, unit: Unit::Commit, ..OVERWRITE },
    Scenario { name: "journal-too-short", commit: journals::removed_too_early, ..JOURNALLED },
    Scenario {
        name: "journal-unsynced",
        commit: journals::never_synced,
        // It gives up a journal that is damaged.
        restart: |folder, _| journals::recover(folder, Durability::None),
        ..JOURNALLED
    },
    Scenario { name: "dir-unsynced", commit: trees::never_synced, ..trees::REPLACE },
];

fn four_files(commit: u32) -> Vec<File> {
    (0..4).map(|index| File::plain(format!("old-{index}"), commit).marked()).collect()
}

/// `fs::write`, which truncates the old file and writes the new contents into it. Every fourth time
/// the kernel happens to write out what is dirty in between, as it does every few seconds.
fn plain_write(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    for file in files {
        let mut opened = fs::File::create(place.path(file))?;
        if commit % 4 == 0 {
            rustix::fs::syncfs(opened.file())?;
        }
        opened.write_all(&file.contents(commit))?;
    }
    Ok(())
}

fn no_file_sync(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    for file in files {
        stage(place, commit, file)?;
        fs::rename(place.folder.join(TEMP), place.path(file))?;
        sync_directory(place.folder)?;
    }
    Ok(())
}

fn no_directory_sync(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    for file in files {
        let staged = stage(place, commit, file)?;
        file.mark(&place.folder.join(TEMP))?;
        staged.sync_all()?;
        fs::rename(place.folder.join(TEMP), place.path(file))?;
    }
    Ok(())
}

/// The contents are written out, but only the sync of the directory flushes the disk. Enough on xfs
/// and on ext4 with a journal, not on btrfs, whose file has no contents until its own sync.
fn written_out(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    for file in files {
        stage(place, commit, file)?;
        let temp = place.folder.join(TEMP);
        file.mark(&temp)?;
        // The flags of sync_file_range(2), one after the other: xfs_io does not combine them.
        let len = file.contents(commit).len();
        let flags = ["-b", "-w", "-a"];
        let commands = flags.map(|flag| ["-c".to_owned(), format!("sync_range {flag} 0 {len}")]);
        let output = Command::new("xfs_io").args(commands.as_flattened()).arg(&temp).output()?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(said.is_empty(), "xfs_io: {}", String::from_utf8_lossy(&said));
        fs::rename(temp, place.path(file))?;
        sync_directory(place.folder)?;
    }
    Ok(())
}

/// All syncs in their places, but the metadata comes after them.
fn late_metadata(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    for file in files {
        stage(place, commit, file)?.sync_all()?;
        fs::rename(place.folder.join(TEMP), place.path(file))?;
        sync_directory(place.folder)?;
        file.mark(&place.path(file))?;
    }
    Ok(())
}

/// What is kept was never synced, only what takes its place.
fn backup_never_synced(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    for file in files {
        let target = place.folder.join(format!("new-{commit}"));
        fs::write(&target, file.contents(commit))?;
        stage(place, commit, file)?.sync_all()?;
        fs::hard_link(&target, place.path(file))?;
        fs::rename(place.folder.join(TEMP), target)?;
        sync_directory(place.folder)?;
    }
    Ok(())
}

/// The old file gets the name of the backup once it has lost its own.
fn backup_afterwards(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    let [target, backup] = files else { return Ok(()) };
    let staged = stage(place, commit, target)?;
    target.mark(&place.folder.join(TEMP))?;
    staged.sync_all()?;
    fs::hard_link(place.path(target), place.folder.join(ASIDE))?;
    fs::rename(place.folder.join(TEMP), place.path(target))?;
    sync_directory(place.folder)?;
    fs::rename(place.folder.join(ASIDE), place.path(backup))?;
    sync_directory(place.folder)
}

const ASIDE: &str = ".wholefile-powercut0001.tmp";
/// A name that a sweep takes for an orphan's.
const TEMP: &str = ".wholefile-powercut0000.tmp";

fn stage(place: &Place<'_>, commit: u32, file: &File) -> Result<fs::File> {
    let path = place.folder.join(TEMP);
    fs::write(&path, file.contents(commit))?;
    Ok(fs::OpenOptions::new().write(true).open(path)?)
}
