//! Making a staged tree durable, before it is published.
//!
//! The walk hands on what it meets from below, what is in a directory before the directory itself.
//! A few things at a time are open, and are synced by several threads. Where one journal is known
//! to keep the order, files are only written out, and one sync of the staging directory makes all
//! of the tree durable, its directories too (`protocol/together.rs` has the reasons).

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::super::tree;
use super::Swap;
use super::current::Current;
use super::staged::Staged;
use super::walk::{self, Visitor};
use crate::concurrency::workers::{self, Interruption};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::options::{Durability, Options};
use crate::protocol::knowledge;
use crate::protocol::target::Target;
use crate::protocol::together::{self, Lowest};
use crate::sys::{self, Directory, Entry, FileKind, FileSystem};

/// As many are open at a time, at most.
const MAX_OPEN: usize = 64;

/// A staged tree that is complete and synced as far as was asked: the only one that can be
/// published.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) staged: Staged,
    /// How far that is proven.
    pub(super) durability: Durability,
}

/// Syncs all that is in the staged tree, whoever wrote it, from below: what is in a directory
/// before the directory itself. That may take long, so that the tree's own directory gets the
/// metadata that the target has after it.
pub(super) fn seal(
    mut staged: Staged,
    target: &mut Target,
    swap: Swap,
    options: &Options,
) -> Result<Sealed> {
    match sync_tree(&mut staged, target, swap, options) {
        Ok(durability) => Ok(Sealed { staged, durability }),
        Err(error) => Err(staged.abandon(error)),
    }
}

fn sync_tree(
    staged: &mut Staged,
    target: &mut Target,
    swap: Swap,
    options: &Options,
) -> Result<Durability> {
    let path = staged.path().to_path_buf();
    let failed = |error| Error::failed(Step::SyncFile, &path, error);
    if let Some(mount) = sys::mount_below(staged.root()).map_err(failed)? {
        return Err(Error::refused(ErrorKind::MountPoint, Step::SyncFile, &mount));
    }
    if options.durability == Durability::None {
        finish(staged, target, swap, options)?;
        return Ok(Durability::None);
    }
    let mut sync = Sync::new(staged, options);
    let root = walk::open_again(staged.root()).map_err(failed)?;
    walk::walk(root, &path, &mut sync)?;
    sync.flush()?;
    let (way, achieved) = (sync.way, sync.lowest.get());
    let root = walk::open_again(staged.root()).map_err(failed)?;
    // Only now: its owner may not be able to open it or to look into it then.
    finish(staged, target, swap, options)?;
    let of_root = match way {
        Way::Journal => settle(staged).map(|()| options.durability),
        Way::Unknown | Way::Each => Item::Directory(root).sync(options.durability),
    };
    check(achieved.min(of_root.map_err(failed)?), &path, options)
}

/// Gives the tree's own directory what it is published with.
fn finish(staged: &mut Staged, target: &mut Target, swap: Swap, options: &Options) -> Result<()> {
    if let Some(current) = Current::look_again(target, swap, options)? {
        current.dress(staged, target, options)?;
    }
    staged.give_mode()
}

/// Makes all that is in the journal durable, by what comes there after it.
fn settle(staged: &Staged) -> io::Result<()> {
    let directory = staged.stage.directory();
    sys::touch_directory(directory)?;
    sys::sync_directory(directory)
}

fn check(achieved: Durability, path: &Path, options: &Options) -> Result<Durability> {
    if options.require_durability && achieved < options.durability {
        return Err(Error::refused(ErrorKind::DurabilityUnavailable, Step::SyncFile, path));
    }
    Ok(achieved)
}

/// How the tree is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// That is yet to be found out.
    Unknown,
    /// By a sync of each file and each directory.
    Each,
    /// By the journal.
    Journal,
}

/// What waits to be synced.
enum Item {
    File(File),
    Directory(Directory),
}

impl Item {
    fn sync(&self, durability: Durability) -> io::Result<Durability> {
        match self {
            Item::File(file) => sys::sync_file(file, durability),
            Item::Directory(directory) => match sys::sync_directory(directory) {
                // Then it is not proven that the names in it are there when the tree's own is.
                Err(error) if sys::lacks_directory_sync(&error) => Ok(Durability::None),
                result => result.map(|()| durability),
            },
        }
    }
}

