//! The tree that is there.

use std::ffi::OsStr;
use std::io;

use super::staged::{MODE, Staged};
use super::{Copying, Swap, copy, generation, walk};
use crate::commit::NotPreserved;
use crate::error::{self, Error, ErrorKind, Result, Step};
use crate::options::{Options, Preserve, ReadOnly};
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
    pub(super) fn of(target: &Target, swap: Swap, options: &Options) -> Result<Option<Current>> {
        let failed = |error: io::Error| {
            let is_mount = error.kind() == io::ErrorKind::CrossesDevices;
            let error = Error::failed(Step::Resolve, &target.path, error);
            if is_mount { error.with_kind(ErrorKind::MountPoint) } else { error }
        };
        let here = |kind| target.existing.as_ref().is_some_and(|it| it.info.kind == kind);
        let directory = match swap {
            Swap::Link => generation::current(target)?,
            Swap::Exchange if here(FileKind::Directory) => {
                if is_planted(target, target).map_err(failed)? {
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
        let is_read_only = existing.as_ref().is_some_and(|it| it.info.read_only);
        if is_read_only && options.read_only == ReadOnly::Refuse {
            // Of a link, the policies saw nothing but the link. What is no generation stays.
            let stays = swap == Swap::Link
                && generation::generation_of(target, options).map_err(failed)?.is_none();
            if !stays {
                return Err(Error::refused(ErrorKind::ReadOnly, Step::Resolve, &target.path));
            }
        }
        Ok(existing.map(|existing| Current { directory, existing }))
    }

    /// As [`of`](Current::of), with the policies, once more.
    pub(super) fn look_again(
        target: &mut Target,
        swap: Swap,
        options: &Options,
    ) -> Result<Option<Current>> {
        target.look_again(options)?;
        Current::of(target, swap, options)
    }

    /// Whether the other is this very directory. Both are open, so that no number is given twice.
    pub(super) fn is(&self, other: &Current) -> bool {
        self.existing.info.id == other.existing.info.id
    }

    /// The mode with which the tree that replaces it is made: nobody else may do more than here, if
    /// it stays at that.
    pub(super) fn mode_meanwhile(&self, options: &Options) -> u32 {
        match options.preserve.mode {
            Preserve::Skip => MODE,
            Preserve::Require | Preserve::Try => MODE & (self.existing.info.mode | 0o700),
        }
    }

    /// Copies all that is in it into the staged tree, and gives that the metadata. Gives what the
    /// copies could not keep.
    pub(super) fn copy_to(
        &self,
        staged: &mut Staged,
        target: &Target,
        copying: Copying,
        options: &Options,
    ) -> Result<Vec<NotPreserved>> {
        let failed = |error| Error::failed(Step::Read, &target.path, error);
        let from = walk::open_again(&self.directory).map_err(failed)?;
        let lost = copy::copy_tree(from, &target.path, staged, copying, options)?;
        self.dress(staged, target, options)?;
        Ok(lost)
    }

    /// Gives the staged tree's directory the metadata of this one.
    pub(super) fn dress(
        &self,
        staged: &mut Staged,
        target: &Target,
        options: &Options,
    ) -> Result<()> {
        let at = Entry { directory: &self.directory, name: OsStr::new(".") };
        staged.dress(Snapshot::of(&self.existing, at, &target.path, options)?, options)
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

/// Whether what was found `here` may have been planted at `target`.
pub(super) fn is_planted(target: &Target, here: &Target) -> io::Result<bool> {
    match &here.existing {
        Some(existing) => sys::may_be_planted(&target.directory, &existing.info),
        None => Ok(false),
    }
}
