//! [`Saver`]: saves in the background, for programs that save often.
//!
//! The handles share one `Handle`, whose drop ends the thread; the handles and the thread share the
//! `Shared` of `worker.rs`, whose `State` (`state.rs`) decides what is committed when. At most two
//! contents are in memory: those that are being committed, and the latest after them.

mod state;
mod worker;

use std::env;
use std::fmt;
use std::mem;
use std::path::Path;
use std::process;
use std::result;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::state::Pace;
use self::worker::{Callback, Saves, Shared};
use crate::builder::Builder;
use crate::commit::Commit;
use crate::error::{self, Error, ErrorKind, Result, Step};

const DEBOUNCE: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(1);

/// Saves one file in the background, for a program that saves often: a settings window, a session
/// that is kept while it changes.
///
/// [`save`](Saver::save) takes the new contents and returns at once; a thread of the saver's own
/// commits them, each commit with all the guarantees of [`Builder::write`]. The latest contents
/// win: a thousand calls in a row cost one commit or a few. [`flush`](Saver::flush) waits until
/// what was handed over is saved.
///
/// The clones of a saver are handles of the same one. Dropping the last saves what is not saved
/// yet, and waits for it. A process that ends without that drop, by
/// [`exit`](std::process::exit) or because `main` returns while another thread or a `static` has
/// the saver, loses what the thread had not come to: call `flush` before.
///
/// # When a commit fails
///
/// The contents are kept, unless newer ones have come, and the error is told to the callback
/// ([`on_commit`](SaverBuilder::on_commit)) and to the next call of `save` or `flush`. The next
/// `save`, `flush` or drop of the last handle tries again; a commit that succeeds makes the error
/// obsolete. Nothing is tried again unasked, and by a drop only once: it waits for a commit that is
/// under way, and tries again if that one fails. What fails in the drop itself, only a callback
/// learns.
///
/// # What is resolved when
///
/// A relative path is made absolute by [`open`](Saver::open), and counts from the current directory
/// of that moment. Everything else is done anew at each commit: a directory may be missing until
/// then, and if a symlink leads elsewhere by then, the file lands there.
///
/// # Platform
///
/// Unix: a process that is forked has no copy of the thread. There `save` and `flush` fail with
/// [`ErrorKind::Unsupported`], and a drop does nothing: the contents are the parent's to save.
///
/// # Examples
///
/// ```
/// use wholefile::Saver;
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("settings.toml");
/// let saver = Saver::open(&path)?;
/// for volume in 0..=100 {
///     saver.save(format!("volume = {volume}\n"))?; // at each move of the slider
/// }
/// saver.flush()?; // when the window is closed
/// assert_eq!(std::fs::read_to_string(&path)?, "volume = 100\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "dropping the last handle of a Saver ends it: keep it, and call `save`"]
pub struct Saver(Arc<Handle>);

/// What all clones have in common. Dropped with the last.
struct Handle {
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    thread: Option<JoinHandle<()>>,
    process: u32,
}

/// The options of a [`Saver`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use wholefile::{AtomicWriter, Durability, Saver};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("session.json");
/// let saver = Saver::builder()
///     .options(AtomicWriter::builder().durability(Durability::Ordered).skip_unchanged(true))
///     .debounce(Duration::from_millis(500))
///     .on_commit(|result| match result {
///         Ok(commit) => println!("{} {}", commit.outcome(), commit.path().display()),
///         Err(error) => eprintln!("not saved: {error}"),
///     })
///     .open(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SaverBuilder {
    builder: Builder,
    pace: Pace,
    callback: Option<Arc<Callback>>,
}

impl SaverBuilder {
    /// The options of each commit. Default: those of [`Builder`]. A version that they expect
    /// ([`Builder::expect`]) can only be that of the first: any later commit is a conflict with it.
    pub fn options(&mut self, options: &Builder) -> &mut Self {
        self.builder = options.clone();
        self
    }

    /// How long is waited after a save whether another one follows, before the latest is committed.
    /// Default: 100 ms. With zero a save is committed as soon as the one before it is; with
    /// [`Duration::MAX`] this is no reason for a commit.
    pub fn debounce(&mut self, debounce: Duration) -> &mut Self {
        self.pace.debounce = debounce;
        self
    }

    /// How long a save waits at most, however quickly others follow, before the latest is
    /// committed. Default: 1 s. With [`Duration::MAX`] this is no reason for a commit.
    pub fn max_delay(&mut self, max_delay: Duration) -> &mut Self {
        self.pace.max_delay = max_delay;
        self
    }

    /// What is called with the receipt of each commit, or its error. Default: nothing.
    ///
    /// It is called on the saver's thread, before a [`flush`](Saver::flush) that waits for the
    /// commit returns, and no other commit begins meanwhile: it must not wait for somebody who
    /// waits for the saver. It may call [`save`](Saver::save). If it panics, the panic hook reports
    /// it and the saver goes on. A callback that owns a clone of the saver keeps it from ever being
    /// dropped.
    pub fn on_commit(
        &mut self,
        f: impl Fn(result::Result<&Commit, &Error>) + Send + Sync + 'static,
    ) -> &mut Self {
        self.callback = Some(Arc::new(f));
        self
    }