struct Sync<'a> {
    staged: &'a Staged,
    options: &'a Options,
    way: Way,
    lowest: Lowest,
    waiting: Vec<(Item, PathBuf)>,
    /// For each directory on the way down, the mode that it gets back.
    closed: Vec<Option<u32>>,
}

impl<'a> Sync<'a> {
    fn new(staged: &'a Staged, options: &'a Options) -> Sync<'a> {
        let lowest = Lowest::new(options.durability);
        let (waiting, closed) = (Vec::new(), Vec::new());
        Sync { staged, options, way: Way::Unknown, lowest, waiting, closed }
    }

    fn add(&mut self, item: Item, path: &Path) -> Result<()> {
        self.waiting.push((item, path.to_path_buf()));
        if self.waiting.len() == MAX_OPEN { self.flush() } else { Ok(()) }
    }

    /// Syncs what waits.
    fn flush(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let done = self.find_way(&waiting)?;
        let work = |index: usize| match (&waiting[done + index].0, self.way) {
            (Item::File(file), Way::Journal) => sys::write_out(file),
            (Item::Directory(_), Way::Journal) => Ok(()),
            (item, _) => item.sync(self.options.durability).map(|it| self.lowest.lower(it)),
        };
        let go_on = &mut |_| ControlFlow::Continue(());
        match workers::each(waiting.len() - done, together::THREADS, &work, go_on) {
            Err(Interruption::Failed(index, error)) => {
                Err(self.failed(&waiting[done + index].1, error))
            }
            Err(Interruption::Cancelled) | Ok(()) => Ok(()), // nobody cancels it
        }
    }

    /// Finds out how the tree is made durable. Gives how much of what waits was synced for that.
    fn find_way(&mut self, waiting: &[(Item, PathBuf)]) -> Result<usize> {
        let Some((first, path)) = waiting.first() else { return Ok(0) };
        if self.way != Way::Unknown {
            return Ok(0);
        }
        self.way = Way::Each;
        if waiting.len() < together::MANY {
            return Ok(0); // that is the whole tree
        }
        let directory = self.staged.stage.directory();
        let (file_system, done) = match knowledge::of(directory) {
            Ok(file_system) => (file_system, 0),
            Err(unknown) => {
                // What it does shows only once something on it was synced.
                let synced = first.sync(self.options.durability);
                self.lowest.lower(synced.map_err(|error| self.failed(path, error))?);
                (unknown.learn(directory), 1)
            }
        };
        if file_system == FileSystem::Journalled {
            self.way = Way::Journal;
        }
        Ok(done)
    }
}

impl Visitor for Sync<'_> {
    fn visit(&mut self, at: Entry<'_>, kind: FileKind, path: &Path) -> Result<()> {
        if kind != FileKind::File {
            return Ok(()); // it is all in its directory
        }
        let failed = |error| self.failed(path, error);
        let file = sys::open_staged(at.directory, at.name).map_err(failed)?;
        self.add(Item::File(file), path)
    }

    fn enter(&mut self, at: Entry<'_>, path: &Path) -> Result<Directory> {
        let failed = |error| self.failed(path, error);
        let (directory, mode) = tree::enter_for_a_while(at).map_err(failed)?;
        self.closed.push(mode);
        Ok(directory)
    }

    fn leave(&mut self, directory: Directory, path: &Path) -> Result<()> {
        if let Some(mode) = self.closed.pop().flatten() {
            sys::set_directory_mode(&directory, mode).map_err(|error| self.failed(path, error))?;
        }
        self.add(Item::Directory(directory), path)
    }

    fn failed(&self, path: &Path, error: io::Error) -> Error {
        let is_mount = error.kind() == io::ErrorKind::CrossesDevices;
        let error = Error::failed(Step::SyncFile, path, error);
        if is_mount { error.with_kind(ErrorKind::MountPoint) } else { error }
    }
}
