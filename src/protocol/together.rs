//! Syncing many files at once, by the cheapest way that keeps the promise.
//!
//! Where one journal is known to keep the order, the files are written out, which asks for no
//! flush, and one sync of a directory makes all of them durable: that of the directories that they
//! are published in ([`SyncPlan::Fewest`]), or one of their staging directory before they are.
//! Everywhere else each file is synced, by several threads, so that the device is asked to empty
//! its cache less often than there are files.
//!
//! Not by a sync of the whole file system (syncfs(2)): it saves little more, and beside a program
//! that had written gigabytes it took a hundred times as long, since it waits for those too.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU8, Ordering};

use super::knowledge;
use super::sync::Synced;
use crate::concurrency::workers::{self, Interruption};
use crate::options::{Durability, SyncPlan};
use crate::sys::{self, Directory};

/// From so many files on, they are made durable together even under [`SyncPlan::Portable`].
pub(crate) const MANY: usize = if cfg!(test) { 3 } else { 8 };

/// As many syncs wait at the same time: with more, hardly fewer flushes are asked for.
pub(crate) const THREADS: usize = 16;

/// Files of one file system that are synced together.
pub(crate) struct Group<'a> {
    /// The staging directory of one of them.
    pub(crate) directory: &'a Directory,
    pub(crate) count: usize,
    /// Opens the file of that number.
    pub(crate) open: &'a (dyn Fn(usize) -> io::Result<File> + Sync),
    pub(crate) durability: Durability,
    pub(crate) plan: SyncPlan,
}

type Told<'a> = &'a mut dyn FnMut(usize) -> ControlFlow<()>;

impl Group<'_> {
    /// Syncs the files, and tells `progress` how many are. A sync that fails is never repeated.
    pub(crate) fn sync(&self, progress: Told<'_>) -> Result<Synced, Interruption> {
        if self.durability == Durability::None {
            return Ok(Synced { durability: Durability::None, plan: SyncPlan::Portable });
        }
        if self.plan == SyncPlan::Portable && self.count < MANY {
            return self.sync_each(0, progress);
        }
        let (file_system, done) = match knowledge::of(self.directory) {
            Ok(file_system) => (file_system, 0),
            Err(unknown) => {
                // What it does shows only once something on it was synced.
                let first = (self.open)(0).and_then(|file| sys::sync_file(&file, self.durability));
                first.map_err(|error| Interruption::Failed(0, error))?;
                (unknown.learn(self.directory), 1)
            }
        };
        if !file_system.keeps_order(self.durability) {
            return self.sync_each(done, progress);
        }
        let write_out = |index| sys::write_out(&(self.open)(index)?);
        self.each_from(done, &write_out, progress)?;
        if self.plan == SyncPlan::Portable {
            // It is in the journal after all that the files have there.
            let settled = sys::touch_directory(self.directory)
                .and_then(|()| sys::sync_directory(self.directory));
            settled.map_err(|error| Interruption::Failed(0, error))?;
        }
        Ok(Synced { durability: self.durability, plan: self.plan })
    }

    fn sync_each(&self, from: usize, progress: Told<'_>) -> Result<Synced, Interruption> {
        let lowest = Lowest::new(self.durability);
        let sync = |index| {
            lowest.lower(sys::sync_file(&(self.open)(index)?, self.durability)?);
            Ok(())
        };
        self.each_from(from, &sync, progress)?;
        Ok(Synced { durability: lowest.get(), plan: SyncPlan::Portable })
    }

    /// Does `work` on the files from the one of that number on.
    fn each_from(
        &self,
        from: usize,
        work: &(dyn Fn(usize) -> io::Result<()> + Sync),
        progress: Told<'_>,
    ) -> Result<(), Interruption> {
        let work = |index| work(from + index);
        let result =
            workers::each(self.count - from, THREADS, &work, &mut |done| progress(from + done));
        result.map_err(|interruption| match interruption {
            Interruption::Failed(index, error) => Interruption::Failed(from + index, error),
            Interruption::Cancelled => Interruption::Cancelled,
        })
    }
}

/// Syncs each of the directories. Gives the durability of their names: `Ordered` if one of them
/// cannot be synced.
pub(crate) fn sync_names(directories: &[&Directory]) -> Result<Durability, Interruption> {
    let lowest = Lowest::new(Durability::Full);
    let sync = |index: usize| match sys::sync_directory(directories[index]) {
        Err(error) if sys::lacks_directory_sync(&error) => {
            lowest.lower(Durability::Ordered);
            Ok(())
        }
        result => result,
    };
    workers::each(directories.len(), THREADS, &sync, &mut |_| ControlFlow::Continue(()))?;
    Ok(lowest.get())
}

/// The lowest durability that any of several threads has seen.
pub(crate) struct Lowest(AtomicU8);

impl Lowest {
    const ALL: [Durability; 3] = [Durability::None, Durability::Ordered, Durability::Full];

    pub(crate) fn new(durability: Durability) -> Lowest {
        Lowest(AtomicU8::new(durability as u8))
    }

    pub(crate) fn lower(&self, durability: Durability) {
        self.0.fetch_min(durability as u8, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Durability {
        Lowest::ALL[usize::from(self.0.load(Ordering::Relaxed))]
    }
}
