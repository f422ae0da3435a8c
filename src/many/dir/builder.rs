//! [`AtomicDirBuilder`]: the options of a tree, and the trees that it opens.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use super::staged::{MODE, Staged};
use super::start::Start;
use super::{AtomicDir, Copying, ScratchDir, Swap};
use crate::error::{Error, Result, Step};
use crate::options::{
    Durability, HardLinks, Lock, Metadata, Options, Preserve, Publish, ReadOnly, Symlinks, Wanted,
};
use crate::protocol::temp;
use crate::sys;

/// The options of an [`AtomicDir`]. One builder opens any number of trees.
///
/// # Examples
///
/// ```
/// use wholefile::{AtomicDir, Durability, Publish};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("a/b/release");
/// AtomicDir::builder()
///     .durability(Durability::Ordered)
///     .publish(Publish::CreateNew)
///     .create_parents(true)
///     .open(&path)?
///     .commit()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AtomicDirBuilder {
    options: Options,
    swap: Swap,
    copying: Copying,
}

impl Default for AtomicDirBuilder {
    fn default() -> Self {
        let options = Options { wanted: Wanted::Directory, ..Options::default() };
        AtomicDirBuilder { options, swap: Swap::default(), copying: Copying::default() }
    }
}

impl AtomicDirBuilder {
    /// Starts a tree that is to be the directory at `path`, empty.
    ///
    /// The target is found here, so that nothing that happens to the path until `commit` changes
    /// where the tree lands.
    ///
    /// # Errors
    ///
    /// At [`Step::Resolve`]: [`InvalidPath`](crate::ErrorKind::InvalidPath) for a path without a
    /// name at its end, [`NotADirectory`](crate::ErrorKind::NotADirectory) if it is the path of a
    /// file, [`MountPoint`](crate::ErrorKind::MountPoint) if something is mounted there or below,
    /// or the kind that a policy of this builder refuses with. On Windows
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if there is a tree, which could not be
    /// replaced. At [`Step::Lock`], if a lock is asked for: [`Locked`](crate::ErrorKind::Locked),
    /// `Unsupported` where there are no locks, or the system's error. At [`Step::SyncDirectory`],
    /// if durability is required:
    /// [`DurabilityUnavailable`](crate::ErrorKind::DurabilityUnavailable), or the system's error.
    /// At [`Step::CreateParents`] and [`Step::CreateTemp`]: the system's error. The target is
    /// untouched, and nothing stays behind.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<AtomicDir> {
        AtomicDir::start(path.as_ref(), &self.options(), self.swap, Start::Empty)
    }

    /// Starts a tree that is to be the directory at `path`, as a copy of the one that is there. If
    /// there is none, it starts empty.
    ///
    /// Directories and files are copied with their owners, modes, ACLs, xattrs and times, files as
    /// [`copying`](AtomicDirBuilder::copying) says, symlinks with their owners alone. Two hard
    /// links to one file become two files, unless they are linked to the old tree's. If another
    /// tree is published meanwhile, that one is copied anew. If somebody changes the old tree
    /// itself, the copy may have some of the changes: a [`lock`](AtomicDirBuilder::lock) keeps out
    /// those who ask for it.
    ///
    /// # Errors
    ///
    /// As for [`open`](AtomicDirBuilder::open), and at [`Step::Read`], with the path of what is in
    /// the way: [`SpecialFile`](crate::ErrorKind::SpecialFile) for a FIFO, a device or a socket,
    /// [`MountPoint`](crate::ErrorKind::MountPoint),
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) for what cannot be read,
    /// [`Conflict`](crate::ErrorKind::Conflict) if others published another tree eight times before
    /// a copy was complete. The target is untouched, and nothing stays behind.
    ///
    /// # Platform
    ///
    /// On Windows, where no directory can be exchanged for another,
    /// [`Unsupported`](crate::ErrorKind::Unsupported).
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::AtomicDir;
    ///
    /// # if cfg!(windows) { return Ok(()); }
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("site");
    /// # std::fs::create_dir(&path)?;
    /// # std::fs::write(path.join("about.html"), "<p>About")?;
    /// let staged = AtomicDir::builder().edit(&path)?;
    /// staged.write("index.html", "<p>News")?;
    /// staged.commit()?;
    /// assert!(path.join("about.html").exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn edit(&self, path: impl AsRef<Path>) -> Result<AtomicDir> {
        AtomicDir::start(path.as_ref(), &self.options(), self.swap, Start::Copy(self.copying))
    }

    /// Makes an empty directory in the directory `parent` that has no target: it is removed when it
    /// is dropped.
    ///
    /// # Errors
    ///
    /// At [`Step::Resolve`] if `parent` cannot be opened, at [`Step::CreateTemp`] if nothing can be
    /// made in it.
    pub fn scratch_in(&self, parent: impl AsRef<Path>) -> Result<ScratchDir> {
        let parent = parent.as_ref();
        temp::check_affixes(&self.options, parent)?;
        let directory = sys::open_directory(None, parent)
            .map_err(|error| Error::failed(Step::Resolve, parent, error))?;
        let staged = Staged::create(&Arc::new(directory), parent, &self.options, MODE)
            .map_err(|not_made| not_made.into_error(parent, parent))?;
        Ok(ScratchDir { staged })
    }

    fn options(&self) -> Options {
        let mut options = self.options.clone();
        if self.swap == Swap::Link {
            options.symlinks = Symlinks::Replace; // the link is what is switched
        }
        options
    }

    /// What survives a power cut once `commit` has returned `Ok`. Default: [`Durability::Full`].
    ///
    /// With [`Durability::None`], nothing is synced at all: a power cut may leave a tree with files
    /// missing or torn.
    pub fn durability(&mut self, durability: Durability) -> &mut Self {
        self.options.durability = durability;
        self
    }

    /// Whether to fail with
    /// [`ErrorKind::DurabilityUnavailable`](crate::ErrorKind::DurabilityUnavailable) where the
    /// durability asked for cannot be had, if possible before the target is touched. Default:
    /// `false`.
    ///
    /// Even [`Durability::Ordered`] takes a sync of the target's directory where a tree is replaced
    /// ([`DirCommit::durability`](crate::DirCommit::durability)).
    pub fn require_durability(&mut self, require: bool) -> &mut Self {
        self.options.require_durability = require;
        self
    }

    /// Whether the target must exist, must not, or may. Default: [`Publish::Replace`].
    ///
    /// # Platform
    ///
    /// On the BSDs and on file systems that cannot rename without replacing, an empty directory
    /// that somebody makes at the very moment of the commit is replaced even by
    /// [`Publish::CreateNew`]. With [`Swap::Link`], a link that somebody removes at that moment is
    /// made anew even by [`Publish::Existing`].
    pub fn publish(&mut self, publish: Publish) -> &mut Self {
        self.options.publish = publish;
        self
    }

    /// How a tree that is there is replaced. Default: [`Swap::Exchange`].
    pub fn swap(&mut self, swap: Swap) -> &mut Self {
        self.swap = swap;
        self
    }

    /// How [`edit`](AtomicDirBuilder::edit) copies files. Default: [`Copying::Separate`].
    pub fn copying(&mut self, copying: Copying) -> &mut Self {
        self.copying = copying;
        self
    }

    /// What to do when the path names a symlink. Default: [`Symlinks::Follow`]. With [`Swap::Link`]
    /// it does not count: the link itself is switched.
    pub fn symlinks(&mut self, symlinks: Symlinks) -> &mut Self {
        self.options.symlinks = symlinks;
        self
    }

    /// What [`edit`](AtomicDirBuilder::edit) does when a file has other hard links, in the tree or
    /// elsewhere. Default: [`HardLinks::Break`].
    pub fn hard_links(&mut self, hard_links: HardLinks) -> &mut Self {
        self.options.hard_links = hard_links;
        self
    }

    /// What to do when the target, or the generation that it leads to as a link, has no write bit.
    /// Default: [`ReadOnly::Refuse`].
    ///
    /// Unix: only root can move a directory that it may not write to, so that others can publish
    /// neither over such a one nor one that is to be like it (a umask without the owner's bits).
    pub fn read_only(&mut self, read_only: ReadOnly) -> &mut Self {
        self.options.read_only = read_only;
        self
    }

    /// How much of a kind of metadata the new tree must take over: its topmost directory from the
    /// old one's, and after [`edit`](AtomicDirBuilder::edit) all that was copied. Default:
    /// [`Preserve::Try`] for owner, mode and xattrs, [`Preserve::Skip`] for times, which copies
    /// keep all the same.
    pub fn preserve(&mut self, metadata: Metadata, preserve: Preserve) -> &mut Self {
        self.options.preserve.set(metadata, preserve);
        self
    }

    /// Whether to create the directories that lead to the target. Default: `false`. On a rollback
    /// those that are still empty are removed.
    pub fn create_parents(&mut self, create_parents: bool) -> &mut Self {
        self.options.create_parents = create_parents;
        self
    }

    /// Whether writers of the same target wait for one another, from `open` to the end of `commit`.
    /// Default: [`Lock::None`].
    pub fn lock(&mut self, lock: Lock) -> &mut Self {
        self.options.lock = lock;
        self
    }

    /// What the name of the staging directory begins with. Default: `.wholefile-`. Whoever changes
    /// it must tell whoever removes orphans.
    pub fn staging_prefix(&mut self, prefix: impl Into<OsString>) -> &mut Self {
        self.options.staging_prefix = Some(prefix.into());
        self
    }

    /// What the name of the staging directory ends with. Default: `.tmp`. It cannot be `.tree`, by
    /// which [`Swap::Link`] names what is in use.
    pub fn staging_suffix(&mut self, suffix: impl Into<OsString>) -> &mut Self {
        self.options.staging_suffix = Some(suffix.into());
        self
    }
}
