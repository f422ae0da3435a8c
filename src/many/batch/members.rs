//! What a batch consists of: the directories, and the files in them that wait to be published.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use camino::Utf8PathBuf;

use crate::commit::NotPreserved;
use crate::error::{Error, ErrorKind, Result, Step, TargetState};
use crate::many::journal::intent::Identity;
use crate::many::journal::{self, Journal};
use crate::many::stage::Stage;
use crate::options::{Durability, Options};
use crate::protocol::parents::CreatedParents;
use crate::protocol::sync::{self, Synced};
use crate::protocol::target::{StagingPlace, Target};
use crate::sys::{self, Directory, FileId, Info};

/// All directories and files of a batch. Dropped, it rolls back.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// By number. Each has a file, or somebody who writes one.
    pub(super) folders: BTreeMap<usize, Folder>,
    by_id: HashMap<FileId, usize>,
    /// The targets, by which no file is in it twice.
    keys: HashSet<Key>,
    pub(super) files: Vec<Member>,
    /// The options of the last file, which most others have too.
    options: Option<Arc<Options>>,
    /// The directories that hold a created one, each held once by all who created something in it.
    holders: HashMap<FileId, Weak<Directory>>,
    /// Directories that were created for files that have left, and that others are in.
    parents: CreatedParents,
    /// Of the first staging directory that could not be removed; it names all of them.
    unremoved: Option<Error>,
}

/// A directory that targets are in.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) directory: Arc<Directory>,
    pub(super) id: FileId,
    /// As it was first spelled.
    pub(super) path: PathBuf,
    /// For the journal, if there is to be one: its absolute path, as it was then.
    pub(super) absolute: Option<Utf8PathBuf>,
    /// `None` once it was removed.
    pub(super) stage: Option<Stage>,
    /// What was created on the way to it.
    parents: CreatedParents,
    /// Whether its names were synced for somebody who insists on it.
    is_proven: bool,
    /// How many files are in it, those included that are being written.
    files: usize,
    /// How many files were staged in it.
    next: u64,
}

/// What becomes of a staging directory when a file leaves the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Staging {
    /// It stays, for others or because it cannot be removed.
    Kept,
    /// It is gone, with all that was in it.
    Removed,
}

/// A target, as it is told from all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) folder: usize,
    name: Box<[u8]>,
}

/// A file of a batch.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) folder: usize,
    pub(super) name: OsString,
    pub(super) options: Arc<Options>,
    pub(super) len: u64,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The target has these contents already, as durable as that.
    Unchanged(Durability),
    Staged(Waiting),
}

/// A staged file, complete, with its metadata, and closed.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Its name in the staging directory is this number.
    pub(super) number: u64,
    pub(super) id: FileId,
    /// The target whose metadata it has.
    pub(super) before: Option<Stamp>,
    /// The names of the xattrs of the target that it was given.
    pub(super) xattrs: Vec<OsString>,
    pub(super) not_preserved: Vec<NotPreserved>,
    pub(super) synced: Option<Synced>,
}

/// What shows that a file was changed or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) id: FileId,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    // The clock of a file system may stand still between two changes.
    mode: u32,
    owner: (u32, u32),
}

impl From<&Info> for Stamp {
    fn from(info: &Info) -> Stamp {
        let Info { id, len, changed, mode, uid, gid, .. } = *info;
        let modified = info.times.modified;
        Stamp { id, len, modified, changed, mode, owner: (uid, gid) }
    }
}

impl From<Stamp> for Identity {
    fn from(Stamp { id, len, modified, .. }: Stamp) -> Identity {
        Identity { id: id.file, len, modified }
    }
}

impl Folder {
    /// Where the file of this number is staged.
    fn place(&self, number: u64) -> Option<StagingPlace> {
        let stage = self.stage.as_ref()?;
        Some(StagingPlace {
            directory: Arc::clone(stage.directory()),
            directory_name: stage.name().to_owned(),
            name: number.to_string().into(),
        })
    }
}