    /// Starts a saver of the file at `path`, and its thread.
    ///
    /// # Errors
    ///
    /// At [`Step::Resolve`], if `path` is relative and the current directory is gone; at
    /// [`Step::Save`], if the system does not start a thread. Whether the file can be saved is
    /// found out at each commit, and not here.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("notes.txt");
    /// let saver = wholefile::Saver::builder().open(&path)?;
    /// saver.save("milk, eggs")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Saver> {
        let path = path.as_ref();
        // Joined, and not normalized: what the path says about links and directories must stay.
        let absolute = match path.is_absolute() {
            true => path.to_path_buf(),
            false => env::current_dir()
                .map_err(|error| Error::failed(Step::Resolve, path, error))?
                .join(path),
        };
        let shared = Arc::new(Shared::new(absolute, self.pace, self.callback.clone()));
        let saves = Saves::new(self.builder.clone());
        let thread = thread::Builder::new()
            .name("wholefile-saver".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.work(saves)
            })
            .map_err(|error| Error::failed(Step::Save, path, error))?;
        let process = process::id();
        Ok(Saver(Arc::new(Handle { shared, thread: Some(thread), process })))
    }
}

impl Default for SaverBuilder {
    fn default() -> Self {
        let pace = Pace { debounce: DEBOUNCE, max_delay: MAX_DELAY };
        SaverBuilder { builder: Builder::default(), pace, callback: None }
    }
}

impl Saver {
    /// The options of a saver, to be set before it is opened.
    #[must_use]
    pub fn builder() -> SaverBuilder {
        SaverBuilder::default()
    }

    /// Starts a saver of the file at `path` with the defaults of [`SaverBuilder`].
    ///
    /// # Errors
    ///
    /// As for [`SaverBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Saver> {
        SaverBuilder::default().open(path)
    }

    /// Takes the new contents of the file, and returns without waiting for any commit.
    ///
    /// # Errors
    ///
    /// The error of the last commit, if it failed and no call has told of it yet. The new contents
    /// are taken nevertheless, and will be tried as ever. [`ErrorKind::Unsupported`] at
    /// [`Step::Save`] in a forked process: only then they are not taken.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let saver = wholefile::Saver::open(dir.path().join("settings.toml"))?;
    /// if let Err(error) = saver.save("volume = 11") {
    ///     eprintln!("an earlier save failed: {error}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self, contents: impl Into<Vec<u8>>) -> Result<()> {
        self.shared()?.save(contents.into())
    }

    /// Waits until what any handle has handed over before this call, or newer contents, are saved:
    /// at once, without waiting for the debounce, and as durably as the receipt says, which
    /// [`last_commit`](Saver::last_commit) then has.
    ///
    /// Contents that an earlier commit failed to save are tried again. Where nothing was handed
    /// over since the last commit that succeeded, this returns at once.
    ///
    /// # Errors
    ///
    /// That of the commit that was waited for: as for [`Builder::write`], and at [`Step::Save`] if
    /// it panicked. [`ErrorKind::Deadlock`] from
    /// within the callback, which the commit would wait for. [`ErrorKind::Unsupported`] at
    /// [`Step::Save`] in a forked process.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let saver = wholefile::Saver::open(dir.path().join("settings.toml"))?;
    /// saver.save("volume = 11")?;
    /// saver.flush()?;
    /// println!("durability: {}", saver.last_commit().expect("a commit").durability());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        let shared = self.shared()?;
        if self.0.is_own_thread() {
            return Err(Error::refused(ErrorKind::Deadlock, Step::Save, &shared.path));
        }
        shared.flush()
    }

    /// The receipt of the latest commit that succeeded. `None` before the first.
    #[must_use]
    pub fn last_commit(&self) -> Option<Arc<Commit>> {
        self.shared().ok()?.state().last_commit()
    }

    /// The path that was given to [`open`](Saver::open), made absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.shared.path
    }

    /// What is shared with the thread, in the process that has it. In another one its lock may be
    /// held by a thread that is not there.
    fn shared(&self) -> Result<&Shared> {
        let shared = &*self.0.shared;
        match self.0.is_forked() {
            false => Ok(shared),
            true => Err(Error::failed(Step::Save, &shared.path, error::forked())),
        }
    }
}

impl Handle {
    fn is_forked(&self) -> bool {
        self.process != process::id()
    }

    fn is_own_thread(&self) -> bool {
        let id = self.thread.as_ref().map(|thread| thread.thread().id());
        id == Some(thread::current().id())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.is_forked() {
            // There is no thread to be waited for or let go.
            return mem::forget(self.thread.take());
        }
        self.shared.close();
        // In the callback, the thread ends by itself after it.
        if !self.is_own_thread() {
            if let Some(thread) = self.thread.take() {
                let _ = thread.join(); // it catches what panics
            }
        }
    }
}

impl fmt::Debug for Saver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saver").field("path", &self.path()).finish_non_exhaustive()
    }
}

impl fmt::Debug for SaverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut saver = f.debug_struct("SaverBuilder");
        saver.field("options", &self.builder).field("pace", &self.pace).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
