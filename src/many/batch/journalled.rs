//! What a journal adds to the commit of a batch.

use std::collections::{HashMap, HashSet};

use super::members::{Kind, Member, Members, Waiting};
use crate::concurrency::workers::Interruption;
use crate::error::{self, Error, ErrorKind, Result, Step};
use crate::many::journal::intent::{File, Folder, How, Identity, Intent};
use crate::many::journal::{self, Claim};
use crate::options::{Durability, Options};
use crate::protocol::together;
use crate::sys::{self, Directory};

/// Writes the journal of all that is sealed. If that fails, nothing may be published; the error
/// names the journal if what is staged must stay for it all the same.
pub(super) fn declare(members: &mut Members, claim: &Claim<'_>) -> Result<()> {
    let staged = members.files.iter().filter(|file| matches!(file.kind, Kind::Staged(_)));
    let options = staged.fold(Options::default(), |all, file| Options {
        durability: all.durability.min(file.options.durability),
        require_durability: all.require_durability || file.options.require_durability,
        ..all
    });
    let intent = intent_of(members)?;
    let mark = claim.mark();
    for folder in members.folders.values_mut() {
        let Some(stage) = &mut folder.stage else { continue };
        stage
            .mark(&mark, options.durability)
            .map_err(|error| Error::failed(Step::CreateTemp, &folder.path, error))?;
    }
    if options.durability == Durability::Full {
        sync_staged_names(members)?;
    }
    claim.write(&intent, &options)
}

fn intent_of(members: &Members) -> Result<Intent> {
    let mut intent = Intent::default();
    // A batch has gaps in the numbers of its folders where files have left; a journal has none.
    let mut numbers = HashMap::new();
    for (number, folder) in &members.folders {
        numbers.insert(*number, numbers.len());
        let failed = |error| Error::failed(Step::Resolve, &folder.path, error);
        let lost = || failed(error::not_to_be_found_again());
        let (Some(stage), Some(before)) = (&folder.stage, &folder.absolute) else {
            return Err(lost());
        };
        let path = journal::path_now(&folder.directory, before);
        let found = sys::open_directory(None, path.as_std_path()).map_err(failed)?;
        if sys::inspect_directory(&found).map_err(failed)?.id != folder.id {
            return Err(lost());
        }
        let stage_id = sys::inspect_directory(stage.directory()).map_err(failed)?.id.file;
        let stage = journal::text_of(stage.name(), &folder.path)?.to_owned();
        intent.folders.push(Folder { path, id: folder.id.file, stage, stage_id });
    }
    for file in &members.files {
        if let Kind::Staged(waiting) = &file.kind {
            intent.files.push(entry_of(members, file, waiting, numbers[&file.folder])?);
        }
    }
    Ok(intent)
}

fn entry_of(members: &Members, file: &Member, waiting: &Waiting, folder: usize) -> Result<File> {
    let path = members.path_of(file);
    let gone = || Error::refused(ErrorKind::NotFound, Step::SyncFile, &path);
    let place = members.place_of(file, waiting).ok_or_else(gone)?;
    let staged = sys::look(&place.directory, &place.name)
        .map_err(|error| Error::failed(Step::SyncFile, &path, error))?;
    let staged = staged.filter(|staged| staged.info.id == waiting.id).ok_or_else(gone)?;
    if staged.info.len != file.len {
        return Err(Error::failed(Step::SyncFile, &path, error::not_whole()));
    }
    Ok(File {
        folder,
        name: journal::text_of(&file.name, &path)?.to_owned(),
        staged: journal::text_of(&place.name, &path)?.to_owned(),
        how: How::new(file.options.publish, file.options.read_only),
        new: Identity::from(&staged.info),
        old: waiting.before.map(Identity::from),
    })
}

/// Syncs what leads to the staged files: a journal that survives a power cut must find them.
fn sync_staged_names(members: &Members) -> Result<()> {
    let stages = members.folders.values().filter_map(|folder| folder.stage.as_ref());
    let mut directories: Vec<&Directory> = stages.map(|stage| &**stage.directory()).collect();
    directories.extend(members.folders.values().map(|folder| &*folder.directory));
    let folders: HashSet<_> = members.folders.values().map(|folder| folder.id).collect();
    let holders = members.holders();
    let others = holders.iter().filter(|(id, _)| !folders.contains(id));
    directories.extend(others.map(|(_, holder)| &**holder));
    match together::sync_names(&directories) {
        Ok(_) => Ok(()),
        Err(interruption) => {
            let error = match interruption {
                Interruption::Failed(_, error) => error,
                Interruption::Cancelled => std::io::ErrorKind::Interrupted.into(),
            };
            let path = members.files.first().map(|file| members.path_of(file)).unwrap_or_default();
            Err(Error::failed(Step::SyncDirectory, &path, error))
        }
    }
}
