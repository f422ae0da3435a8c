//! The journal of a batch: what makes the commit of many files recoverable.
//!
//! ```text
//! commit   1 lock       that of the journal's path; there must be no journal
//!          2 seal       all files are staged and synced
//!          3 mark       each staging directory says which journal needs it; all names are synced
//!          4 journal    written with the crate's own atomic write: from here on, forward only
//!          5 publish    one file after the other
//!          6 sync       each directory
//!          7 remove     the staging directories, then the journal; its directory is synced
//! ```
//!
//! Whoever dies before the end of step 4 leaves the old files, and staging directories that are
//! orphans, since their journal is not there. Whoever dies later leaves a journal that says which
//! staged file belongs where, and [`recover`] does what is left of steps 5 to 7. It only ever goes
//! forward: all that it needs is staged and durable before the journal is, and going back would
//! need the old files to be kept somewhere, where going forward needs nothing more. For the same
//! reason a live commit that cannot publish a file leaves its journal: what was in the way may be
//! put right, and then the rest follows.
//!
//! The lock is held from step 1 to the end, by a commit and by a recovery.

pub(super) mod intent;
pub(super) mod mark;
mod place;
mod recovery;

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

use camino::Utf8PathBuf;

use self::intent::Intent;
pub use self::recovery::{Recovered, Recovery};
use crate::concurrency::side_lock::SideLock;
use crate::error::{self, Error, ErrorKind, Result, Step, TargetState};
use crate::options::{Durability, Lock, Options, Publish, ReadOnly, Symlinks};
use crate::protocol::target::Target;
use crate::sys::{self, Directory, FileId};
use crate::writer::{AtomicWriter, LookedAt};

/// Only its owner needs it.
const MODE: u32 = 0o600;

/// Completes the commit of a batch that had begun and whose process has died: if there is a journal
/// at `path`, all its files get their new contents. Without a journal in that directory there is
/// nothing to do, and that is no error.
///
/// To be called where a program starts, before it reads or writes any of the files. It may be
/// called again and again, may be killed at any moment, and waits while somebody else commits or
/// recovers with the same journal.
///
/// All that the journal says is held against what is on disk before anything is touched: the
/// directories by their number, so that no link that has appeared since leads elsewhere, the
/// staged files and the targets by their number, length and time of modification. The staging
/// directories must be marked for this very journal, by its name and the number of the directory
/// that it is in. Unless all of it is so, or all files are published, nothing is done; so a target
/// is not replaced that somebody has replaced or written to between the commit's look at it and
/// this one, whatever the clock says of when. One that is missing is made, unless
/// [`Publish::Existing`] was asked for. The new files have the owners and permissions that the
/// targets had at the commit, whoever has changed those since.
///
/// It is done with the rights of the caller: a journal belongs into a directory that nobody may
/// write to who has fewer.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] at [`Step::Resolve`] if the directory that the journal would be in is
/// not there: nobody can tell then whether there is one, since a file system may be yet to be
/// mounted.
///
/// [`ErrorKind::InvalidJournal`] if what is at `path` is damaged or no journal of this version,
/// and [`ErrorKind::Unrecoverable`] if what it says does not match what is on disk any more:
/// nothing was touched. Of the latter, [`Error::files`] tells of each file whether it is old
/// ([`Untouched`](TargetState::Untouched)), new ([`Replaced`](TargetState::Replaced)) or neither
/// as far as can be told ([`Unknown`](TargetState::Unknown)). Whoever does not want to recover any
/// more removes the journal: each file then stays as it is, and [`sweep`](crate::sweep()) of the
/// directories that they are in removes what was staged.
///
/// With any other error, put right what went wrong and recover again: it goes on where it stopped.
/// If it stopped after the first look, the error names the journal ([`Error::journal`]). With one
/// at [`Step::RemoveTemp`], or with one at [`Step::SyncDirectory`] that names no journal, all
/// files are new and the journal is gone: what is left is a staging directory
/// ([`Error::leftover`]), which a sweep removes, or that a power cut could bring the journal back.
///
/// # Platform
///
/// The lock needs a file system that has locks; without, [`ErrorKind::Unsupported`].
///
/// The identity of a file or a directory is its number. Some file systems number what is on them
/// anew each time they are mounted (FAT and exFAT on Linux: `iunique` in fs/fat/inode.c and
/// fs/exfat/inode.c; sshfs and other FUSE drivers). There a recovery works only until the next
/// mount. After that it is [`ErrorKind::Unrecoverable`], a sweep keeps what was staged, and it is
/// to be removed by hand once the journal is given up. The same holds where only the journal is on
/// such a file system. And a sweep keeps what was staged, though there be no journal any more, if
/// the journal's directory is the root of a file system that does not tell when a directory was
/// made: that of another, mounted in its place, would look the same.
///
/// On Unix, [`ErrorKind::PermissionDenied`] if the journal is in a sticky directory that everybody
/// may write to, and belongs neither to the caller nor to root nor to the directory's owner, or has
/// other hard links: another user may have planted it.
///
/// # Examples
///
/// ```
/// use wholefile::{AtomicBatch, recover};
///
/// # let dir = tempfile::tempdir()?;
/// let journal = dir.path().join("settings.journal");
/// for (path, recovered) in recover(&journal)?.files() {
///     println!("{}: {recovered:?}", path.display());
/// }
/// let mut batch = AtomicBatch::new();
/// batch.journal(&journal)?;
/// batch.write(dir.path().join("settings.toml"), "language = 'en'")?;
/// batch.write(dir.path().join("words.txt"), "whole\n")?;
/// batch.commit()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn recover(path: impl AsRef<Path>) -> Result<Recovery> {
    let journal = Journal::at(path.as_ref())?;
    if !journal.is_there() {
        return Ok(Recovery::default());
    }
    let claim = journal.claim()?;
    match claim.look()? {
        Some(target) => recovery::recover(&claim, &target),
        None => Ok(Recovery::default()), // somebody else was faster
    }
}

