//! Saves that keep the old file.

use std::path::Path;

use anyhow::{Result, ensure};
use fs_err as fs;
use wholefile::{Backup, Durability};

use super::sound::{OVERWRITE, new_file, sweep};
use super::{File, Place, Scenario, Unit};

/// Each commit keeps the file that the one before has made, in the place of the one before that.
pub(super) const BESIDE: Scenario = Scenario {
    name: "backup",
    before: || vec![target(0)],
    files: |commit| vec![target(commit), backup("target~", commit)],
    commit: |place, commit, files| keep(place, commit, files, Backup::Suffix("~".into())),
    unit: Unit::Backup,
    ..OVERWRITE
};

/// In another directory.
pub(super) const ELSEWHERE: Scenario = Scenario {
    name: "backup-elsewhere",
    before: || vec![target(0), File::plain("kept/other", 0)],
    files: |commit| vec![target(commit), backup(KEPT, commit)],
    commit: |place, commit, files| {
        keep(place, commit, files, Backup::Path(place.folder.join(KEPT)))
    },
    ..BESIDE
};

/// What is kept was written by a program that syncs nothing. The targets themselves are not looked
/// at, which nobody has promised anything of before they are replaced.
pub(super) const UNSYNCED: Scenario = Scenario {
    name: "backup-unsynced",
    before: Vec::new,
    files: |commit| {
        let file = new_file(commit).remove(0);
        vec![File { path: format!("{}~", file.path), ..file }]
    },
    commit: keep_unsynced,
    restart: remove_targets,
    ..OVERWRITE
};

const KEPT: &str = "kept/target";

fn target(commit: u32) -> File {
    File::plain("target", commit).marked()
}

fn backup(path: &str, commit: u32) -> File {
    File { path: path.to_owned(), backup_of: Some("target".to_owned()), ..target(commit - 1) }
}

fn keep(place: &Place<'_>, commit: u32, files: &[File], backup: Backup) -> Result<()> {
    let (path, new) = (place.path(&files[0]), files[0].contents(commit));
    let receipt = place.builder.clone().backup(backup).write(path, new)?;
    ensure!(receipt.backup() == Some(&*place.path(&files[1])), "it is elsewhere: {receipt:?}");
    place.check(&receipt)
}

fn keep_unsynced(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    for file in files {
        let backup = place.path(file);
        let path = backup.with_file_name(format!("new-{commit}"));
        fs::write(&path, file.contents(commit))?;
        let mut builder = place.builder.clone();
        let receipt = builder.backup(Backup::Suffix("~".into())).write(path, "new")?;
        ensure!(receipt.backup() == Some(&*backup), "it is elsewhere: {receipt:?}");
        place.check(&receipt)?;
    }
    Ok(())
}

fn remove_targets(folder: &Path, durability: Durability) -> Result<()> {
    sweep(folder, durability)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.to_string_lossy().ends_with('~') {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
