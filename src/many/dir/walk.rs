//! Walking through a tree of any depth with a bounded number of descriptors, following no link and
//! entering nothing that is mounted in it.

use std::ffi::OsString;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::vec;

use crate::error::{Error, Result};
use crate::sys::{self, Directory, Entry, FileId, FileKind};

/// As many directories above the one at hand stay open. Those above them are opened anew, by the
/// way up from below.
const MAX_OPEN: usize = 32;

/// A directory in a tree, and the way back up to the tree's root.
#[derive(Debug)]
pub(super) struct Descent {
    here: Directory,
    above: Vec<Level>,
}

#[derive(Debug)]
enum Level {
    Open(Directory),
    Closed(FileId),
}

impl Descent {
    pub(super) fn new(root: Directory) -> Descent {
        Descent { here: root, above: Vec::new() }
    }

    /// The directory at hand.
    pub(super) fn here(&self) -> &Directory {
        &self.here
    }

    /// Goes on to `below`, a directory in this one.
    pub(super) fn go_down(&mut self, below: Directory) -> io::Result<()> {
        self.above.push(Level::Open(mem::replace(&mut self.here, below)));
        if let Some(index) = self.above.len().checked_sub(MAX_OPEN + 1) {
            if let Level::Open(directory) = &self.above[index] {
                self.above[index] = Level::Closed(sys::inspect_directory(directory)?.id);
            }
        }
        Ok(())
    }

    /// Goes back up, and gives the directory that was left. `None` at the root.
    pub(super) fn go_up(&mut self) -> io::Result<Option<Directory>> {
        let above = match self.above.pop() {
            None => return Ok(None),
            Some(Level::Open(directory)) => directory,
            Some(Level::Closed(id)) => {
                let directory = sys::open_directory(Some(&self.here), "..".as_ref())?;
                if sys::inspect_directory(&directory)?.id != id {
                    return Err(io::ErrorKind::NotFound.into()); // it was moved meanwhile
                }
                directory
            }
        };
        Ok(Some(mem::replace(&mut self.here, above)))
    }
}

/// What is done at each place of a tree. Paths are for errors only.
pub(super) trait Visitor {
    /// With something that is no directory.
    fn visit(&mut self, at: Entry<'_>, kind: FileKind, path: &Path) -> Result<()>;

    /// Opens a directory, before the walk goes through it.
    fn enter(&mut self, at: Entry<'_>, path: &Path) -> Result<Directory>;

    /// With a directory after all that is in it.
    fn leave(&mut self, directory: Directory, path: &Path) -> Result<()>;

    /// What it means that the walk itself cannot go on.
    fn failed(&self, path: &Path, error: io::Error) -> Error;
}

type Names = vec::IntoIter<(OsString, Option<FileKind>)>;

/// Walks through all that is in `root`, which itself is neither entered nor left. In memory are the
/// names in the directories on the way down.
pub(super) fn walk(root: Directory, path: &Path, visitor: &mut impl Visitor) -> Result<()> {
    let mut path = path.to_path_buf();
    let mut levels = vec![names_in(&root, &path, visitor)?];
    let mut descent = Descent::new(root);
    // Bounded by the number of entries: each turn takes one, or leaves the directory of it.
    while let Some(names) = levels.last_mut() {
        let Some((name, kind)) = names.next() else {
            levels.pop();
            let left = descent.go_up().map_err(|error| visitor.failed(&path, error))?;
            if let Some(left) = left {
                visitor.leave(left, &path)?;
            }
            path.pop();
            continue;
        };
        path.push(&name);
        let at = Entry { directory: descent.here(), name: &name };
        match kind_of(at, kind, &path, visitor)? {
            FileKind::Directory => {
                let below = visitor.enter(at, &path)?;
                levels.push(names_in(&below, &path, visitor)?);
                descent.go_down(below).map_err(|error| visitor.failed(&path, error))?;
            }
            kind => {
                visitor.visit(at, kind, &path)?;
                path.pop();
            }
        }
    }
    Ok(())
}

fn names_in(directory: &Directory, path: &Path, visitor: &impl Visitor) -> Result<Names> {
    let names = sys::list(directory, |_, _| true);
    Ok(names.map_err(|error| visitor.failed(path, error))?.into_iter())
}

fn kind_of(
    at: Entry<'_>,
    kind: Option<FileKind>,
    path: &Path,
    visitor: &impl Visitor,
) -> Result<FileKind> {
    let failed = |error| visitor.failed(path, error);
    match kind {
        Some(kind) => Ok(kind),
        None => match sys::look(at.directory, at.name).map_err(failed)? {
            Some(existing) => Ok(existing.info.kind),
            None => Err(failed(io::ErrorKind::NotFound.into())),
        },
    }
}

/// Opens a directory once more, to walk from it.
pub(super) fn open_again(directory: &Directory) -> io::Result<Directory> {
    sys::open_directory(Some(directory), ".".as_ref())
}

/// The components of `path`, if it leads from a directory to something in it by names alone.
pub(super) fn names_of(path: &Path) -> Option<Vec<OsString>> {
    use std::path::Component::{CurDir, Normal};

    let mut names = Vec::new();
    let mut parent = PathBuf::new();
    for component in path.components() {
        match component {
            Normal(name) if sys::may_name_file(&parent, name) => names.push(name.to_owned()),
            CurDir => {}
            _ => return None,
        }
        parent.push(component);
    }
    let has_nul = path.as_os_str().as_encoded_bytes().contains(&0);
    (!names.is_empty() && !has_nul).then_some(names)
}
