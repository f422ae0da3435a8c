//! Sealing the staged file, and syncing the directories: what durability is made of.

use std::fs::File;
use std::io;

use super::publish::Published;
use super::staging::Staged;
use super::target::Target;
use crate::error::{Error, ErrorKind, Result, Step, TargetState};
use crate::options::{Durability, Options};
use crate::sys;

/// A staged file that is complete, has its metadata and is synced as far as was asked: the only
/// thing that can be published.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(super) staged: Staged,
    /// How far the sync is proven, which is less than was asked where the file system cannot.
    pub(super) durability: Durability,
}

/// Whoever insists on full durability learns before anything is written that it cannot be had.
pub(crate) fn check_required(target: &Target, options: &Options) -> Result<()> {
    if !options.require_durability || options.durability < Durability::Full {
        return Ok(());
    }
    match sync_names(target) {
        Ok(Durability::Full) => Ok(()),
        Ok(_) => Err(refused_directory(target)),
        Err(error) => Err(failed_directory(target, error)),
    }
}

/// Step 3 of a commit: syncs the staged file. A sync that fails is never tried again on the same
/// file, since the system may have forgotten what it could not write (fsync(2), "EIO").
pub(crate) fn seal(mut staged: Staged, target: &Target, options: &Options) -> Result<Sealed> {
    let result = sync_contents(&staged, target, options)
        .and_then(|durability| give_name(&mut staged, target, options, durability));
    match result {
        Ok(durability) => Ok(Sealed { staged, durability }),
        Err(error) => Err(staged.temp.abandon(&target.path, error)),
    }
}

/// Step 5 of a commit: syncs the directory and every directory that was created, each through its
/// own parent. Gives the durability that was achieved.
pub(crate) fn sync_directories(
    published: &Published,
    target: &Target,
    options: &Options,
) -> Result<Durability> {
    if options.durability < Durability::Full {
        return Ok(published.contents);
    }
    let achieved = sync_names(target)
        .map_err(|error| failed_directory(target, error).with_state(TargetState::Replaced))?;
    if options.require_durability && achieved < Durability::Full {
        let error = refused_directory(target).with_state(TargetState::Replaced);
        return Err(error);
    }
    Ok(achieved.min(published.contents))
}

/// Makes contents durable that were there already.
pub(super) fn unchanged(old: &File, target: &Target, options: &Options) -> Result<Durability> {
    sync_file(old, target, options)?;
    if options.durability == Durability::Full {
        match sync_names(target) {
            Ok(Durability::Full) => {}
            Ok(_) => return Err(refused_directory(target)),
            Err(error) => return Err(failed_directory(target, error)),
        }
    }
    Ok(options.durability)
}

fn sync_contents(staged: &Staged, target: &Target, options: &Options) -> Result<Durability> {
    if options.durability == Durability::None {
        return Ok(Durability::None);
    }
    sync_file(&staged.temp.file, target, options)
}

/// Gives the durability that was achieved, at least the one that was asked for if the caller
/// insists on it.
fn sync_file(file: &File, target: &Target, options: &Options) -> Result<Durability> {
    let achieved = sys::sync_file(file, options.durability)
        .map_err(|error| Error::failed(Step::SyncFile, &target.path, error))?;
    if options.require_durability && achieved < options.durability {
        let kind = ErrorKind::DurabilityUnavailable;
        return Err(Error::refused(kind, Step::SyncFile, &target.path));
    }
    Ok(achieved)
}

/// Gives an unnamed file a name to be renamed from.
fn give_name(
    staged: &mut Staged,
    target: &Target,
    options: &Options,
    durability: Durability,
) -> Result<Durability> {
    if staged.temp.name().is_some() {
        return Ok(durability);
    }
    staged
        .temp
        .ensure_name(options)
        .map_err(|error| Error::failed(Step::CreateTemp, &target.path, error))?;
    // btrfs does not make the contents durable under the new name unless it is synced once more.
    sync_contents(staged, target, options)
}

/// Syncs the target's directory and the directories that hold a created one. `Ordered` if the file
/// system cannot.
fn sync_names(target: &Target) -> io::Result<Durability> {
    let mut achieved = Durability::Full;
    for directory in std::iter::once(&*target.directory).chain(target.parents.holders()) {
        match sys::sync_directory(directory) {
            Err(error) if sys::lacks_directory_sync(&error) => achieved = Durability::Ordered,
            result => result?,
        }
    }
    Ok(achieved)
}

fn refused_directory(target: &Target) -> Error {
    Error::refused(ErrorKind::DurabilityUnavailable, Step::SyncDirectory, &target.path)
}

fn failed_directory(target: &Target, error: io::Error) -> Error {
    Error::failed(Step::SyncDirectory, &target.path, error)
}
