//! [`Builder`]: the options of a save, and the saves that it starts.

mod setters;

use std::io;
use std::path::Path;

use crate::commit::Commit;
use crate::concurrency::version::Version;
use crate::error::{ErrorKind, Result, Step};
use crate::options::{Lock, Options};
use crate::writer::{AtomicWriter, LookedAt};

/// The options of a save. One builder makes any number of saves.
///
/// Without any setter: durable, following symlinks, refusing special and read-only files, keeping
/// the owner, mode, ACL and xattrs of the file that is replaced.
///
/// # Examples
///
/// ```
/// use wholefile::{AtomicWriter, Durability, Publish};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("a/b/key.pem");
/// let commit = AtomicWriter::builder()
///     .durability(Durability::Ordered)
///     .publish(Publish::CreateNew)
///     .create_parents(true)
///     .write(&path, "secret")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Builder {
    pub(crate) options: Options,
    pub(crate) expected: Option<Version>,
}

impl AtomicWriter {
    /// The options of a save, to be set before it is opened.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Starts a save of the file at `path`.
    ///
    /// The target is found here: its directory is opened and symlinks are followed, so that nothing
    /// that happens to the path until `commit` changes where the file lands.
    ///
    /// # Errors
    ///
    /// At [`Step::Resolve`]: [`InvalidPath`](crate::ErrorKind::InvalidPath),
    /// [`IsADirectory`](crate::ErrorKind::IsADirectory), [`NotFound`](crate::ErrorKind::NotFound),
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption), or the kind that a policy of this
    /// builder refuses with, or what is where its [`backup`](Builder::backup) is to be;
    /// [`Conflict`](crate::ErrorKind::Conflict) if the target is not of the
    /// version that is expected. At [`Step::Lock`], if a lock is asked for:
    /// [`Locked`](crate::ErrorKind::Locked), [`Unsupported`](crate::ErrorKind::Unsupported) where
    /// there are no locks, or the system's error. At [`Step::SyncDirectory`], if durability is
    /// required: [`DurabilityUnavailable`](crate::ErrorKind::DurabilityUnavailable), or the
    /// system's error. At [`Step::CreateParents`], and with `reserve` at [`Step::CreateTemp`] and
    /// [`Step::Reserve`]: the system's error. The target is untouched, and nothing stays behind.
    ///
    /// # Platform
    ///
    /// On Unix every later step is relative to the directory that was opened. Elsewhere it goes by
    /// the directory's absolute path.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use wholefile::AtomicWriter;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("words.txt");
    /// let mut writer = AtomicWriter::builder().reserve(1 << 20).open(&path)?;
    /// for word in ["whole", "or", "not", "at", "all"] {
    ///     writeln!(writer, "{word}")?;
    /// }
    /// writer.commit()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(&self, path: impl AsRef<Path>) -> Result<AtomicWriter> {
        AtomicWriter::open(None, path.as_ref(), &self.options, self.expected.as_ref())
    }

    /// Replaces the file at `path` by `contents`.
    ///
    /// # Errors
    ///
    /// As for [`open`](Builder::open) and [`AtomicWriter::commit`].
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::{AtomicWriter, Symlinks};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    /// let mut builder = AtomicWriter::builder();
    /// builder.symlinks(Symlinks::Refuse);
    /// builder.write(&one, "1")?;
    /// builder.write(&other, "2")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write(&self, path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> Result<Commit> {
        let mut writer = self.open(path)?;
        match io::Write::write_all(&mut writer, contents.as_ref()) {
            Ok(()) => writer.commit_looked_at(LookedAt::Now),
            Err(error) => Err(writer.abandon(ErrorKind::Io, Step::Write, error)),
        }
    }

    /// Replaces the file at `path` by what `f` makes of its contents, which no other update can
    /// change meanwhile: the lock is held from before they are read until the new ones are
    /// published.
    ///
    /// The lock is waited for, for as long as somebody has it;
    /// [`lock(Lock::Timeout(…))`](Builder::lock) sets a limit.
    ///
    /// `f` gets `None` where there is no file. If it returns the same bytes, nothing is written and
    /// the outcome is [`Unchanged`](crate::Outcome::Unchanged). If it fails or panics, the target
    /// stays as it is and the lock is free.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Locked`] if the lock could not be had, also where this thread holds it already;
    /// [`ErrorKind::Unsupported`] at [`Step::Lock`] on a file system without locks;
    /// [`ErrorKind::Closure`] if `f` fails; at [`Step::Read`] if the old contents cannot be read,
    /// and with [`ErrorKind::Symlink`] if a symlink is to be replaced, whose contents are those of
    /// another file: the target is untouched each time. Otherwise as for
    /// [`write`](Builder::write).
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::{AtomicWriter, Durability};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("visits");
    /// let mut builder = AtomicWriter::builder();
    /// builder.durability(Durability::None).update(&path, |old| {
    ///     let mut visits = old.unwrap_or_default();
    ///     visits.push(b'|');
    ///     Ok(visits)
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn update(
        &self,
        path: impl AsRef<Path>,
        f: impl FnOnce(Option<Vec<u8>>) -> io::Result<Vec<u8>>,
    ) -> Result<Commit> {
        // The bytes that were read are there for a comparison: no need to read them again.
        let mut options = Options { skip_unchanged: false, ..self.options.clone() };
        if options.lock == Lock::None {
            options.lock = Lock::Wait;
        }
        let expected = self.expected.as_ref();
        let mut writer = AtomicWriter::open(None, path.as_ref(), &options, expected)?;
        let old = match writer.old_contents() {
            Ok(old) => old,
            Err(error) => return Err(writer.abandon_after(error)),
        };
        let new = match f(old.clone()) {
            Ok(new) => new,
            Err(error) => return Err(writer.abandon(ErrorKind::Closure, Step::Write, error)),
        };
        if old.is_some_and(|old| old == new) {
            match writer.unchanged_by_update() {
                Ok(Some(commit)) => return writer.leave(commit, Some(&new)),
                Ok(None) => {}
                Err(error) => return Err(writer.abandon_after(error)),
            }
        }
        match io::Write::write_all(&mut writer, &new) {
            Ok(()) => writer.commit(),
            Err(error) => Err(writer.abandon(ErrorKind::Io, Step::Write, error)),
        }
    }
}
