//! Orphans: what writers that were killed have left, and how it is told from what is in use.
//!
//! A living writer holds the lock of its temp file or staging directory, and whoever holds or
//! awaits the lock of a target has its file open and locked. So what has a lock that can be taken
//! has nobody: that is a fact, and needs no guess from its age or from a process number. The moment
//! between the creation of a temp file and its lock is the writer's to look after: one that finds
//! its fresh file taken makes another.

mod report;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::concurrency::lock::{self, Answer};
use crate::concurrency::side_lock::{self, SideLock};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::many::dir::generation;
use crate::many::stage::{Found, Stage};
use crate::options::{Lock, Options};
use crate::protocol::temp;
use crate::sys::{self, Directory, FileKind, Info};

pub use report::Sweep;

/// Deeper than this, nothing is swept: each level holds a descriptor.
const MAX_DEPTH: usize = 128;

/// Removes the orphans in the directory `dir`: [`Sweeper::new`] with its defaults.
///
/// # Errors
///
/// As for [`Sweeper::run`].
///
/// # Examples
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let config_folder = dir.path();
/// // At the start of a program, before it saves anything.
/// match wholefile::sweep(config_folder) {
///     Ok(sweep) => {
///         for orphan in sweep.removed() {
///             eprintln!("removed {}, which an earlier run left", orphan.display());
///         }
///     }
///     Err(error) if error.kind() == wholefile::ErrorKind::NotFound => {} // it is the first run
///     Err(error) => return Err(error.into()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sweep(dir: impl AsRef<Path>) -> Result<Sweep> {
    Sweeper::new().run(dir)
}

/// Removes what writers that were killed left behind: temp files, the files of their locks, and
/// staging directories with all that is in them.
///
/// It removes only what has exactly the documented pattern: regular files and directories named
/// `.wholefile-`, twelve letters and digits, `.tmp`; regular files named `.wholefile-`, sixteen
/// hexadecimal digits, `.lock` or `.swap`; and directories named like the first, but for a `.tree`
/// at the end, if no symlink beside them names them ([`Swap::Link`](crate::Swap::Link)). And only
/// what has a lock that nobody holds; for a `.swap` that is the lock with the same sixteen digits.
/// It follows no links and leaves alone what is mounted in a staging directory. Writers need not be
/// stopped meanwhile.
///
/// # Platform
///
/// On Windows temp files are not locked, and are reported as [`unknown`](Sweep::unknown). What is
/// left of a batch or a tree is emptied by its path there, so that whoever may write to it can lead
/// the removal elsewhere by a junction: sweep as a privileged user only where nobody else may
/// write.
///
/// On NFS the lock of a directory is known only to the host that has it (Linux: flock(2) goes to
/// the server for files alone, `nfs_dir_operations` in fs/nfs/dir.c): sweep only while no other
/// host has a batch or a directory tree in the making there.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # let dir = tempfile::tempdir()?;
/// let sweep = wholefile::Sweeper::new()
///     .recursive(true)
///     .min_age(Duration::from_secs(3600))
///     .dry_run(true)
///     .run(dir.path())?;
/// println!("{} orphans, {} in use", sweep.removed().len(), sweep.alive().len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sweeper {
    min_age: Duration,
    dry_run: bool,
    recursive: bool,
    options: Options,
}

impl Sweeper {
    /// A sweeper of one directory, which removes orphans of any age.
    #[must_use]
    pub fn new() -> Self {
        Sweeper::default()
    }

    /// How long ago an orphan must have been modified. Of a directory, the last modification counts
    /// of it and of what is directly in it. A time in the future counts as now. Default: zero.
    pub fn min_age(&mut self, age: Duration) -> &mut Self {
        self.min_age = age;
        self
    }

    /// Whether to remove nothing, and only to report what would be. Default: `false`.
    pub fn dry_run(&mut self, dry_run: bool) -> &mut Self {
        self.dry_run = dry_run;
        self
    }

    /// Whether to sweep the directories below it too, 128 levels deep at most. Default: `false`.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// What the temp files' names begin with, where
    /// [`Builder::staging_prefix`](crate::Builder::staging_prefix) was set.
    pub fn staging_prefix(&mut self, prefix: impl Into<OsString>) -> &mut Self {
        self.options.staging_prefix = Some(prefix.into());
        self
    }

    /// What the temp files' names end with, where
    /// [`Builder::staging_suffix`](crate::Builder::staging_suffix) was set.
    pub fn staging_suffix(&mut self, suffix: impl Into<OsString>) -> &mut Self {
        self.options.staging_suffix = Some(suffix.into());
        self
    }

