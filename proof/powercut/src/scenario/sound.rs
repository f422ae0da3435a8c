//! Saves by wholefile.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, ensure};
use wholefile::{AtomicBatch, Durability, Publish, Staging, Sweeper};

use super::backups;
use super::journals::{self, JOURNALLED};
use super::trees;
use super::{File, Kind, Place, Scenario, Unit};

/// Each of these must come out of every power cut as its durability promises.
pub(crate) static SOUND: &[Scenario] = &[
    Scenario { name: "create", files: new_file, ..OVERWRITE },
    OVERWRITE,
    Scenario { name: "create-new", files: new_file, commit: create_new, ..OVERWRITE },
    Scenario { name: "unnamed", files: old_and_new_files, commit: unnamed, ..OVERWRITE },
    Scenario { name: "nested", files: nested_file, commit: nested, ..OVERWRITE },
    Scenario { name: "update", files: one_file, commit: update, ..OVERWRITE },
    Scenario {
        name: "stream",
        commits: 4,
        before: || large_file(0),
        files: large_file,
        commit: stream,
        ..OVERWRITE
    },
    // So many files that one sync of a staging directory replaces those of the files.
    Scenario {
        name: "batch",
        commits: 24,
        before: || batch_files(0),
        files: batch_files,
        commit: batch,
        ..OVERWRITE
    },
    // So few that each is synced.
    Scenario {
        name: "small-batch",
        commits: 32,
        before: || small_batch_files(0),
        files: small_batch_files,
        commit: batch,
        ..OVERWRITE
    },
    backups::BESIDE,
    backups::ELSEWHERE,
    backups::UNSYNCED,
    JOURNALLED,
    Scenario {
        name: "small-journal",
        before: || small_batch_files(0),
        files: small_batch_files,
        ..JOURNALLED
    },
    Scenario {
        name: "recovery",
        before: || small_batch_files(0),
        files: small_batch_files,
        commit: journals::interrupted,
        ..JOURNALLED
    },
    trees::CREATE,
    trees::REPLACE,
    trees::EDIT,
    Scenario { name: "dir-edit-links", commit: trees::edit_links, ..trees::EDIT },
    trees::LINK,
];

pub(super) const OVERWRITE: Scenario = Scenario {
    name: "overwrite",
    commits: 64,
    before: || (0..OLD_FILES).flat_map(old_file).collect(),
    files: old_file,
    removed: |_| Vec::new(),
    commit: save,
    restart: sweep,
    unit: Unit::File,
};

/// So many files are overwritten in turn.
const OLD_FILES: u32 = 4;
/// The 8 MiB after which write-behind starts, and an odd rest.
const LARGE: usize = (9 << 20) + 12_345;

pub(super) fn old_file(commit: u32) -> Vec<File> {
    vec![File::plain(format!("old-{}", commit % OLD_FILES), commit).marked()]
}

pub(super) fn new_file(commit: u32) -> Vec<File> {
    vec![File::plain(format!("new-{commit}"), commit)]
}

fn old_and_new_files(commit: u32) -> Vec<File> {
    if commit % 2 == 0 { old_file(commit / 2) } else { new_file(commit) }
}

/// Every fourth one goes into folders that are there by then.
fn nested_file(commit: u32) -> Vec<File> {
    let folder = if commit % 4 == 0 { commit - 1 } else { commit };
    vec![File::plain(format!("fresh-{folder}/deeper/deepest/new-{commit}"), commit)]
}

fn one_file(commit: u32) -> Vec<File> {
    vec![File::plain("old-0", commit).marked()]
}

fn large_file(commit: u32) -> Vec<File> {
    vec![File {
        kind: Kind::File(LARGE + commit as usize),
        ..File::plain("large", commit).marked()
    }]
}

/// In two folders: eight files that every commit overwrites, and four new ones.
pub(super) fn batch_files(commit: u32) -> Vec<File> {
    let file = |index: u32| {
        let folder = ["left", "right"][index as usize % 2];
        match index {
            0..8 => File::plain(format!("{folder}/old-{index}"), commit + index).marked(),
            _ => File::plain(format!("{folder}/new-{index}-{commit}"), commit + index),
        }
    };
    (0..12).map(file).collect()
}

pub(super) fn small_batch_files(commit: u32) -> Vec<File> {
    vec![
        File::plain("left/old", commit).marked(),
        File::plain("right/old", commit + 1).marked(),
        File::plain(format!("right/new-{commit}"), commit + 2),
    ]
}

pub(super) fn save(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    for file in files {
        let receipt = place.builder.write(place.path(file), file.contents(commit))?;
        place.check(&receipt)?;
    }
    Ok(())
}

fn create_new(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    let mut builder = place.builder.clone();
    builder.publish(Publish::CreateNew);
    save(&Place { builder, ..*place }, commit, files)
}

fn unnamed(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    let mut builder = place.builder.clone();
    builder.staging(Staging::Unnamed);
    save(&Place { builder, ..*place }, commit, files)
}

fn nested(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    let mut builder = place.builder.clone();
    builder.create_parents(true);
    save(&Place { builder, ..*place }, commit, files)
}

fn update(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    for file in files {
        let start = format!("{} version {}\n", file.path, commit - 1);
        let mut old = Vec::new();
        let receipt = place.builder.update(place.path(file), |contents| {
            old = contents.unwrap_or_default();
            Ok(file.contents(commit))
        })?;
        place.check(&receipt)?;
        ensure!(old.starts_with(start.as_bytes()), "the update did not start from the last one");
    }
    Ok(())
}

fn stream(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    for file in files {
        let mut writer = place.builder.open(place.path(file))?;
        for chunk in file.contents(commit).chunks(48 << 10) {
            writer.write_all(chunk)?;
        }
        place.check(&writer.commit()?)?;
    }
    Ok(())
}

fn batch(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    let mut batch = AtomicBatch::new();
    batch.options(&place.builder);
    for file in files {
        batch.write(place.path(file), file.contents(commit))?;
    }
    batch.commit()?.commits().iter().try_for_each(|receipt| place.check(receipt))
}

pub(super) fn sweep(folder: &Path, _: Durability) -> Result<()> {
    Sweeper::new().recursive(true).run(folder)?;
    Ok(())
}