impl Members {
    /// Admits a target that the batch does not have yet, and gives it a place to be staged at. Its
    /// number tells it from the others in its directory.
    pub(super) fn admit(
        &mut self,
        target: &mut Target,
        journal: Option<&Journal>,
        options: &Options,
    ) -> Result<(Key, u64)> {
        let failed = |error| Error::failed(Step::Resolve, &target.path, error);
        let id = sys::inspect_directory(&target.directory).map_err(failed)?.id;
        journal.map_or(Ok(()), |journal| journal.check(target, id))?;
        let known = self.by_id.get(&id).copied();
        let is_proven = known.is_some_and(|number| self.folders[&number].is_proven);
        if !is_proven {
            sync::check_required(target, options)?;
        }
        let number = match known {
            Some(number) => number,
            None => self.add_folder(target, id, journal, options)?,
        };
        let admitted = self.admit_to(number, target, options);
        if admitted.is_err() {
            self.leave(number); // it may have been made for this one
        }
        admitted
    }

    fn add_folder(
        &mut self,
        target: &Target,
        id: FileId,
        journal: Option<&Journal>,
        options: &Options,
    ) -> Result<usize> {
        let absolute = journal.map(|_| journal::directory_of(target)).transpose()?;
        let path = target.path.parent().unwrap_or(Path::new("")).to_path_buf();
        let stage = Stage::create(&target.directory, options)
            .map_err(|not_made| not_made.into_error(&target.path, &path))?;
        let folder = Folder {
            directory: Arc::clone(&target.directory),
            id,
            path,
            absolute,
            stage: Some(stage),
            parents: CreatedParents::default(),
            is_proven: false,
            files: 0,
            next: 0,
        };
        let number = self.folders.last_key_value().map_or(0, |(last, _)| last + 1);
        self.folders.insert(number, folder);
        self.by_id.insert(id, number);
        Ok(number)
    }

    fn admit_to(
        &mut self,
        number: usize,
        target: &mut Target,
        options: &Options,
    ) -> Result<(Key, u64)> {
        let refused = |kind| Err(Error::refused(kind, Step::Resolve, &target.path));
        let Some(folder) = self.folders.get_mut(&number) else {
            return refused(ErrorKind::NotFound);
        };
        let key = Key { folder: number, name: sys::lock_key(&target.name).into() };
        if self.keys.contains(&key) {
            return refused(ErrorKind::Duplicate);
        }
        let holders = &mut self.holders;
        let share = |holder: Arc<Directory>| {
            let id = sys::inspect_directory(&holder)?.id;
            if let Some(held) = holders.get(&id).and_then(Weak::upgrade) {
                return Ok(held);
            }
            holders.insert(id, Arc::downgrade(&holder));
            Ok(holder)
        };
        folder
            .parents
            .take_over(&mut target.parents, share)
            .map_err(|error| Error::failed(Step::CreateParents, &target.path, error))?;
        folder.is_proven |= sync::must_be_proven(options);
        target.directory = Arc::clone(&folder.directory);
        let number = folder.next;
        target.place = folder.place(number);
        folder.next += 1;
        folder.files += 1;
        self.keys.insert(key.clone());
        Ok((key, number))
    }

    /// Lets a target be admitted once more, since its file has left.
    pub(super) fn free(&mut self, key: &Key) -> Staging {
        self.keys.remove(key);
        if let Some(folder) = self.folders.get_mut(&key.folder) {
            folder.files -= 1;
        }
        self.leave(key.folder)
    }

    /// Leaves a folder that has no file any more, and takes back the directories that were created
    /// for it and that nobody else needs.
    fn leave(&mut self, number: usize) -> Staging {
        if self.folders.get(&number).is_none_or(|folder| folder.files > 0) {
            return Staging::Kept;
        }
        let Some(mut folder) = self.folders.remove(&number) else { return Staging::Kept };
        self.by_id.remove(&folder.id);
        let left = self.remove_stage(&mut folder);
        let Folder { directory, parents, .. } = folder;
        drop(directory); // Windows removes no directory that is open
        self.parents.append(parents);
        self.parents.remove_empty();
        self.holders.retain(|_, holder| holder.strong_count() > 0);
        left
    }

