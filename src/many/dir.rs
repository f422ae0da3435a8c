//! [`AtomicDir`]: a directory tree in the making.
//!
//! Calling sequence: `AtomicDirBuilder::open` or `edit`, anything that fills the staged directory,
//! then exactly one of `commit`, `rollback` and `keep`, or a drop, which rolls back. `commit` reads
//! as the protocol of a file: metadata, seal, publish, sync the directory; and then the old tree is
//! removed, which is no part of its success.

mod builder;
mod choices;
mod copy;
mod current;
pub(crate) mod generation;
mod publish;
mod receipt;
mod scratch;
mod staged;
mod start;
mod sync;
mod times;
mod walk;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use self::builder::AtomicDirBuilder;
pub use self::choices::{Copying, Swap};
use self::current::Current;
use self::publish::Published;
pub use self::receipt::DirCommit;
pub use self::scratch::ScratchDir;
use self::staged::Staged;
use self::start::Start;
use self::sync::Sealed;
use self::times::KeptTimes;
use crate::commit::{NotPreserved, Outcome};
use crate::concurrency::side_lock::SideLock;
use crate::error::{Error, Result, Step};
use crate::options::{Durability, Options};
use crate::protocol::sync as names;
use crate::protocol::target::Target;
use crate::protocol::temp;

/// A directory tree that is staged beside its target and replaces it at
/// [`commit`](AtomicDir::commit), whole or not at all.
///
/// Whoever opens a file by the target's path at any moment gets one of the old tree or one of the
/// new. If the old tree is removed while the system is on its way through it, the file is not
/// found: open it again. Whoever opens the target's directory and goes by that (`openat`) gets one
/// tree throughout, but the old tree is removed once the new one is published: a reader that then
/// misses a file opens the directory anew. Files that are open stay readable.
///
/// While it is staged, nobody but the owner can reach anything in it, whatever permissions it has.
/// The target's directory keeps the owner, mode, ACL and xattrs that it has at the commit; a new
/// one gets what [`create_dir`](std::fs::create_dir) would give it. What you give the staged
/// directory yourself stays, unless the target's changed in the meantime.
///
/// # Platform
///
/// Linux and macOS exchange directories. On the BSDs and on file systems without an exchange there
/// is [`Swap::Link`]. Windows can do neither: there only a new directory can be published, and what
/// is staged has the access list that the target's folder hands on, so that whoever can reach what
/// is made in that folder can reach it too.
///
/// # Examples
///
/// ```
/// use wholefile::AtomicDir;
///
/// # let dir = tempfile::tempdir()?;
/// # let site = dir.path().join("site");
/// let staged = AtomicDir::builder().open(&site)?;
/// staged.create_dir_all("css")?;
/// staged.write("css/main.css", "body { margin: 0 }")?;
/// // Any other way to fill it will do as well.
/// std::fs::write(staged.path().join("index.html"), "<p>Hello")?;
/// let commit = staged.commit()?;
/// println!("{} {}", commit.outcome(), commit.path().display());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping an AtomicDir discards the staged tree; call `commit`"]
pub struct AtomicDir {
    // These two before `target`, so that the tree and then the lock's file are removed before the
    // directories that were created for them.
    staged: Staged,
    lock: Option<SideLock>,
    target: Target,
    options: Options,
    swap: Swap,
    /// What the copies that it started with could not keep.
    not_preserved: Vec<NotPreserved>,
}

impl AtomicDir {
    /// The options of a commit, to be set before the tree is opened.
    #[must_use]
    pub fn builder() -> AtomicDirBuilder {
        AtomicDirBuilder::default()
    }

    fn start(path: &Path, options: &Options, swap: Swap, start: Start) -> Result<AtomicDir> {
        temp::check_affixes(options, path)?;
        let mut target = Target::resolve(None, path, options, None)?;
        let lock = SideLock::acquire(&target, options.lock)?;
        if lock.is_some() {
            // Whoever held it before has most likely replaced the target.
            target.look_again(options)?;
        }
        names::check_required(&target, &needed(options, &target))?;
        let (staged, not_preserved) = start::stage(&mut target, swap, options, start)?;
        let options = options.clone();
        Ok(AtomicDir { staged, lock, target, options, swap, not_preserved })
    }

