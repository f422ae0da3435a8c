//! [`AtomicWriter`]: one save in the making.
//!
//! Calling sequence: `Builder::open`, any number of writes, seeks and reads, then exactly one of
//! `commit`, `rollback` and `keep`, or a drop, which rolls back. The writer is in one of three
//! states: in memory (nothing on disk), staged (a temp file beside the target, locked), poisoned (a
//! call failed, so what is staged may be incomplete; only a rollback is left). `commit` reads as
//! the protocol: flush, metadata, seal, publish, sync the directory.

mod staged_file;
mod steps;
mod traits;
mod unchanged;

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::commit::{Commit, Outcome};
use crate::concurrency::side_lock::SideLock;
use crate::concurrency::update;
use crate::concurrency::version::{Version, Way};
use crate::error::{self, Error, ErrorKind, Result, Step};
use crate::options::Options;
use crate::protocol::staging::{Contents, Plan};
use crate::protocol::target::Target;
use crate::protocol::{sync, temp, tracking, write_through};
use crate::sys::{Directory, Through};
use steps::{Attempt, Done, Ready, again, prepare, publish_once};
use unchanged::Difference;

pub(crate) use steps::{Prepared, Readiness};

/// Takes new contents for a file and replaces it by them at [`commit`](AtomicWriter::commit), whole
/// or not at all.
///
/// It implements [`Write`](io::Write), [`Seek`](io::Seek) and [`Read`](io::Read), and starts empty.
/// It is buffered: small writes need no `BufWriter`. A save that fits into the buffer
/// ([`buffer_size`](crate::Builder::buffer_size), 64 KiB) makes its temp file only at commit.
///
/// After a write, read, seek or change of length has failed, the writer is poisoned: `commit`
/// refuses with [`ErrorKind::Poisoned`], since the contents may be incomplete.
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use wholefile::AtomicWriter;
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("report.txt");
/// let mut writer = AtomicWriter::builder().open(&path)?;
/// writeln!(writer, "total: {}", 42)?;
/// let commit = writer.commit()?;
/// println!("{} bytes, {:?}", commit.len(), commit.durability());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping an AtomicWriter discards what was written; call `commit`"]
pub struct AtomicWriter {
    // These two before `target`, so that the temp file and then the lock's file are removed before
    // the directories that were created for them.
    contents: Contents,
    lock: Option<SideLock>,
    target: Target,
    options: Options,
    /// By which the version on the receipt is found again, if one was asked for.
    way: Option<Way>,
    bytes_written: u64,
    poison: Option<Poison>,
}

/// The failure after which the contents may be incomplete.
#[derive(Debug)]
struct Poison {
    step: Step,
    error: io::Error,
}

/// How long ago the target was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookedAt {
    /// In this call.
    Now,
    /// In an earlier call of the caller's.
    Before,
}

impl AtomicWriter {
    pub(crate) fn open(
        base: Option<Directory>,
        path: &Path,
        options: &Options,
        expected: Option<&Version>,
    ) -> Result<Self> {
        temp::check_affixes(options, path)?;
        tracking::check_expected(expected, options, path)?;
        let base = base.map(Arc::new);
        let way = Way::for_receipt(base.as_ref(), path, options)?;
        let mut target = Target::resolve(base, path, options, expected)?;
        let lock = match target.through {
            Some(Through::Descriptor) => None, // there can be no file beside it
            Some(Through::File) | None => SideLock::acquire(&target, options.lock)?,
        };
        if lock.is_some() {
            // Whoever held it before has most likely replaced the target.
            target.look_again(options)?;
        }
        if target.through.is_none() {
            sync::check_required(&target, options)?;
        }
        let writer = AtomicWriter::start(target, options.clone(), lock)?;
        Ok(AtomicWriter { way, ..writer })
    }

    /// Starts to write the contents of a target that was found.
    pub(crate) fn start(target: Target, options: Options, lock: Option<SideLock>) -> Result<Self> {
        let contents = Contents::new(options.buffer_size);
        let mut writer = AtomicWriter {
            contents,
            target,
            options,
            way: None,
            bytes_written: 0,
            poison: None,
            lock,
        };
        let reserve = writer.options.reserve;
        if reserve > 0 && writer.target.through.is_none() {
            let (contents, plan) = writer.parts();
            if let Err(error) = contents.reserve(plan, reserve) {
                return Err(writer.abandon_after(error));
            }
        }
        Ok(writer)
    }

