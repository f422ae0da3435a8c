//! Sealing the staged file, and syncing the directories: what durability is made of.

use std::fs::File;
use std::io;
use std::path::Path;

use super::knowledge;
use super::publish::Published;
use super::staging::Staged;
use super::target::{StagingPlace, Target};
use super::temp::TempName;
use crate::error::{Error, ErrorKind, Result, Step, TargetState};
use crate::options::{Durability, Options, SyncPlan};
use crate::sys::{self, FileId};

/// A staged file that is complete, has its metadata and is synced as far as was asked: the only
/// thing that can be published.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(super) name: TempName,
    pub(super) file: SealedFile,
    pub(super) sync: Synced,
}

/// A sealed file itself.
#[derive(Debug)]
pub(super) enum SealedFile {
    Open(File),
    /// It was closed, so that its number does not matter to how many files there may be.
    Closed(FileId),
    /// As that, and a journal has it: it stays where it is if it cannot be published.
    Recoverable(FileId),
}

impl SealedFile {
    pub(super) fn open_file(&mut self) -> Option<&mut File> {
        match self {
            SealedFile::Open(file) => Some(file),
            SealedFile::Closed(_) | SealedFile::Recoverable(_) => None,
        }
    }

    pub(super) fn id(&self) -> io::Result<FileId> {
        match self {
            SealedFile::Open(file) => sys::inspect(file).map(|info| info.id),
            SealedFile::Closed(id) | SealedFile::Recoverable(id) => Ok(*id),
        }
    }
}

/// How the contents of a file were made durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Synced {
    /// How far that is proven, which is less than was asked where the file system cannot. Under
    /// [`SyncPlan::Fewest`] it becomes so with the sync of the directory.
    pub(super) durability: Durability,
    pub(super) plan: SyncPlan,
}

impl Synced {
    /// Of a file that is in a journal: none is written before all files in it are synced.
    pub(crate) fn journalled() -> Synced {
        Synced { durability: Durability::Full, plan: SyncPlan::Portable }
    }

    pub(crate) fn durability(self) -> Durability {
        self.durability
    }

    pub(crate) fn plan(self) -> SyncPlan {
        self.plan
    }

    /// This one and then another of the same file. Of the plans, the receipt tells of the dearer.
    fn then(self, next: Synced) -> Synced {
        let plan = if self.plan == SyncPlan::Portable { self.plan } else { next.plan };
        Synced { durability: self.durability.min(next.durability), plan }
    }
}

impl Sealed {
    /// Removes the file after `error`, which then names it if even that failed.
    pub(crate) fn abandon(self, target: &Path, error: Error) -> Error {
        self.name.abandon(target, error)
    }

    /// A file that was synced and closed.
    pub(crate) fn closed(place: &StagingPlace, id: FileId, sync: Synced) -> Sealed {
        Sealed { name: TempName::of(place), file: SealedFile::Closed(id), sync }
    }

    /// As that, and it stays if it cannot be published, since a journal has it.
    pub(crate) fn recoverable(place: &StagingPlace, id: FileId, sync: Synced) -> Sealed {
        Sealed { name: TempName::of(place), file: SealedFile::Recoverable(id), sync }
    }
}

/// Whether somebody insists on names that survive a power cut.
pub(crate) fn must_be_proven(options: &Options) -> bool {
    options.require_durability && options.durability == Durability::Full
}

/// Whoever insists on full durability learns before anything is written that it cannot be had.
pub(crate) fn check_required(target: &Target, options: &Options) -> Result<()> {
    if !must_be_proven(options) {
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
    let result = check_name(&staged, target)
        .and_then(|()| sync_contents(&staged.temp.file, target, options))
        .and_then(|sync| give_name(&mut staged, target, options, sync));
    let sync = match result {
        Ok(sync) => sync,
        Err(error) => return Err(staged.temp.abandon(&target.path, error)),
    };
    match staged.temp.into_parts() {
        (Some(name), file) => Ok(Sealed { name, file: SealedFile::Open(file), sync }),
        (None, _) => Err(Error::refused(ErrorKind::Unsupported, Step::CreateTemp, &target.path)),
    }
}

/// Refuses what another program has put in the place of the staged file, since it is neither synced
/// nor has it the metadata.
fn check_name(staged: &Staged, target: &Target) -> Result<()> {
    let is_replaced = staged
        .temp
        .is_replaced()
        .map_err(|error| Error::failed(Step::SyncFile, &target.path, error))?;
    match is_replaced {
        true => Err(Error::refused(ErrorKind::StagingReplaced, Step::SyncFile, &target.path)),
        false => Ok(()),
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
        return Ok(published.sync.durability);
    }
    let achieved = sync_published(target)?.min(published.sync.durability);
    check_achieved(achieved, target, options)
}

/// Syncs the directories that hold the target's name, once it is that of what was staged. Gives how
/// durable the name is: [`Durability::Ordered`] if the file system cannot sync them.
pub(crate) fn sync_published(target: &Target) -> Result<Durability> {
    sync_names(target)
        .map_err(|error| failed_directory(target, error).with_state(TargetState::Replaced))
}

/// Checks what was `achieved` for a target that was published.
pub(crate) fn check_achieved(
    achieved: Durability,
    target: &Target,
    options: &Options,
) -> Result<Durability> {
    if options.require_durability && achieved < options.durability {
        return Err(refused_directory(target).with_state(TargetState::Replaced));
    }
    Ok(achieved)
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

/// Makes the contents durable, by the plan that was asked for where that is known to be enough.
pub(crate) fn sync_contents(file: &File, target: &Target, options: &Options) -> Result<Synced> {
    let portable = |durability| Synced { durability, plan: SyncPlan::Portable };
    if options.durability == Durability::None {
        return Ok(portable(Durability::None));
    }
    if options.sync_plan == SyncPlan::Portable {
        return sync_file(file, target, options).map(portable);
    }
    match knowledge::of(&target.directory) {
        Ok(file_system) if file_system.keeps_order(options.durability) => {
            sys::write_out(file)
                .map_err(|error| Error::failed(Step::SyncFile, &target.path, error))?;
            Ok(Synced { durability: options.durability, plan: SyncPlan::Fewest })
        }
        Ok(_) => sync_file(file, target, options).map(portable),
        Err(unknown) => {
            let durability = sync_file(file, target, options)?;
            unknown.learn(&target.directory);
            Ok(portable(durability))
        }
    }
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
    sync: Synced,
) -> Result<Synced> {
    if staged.temp.name().is_some() {
        return Ok(sync);
    }
    staged
        .temp
        .ensure_name(options)
        .map_err(|error| Error::failed(Step::CreateTemp, &target.path, error))?;
    // btrfs does not make the contents durable under the new name unless it is synced once more.
    sync_contents(&staged.temp.file, target, options).map(|again| sync.then(again))
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
