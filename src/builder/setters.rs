//! The setters of a [`Builder`], and their defaults.

use std::ffi::OsString;

use super::Builder;
use crate::concurrency::version::Version;
use crate::options::{
    Backup, Durability, HardLinks, InUse, Lock, Metadata, Preserve, Publish, ReadOnly,
    SpecialFiles, Staging, Symlinks, SyncPlan, Tracking,
};

impl Builder {
    /// What survives a power cut once `commit` has returned `Ok`. Default: [`Durability::Full`].
    ///
    /// Where the file system cannot give it, the save succeeds and the receipt says what was
    /// achieved, unless [`require_durability`](Builder::require_durability) is set.
    pub fn durability(&mut self, durability: Durability) -> &mut Self {
        self.options.durability = durability;
        self
    }

    /// Whether to fail with
    /// [`ErrorKind::DurabilityUnavailable`](crate::ErrorKind::DurabilityUnavailable) where the
    /// durability asked for cannot be had, if possible before the target is touched. Default:
    /// `false`.
    ///
    /// With [`Durability::Full`], this costs a second sync of the directory.
    pub fn require_durability(&mut self, require: bool) -> &mut Self {
        self.options.require_durability = require;
        self
    }

    /// How often the device is asked to empty its cache. Default: [`SyncPlan::Portable`].
    ///
    /// # Platform
    ///
    /// [`SyncPlan::Fewest`] is the same as [`SyncPlan::Portable`] on all systems but Linux.
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::{AtomicWriter, SyncPlan};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("state.json");
    /// let mut builder = AtomicWriter::builder();
    /// let commit = builder.sync_plan(SyncPlan::Fewest).write(&path, "{}")?;
    /// println!("saved, {} durability, {} plan", commit.durability(), commit.sync_plan());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sync_plan(&mut self, sync_plan: SyncPlan) -> &mut Self {
        self.options.sync_plan = sync_plan;
        self
    }

    /// Whether the target must exist, must not, or may. Default: [`Publish::Replace`].
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::{AtomicWriter, ErrorKind, Publish};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("invoice.pdf");
    /// let mut builder = AtomicWriter::builder();
    /// builder.publish(Publish::CreateNew);
    /// builder.write(&path, "first")?;
    /// let error = builder.write(&path, "second").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publish(&mut self, publish: Publish) -> &mut Self {
        self.options.publish = publish;
        self
    }

    /// What to do when the path names a symlink. Default: [`Symlinks::Follow`].
    pub fn symlinks(&mut self, symlinks: Symlinks) -> &mut Self {
        self.options.symlinks = symlinks;
        self
    }

    /// What to do when the target is a FIFO, a device, a socket or an open descriptor. Default:
    /// [`SpecialFiles::Refuse`].
    pub fn special_files(&mut self, special_files: SpecialFiles) -> &mut Self {
        self.options.special_files = special_files;
        self
    }

    /// What to do when the target has other hard links. Default: [`HardLinks::Break`].
    pub fn hard_links(&mut self, hard_links: HardLinks) -> &mut Self {
        self.options.hard_links = hard_links;
        self
    }

    /// What to do when the target is marked read-only. Default: [`ReadOnly::Refuse`].
    pub fn read_only(&mut self, read_only: ReadOnly) -> &mut Self {
        self.options.read_only = read_only;
        self
    }

    /// What to do when another program keeps the target open and the system cannot replace such a
    /// file. Default: [`InUse::Fail`].
    ///
    /// # Platform
    ///
    /// Windows. Elsewhere an open file can always be replaced.
    pub fn in_use(&mut self, in_use: InUse) -> &mut Self {
        self.options.in_use = in_use;
        self
    }

    /// How much of a kind of metadata the published file must take over from the one that it
    /// replaces. Default: [`Preserve::Try`] for owner, mode and xattrs, [`Preserve::Skip`] for
    /// times.
    ///
    /// Unix: from a file that another user may have planted, or hard-linked, in a directory like
    /// `/tmp` ([`Symlinks::Follow`] has the rule), neither owner nor ACL nor xattrs are taken over,
    /// and the mode only where it keeps somebody out; the receipt says so. Else that user would own
    /// the new contents.
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::{AtomicWriter, Metadata, Preserve};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("shared.db");
    /// let commit = AtomicWriter::builder()
    ///     .preserve(Metadata::Owner, Preserve::Require)
    ///     .preserve(Metadata::Times, Preserve::Try)
    ///     .write(&path, "contents")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn preserve(&mut self, metadata: Metadata, preserve: Preserve) -> &mut Self {
        self.options.preserve.set(metadata, preserve);
        self
    }

    /// Whether to create the directories that lead to the target. Default: `false`.
    ///
    /// They get the permissions that any new directory gets. With [`Durability::Full`] each is
    /// synced through its own parent. On a rollback those that are still empty are removed.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let home = dir.path();
    /// let path = home.join(".config/app/settings.toml");
    /// wholefile::AtomicWriter::builder().create_parents(true).write(&path, "a = 1")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_parents(&mut self, create_parents: bool) -> &mut Self {
        self.options.create_parents = create_parents;
        self
    }

    /// Whether writers of the same target wait for one another. Default: [`Lock::None`];
    /// [`update`](Builder::update) takes [`Lock::Wait`] then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use wholefile::{AtomicWriter, ErrorKind, Lock};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("state.json");
    /// let mut builder = AtomicWriter::builder();
    /// let first = builder.lock(Lock::Try).open(&path)?;
    /// let error = builder.lock(Lock::Timeout(Duration::from_secs(5))).open(&path).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Locked); // at once: this thread would wait for itself
    /// # drop(first);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lock(&mut self, lock: Lock) -> &mut Self {
        self.options.lock = lock;
        self
    }

    /// The version that the target must be to be replaced. If it is another, the save fails with
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) and the target stays as others left it.
    /// Default: any.
    ///
    /// The target is looked at when the writer is opened, when it commits and, at last, as it is
    /// published. For that step the lock is taken, and waited for, even under [`Lock::None`], so
    /// that no [`update`](Builder::update) is lost either.
    ///
    /// Where two files can be exchanged, the new one is exchanged for the target, and what it
    /// displaced is looked at and, if it is not the version that was expected, put back. So even a
    /// writer that knows of neither locks nor versions loses nothing that it saves at the last
    /// moment; readers may then see the new contents for a moment before they are taken back, and
    /// if this process is killed in just that moment, they stay. Elsewhere the target is looked at
    /// right before the rename, and such a writer may come in between.
    /// [`Commit::version_check`](crate::Commit::version_check) tells which of the two it was.
    ///
    /// A version is that of what the symlinks lead to, so that with [`Symlinks::Replace`] a link is
    /// always a conflict. After an error that says [`Replaced`](crate::TargetState::Replaced) the
    /// target is a version that no receipt has: take it anew.
    ///
    /// A version of no file contradicts [`Publish::Existing`], and one of a file
    /// [`Publish::CreateNew`]: that is an
    /// [`ErrorKind::InvalidOption`](crate::ErrorKind::InvalidOption). What is written through
    /// ([`SpecialFiles::WriteThrough`]) has no version:
    /// [`ErrorKind::SpecialFile`](crate::ErrorKind::SpecialFile).
    ///
    /// # Platform
    ///
    /// Linux and macOS exchange, on most of their file systems. Without an exchange and without
    /// locks: [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::{AtomicWriter, ErrorKind, Tracking, Version};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("draft.txt");
    /// let mut builder = AtomicWriter::builder();
    /// builder.tracking(Tracking::Metadata);
    /// let mut version = Version::of(&path)?; // there is no file, and so there must be none
    /// for text in ["first", "second"] {
    ///     let commit = builder.expect(&version).write(&path, text)?;
    ///     version = commit.version().unwrap().clone();
    /// }
    /// std::fs::write(&path, "somebody else's")?;
    /// let error = builder.expect(&version).write(&path, "third").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Conflict);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expect(&mut self, version: &Version) -> &mut Self {
        self.expected = Some(version.clone());
        self
    }

    /// Whether the receipt has the version that was published
    /// ([`Commit::version`](crate::Commit::version)), and what that goes by. Default:
    /// [`Tracking::None`].
    pub fn tracking(&mut self, tracking: Tracking) -> &mut Self {
        self.options.tracking = tracking;
        self
    }

    /// Whether the file that is replaced is kept, and under what name. Default: [`Backup::None`].
    ///
    /// What it costs: a lock, a link, a sync of the old file and, for a [`Backup::Path`] in another
    /// directory, one of that. An [`AtomicBatch`](crate::AtomicBatch) refuses it
    /// ([`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)).
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::{AtomicWriter, Backup};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("state.json");
    /// # let kept = dir.path().join("state.json.bak");
    /// let mut builder = AtomicWriter::builder();
    /// builder.backup(Backup::Suffix(".bak".into()));
    /// builder.write(&path, "{}")?;
    /// builder.write(&path, "{ \"level\": 3 }")?;
    /// assert_eq!(std::fs::read(kept)?, b"{}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(&mut self, backup: Backup) -> &mut Self {
        self.options.backup = backup;
        self
    }

    /// Under what name the contents are staged. Default: [`Staging::Named`].
    pub fn staging(&mut self, staging: Staging) -> &mut Self {
        self.options.staging = staging;
        self
    }

    /// What the temp file's name begins with. Default: `.wholefile-`.
    ///
    /// The name is this, twelve random letters and digits, and the
    /// [suffix](Builder::staging_suffix). Whoever changes it must tell whoever removes orphans.
    pub fn staging_prefix(&mut self, prefix: impl Into<OsString>) -> &mut Self {
        self.options.staging_prefix = Some(prefix.into());
        self
    }

    /// What the temp file's name ends with. Default: `.tmp`. It cannot be `.tree`, by which
    /// [`Swap::Link`](crate::Swap::Link) names what is in use: that is an error of kind
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption) at `open`.
    pub fn staging_suffix(&mut self, suffix: impl Into<OsString>) -> &mut Self {
        self.options.staging_suffix = Some(suffix.into());
        self
    }

    /// How many bytes are held in memory: up to so many, contents make no temp file before
    /// `commit`. After that, smaller writes are gathered into pieces of up to this size, and one of
    /// this size or more goes straight to the temp file. Default: 65,536 bytes; at most 1 GiB
    /// counts. With 0, each write goes straight to the temp file.
    pub fn buffer_size(&mut self, bytes: usize) -> &mut Self {
        self.options.buffer_size = bytes;
        self
    }

    /// Reserves space for so many bytes at `open`, so that a full disk is an error there and not in
    /// the middle. Default: 0, no reservation.
    ///
    /// The contents may be shorter or longer. Where the file system cannot reserve, it is asked
    /// whether so much is free.
    pub fn reserve(&mut self, bytes: u64) -> &mut Self {
        self.options.reserve = bytes;
        self
    }

    /// Whether to leave a target alone that has these contents already: no write, no sync, the same
    /// inode and time of modification, and [`Outcome::Unchanged`](crate::Outcome::Unchanged) on the
    /// receipt. Default: `false`.
    ///
    /// A [`mode`](Builder::mode) that differs from the target's counts as a change. With
    /// [`require_durability`](Builder::require_durability), the contents that are there are synced.
    ///
    /// After an error that said [`Replaced`](crate::TargetState::Replaced), try again with `false`
    /// or with [`require_durability`](Builder::require_durability): the contents are there, and the
    /// sync that they still need would be left out.
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::{AtomicWriter, Outcome};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("settings.toml");
    /// let mut builder = AtomicWriter::builder();
    /// builder.skip_unchanged(true);
    /// assert_eq!(builder.write(&path, "a = 1")?.outcome(), Outcome::Created);
    /// assert_eq!(builder.write(&path, "a = 1")?.outcome(), Outcome::Unchanged);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn skip_unchanged(&mut self, skip_unchanged: bool) -> &mut Self {
        self.options.skip_unchanged = skip_unchanged;
        self
    }
}
