//! What a batch consists of: the directories, and the files in them that wait to be published.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    // Before `parents`, so that the staging directories go before the directories they are in.
    pub(super) folders: Vec<Folder>,
    by_id: HashMap<FileId, usize>,
    /// The targets, by which no file is in it twice.
    keys: HashSet<Key>,
    pub(super) files: Vec<Member>,
    /// The options of the last file, which most others have too.
    options: Option<Arc<Options>>,
    /// The directories that hold a created one, each held once.
    pub(super) holders: HashMap<FileId, Arc<Directory>>,
    pub(super) parents: CreatedParents,
    /// The first staging directory that could not be removed.
    leftovers: Vec<PathBuf>,
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
    /// How many files were staged in it.
    next: u64,
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

impl Members {
    /// Admits a target that the batch does not have yet, and gives it a place to be staged at. Its
    /// number tells it from the others in its directory.
    pub(super) fn admit(
        &mut self,
        target: &mut Target,
        journal: Option<&Journal>,
        options: &Options,
    ) -> Result<(Key, u64)> {
        let failed = |step| {
            let path = target.path.clone();
            move |error| Error::failed(step, &path, error)
        };
        let id = sys::inspect_directory(&target.directory).map_err(failed(Step::Resolve))?.id;
        journal.map_or(Ok(()), |journal| journal.check(target, id))?;
        let folder = match self.by_id.get(&id) {
            Some(folder) => *folder,
            None => {
                let absolute = journal.map(|_| journal::directory_of(target)).transpose()?;
                sync::check_required(target, options)?;
                let stage =
                    Stage::create(&target.directory, options).map_err(failed(Step::CreateTemp))?;
                let directory = Arc::clone(&target.directory);
                let path = target.path.parent().unwrap_or(Path::new("")).to_path_buf();
                let stage = Some(stage);
                self.folders.push(Folder { directory, id, path, absolute, stage, next: 0 });
                self.by_id.insert(id, self.folders.len() - 1);
                self.folders.len() - 1
            }
        };
        let holders = &mut self.holders;
        self.parents
            .take_over(&mut target.parents, |holder| {
                let id = sys::inspect_directory(&holder)?.id;
                Ok(Arc::clone(holders.entry(id).or_insert(holder)))
            })
            .map_err(failed(Step::CreateParents))?;
        let key = Key { folder, name: sys::lock_key(&target.name).into() };
        if !self.keys.insert(key.clone()) {
            return Err(Error::refused(ErrorKind::Duplicate, Step::Resolve, &target.path));
        }
        let Folder { directory, stage, next, .. } = &mut self.folders[folder];
        target.directory = Arc::clone(directory);
        let number = *next;
        target.place = stage.as_ref().map(|stage| StagingPlace {
            directory: Arc::clone(stage.directory()),
            directory_name: stage.name().to_owned(),
            name: number.to_string().into(),
        });
        *next += 1;
        Ok((key, number))
    }

    /// Lets a target be admitted once more.
    pub(super) fn free(&mut self, key: &Key) {
        self.keys.remove(key);
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
        self.folders[member.folder].path.join(&member.name)
    }

    /// Where a file is staged.
    pub(super) fn place_of(&self, member: &Member, waiting: &Waiting) -> Option<StagingPlace> {
        let stage = self.folders[member.folder].stage.as_ref()?;
        Some(StagingPlace {
            directory: Arc::clone(stage.directory()),
            directory_name: stage.name().to_owned(),
            name: waiting.number.to_string().into(),
        })
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
        self.remove_stages();
        let leftovers = mem::take(&mut self.leftovers);
        let files = self.files.iter().enumerate();
        let states = files.map(|(index, file)| (self.path_of(file), state_of(index, file)));
        error.of_batch(leftovers, states.collect())
    }

    /// Leaves the staging directories where they are, since a journal needs them.
    pub(super) fn keep_stages(&mut self) {
        self.folders.iter_mut().filter_map(|folder| folder.stage.take()).for_each(Stage::keep);
    }

    /// Removes the staging directories. Gives the first failure, which names all that stay.
    pub(super) fn remove_stages(&mut self) -> Option<Error> {
        let mut first: Option<Error> = None;
        for folder in &mut self.folders {
            let Some(stage) = folder.stage.take() else { continue };
            let path = stage.path(&folder.path);
            if let Err(error) = stage.remove() {
                let error = Error::failed(Step::RemoveTemp, &folder.path, error);
                self.leftovers.push(path.clone());
                first = Some(first.unwrap_or(error).with_leftover(Some(path)));
            }
        }
        first
    }
}
