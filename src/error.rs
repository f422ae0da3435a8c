//! What the crate says when something goes wrong.
//!
//! An [`Error`] is opaque and answers the questions that a caller has: what kind of failure, at
//! which step, what became of the target, and did anything stay behind. The other modules build one
//! through [`Error::refused`] (the crate says no) or [`Error::failed`] (the system said no).

mod kinds;
mod sentences;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::kinds::{ErrorKind, Step, TargetState};
use self::sentences::{Aftermath, Reason};
pub(crate) use self::sentences::{
    NoBackup, Obstacle, foreign_stage, forked, invalid_journal, late_journal, no_backup,
    no_free_number, no_link, no_place_for_backup, not_text, not_to_be_found_again, not_whole,
    obstacle, panicked, planted,
};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file could not be replaced, and what became of it.
///
/// [`target_state`](Error::target_state) answers the question that matters most after a failed
/// save: is the old file still there, or are the new contents already visible?
///
/// # Examples
///
/// ```
/// use wholefile::{ErrorKind, TargetState, atomic_write};
///
/// let error = atomic_write("/no/such/directory/settings.toml", "a = 1").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(error.target_state(), TargetState::Untouched);
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Details>);

#[derive(Debug, thiserror::Error)]
#[error("failed to {step} `{}`{}{}", path.display(), Reason(self), Aftermath(self))]
struct Details {
    kind: ErrorKind,
    step: Step,
    path: PathBuf,
    state: TargetState,
    /// What was left last is the first.
    leftovers: Vec<PathBuf>,
    /// Whether there are others among them than temp files.
    has_backups: bool,
    journal: Option<PathBuf>,
    lock: Option<(PathBuf, Duration)>,
    /// Those of a batch.
    files: Vec<(PathBuf, TargetState)>,
    source: Option<io::Error>,
}

/// The cause of a [`ErrorKind::Unsupported`] where two directories cannot change places.
#[derive(Debug, thiserror::Error)]
#[error("the file system cannot exchange two directories")]
pub(crate) struct NoExchange(#[source] pub(crate) io::Error);

impl From<NoExchange> for io::Error {
    fn from(error: NoExchange) -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, error)
    }
}

impl Details {
    /// Whether what was left is what the target had.
    fn has_displaced(&self) -> bool {
        match self.state {
            TargetState::Displaced => true,
            TargetState::Untouched => false,
            TargetState::Replaced | TargetState::Unknown => self.kind == ErrorKind::Conflict,
        }
    }
}

impl Error {
    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The step at which it went wrong.
    #[must_use]
    pub fn step(&self) -> Step {
        self.0.step
    }

    /// The path that was to be replaced: as the caller gave it, with its symlinks followed once
    /// they have been.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What became of the target.
    #[must_use]
    pub fn target_state(&self) -> TargetState {
        self.0.state
    }