    /// Removes the orphans in the directory `dir`.
    ///
    /// # Errors
    ///
    /// At [`Step::Sweep`], if the directory cannot be opened and listed. What goes wrong with a
    /// single file or a directory below it is in [`Sweep::errors`], and the sweep goes on. Of kind
    /// [`ErrorKind::InvalidOption`], if no temp file may have that prefix and suffix.
    pub fn run(&self, dir: impl AsRef<Path>) -> Result<Sweep> {
        let dir = dir.as_ref();
        temp::check_affixes(&self.options, dir)?;
        let mut sweep = Sweep::default();
        let directory = sys::open_directory(None, dir).map_err(|error| failed(dir, error))?;
        self.sweep_directory(&Arc::new(directory), dir, 0, &mut sweep)?;
        Ok(sweep)
    }

    fn sweep_directory(
        &self,
        directory: &Arc<Directory>,
        path: &Path,
        depth: usize,
        sweep: &mut Sweep,
    ) -> Result<()> {
        let is_wanted = |name: &OsStr, kind: Option<FileKind>| match kind {
            Some(FileKind::File) => self.is_candidate(name),
            Some(FileKind::Directory) => {
                self.recursive || self.is_temp(name) || self.is_generation(name)
            }
            None => self.recursive || self.is_candidate(name) || self.is_generation(name),
            Some(FileKind::Symlink | FileKind::Special) => false,
        };
        let found = sys::list(directory, is_wanted).map_err(|error| failed(path, error))?;
        for (name, kind) in found {
            let path = path.join(&name);
            if let Err(error) = self.sweep_entry(directory, &name, kind, &path, depth, sweep) {
                sweep.errors.push(error);
            }
        }
        Ok(())
    }

    fn sweep_entry(
        &self,
        directory: &Arc<Directory>,
        name: &OsStr,
        kind: Option<FileKind>,
        path: &Path,
        depth: usize,
        sweep: &mut Sweep,
    ) -> Result<()> {
        let failed = |error| failed(path, error);
        let kind = match kind {
            Some(kind) => Some(kind),
            None => sys::look(directory, name).map_err(failed)?.map(|it| it.info.kind),
        };
        if kind == Some(FileKind::Directory) && self.is_generation(name) {
            let seen = self.sweep_generation(directory, name, path, sweep).map_err(failed)?;
            if seen == Seen::Nobodys {
                return Ok(());
            }
        }
        match kind {
            Some(FileKind::File) if self.is_candidate(name) => {
                self.sweep_file(directory, name, path, sweep)
            }
            Some(FileKind::Directory) if self.is_temp(name) => {
                self.sweep_stage(directory, name, path, sweep).map_err(failed)
            }
            Some(FileKind::Directory) if self.recursive && depth < MAX_DEPTH => {
                let below = sys::open_subdirectory(directory, name).map_err(failed)?;
                self.sweep_directory(&Arc::new(below), path, depth + 1, sweep)
            }
            Some(FileKind::Directory) if self.recursive => {
                Err(failed(io::Error::other("too many levels of directories")))
            }
            _ => Ok(()),
        }
    }

    fn is_candidate(&self, name: &OsStr) -> bool {
        let is_exchanged = side_lock::lock_of_exchange(name).is_some();
        is_exchanged || self.is_temp(name) || side_lock::is_name(name)
    }

    fn is_temp(&self, name: &OsStr) -> bool {
        temp::is_name(name, &self.options)
    }

    fn is_generation(&self, name: &OsStr) -> bool {
        generation::is_name(name, &self.options)
    }

    fn sweep_generation(
        &self,
        directory: &Directory,
        name: &OsStr,
        path: &Path,
        sweep: &mut Sweep,
    ) -> io::Result<Seen> {
        let list = match generation::find(directory, name)? {
            generation::Found::Linked => return Ok(Seen::InUse),
            generation::Found::Gone => return Ok(Seen::Nobodys),
            generation::Found::Alive => &mut sweep.alive,
            generation::Found::Unknown => &mut sweep.unknown,
            generation::Found::Orphan(_, info) if age_of(&info) < self.min_age => &mut sweep.young,
            generation::Found::Orphan(orphan, _) => {
                if !self.dry_run {
                    orphan.remove(directory)?;
                }
                &mut sweep.removed
            }
        };
        list.push(path.to_path_buf());
        Ok(Seen::Nobodys)
    }

