//! [`AtomicBatch`]: many files that are synced together.
//!
//! Calling sequence: [`AtomicBatch::new`], any number of [`write`](AtomicBatch::write) and
//! [`open`](AtomicBatch::open), then [`commit`](AtomicBatch::commit) or a drop, which rolls back. A
//! file that was written waits, complete and with its metadata, in the staging directory of its
//! folder, and is closed: what the batch holds open does not grow with the number of files. The
//! commit seals all of them, then publishes one after the other, then syncs each directory once.

mod commit;
mod journalled;
mod look_again;
mod members;
mod receipt;
mod writer;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::members::Members;
pub use self::receipt::{BatchCommit, Progress};
pub use self::writer::BatchWriter;
use crate::builder::Builder;
use crate::error::{self, Error, ErrorKind, Result, Step};
use crate::many::journal::Journal;
#[cfg(doc)]
use crate::options::Durability;
use crate::options::{InUse, Options, SpecialFiles, SyncPlan};
use crate::writer::LookedAt;

/// Replaces many files, each whole or not at all, and syncs them together: on ext4 and XFS a
/// thousand small files cost a few flushes of the device, as one does.
///
/// Each file keeps every guarantee of the crate for itself. All contents are durable before the
/// first of them is published, and an error up to then leaves all targets untouched. From then on
/// the files are published one after the other: whoever reads meanwhile may see some that are new
/// and some that are old, and so may whoever looks after a crash in that moment. An error says for
/// each file what became of it ([`Error::files`](crate::Error::files)).
///
/// Files may be written to it from several threads. What waits is on disk, in one directory beside
/// the targets for each directory that they are in.
///
/// # What it holds
///
/// For each directory that targets are in, two descriptors on Unix and about 600 bytes of memory;
/// one more descriptor for each directory in which one was created, for a file that is being
/// written that of its temp file, and one for a journal; up to 16 more while the files are synced.
/// For each file about 400 bytes, and as much again for the receipt.
///
/// # How they are synced
///
/// Each file is synced, by up to 16 threads: the more files, the fewer flushes for each.
/// Where [`SyncPlan::Fewest`] would hold, eight files or more are written out and then made durable
/// by one sync before the first of them is published: a few flushes in all. With
/// [`SyncPlan::Fewest`] that one is left out too. Nothing is ever waited for that other programs
/// have written.
///
/// # Options
///
/// Those of [`Builder`], for each file. [`Lock`](crate::Lock)s cannot be had, since two batches
/// could wait for each other forever. There is no writing through special files, and no
/// [`InUse::TwoSteps`]: neither is atomic. Under [`Staging::Unnamed`](crate::Staging::Unnamed)
/// files are staged under a name all the same.
///
/// # Examples
///
/// ```
/// use wholefile::AtomicBatch;
///
/// # let dir = tempfile::tempdir()?;
/// let batch = AtomicBatch::new();
/// for page in 0..100 {
///     let path = dir.path().join(format!("page-{page}.html"));
///     batch.write(&path, format!("<h1>{page}</h1>"))?;
/// }
/// let commit = batch.commit()?;
/// println!("{} files, durability: {}", commit.commits().len(), commit.durability());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "dropping an AtomicBatch discards what was written; call `commit`"]
pub struct AtomicBatch {
    options: Options,
    /// Whether the options expect a version, which is that of one file.
    is_versioned: bool,
    journal: Option<Journal>,
    members: Mutex<Members>,
}

impl AtomicBatch {
    /// A batch without any files, and with the defaults of [`Builder`].
    pub fn new() -> Self {
        AtomicBatch::default()
    }