    /// The options, kept once for all files in a row that have the same ones.
    pub(super) fn share(&mut self, options: &Options) -> Arc<Options> {
        match &self.options {
            Some(shared) if **shared == *options => Arc::clone(shared),
            _ => Arc::clone(self.options.insert(Arc::new(options.clone()))),
        }
    }

    pub(super) fn add(&mut self, member: Member) {
        self.files.push(member);
    }

    pub(super) fn path_of(&self, member: &Member) -> PathBuf {
        self.folders[&member.folder].path.join(&member.name)
    }

    /// Where a file is staged.
    pub(super) fn place_of(&self, member: &Member, waiting: &Waiting) -> Option<StagingPlace> {
        self.folders[&member.folder].place(waiting.number)
    }

    /// The directories that hold a created one.
    pub(super) fn holders(&self) -> Vec<(FileId, Arc<Directory>)> {
        let held = self.holders.iter().map(|(id, holder)| Some((*id, holder.upgrade()?)));
        held.flatten().collect()
    }

    /// Removes all that is staged, and the directories that were created for it.
    pub(super) fn roll_back(mut self) -> Result<()> {
        match self.remove_stages() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Rolls back because of `error`, which then tells what became of each file.
    pub(super) fn abandon(
        mut self,
        error: Error,
        state_of: impl Fn(usize, &Member) -> TargetState,
    ) -> Error {
        let stages = self.folders.values().filter_map(|it| Some(it.stage.as_ref()?.path(&it.path)));
        let stages: Vec<PathBuf> = stages.collect();
        // What is in a staging directory goes with that, and the journal's own is in none.
        let is_staged = |path: &&Path| stages.iter().any(|stage| path.starts_with(stage));
        let unremoved = self.remove_stages();
        let others = error.leftovers().filter(|path| !is_staged(path));
        let leftovers = unremoved.iter().flat_map(Error::leftovers).chain(others);
        let leftovers: Vec<PathBuf> = leftovers.map(Path::to_path_buf).collect();
        let files = self.files.iter().enumerate();
        let states = files.map(|(index, file)| (self.path_of(file), state_of(index, file)));
        error.of_batch(leftovers, states.collect())
    }

    /// Leaves the staging directories where they are, since a journal needs them.
    pub(super) fn keep_stages(&mut self) {
        self.folders.values_mut().filter_map(|it| it.stage.take()).for_each(Stage::keep);
    }

    /// Leaves the directories that were created where they are.
    pub(super) fn keep_parents(&mut self) {
        self.folders.values_mut().for_each(|folder| folder.parents.keep());
        self.parents.keep();
    }

    /// Removes the staging directories. Gives the first failure ever, which names all that
    /// stay.
    pub(super) fn remove_stages(&mut self) -> Option<Error> {
        let mut folders = mem::take(&mut self.folders);
        for folder in folders.values_mut() {
            self.remove_stage(folder);
        }
        self.folders = folders;
        self.unremoved.as_ref().map(Error::again)
    }

    fn remove_stage(&mut self, folder: &mut Folder) -> Staging {
        let Some(stage) = folder.stage.take() else { return Staging::Kept };
        let path = stage.path(&folder.path);
        let Err(error) = stage.remove() else { return Staging::Removed };
        let error = Error::failed(Step::RemoveTemp, &folder.path, error);
        let first = self.unremoved.take().unwrap_or(error);
        self.unremoved = Some(first.with_leftover(Some(path)));
        Staging::Kept
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        // The staging directories, and the directories that are open, go before those they are in.
        for folder in mem::take(&mut self.folders).into_values() {
            self.parents.append(folder.parents);
        }
        self.parents.remove_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred thousand files with the same options hold them once.
    #[test]
    fn files_in_a_row_share_their_options() {
        let mut members = Members::default();
        let (one, other) = (Options::default(), Options { reserve: 1, ..Options::default() });
        let shared = [&one, &one, &other, &one].map(|options| members.share(options));
        assert!(Arc::ptr_eq(&shared[0], &shared[1]));
        assert_eq!(shared.map(|it| (*it).clone()), [one.clone(), one.clone(), other, one]);
    }
}