/// Where the journal of a batch is, or will be.
#[derive(Debug)]
pub(super) struct Journal {
    target: Target,
    /// The path and the number of its directory, and its name, for the marks.
    directory: Utf8PathBuf,
    directory_id: FileId,
    name: String,
}

/// A journal whose lock is held.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    journal: &'a Journal,
    _lock: Option<SideLock>,
}

impl Journal {
    pub(super) fn at(path: &Path) -> Result<Journal> {
        let target = Target::resolve(None, path, &policies(), None)?;
        let directory = directory_of(&target)?;
        let name = text_of(&target.name, path)?.to_owned();
        let info = sys::inspect_directory(&target.directory)
            .map_err(|error| Error::failed(Step::Resolve, path, error))?;
        Ok(Journal { target, directory, directory_id: info.id, name })
    }

    /// Whether one was there when it was looked for.
    fn is_there(&self) -> bool {
        self.target.existing.is_some()
    }

    pub(super) fn path(&self) -> &Path {
        &self.target.path
    }

    /// Waits until nobody else commits or recovers with it.
    fn claim(&self) -> Result<Claim<'_>> {
        let lock = SideLock::acquire(&self.target, Lock::Wait)?;
        Ok(Claim { journal: self, _lock: lock })
    }

    /// As [`claim`](Journal::claim), for a commit.
    pub(super) fn claim_new(&self) -> Result<Claim<'_>> {
        let claim = self.claim()?;
        match claim.look()? {
            None => Ok(claim),
            Some(_) => Err(self.unrecovered()),
        }
    }

    /// The files of a journal that is there would be forgotten. But it may be that of a commit that
    /// is under way.
    pub(super) fn refuse_unrecovered(&self) -> Result<()> {
        if self.is_there() { self.claim_new().map(drop) } else { Ok(()) }
    }

    /// Checks that the journal can have `target`, in the directory of that identity.
    pub(super) fn check(&self, target: &Target, directory: FileId) -> Result<()> {
        text_of(&target.name, &target.path)?;
        let is_same_name = sys::lock_key(&target.name) == sys::lock_key(&self.target.name);
        if is_same_name && directory == self.directory_id {
            return Err(Error::refused(ErrorKind::Duplicate, Step::Resolve, &target.path));
        }
        Ok(())
    }

    fn unrecovered(&self) -> Error {
        Error::refused(ErrorKind::RecoveryNeeded, Step::Resolve, self.path())
            .with_journal(self.path())
    }
}