    /// The staged directory, to be filled by any means. The path is absolute.
    ///
    /// The directory itself must stay: `commit` refuses another one in its place with
    /// [`ErrorKind::StagingReplaced`](crate::ErrorKind::StagingReplaced), since that was not
    /// synced. A program that removes its output directory and makes it anew can be given a
    /// directory in this one; move up what is in there afterwards.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.staged.path()
    }

    /// The directory that will be replaced: the path given to `open` with its symlinks followed. It
    /// is relative if that path was.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target.path
    }

    /// Writes a file into the staged tree, in the place of what is there. `path` is relative to the
    /// staged directory, and the directories that lead to the file must exist.
    ///
    /// A file that is there keeps its owner, mode, ACL and xattrs, and its other hard links keep
    /// the old contents. A symlink is replaced, and none is followed on the way.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidPath`](crate::ErrorKind::InvalidPath) for a path that is absolute or has
    /// `..` in it; else the system's error. If the write itself fails, `commit` refuses with
    /// [`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned) from then on. The target is untouched.
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::{AtomicDir, ErrorKind};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("site");
    /// let staged = AtomicDir::builder().open(&path)?;
    /// staged.write("index.html", "<p>Hello")?;
    /// let error = staged.write("../elsewhere", "").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidPath);
    /// staged.commit()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write(&self, path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> Result<()> {
        self.staged.write(path.as_ref(), contents.as_ref(), &self.options)
    }

    /// Creates a directory in the staged tree, with those that lead to it. What is there already
    /// stays. `path` is relative to the staged directory.
    ///
    /// # Errors
    ///
    /// As for [`write`](AtomicDir::write).
    pub fn create_dir_all(&self, path: impl AsRef<Path>) -> Result<()> {
        self.staged.create_dir_all(path.as_ref())
    }

    /// Removes a file from the staged tree, or a directory with all that is in it. `path` is
    /// relative to the staged directory.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is nothing; else as for
    /// [`write`](AtomicDir::write).
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::AtomicDir;
    ///
    /// # if cfg!(windows) { return Ok(()); } // nothing can be edited there
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("site");
    /// # std::fs::create_dir_all(path.join("drafts"))?;
    /// let staged = AtomicDir::builder().edit(&path)?;
    /// staged.remove_all("drafts")?;
    /// staged.commit()?;
    /// assert!(!path.join("drafts").exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_all(&self, path: impl AsRef<Path>) -> Result<()> {
        self.staged.remove_all(path.as_ref())
    }

    /// Makes the staged tree the target: syncs everything in it, whoever wrote it, publishes it in
    /// one atomic step, syncs the target's directory, and then removes the old tree.
    ///
    /// # Errors
    ///
    /// Up to [`Step::SyncFile`] every failure is a rollback, and so is one at [`Step::Publish`]
    /// where the error's [`target_state`](Error::target_state) says so: the target is
    /// [`Untouched`](crate::TargetState::Untouched) and the staged tree removed. A failure at
    /// [`Step::SyncDirectory`] leaves the new tree visible
    /// ([`Replaced`](crate::TargetState::Replaced)) and the old one where
    /// [`leftover`](Error::leftover) says. Where it is [`Unknown`](crate::TargetState::Unknown)
    /// which generation a link leads to ([`Swap::Link`]), neither is named: the next sweep removes
    /// the other one. [`ErrorKind::MountPoint`](crate::ErrorKind::MountPoint) if something is
    /// mounted on the target or in either tree, the kind of a policy that refuses what has taken
    /// the target's place since `open`,
    /// [`ErrorKind::StagingReplaced`](crate::ErrorKind::StagingReplaced) if the staged directory is
    /// not the one that was made, [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where
    /// directories cannot be exchanged ([`Swap`]),
    /// [`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned) if a call that changes the tree has
    /// failed. That the old tree cannot be removed is no error: the receipt says so.
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::{AtomicDir, TargetState};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("models");
    /// let staged = AtomicDir::builder().open(&path)?;
    /// staged.write("weights.bin", [0; 1000])?;
    /// match staged.commit() {
    ///     Ok(commit) => println!("published, durability: {}", commit.durability()),
    ///     Err(error) if error.target_state() == TargetState::Untouched => {
    ///         eprintln!("the old models are still there: {error}");
    ///     }
    ///     Err(error) if error.target_state() == TargetState::Replaced => {
    ///         eprintln!("published, but a power cut may undo it: {error}");
    ///     }
    ///     Err(error) => eprintln!("it is not known whether they were published: {error}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn commit(self) -> Result<DirCommit> {
        let AtomicDir { staged, mut target, options, swap, mut not_preserved, lock } = self;
        let ready = staged.check().and_then(|()| Current::look_again(&mut target, swap, &options));
        if let Err(error) = ready {
            return Err(staged.abandon(error));
        }
        let mut sealed = sync::seal(staged, &mut target, swap, &options)?;
        not_preserved.extend(sealed.staged.take_losses());
        let (outcome, durability, leftovers) = match swap {
            Swap::Exchange => exchange(sealed, &mut target, &options, &mut not_preserved)?,
            Swap::Link => switch(sealed, &mut target, &options)?,
        };
        drop(lock);
        Ok(DirCommit { outcome, durability, path: target.path, not_preserved, leftovers })
    }

    /// Discards the staged tree. The target is untouched; directories that were created for it are
    /// removed. Dropping it does the same, but cannot tell whether it worked.
    ///
    /// # Errors
    ///
    /// [`Step::RemoveTemp`] if the tree could not be removed; [`Error::leftover`] names it. The
    /// target is untouched.
    pub fn rollback(self) -> Result<()> {
        self.staged.roll_back(&self.target.path)
    }

    /// Ends it without publishing, and leaves the staged tree where it is: for one that is worth a
    /// look although it was not worth a commit.
    ///
    /// The tree is not synced, and its folder still has the name of a staging directory, which is
    /// in use until the returned file is closed: move the tree before, or a
    /// [`sweep`](crate::sweep()) takes it for an orphan's.
    ///
    /// # Errors
    ///
    /// [`Step::CreateTemp`], if the system has no descriptor left. The target is untouched.
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::AtomicDir;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("site");
    /// let staged = AtomicDir::builder().open(&path)?;
    /// staged.write("index.html", "<p>Hel")?;
    /// let (_in_use, kept) = staged.keep()?;
    /// assert!(!path.exists());
    /// std::fs::rename(kept, dir.path().join("broken-site"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keep(self) -> Result<(File, PathBuf)> {
        let AtomicDir { staged, mut target, .. } = self;
        target.parents.keep();
        staged.keep().map_err(|error| Error::failed(Step::CreateTemp, &target.path, error))
    }
}