    fn sweep_stage(
        &self,
        directory: &Arc<Directory>,
        name: &OsStr,
        path: &Path,
        sweep: &mut Sweep,
    ) -> io::Result<()> {
        let list = match Stage::find(directory, name)? {
            Found::Gone => return Ok(()),
            Found::Alive => &mut sweep.alive,
            Found::Unknown => &mut sweep.unknown,
            Found::Kept => &mut sweep.kept,
            Found::Orphan(stage, info) => match self.is_young(&stage, &info) {
                Ok(false) => {
                    match self.dry_run {
                        true => stage.keep(),
                        false => stage.remove()?,
                    }
                    &mut sweep.removed
                }
                is_young => {
                    stage.keep();
                    is_young.map(|_| &mut sweep.young)?
                }
            },
        };
        list.push(path.to_path_buf());
        Ok(())
    }

    /// Whether a staging directory was written to since. A tree is staged in a directory in it.
    fn is_young(&self, stage: &Stage, info: &Info) -> io::Result<bool> {
        if age_of(info) < self.min_age {
            return Ok(true);
        }
        if self.min_age.is_zero() {
            return Ok(false);
        }
        for (name, _) in sys::list(stage.directory(), |_, _| true)? {
            let entry = sys::look(stage.directory(), &name)?;
            if entry.is_some_and(|entry| age_of(&entry.info) < self.min_age) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes the lock that goes with `name`, if that is what is exchanged: it is somebody's as long
    /// as the target's lock is.
    fn hold_exchanged(
        &self,
        directory: &Arc<Directory>,
        name: &OsStr,
        path: &Path,
    ) -> Result<Option<SideLock>> {
        let Some(lock) = side_lock::lock_of_exchange(name) else { return Ok(None) };
        // If it was there before, it is to be swept by its own name, now or then, or not at all.
        let before = side_lock::id_of(directory, &lock).map_err(|error| failed(path, error))?;
        if before.is_none() && self.dry_run {
            return Ok(None); // nobody has it
        }
        let lock = SideLock::acquire_named(directory, lock, path, Lock::Try)?;
        Ok(lock.map(|lock| lock.leaving(before)))
    }

    fn sweep_file(
        &self,
        directory: &Arc<Directory>,
        name: &OsStr,
        path: &Path,
        sweep: &mut Sweep,
    ) -> Result<()> {
        let failed = |error| failed(path, error);
        let _lock = match self.hold_exchanged(directory, name, path) {
            Ok(lock) => lock,
            Err(error) => {
                match error.kind() {
                    ErrorKind::Locked => sweep.alive.push(path.to_path_buf()),
                    ErrorKind::Unsupported => sweep.unknown.push(path.to_path_buf()),
                    _ => return Err(error),
                }
                return Ok(());
            }
        };
        let file = match sys::open_orphan(directory, name) {
            Ok(file) => file,
            Err(error) if sys::is_gone(&error) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let info = match sys::inspect(&file) {
            Err(error) if sys::is_gone(&error) => return Ok(()),
            info => info.map_err(failed)?,
        };
        if info.kind != FileKind::File {
            return Ok(());
        }
        let answer = match sys::LOCKS_ARE_ADVISORY {
            true => lock::hold(&file).map_err(failed)?,
            false => Answer::Unavailable,
        };
        let list = match answer {
            Answer::Busy => &mut sweep.alive,
            Answer::Unavailable => &mut sweep.unknown,
            Answer::Held if age_of(&info) < self.min_age => &mut sweep.young,
            Answer::Held => {
                // Between the list and the lock, its writer may have published it.
                let now = sys::look(directory, name).map_err(failed)?;
                if now.is_none_or(|now| now.info.id != info.id) {
                    return Ok(());
                }
                match if self.dry_run { Ok(()) } else { sys::remove_temp(directory, name) } {
                    // Its writer found it taken, and removed it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                    result => result.map_err(failed)?,
                }
                &mut sweep.removed
            }
        };
        list.push(path.to_path_buf());
        Ok(())
    }
}

/// Whether a directory is a part of what others read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    InUse,
    Nobodys,
}

/// How long ago the file was written to; none at all if the clock says that it is yet to be.
fn age_of(info: &Info) -> Duration {
    let seconds = u64::try_from(info.times.modified.0).unwrap_or(0);
    let modified = UNIX_EPOCH + Duration::from_secs(seconds);
    SystemTime::now().duration_since(modified).unwrap_or_default()
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::failed(Step::Sweep, path, error)
}