impl Claim<'_> {
    pub(super) fn path(&self) -> &Path {
        self.journal.path()
    }

    /// What is there now, if anything is.
    fn look(&self) -> Result<Option<Target>> {
        let mut target = self.target();
        target.look_again(&policies())?;
        Ok(target.existing.is_some().then_some(target))
    }

    fn target(&self) -> Target {
        let Target { directory, name, path, .. } = &self.journal.target;
        Target::of(directory.clone(), name.clone(), path.clone())
    }

    /// What is to be in each staging directory.
    pub(super) fn mark(&self) -> String {
        let Journal { target, directory, directory_id, name } = self.journal;
        mark::text(&target.directory, directory, directory_id.file, name)
    }

    /// Whether `text` is that of its mark.
    fn is_marked(&self, text: &[u8]) -> bool {
        let Journal { directory_id, name, .. } = self.journal;
        mark::is_of(text, directory_id.file, name)
    }

    /// Writes the journal. If that fails and the journal is there all the same, the error names it:
    /// then what is staged must stay.
    pub(super) fn write(&self, intent: &Intent, options: &Options) -> Result<()> {
        let path = self.path();
        let text = intent.text().map_err(|error| Error::failed(Step::Write, path, error.into()))?;
        let options = Options {
            publish: Publish::CreateNew,
            mode: Some(MODE),
            durability: options.durability,
            require_durability: options.require_durability,
            ..Options::default()
        };
        let durability = options.durability;
        let mut writer = AtomicWriter::start(self.target(), options, None)?;
        let written = match writer.write_all(text.as_bytes()) {
            Ok(()) => writer.commit_looked_at(LookedAt::Before),
            Err(error) => Err(writer.abandon(ErrorKind::Io, Step::Write, error)),
        };
        match written {
            Ok(_) => Ok(()),
            Err(error) if error.target_state() == TargetState::Untouched => {
                Err(match error.kind() {
                    ErrorKind::AlreadyExists => self.journal.unrecovered(),
                    _ => error,
                })
            }
            // It is not proven to be durable, so that nothing may be published.
            Err(error) => match self.take_back(durability) {
                Ok(()) => Err(error.with_state(TargetState::Untouched)),
                Err(_) => Err(error.with_state(TargetState::Untouched).with_journal(path)),
            },
        }
    }

    /// Removes a journal before anything was published. That must be as durable as it may be
    /// itself: a power cut would else bring it back when what it needs is gone.
    fn take_back(&self, durability: Durability) -> Result<()> {
        self.remove()?;
        if durability > Durability::None { self.sync_name() } else { Ok(()) }
    }

    /// Removes the journal.
    pub(super) fn remove(&self) -> Result<()> {
        let Target { directory, name, path, .. } = &self.journal.target;
        match sys::remove_entry(directory, name) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| {
                Error::failed(Step::RemoveJournal, path, error).with_journal(path)
            }),
        }
    }

    /// Makes it durable that the journal is there, or that it is not any more.
    pub(super) fn sync_name(&self) -> Result<()> {
        let Target { directory, path, .. } = &self.journal.target;
        match sys::sync_directory(directory) {
            Err(error) if sys::lacks_directory_sync(&error) => Ok(()),
            result => result.map_err(|error| Error::failed(Step::SyncDirectory, path, error)),
        }
    }
}

/// A link is not followed: who put it there would choose what is recovered.
fn policies() -> Options {
    Options { symlinks: Symlinks::Refuse, read_only: ReadOnly::Replace, ..Options::default() }
}

/// The absolute path of the directory that `target` is in.
pub(super) fn directory_of(target: &Target) -> Result<Utf8PathBuf> {
    let path = match sys::path_of(&target.directory) {
        Some(path) => path,
        None => {
            let mut path = std::path::absolute(&target.path)
                .map_err(|error| Error::failed(Step::Resolve, &target.path, error))?;
            path.pop();
            path
        }
    };
    Utf8PathBuf::from_path_buf(path).map_err(|_| not_text(&target.path))
}

/// The path that `directory` has now, or else the one that it had.
pub(super) fn path_now(directory: &Directory, before: &Utf8PathBuf) -> Utf8PathBuf {
    let now = sys::path_of(directory).and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
    now.unwrap_or_else(|| before.clone())
}

/// A name as the journal has it.
pub(super) fn text_of<'a>(name: &'a OsStr, path: &Path) -> Result<&'a str> {
    name.to_str().ok_or_else(|| not_text(path))
}

fn not_text(path: &Path) -> Error {
    Error::failed(Step::Resolve, path, error::not_text()).with_kind(ErrorKind::InvalidPath)
}