/// What became of the target, how durable that is, and what stayed behind.
type End = (Outcome, Durability, Vec<PathBuf>);

fn exchange(
    sealed: Sealed,
    target: &mut Target,
    options: &Options,
    not_preserved: &mut Vec<NotPreserved>,
) -> Result<End> {
    let times = match KeptTimes::of(&sealed.staged, options) {
        Ok(times) => times,
        Err(error) => {
            let error = Error::failed(Step::Metadata, &target.path, error);
            return Err(sealed.staged.abandon(error));
        }
    };
    let published = publish::publish(sealed, target, options)?;
    target.parents.keep();
    not_preserved.extend(times.restore(options.durability));
    // An exchange is undone by a power cut as long as it is not durable; what is new is just gone.
    let undone = match published.outcome {
        Outcome::Replaced => Durability::None,
        _ => Durability::Ordered,
    };
    match sync_names(&published, target, options, undone) {
        Ok(durability) => Ok((published.outcome, durability, published.remove_old())),
        Err(error) => Err(published.abandon(error)),
    }
}

fn switch(sealed: Sealed, target: &mut Target, options: &Options) -> Result<End> {
    let switched = generation::publish(sealed, target, options)?;
    target.parents.keep();
    // A power cut may undo it as long as it is not durable.
    let undone = Durability::None;
    match sync_names(&switched.published, target, options, undone) {
        Ok(durability) => Ok((switched.published.outcome, durability, switched.remove_old(target))),
        Err(error) => Err(switched.abandon(target, error)),
    }
}

/// What must be possible for what `options` ask: `Ordered` takes a sync of the directory where a
/// tree is replaced, as [`sync_names`] does.
fn needed(options: &Options, target: &Target) -> Options {
    let mut needed = options.clone();
    if options.durability == Durability::Ordered && target.existing.is_some() {
        needed.durability = Durability::Full;
    }
    needed
}

/// Makes the target's name durable: before the old tree is removed, even if the new one may be lost
/// again, since a power cut must not bring back a half of the old one. Where names cannot be synced
/// it may: no more is kept then than the durability `undone`.
fn sync_names(
    published: &Published,
    target: &Target,
    options: &Options,
    undone: Durability,
) -> Result<Durability> {
    let replaces = published.outcome == Outcome::Replaced;
    let needs_sync = match options.durability {
        Durability::None => false,
        Durability::Ordered => replaces,
        Durability::Full => true,
    };
    if !needs_sync {
        return Ok(published.contents);
    }
    let achieved = match names::sync_published(target)? {
        Durability::Full => published.contents,
        _ => published.contents.min(undone),
    };
    names::check_achieved(achieved, target, options)
}