    /// The file that will be replaced: the path given to `open` with its symlinks followed. It is
    /// relative if that path was.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.target.path
    }

    pub(crate) fn name(&self) -> &OsStr {
        &self.target.name
    }

    /// The number of bytes that were written through [`Write`](io::Write) so far, those that were
    /// overwritten since included.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Sets the length of the contents: cuts them off, or extends them by zeros. The cursor stays.
    ///
    /// # Errors
    ///
    /// [`Step::Write`] with the kind of the system's error, for instance
    /// [`ErrorKind::StorageFull`]; the writer is poisoned then. The target is untouched.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use wholefile::AtomicWriter;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("log");
    /// let mut writer = AtomicWriter::builder().open(&path)?;
    /// writer.write_all(b"too much")?;
    /// writer.set_len(3)?;
    /// assert_eq!(writer.commit()?.len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_len(&mut self, len: u64) -> Result<()> {
        self.run(|contents, plan| contents.set_len(plan, len))
    }

    /// Makes the contents the target's: seals them, publishes them in one atomic step and syncs the
    /// directory.
    ///
    /// # Errors
    ///
    /// The error's [`target_state`](Error::target_state) tells what became of the target, which its
    /// step alone does not.
    ///
    /// - [`Untouched`](crate::TargetState::Untouched), as after every failure before the publish:
    ///   this was a rollback. The temp file is removed, and a backup undone.
    /// - [`Replaced`](crate::TargetState::Replaced): the new contents are visible, and something
    ///   failed afterwards: [`Step::SyncDirectory`], the removal of the temp file's name
    ///   ([`Step::RemoveTemp`]) or of an earlier backup ([`Step::Backup`]), or with
    ///   [`Durability::None`](crate::Durability::None) the closing of the file ([`Step::Write`]).
    /// - [`Unknown`](crate::TargetState::Unknown): the publish was reported as failed, and the
    ///   names do not tell.
    ///
    /// [`ErrorKind::Poisoned`] if an earlier call on the writer failed; the
    /// [`io_error`](Error::io_error) is that failure.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use wholefile::{AtomicWriter, TargetState};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("save.dat");
    /// let mut writer = AtomicWriter::builder().open(&path)?;
    /// writer.write_all(b"level 3")?;
    /// match writer.commit() {
    ///     Ok(commit) => println!("saved, durability: {}", commit.durability()),
    ///     Err(error) if error.target_state() == TargetState::Untouched => {
    ///         eprintln!("not saved, the last save is still there: {error}");
    ///     }
    ///     Err(error) if error.target_state() == TargetState::Replaced => {
    ///         eprintln!("saved, but a power cut may undo it: {error}");
    ///     }
    ///     Err(error) => eprintln!("it is not known whether it was saved: {error}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn commit(self) -> Result<Commit> {
        self.commit_looked_at(LookedAt::Before)
    }

    pub(crate) fn commit_looked_at(mut self, looked_at: LookedAt) -> Result<Commit> {
        self = self.checked(looked_at)?;
        if let Some(through) = self.target.through {
            let plan = Plan { target: &self.target, options: &self.options };
            return write_through::commit(self.contents, plan, through);
        }
        match self.unless_unchanged()? {
            Difference::None(commit) => Ok(commit),
            Difference::Some(writer) => writer.replace(),
        }
    }

    /// Steps 1 and 2 of the protocol, for a save that is sealed and published with others.
    pub(crate) fn prepare(self, looked_at: LookedAt) -> Result<Readiness> {
        match self.checked(looked_at)?.unless_unchanged()? {
            Difference::None(commit) => Ok(Readiness::Unchanged(commit)),
            Difference::Some(AtomicWriter { contents, target, options, .. }) => {
                let prepared = prepare(contents, Plan { target: &target, options: &options })?;
                Ok(Readiness::Prepared(prepared, target))
            }
        }
    }

    /// Nothing failed so far, and the policies allow it still.
    fn checked(mut self, looked_at: LookedAt) -> Result<Self> {
        if let Some(Poison { step, error }) = self.poison.take() {
            return Err(self.abandon(ErrorKind::Poisoned, step, error));
        }
        match self.look_again(looked_at) {
            Ok(()) => Ok(self),
            Err(error) => Err(self.abandon_after(error)),
        }
    }

    /// What the target has now, `None` where there is no file.
    pub(crate) fn old_contents(&mut self) -> Result<Option<Vec<u8>>> {
        update::contents_of(&mut self.target, &self.options)
    }

    /// The protocol, once more for each time that the temp file was taken for an orphan before it
    /// was locked.
    fn replace(self) -> Result<Commit> {
        let AtomicWriter { mut contents, mut target, options, lock, way, .. } = self;
        let plan = Plan { target: &target, options: &options };
        let mut attempts = match contents.in_memory() {
            Some(_) => MAX_ATTEMPTS,
            None => 1, // it has been locked, and seen, since long
        };
        let mut ready = Ready::default();
        let Done { published, tracked, len, not_preserved, backup } = loop {
            attempts -= 1;
            match publish_once(contents, plan, ready)? {
                Attempt::Published(done) => break done,
                Attempt::Swept(file, error, made) => {
                    (contents, ready) = again((file, error, made), attempts, plan)?;
                }
            }
        };
        let version = tracked.zip(way).map(|(tracked, way)| tracked.version(&target, way));
        let kept = backup.map(|backup| backup.finish(&target));
        let durability = sync::sync_directories(&published, &target, &options);
        target.parents.keep();
        let outcome = match (&target.existing, &kept) {
            (None, None) => Outcome::Created,
            _ => Outcome::Replaced,
        };
        let (backup, durability) = match kept {
            Some(kept) => kept.complete(durability, &target).map(|(path, it)| (Some(path), it))?,
            None => (None, durability?),
        };
        drop(lock);
        let (path, sync_plan) = (target.path, published.sync.plan());
        let version_check = published.version_check;
        Ok(Commit {
            outcome,
            durability,
            sync_plan,
            len,
            path,
            not_preserved,
            version,
            version_check,
            backup,
        })
    }

    /// Discards what was written. The target is untouched; directories that were created for it are
    /// removed. Dropping the writer does the same, but cannot tell whether it worked.
    ///
    /// # Errors
    ///
    /// [`Step::RemoveTemp`] if the temp file could not be removed; [`Error::leftover`] names it.
    /// The target is untouched.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use wholefile::AtomicWriter;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("draft.txt");
    /// let mut writer = AtomicWriter::builder().open(&path)?;
    /// writer.write_all(b"on second thoughts")?;
    /// writer.rollback()?;
    /// assert!(!path.exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rollback(self) -> Result<()> {
        let path = &self.target.path;
        let leftover = self.contents.temp_path(path);
        self.contents
            .remove()
            .map_err(|error| Error::failed(Step::RemoveTemp, path, error).with_leftover(leftover))
    }

    /// Rolls back because of `error`.
    pub(crate) fn abandon(self, kind: ErrorKind, step: Step, error: io::Error) -> Error {
        let path = &self.target.path;
        let failed = |error| Error::failed(step, path, error).with_kind(kind);
        let error = match error.downcast::<Error>() {
            // This writer's own, come back through the caller, needs no second wrapping.
            Ok(error) if self.poison.is_some() && error.path() == path => error,
            Ok(error) => failed(error.into()),
            Err(error) => failed(error),
        };
        self.contents.abandon(path, error)
    }

    /// Rolls back after an error that says all there is to say, or names the temp file as well.
    pub(crate) fn abandon_after(self, error: Error) -> Error {
        self.contents.abandon(&self.target.path, error)
    }

    fn look_again(&mut self, looked_at: LookedAt) -> Result<()> {
        match looked_at {
            // What went to disk since may have taken any time.
            LookedAt::Now if self.contents.in_memory().is_some() => Ok(()),
            LookedAt::Now | LookedAt::Before => self.target.look_again(&self.options),
        }
    }

    fn parts(&mut self) -> (&mut Contents, Plan<'_>) {
        (&mut self.contents, Plan { target: &self.target, options: &self.options })
    }

    /// Runs a call on the contents. If it fails, the writer is poisoned.
    fn run<T>(&mut self, call: impl FnOnce(&mut Contents, Plan<'_>) -> Result<T>) -> Result<T> {
        if let Some(poison) = &self.poison {
            return Err(Error::refused(ErrorKind::Poisoned, poison.step, &self.target.path));
        }
        let (contents, plan) = self.parts();
        let result = call(contents, plan);
        if let Err(error) = &result {
            self.poison = Some(Poison::of(error));
        }
        result
    }
}

impl Poison {
    fn of(error: &Error) -> Self {
        let cause = match error.io_error() {
            Some(error) => error::copy_of(error),
            None => io::Error::other(error.to_string()),
        };
        Poison { step: error.step(), error: cause }
    }
}

/// As often as this in one commit may the temp file be taken for an orphan.
const MAX_ATTEMPTS: usize = 8;
