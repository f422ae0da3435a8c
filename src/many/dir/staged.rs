//! The staged tree: a directory within a staging directory, which keeps everybody else out whatever
//! permissions the tree itself has. So the kernel makes the tree's own directory as it would have
//! made the target, with the umask, the default ACL and the group of where it will be.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::super::stage::{NotMade, Stage};
use super::super::tree;
use super::{copy, walk};
use crate::commit::NotPreserved;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::options::{Durability, Metadata, Options, ReadOnly, Symlinks};
use crate::protocol::metadata::{HandedOn, Snapshot};
use crate::sys::{self, Directory, Entry, FileId, FileKind};
use crate::writer::{AtomicWriter, LookedAt};

/// The name of the tree in its staging directory.
pub(super) const TREE: &str = "tree";
/// What any new directory gets, as far as the umask leaves it.
pub(super) const MODE: u32 = 0o777;
const ALL_OF_THE_OWNER: u32 = 0o700;
/// As often as this may a directory come and go while it is made.
const MAX_TURNS: usize = 8;

/// A tree in the making. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct Staged {
    // Before `stage`, since Windows removes no directory that is open.
    root: Directory,
    pub(super) stage: Stage,
    path: PathBuf,
    /// The mode that the tree's directory is to have, where nobody could fill it with that.
    mode: Option<u32>,
    /// What that directory was given of the one that is replaced.
    handed_on: HandedOn,
    /// What it could not be given.
    lost: Vec<NotPreserved>,
    /// What files that were written could not be given of those they replaced.
    lost_by_files: Mutex<Vec<NotPreserved>>,
    /// The failure after which the tree may be incomplete.
    poison: OnceLock<(Step, io::ErrorKind)>,
}

impl Staged {
    /// Makes an empty tree in `parent`, whose path is given, with `mode` as far as the umask leaves
    /// it.
    pub(super) fn create(
        parent: &Arc<Directory>,
        path: &Path,
        options: &Options,
        mode: u32,
    ) -> std::result::Result<Staged, NotMade> {
        let stage = Stage::create(parent, options)?;
        let make = || {
            let at = Entry { directory: stage.directory(), name: OsStr::new(TREE) };
            sys::make_directory(at.directory, at.name, mode)?;
            let mode = sys::look(at.directory, at.name)?.map(|made| made.info.mode);
            let root = tree::enter(at.directory, at.name)?;
            let absolute = sys::path_of(stage.directory());
            let path = absolute.map_or_else(|| std::path::absolute(stage.path(path)), Ok)?;
            Ok((root, path.join(TREE), mode))
        };
        let (root, path, mode) = match make() {
            Ok(made) => made,
            Err(error) => return Err(stage.unmake(error)),
        };
        Ok(Staged {
            root,
            stage,
            path,
            mode: mode.filter(|mode| mode & ALL_OF_THE_OWNER != ALL_OF_THE_OWNER),
            handed_on: HandedOn::default(),
            lost: Vec::new(),
            lost_by_files: Mutex::default(),
            poison: OnceLock::new(),
        })
    }

    pub(super) fn root(&self) -> &Directory {
        &self.root
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the staging directory that the tree is in.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Gives the tree's directory what `snapshot` has, except that its owner may fill it until it
    /// is published.
    ///
    /// If it was given the same before, only the times are set: whatever else it has by now, its
    /// user has given it.
    pub(super) fn dress(&mut self, mut snapshot: Snapshot, options: &Options) -> Result<()> {
        let failed = |error| Error::failed(Step::Metadata, &self.path, error);
        let file = sys::file_of(&self.root).map_err(failed)?;
        let now = snapshot.handed_on();
        if now == self.handed_on {
            self.lost.retain(|loss| loss.metadata != Metadata::Times);
            self.lost.extend(snapshot.apply_times_to(&file, &self.path, options)?);
            return Ok(());
        }
        self.lost =
            snapshot.apply_after(&self.handed_on.xattr_names(), &file, &self.path, options)?;
        self.handed_on = now;
        let mode = sys::inspect_directory(&self.root).map_err(failed)?.mode;
        self.mode = None;
        if mode & ALL_OF_THE_OWNER != ALL_OF_THE_OWNER {
            sys::set_directory_mode(&self.root, mode | ALL_OF_THE_OWNER).map_err(failed)?;
            self.mode = Some(mode);
        }
        Ok(())
    }

    /// What the tree's directory, and the files that were written, could not be given.
    pub(super) fn take_losses(&mut self) -> Vec<NotPreserved> {
        let mut lost = mem::take(&mut self.lost);
        let by_files = self.lost_by_files.get_mut().unwrap_or_else(PoisonError::into_inner);
        copy::add_losses(&mut lost, mem::take(by_files));
        lost
    }

    /// The identity of the tree's directory, if its name still stands for it. What somebody else
    /// has put in its place was neither filled nor synced by way of this one.
    pub(super) fn id(&self) -> Result<FileId> {
        let failed = |error| Error::failed(Step::Publish, &self.path, error);
        let id = sys::inspect_directory(&self.root).map_err(failed)?.id;
        let at = Entry { directory: self.stage.directory(), name: OsStr::new(TREE) };
        match sys::id_at(at).map_err(failed)? {
            Some(now) if now == id => Ok(id),
            _ => Err(Error::refused(ErrorKind::StagingReplaced, Step::Publish, &self.path)),
        }
    }

    /// Gives the tree's directory its mode, unless somebody has given it another.
    pub(super) fn give_mode(&mut self) -> Result<()> {
        let Some(mode) = self.mode.take() else { return Ok(()) };
        let failed = |error| Error::failed(Step::Metadata, &self.path, error);
        let now = sys::inspect_directory(&self.root).map_err(failed)?.mode;
        match now == mode | ALL_OF_THE_OWNER {
            true => sys::set_directory_mode(&self.root, mode).map_err(failed),
            false => Ok(()),
        }
    }

    /// Checks that nothing went wrong on the way.
    pub(super) fn check(&self) -> Result<()> {
        match self.poison.get() {
            None => self.id().map(drop),
            Some((step, kind)) => {
                Err(Error::failed(*step, &self.path, (*kind).into()).with_kind(ErrorKind::Poisoned))
            }
        }
    }

    /// Writes a file, in the place of what is there.
    pub(super) fn write(&self, path: &Path, contents: &[u8], options: &Options) -> Result<()> {
        let write = || {
            let (parent, name) = self.find(path)?;
            let options = Options {
                durability: Durability::None, // until the whole tree is synced
                symlinks: Symlinks::Replace,
                read_only: ReadOnly::Replace,
                preserve: options.preserve,
                ..Options::default()
            };
            let mut writer = AtomicWriter::open(Some(parent), Path::new(&name), &options, None)?;
            match writer.write_all(contents) {
                Ok(()) => writer.commit_looked_at(LookedAt::Now).map(|commit| {
                    let mut lost =
                        self.lost_by_files.lock().unwrap_or_else(PoisonError::into_inner);
                    copy::add_losses(&mut lost, commit.not_preserved);
                }),
                Err(error) => Err(writer.abandon(ErrorKind::Io, Step::Write, error)),
            }
        };
        self.run(path, write)
    }

    /// Creates a directory and those that lead to it.
    pub(super) fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.run(path, || {
            let names = self.names(path)?;
            let failed = |error| Error::failed(Step::Write, &self.path.join(path), error);
            let mut here = walk::open_again(&self.root).map_err(failed)?;
            for name in &names {
                here = make_or_open(Entry { directory: &here, name }).map_err(failed)?;
            }
            Ok(())
        })
    }