    /// What became of each target: of a batch all of them, in the order in which they were added;
    /// else the one.
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::{AtomicBatch, AtomicWriter, Publish, TargetState};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let mut batch = AtomicBatch::new();
    /// batch.options(AtomicWriter::builder().publish(Publish::CreateNew));
    /// batch.write(dir.path().join("1"), "one")?;
    /// batch.write(dir.path().join("2"), "two")?;
    /// std::fs::write(dir.path().join("2"), "somebody else's")?;
    /// let error = batch.commit().unwrap_err();
    /// for (path, state) in error.files() {
    ///     println!("{}: {state:?}", path.display());
    ///     assert_eq!(state, TargetState::Untouched);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn files(&self) -> impl Iterator<Item = (&Path, TargetState)> {
        let own = self.0.files.is_empty().then_some((self.path(), self.0.state));
        let all = self.0.files.iter().map(|(path, state)| (path.as_path(), *state));
        own.into_iter().chain(all)
    }

    /// The temp file that stayed behind, if one did because removing it failed as well, or the
    /// backup that could not be undone or removed. The first of the
    /// [`leftovers`](Error::leftovers).
    ///
    /// With [`TargetState::Displaced`], and with [`ErrorKind::Conflict`] where the target is not
    /// [`Untouched`](TargetState::Untouched), it has the contents that the target had, and may be
    /// the only copy of what somebody else has saved: it is not to be deleted. No sweep does where
    /// its name ends in `.old`; if even that name could not be given it ends in `.swap`, and is to
    /// be moved before the next sweep. The same names has an earlier [`Backup`](crate::Backup) that
    /// could not be put back; the target is untouched then, and the next save with that backup
    /// would remove it too.
    #[must_use]
    pub fn leftover(&self) -> Option<&Path> {
        self.leftovers().next()
    }

    /// All temp files, staging directories and backups that stayed behind, which are more than one
    /// only of a batch, of a tree or with a [`Backup`](crate::Backup).
    ///
    /// # Examples
    ///
    /// ```
    /// # let error = wholefile::atomic_write("/no/such/directory/file", "").unwrap_err();
    /// for path in error.leftovers() {
    ///     eprintln!("it stayed behind: {}", path.display());
    /// }
    /// ```
    pub fn leftovers(&self) -> impl Iterator<Item = &Path> {
        self.0.leftovers.iter().map(PathBuf::as_path)
    }

    /// The journal of a batch, which is still there or may be after a power cut:
    /// [`recover`](crate::recover) completes what it says. Until then some of its files may be new
    /// and some old.
    #[must_use]
    pub fn journal(&self) -> Option<&Path> {
        self.0.journal.as_deref()
    }

    /// For [`ErrorKind::Locked`]: the file that stands for the lock, and how long was waited for
    /// it.
    #[must_use]
    pub fn lock(&self) -> Option<(&Path, Duration)> {
        self.0.lock.as_ref().map(|(path, waited)| (path.as_path(), *waited))
    }

    /// The system's own error, if there was one. It is also the
    /// [`source`](std::error::Error::source).
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        self.0.source.as_ref()
    }

    /// The crate says no: a policy, an option or a check.
    pub(crate) fn refused(kind: ErrorKind, step: Step, path: &Path) -> Self {
        Error::new(kind, step, path, None)
    }

    /// The system said no.
    pub(crate) fn failed(step: Step, path: &Path, source: io::Error) -> Self {
        Error::new(ErrorKind::of(source.kind()), step, path, Some(source))
    }

    fn new(kind: ErrorKind, step: Step, path: &Path, source: Option<io::Error>) -> Self {
        let path = path.to_path_buf();
        let state = TargetState::Untouched;
        Error(Box::new(Details {
            kind,
            step,
            path,
            state,
            leftovers: Vec::new(),
            has_backups: false,
            journal: None,
            lock: None,
            files: Vec::new(),
            source,
        }))
    }

    /// The same, for one more who must be told.
    pub(crate) fn again(&self) -> Self {
        let details = &*self.0;
        Error(Box::new(Details {
            path: details.path.clone(),
            leftovers: details.leftovers.clone(),
            journal: details.journal.clone(),
            lock: details.lock.clone(),
            files: details.files.clone(),
            source: details.source.as_ref().map(copy_of),
            ..*details
        }))
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The error of a change at `path` in a staged tree, which goes with all that is in it.
    pub(crate) fn in_staging(mut self, path: PathBuf) -> Self {
        self.0.path = path;
        self.0.state = TargetState::Untouched;
        self.0.leftovers.clear();
        self
    }

    pub(crate) fn of_step(mut self, step: Step) -> Self {
        self.0.step = step;
        self
    }

    /// The error of a backup that could not be made of the file at `path`.
    pub(crate) fn of_backup(mut self, path: &Path) -> Self {
        self.0.step = Step::Backup;
        self.0.path = path.to_path_buf();
        self
    }

    pub(crate) fn with_state(mut self, state: TargetState) -> Self {
        self.0.state = state;
        self
    }

    pub(crate) fn with_journal(mut self, path: &Path) -> Self {
        self.0.journal = Some(path.to_path_buf());
        self
    }

    pub(crate) fn with_lock(mut self, path: PathBuf, waited: Duration) -> Self {
        self.0.lock = Some((path, waited));
        self
    }

    /// Says what became of each file of a batch, and what stayed of all that was staged for it.
    pub(crate) fn of_batch(
        mut self,
        leftovers: impl IntoIterator<Item = PathBuf>,
        files: Vec<(PathBuf, TargetState)>,
    ) -> Self {
        self.0.leftovers.clear();
        for leftover in leftovers {
            if !self.0.leftovers.contains(&leftover) {
                self.0.leftovers.push(leftover);
            }
        }
        self.of_files(files)
    }

    /// Says what became of each file.
    pub(crate) fn of_files(mut self, files: Vec<(PathBuf, TargetState)>) -> Self {
        self.0.files = files;
        self
    }

    pub(crate) fn with_leftover(mut self, leftover: Option<PathBuf>) -> Self {
        if let Some(leftover) = leftover.filter(|it| !self.0.leftovers.contains(it)) {
            self.0.leftovers.insert(0, leftover);
        }
        self
    }

    /// As [`Error::with_leftover`], of a backup.
    pub(crate) fn with_backup(mut self, backup: Option<PathBuf>) -> Self {
        self.0.has_backups |= backup.is_some();
        self.with_leftover(backup)
    }

    /// What stayed has gone by now.
    pub(crate) fn without_leftover(mut self) -> Self {
        self.0.leftovers.clear();
        self
    }
}

/// An `io::Error` cannot be cloned: what is no error of the system becomes its sentence.
pub(crate) fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// Keeps the kind of the underlying system error (or the nearest one) and the whole sentence; the
/// [`Error`] itself is inside, to be had with [`io::Error::get_ref`] or a downcast.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error.0.source {
            Some(source) => source.kind(),
            None => error.0.kind.to_io(),
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests;
