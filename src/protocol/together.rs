//! Syncing many files at once, by the cheapest way that keeps the promise.
//!
//! Three ways, in the order in which they are thought of: write each file out, where the file
//! system's journal does the rest with the sync of a directory ([`SyncPlan::Fewest`]); sync the
//! whole file system once, where it is known to leave nothing out, for many files; sync each file,
//! by several threads, so that the device is asked to empty its cache less often than there are
//! files.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;

use super::knowledge;
use super::sync::Synced;
use crate::concurrency::workers::{self, Interruption};
use crate::options::{Durability, SyncPlan};
use crate::sys::{self, Directory, FileSystem};

/// From so many things on, a sync of the whole file system is cheaper than one of each, by so much
/// that what others have to write out is waited for.
const MANY: usize = if cfg!(test) { 3 } else { 64 };

/// As many syncs wait at the same time: with more, no fewer flushes are asked for.
const THREADS: usize = 16;

/// Files of one file system that are synced together.
pub(crate) struct Group<'a> {
    /// A directory on it, which was opened before the first of them was written.
    pub(crate) directory: &'a Directory,
    pub(crate) count: usize,
    /// Opens the file of that number.
    pub(crate) open: &'a (dyn Fn(usize) -> io::Result<File> + Sync),
    pub(crate) durability: Durability,
    pub(crate) plan: SyncPlan,
}

impl Group<'_> {
    /// Syncs the files, and tells `progress` how many are. A sync that fails is never repeated.
    pub(crate) fn sync(
        &self,
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Synced, Interruption> {
        if self.durability == Durability::None || self.count == 0 {
            return Ok(Synced { durability: self.durability, plan: SyncPlan::Portable });
        }
        if self.plan == SyncPlan::Portable {
            return self.sync_portably(progress);
        }
        match knowledge::of(self.directory) {
            Ok(FileSystem::Journalled) => self.write_out(0, progress),
            Ok(_) => self.sync_portably(progress),
            Err(unknown) => {
                // What it does shows only once something on it was synced.
                let first = (self.open)(0).and_then(|file| sys::sync_file(&file, self.durability));
                first.map_err(|error| Interruption::Failed(0, error))?;
                match unknown.learn(self.directory) {
                    FileSystem::Journalled => self.write_out(1, progress),
                    _ => self.sync_portably(progress),
                }
            }
        }
    }

    /// Writes out the files from the one of that number on.
    fn write_out(
        &self,
        from: usize,
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Synced, Interruption> {
        let work = |index| sys::write_out(&(self.open)(from + index)?);
        workers::each(self.count - from, THREADS, &work, &mut |done| progress(from + done))
            .map_err(|interruption| match interruption {
                Interruption::Failed(index, error) => Interruption::Failed(from + index, error),
                Interruption::Cancelled => Interruption::Cancelled,
            })?;
        Ok(Synced { durability: self.durability, plan: SyncPlan::Fewest })
    }

    fn sync_portably(
        &self,
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Synced, Interruption> {
        let plan = SyncPlan::Portable;
        if is_synced_whole(self.directory, self.count) {
            let result = sys::sync_file_system(self.directory);
            result.map_err(|error| Interruption::Failed(0, error))?;
            return match progress(self.count) {
                ControlFlow::Continue(()) => Ok(Synced { durability: self.durability, plan }),
                ControlFlow::Break(()) => Err(Interruption::Cancelled),
            };
        }
        let achieved = std::sync::Mutex::new(self.durability);
        let work = |index| {
            let durability = sys::sync_file(&(self.open)(index)?, self.durability)?;
            let mut least = achieved.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *least = durability.min(*least);
            Ok(())
        };
        workers::each(self.count, THREADS, &work, progress)?;
        let durability = achieved.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(Synced { durability, plan })
    }
}

/// Whether so many things on the file system of `directory` are best synced with all of it.
fn is_synced_whole(directory: &Directory, count: usize) -> bool {
    let file_system = || sys::file_system_of(directory).unwrap_or(FileSystem::Unknown);
    count >= MANY && file_system() >= FileSystem::Whole
}

/// Makes the names in directories of one file system durable. `Ordered` if it cannot sync them.
pub(crate) fn sync_names(directories: &[&Directory]) -> Result<Durability, Interruption> {
    if let Some(first) = directories.first() {
        if is_synced_whole(first, directories.len()) {
            let result = sys::sync_file_system(first);
            return match result {
                Ok(()) => Ok(Durability::Full),
                Err(error) => Err(Interruption::Failed(0, error)),
            };
        }
    }
    let lacking = std::sync::atomic::AtomicBool::new(false);
    let work = |index: usize| match sys::sync_directory(directories[index]) {
        Err(error) if sys::lacks_directory_sync(&error) => {
            lacking.store(true, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        }
        result => result,
    };
    workers::each(directories.len(), THREADS, &work, &mut |_| ControlFlow::Continue(()))?;
    Ok(if lacking.into_inner() { Durability::Ordered } else { Durability::Full })
}
