//! The tree that is there.

use std::ffi::OsStr;
use std::io;

use super::staged::Staged;
use super::{Start, Swap, copy, generation, walk};
use crate::commit::NotPreserved;
use crate::error::{self, Error, ErrorKind, Result, Step};
use crate::options::Options;
use crate::protocol::metadata::Snapshot;
use crate::protocol::target::Target;
use crate::sys::{self, Directory, Entry, Existing, FileKind};

/// The tree that is there.
pub(super) struct Current {
    directory: Directory,
    existing: Existing,
}

impl Current {
    /// Opens it, and checks that it can be replaced. `None` if there is none.
    pub(super) fn of(target: &Target, swap: Swap) -> Result<Option<Current>> {
        let failed = |error: io::Error| {
            let is_mount = error.kind() == io::ErrorKind::CrossesDevices;
            let error = Error::failed(Step::Resolve, &target.path, error);
            if is_mount { error.with_kind(ErrorKind::MountPoint) } else { error }
        };
        let here = |kind| target.existing.as_ref().is_some_and(|it| it.info.kind == kind);
        let directory = match swap {
            Swap::Link => generation::current(target)?,
            Swap::Exchange if here(FileKind::Directory) => {
                if is_planted(target).map_err(failed)? {
                    return Err(failed(error::planted()));
                }
                Some(open_held(&target.directory, &target.name).map_err(failed)?)
            }
            Swap::Exchange => None,
        };
        let Some(directory) = directory else { return Ok(None) };
        if let Some(mount) = sys::mount_below(&directory).map_err(failed)? {
            return Err(Error::refused(ErrorKind::MountPoint, Step::Resolve, &mount));
        }
        let existing = sys::look(&directory, OsStr::new(".")).map_err(failed)?;
        Ok(existing.map(|existing| Current { directory, existing }))
    }

    /// Hands on to the staged tree what it is to have of this one. Gives what could not be kept.
    pub(super) fn hand_on(
        &self,
        staged: &mut Staged,
        target: &Target,
        options: &Options,
        start: Start,
    ) -> Result<Vec<NotPreserved>> {
        let at = Entry { directory: &self.directory, name: OsStr::new(".") };
        let mut lost = Vec::new();
        if let Start::Copy(copying) = start {
            let failed = |error| Error::failed(Step::Read, &target.path, error);
            let from = walk::open_again(&self.directory).map_err(failed)?;
            lost = copy::copy_tree(from, &target.path, staged, copying, options)?;
        }
        let snapshot = Snapshot::of(&self.existing, at, &target.path, options)?;
        lost.extend(staged.dress(snapshot, options)?);
        Ok(lost)
    }
}

/// Opens a directory of which it may be that it cannot be read.
fn open_held(parent: &Directory, name: &OsStr) -> io::Result<Directory> {
    match sys::open_inside(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            sys::open_directory(Some(parent), name.as_ref())
        }
        result => result,
    }
}

fn is_planted(target: &Target) -> io::Result<bool> {
    match &target.existing {
        Some(existing) => sys::may_be_planted(&target.directory, &existing.info),
        None => Ok(false),
    }
}