    /// The options of the files that are written from now on.
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::{AtomicBatch, AtomicWriter, SyncPlan};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let mut batch = AtomicBatch::new();
    /// batch.options(AtomicWriter::builder().create_parents(true).sync_plan(SyncPlan::Fewest));
    /// batch.write(dir.path().join("a/1"), "one")?;
    /// batch.write(dir.path().join("b/2"), "two")?;
    /// batch.commit()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn options(&mut self, builder: &Builder) -> &mut Self {
        self.is_versioned = builder.expected.is_some();
        self.options = Options {
            special_files: SpecialFiles::Refuse,
            in_use: InUse::Fail,
            ..builder.options.clone()
        };
        self.seal_before_journal();
        self
    }

    /// Makes the commit recoverable: if the process dies while files are published,
    /// [`recover`](crate::recover()) completes it, so that all of them are new or, if the commit
    /// had not come so far, all old. The journal is at `path` while that is so, and at no other
    /// time; any directory will do, the path should be the same each time.
    ///
    /// To be called before the first file is written to the batch. The file names and paths must be
    /// UTF-8.
    ///
    /// After a power cut the same holds if all files have [`Durability::Full`], which is the
    /// default, and the file system can sync directories: the journal is as durable as the file
    /// with the lowest durability. [`SyncPlan::Fewest`] is not used, since the contents must be
    /// durable before the journal is. The old files must be durable, too: one that another program
    /// has just written and not synced may come back as none that the journal knows, and the
    /// recovery then refuses to replace it.
    ///
    /// **Readers** may see some files new and some old while the commit is under way, and from a
    /// crash until the recovery. Where they must not, the files belong into one directory that is
    /// replaced as a whole ([`AtomicDir`](crate::AtomicDir)), or a reader must be able to tell what
    /// belongs together.
    ///
    /// Commits with the same journal wait for each other. A commit that cannot publish one of the
    /// files leaves the journal, and its error names it
    /// ([`Error::journal`](crate::Error::journal)).
    ///
    /// # Errors
    ///
    /// At [`Step::Resolve`]: [`ErrorKind::RecoveryNeeded`] if there is a journal at `path`;
    /// [`ErrorKind::Symlink`] if there is a link; [`ErrorKind::InvalidPath`] if the path is not
    /// UTF-8, from here, and from [`write`](AtomicBatch::write) and [`open`](AtomicBatch::open) for
    /// each file; [`ErrorKind::InvalidOption`] if the batch has files already. From
    /// [`commit`](AtomicBatch::commit), with all targets untouched: [`ErrorKind::RecoveryNeeded`],
    /// [`ErrorKind::Unsupported`] at [`Step::Lock`] where the journal's file system has no locks,
    /// and what a save of the journal can fail with.
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::{AtomicBatch, recover};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let journal = dir.path().join("rotation.journal");
    /// recover(&journal)?; // what an earlier run may have begun
    /// let mut batch = AtomicBatch::new();
    /// batch.journal(&journal)?;
    /// batch.write(dir.path().join("key.pem"), "new key")?;
    /// batch.write(dir.path().join("certificate.pem"), "its certificate")?;
    /// batch.commit()?;
    /// assert!(!journal.exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn journal(&mut self, path: impl AsRef<Path>) -> Result<&mut Self> {
        let journal = Journal::at(path.as_ref())?;
        if !self.members().folders.is_empty() {
            let late = error::late_journal();
            let error = Error::failed(Step::Resolve, path.as_ref(), late);
            return Err(error.with_kind(ErrorKind::InvalidOption));
        }
        journal.refuse_unrecovered()?;
        self.journal = Some(journal);
        self.seal_before_journal();
        Ok(self)
    }

    /// Under [`SyncPlan::Fewest`] the contents would be durable only once they are published.
    fn seal_before_journal(&mut self) {
        if self.journal.is_some() {
            self.options.sync_plan = SyncPlan::Portable;
        }
    }

    /// Adds the file at `path`, to be replaced by `contents`. They are on disk when this returns,
    /// but neither synced nor published. Where
    /// [`skip_unchanged`](crate::Builder::skip_unchanged) is set they are compared here, and not
    /// once more at the commit.
    ///
    /// # Errors
    ///
    /// As for [`Builder::write`] up to the sync of the file, and [`ErrorKind::Duplicate`] if the
    /// batch has the target already, whatever path or link leads to it; [`ErrorKind::Unsupported`]
    /// if the options ask for a lock or a backup, expect a version or track one. The batch is as it
    /// was before the call, and may be committed without the file; directories that were created
    /// for it are removed, unless something else is in them.
    pub fn write(&self, path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> Result<()> {
        let mut writer = self.open(path)?;
        match writer.write_all(contents.as_ref()) {
            Ok(()) => writer.finish_looked_at(LookedAt::Now),
            Err(error) => Err(writer.abandon(ErrorKind::Io, Step::Write, error)),
        }
    }

    /// Starts to write the contents of the file at `path`, which
    /// [`finish`](BatchWriter::finish) adds to the batch.
    ///
    /// # Errors
    ///
    /// As for [`Builder::open`] and [`write`](AtomicBatch::write).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use wholefile::AtomicBatch;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let batch = AtomicBatch::new();
    /// let mut key = batch.open(dir.path().join("key.pem"))?;
    /// let mut certificate = batch.open(dir.path().join("certificate.pem"))?;
    /// writeln!(key, "secret")?;
    /// writeln!(certificate, "public")?;
    /// key.finish()?;
    /// certificate.finish()?;
    /// batch.commit()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(&self, path: impl AsRef<Path>) -> Result<BatchWriter<'_>> {
        BatchWriter::open(self, path.as_ref())
    }

    /// Makes the contents the targets': seals all of them, publishes one after the other, and syncs
    /// each directory once.
    ///
    /// # Errors
    ///
    /// Up to [`Step::SyncFile`] every failure is a rollback of all files: one at that step, too, if
    /// a file is not as long any more as what was written to it. Later the error says for each file
    /// what became of it ([`Error::files`](crate::Error::files)): those that come after one that
    /// could not be published are untouched.
    pub fn commit(self) -> Result<BatchCommit> {
        self.commit_with(|_| ControlFlow::Continue(()))
    }

    /// As [`commit`](AtomicBatch::commit), and tells `progress` how far it has come, after each
    /// step that takes time. [`ControlFlow::Break`] rolls everything back, unless the first file
    /// has been published: then it is not heeded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`] if `progress` said so; otherwise as for
    /// [`commit`](AtomicBatch::commit).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use wholefile::AtomicBatch;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let batch = AtomicBatch::new();
    /// batch.write(dir.path().join("1"), "one")?;
    /// batch.write(dir.path().join("2"), "two")?;
    /// batch.commit_with(|progress| {
    ///     println!("{:?}: {} of {}", progress.step(), progress.files_done(), progress.files());
    ///     ControlFlow::Continue(())
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn commit_with(
        self,
        mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<BatchCommit> {
        let members = self.members.into_inner().unwrap_or_else(PoisonError::into_inner);
        commit::commit(members, self.journal.as_ref(), &mut progress)
    }

    /// Discards what was written. Dropping the batch does the same, but cannot tell whether it
    /// worked.
    ///
    /// # Errors
    ///
    /// [`Step::RemoveTemp`] if a staging directory could not be removed;
    /// [`Error::leftover`](crate::Error::leftover) names it. No target is touched.
    pub fn rollback(self) -> Result<()> {
        self.members.into_inner().unwrap_or_else(PoisonError::into_inner).roll_back()
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        // Every change of it is complete before anything could panic.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AtomicWriter;

    /// Though only Windows heeds the one, and only Unix has the other.
    #[test]
    fn a_batch_takes_over_no_option_that_is_not_atomic() {
        let mut builder = AtomicWriter::builder();
        builder.in_use(InUse::TwoSteps).special_files(SpecialFiles::WriteThrough);
        let mut batch = AtomicBatch::new();
        let Options { in_use, special_files, .. } = batch.options(&builder).options;
        assert_eq!((in_use, special_files), (InUse::Fail, SpecialFiles::Refuse));
    }
}