    /// Removes a file, or a directory with all that is in it.
    pub(super) fn remove_all(&self, path: &Path) -> Result<()> {
        self.run(path, || {
            let (parent, name) = self.find(path)?;
            let failed = |error| Error::failed(Step::Write, &self.path.join(path), error);
            let existing = sys::look(&parent, &name).map_err(failed)?;
            let Some(existing) = existing else {
                let kind = ErrorKind::NotFound;
                return Err(Error::refused(kind, Step::Resolve, &self.path.join(path)));
            };
            if existing.info.kind != FileKind::Directory {
                return sys::remove_entry(&parent, &name).map_err(failed);
            }
            let inside = tree::enter(&parent, &name).map_err(failed)?;
            let error = tree::empty(&inside, &[]);
            drop(inside);
            let removed = sys::remove_directory(&parent, &name);
            removed.map_err(|not_empty| failed(error.unwrap_or(not_empty)))
        })
    }

    /// Runs a change of the tree. One that fails halfway leaves it incomplete.
    fn run(&self, path: &Path, change: impl FnOnce() -> Result<()>) -> Result<()> {
        if let Some((step, _)) = self.poison.get() {
            return Err(Error::refused(ErrorKind::Poisoned, *step, &self.path.join(path)));
        }
        change().map_err(|error| error.in_staging(self.path.join(path))).inspect_err(|error| {
            if error.step() != Step::Resolve {
                let kind = error.io_error().map_or(io::ErrorKind::Other, io::Error::kind);
                let _ = self.poison.set((error.step(), kind));
            }
        })
    }

    fn names(&self, path: &Path) -> Result<Vec<OsString>> {
        let invalid = || Error::refused(ErrorKind::InvalidPath, Step::Resolve, path);
        walk::names_of(path).ok_or_else(invalid)
    }

    /// The directory that `path` is in, and its name there.
    fn find(&self, path: &Path) -> Result<(Directory, OsString)> {
        let failed = |error| Error::failed(Step::Resolve, path, error);
        let mut names = self.names(path)?;
        let name = names.pop().unwrap_or_default();
        let mut here = walk::open_again(&self.root).map_err(failed)?;
        for name in names {
            here = sys::open_inside(&here, &name).map_err(failed)?;
        }
        Ok((here, name))
    }

    /// What is left when nobody is to write into the tree any more.
    pub(super) fn into_parts(self) -> (Stage, Directory) {
        (self.stage, self.root)
    }

    /// Removes the tree.
    fn remove(self) -> io::Result<()> {
        let Staged { root, stage, .. } = self;
        drop(root);
        stage.remove()
    }

    /// Removes the tree. The error is one of `target`, and names what stays.
    pub(super) fn roll_back(self, target: &Path) -> Result<()> {
        let folder = self.folder().to_path_buf();
        self.remove().map_err(|error| {
            Error::failed(Step::RemoveTemp, target, error).with_leftover(Some(folder))
        })
    }

    /// Removes the tree after `error`, which then names it if even that failed.
    pub(super) fn abandon(self, error: Error) -> Error {
        let path = self.folder().to_path_buf();
        match self.remove() {
            Ok(()) => error,
            Err(_) => error.with_leftover(Some(path)),
        }
    }

    /// Leaves the tree where it is, in use for as long as the file is open.
    pub(super) fn keep(self) -> io::Result<(File, PathBuf)> {
        Ok((self.stage.keep_in_use()?, self.path))
    }
}

fn make_or_open(at: Entry<'_>) -> io::Result<Directory> {
    for _ in 0..MAX_TURNS {
        match sys::open_inside(at.directory, at.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        match sys::make_directory(at.directory, at.name, MODE) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Err(io::ErrorKind::NotFound.into())
}
