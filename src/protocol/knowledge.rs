//! What is known about the file systems that were met, one by one: not one answer for the process.

use std::cell::RefCell;

use crate::sys::{self, Directory, FileSystem, Mount};

/// A thread that meets more mounts than this asks some of them again.
const MAX_KNOWN: usize = 256;

thread_local! {
    /// By mount: for as long as it is one, the file system's journal stays where it is.
    static KNOWN: RefCell<Vec<(Mount, FileSystem)>> = const { RefCell::new(Vec::new()) };
}

/// Nothing is known yet about the file system of a directory.
#[derive(Debug)]
pub(crate) struct NothingKnown(Mount);

/// What is known about the file system that `directory` is on.
pub(crate) fn of(directory: &Directory) -> Result<FileSystem, NothingKnown> {
    if !sys::can_be_synced(directory) {
        // Whatever is known, nothing ends with the sync that would make use of it.
        return Ok(FileSystem::Unknown);
    }
    let Ok(mount) = sys::mount_of(directory) else { return Ok(FileSystem::Unknown) };
    // A thread that ends and saves in a destructor has forgotten all of it.
    let known = KNOWN.try_with(|known| known.borrow().iter().find(|(it, _)| *it == mount).copied());
    let known = known.ok().flatten();
    known.map(|(_, file_system)| file_system).ok_or(NothingKnown(mount))
}

impl NothingKnown {
    /// Finds out, once something on the file system was synced.
    pub(crate) fn learn(self, directory: &Directory) -> FileSystem {
        let file_system = sys::file_system_of(directory).unwrap_or(FileSystem::Unknown);
        let _ = KNOWN.try_with(|known| {
            let mut known = known.borrow_mut();
            known.truncate(MAX_KNOWN - 1);
            known.push((self.0, file_system));
        });
        file_system
    }
}
