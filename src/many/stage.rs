//! The staging directory: where the new files of one directory wait to be published together.
//!
//! It is made in the directory that the files will be in, so that they inherit from it what they
//! would have inherited there: the default ACL, the group where setgid says so, the project, the
//! encryption and the SELinux label. It has the name of a temp file and is the owner's alone.
//!
//! Calling sequence: [`Stage::create`]; files are made in [`Stage::directory`] under any name but
//! [`JOURNAL`], and published from there by a rename; then [`Stage::remove`] or a drop, which
//! removes whatever is left in it, or [`Stage::keep`].
//!
//! Its sign of life is one lock for all that is in it, on the directory itself, or on a file in it
//! where directories cannot be locked. The rules are those of a temp file (`protocol/temp.rs`):
//! whoever gets the lock of one that has its name is alone with it, and whoever finds the fresh
//! directory taken makes another.
//!
//! Before a journal is written that needs what is staged, each staging directory is marked with
//! where the journal will be ([`Stage::mark`]). From then on a drop leaves it where it is, and
//! whoever looks for orphans asks the mark (`many/journal/mark.rs`).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::iter;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::journal::mark;
use super::tree;
use crate::concurrency::lock::{self, Answer};
use crate::error::{Error, Step};
use crate::fault::Op;
use crate::options::{Durability, Options};
use crate::protocol::temp;
use crate::sys::{self, Creation, Directory, Entry, FileKind, Info};

/// What has this name in a staging directory tells for which journal the directory is needed: it
/// is no orphan, dead though its owner is.
pub(crate) const JOURNAL: &str = "journal";

/// The file whose lock is the sign of life where a directory's own cannot be.
pub(super) const SIGN: &str = "lock";

const MODE: u32 = 0o700;
/// As often, a staging directory is emptied anew because something is in it all the same: libfuse
/// only hides what is removed before it has heard that it was closed, and hears of that later.
const MAX_HIDDEN: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const MARK_MODE: u32 = 0o600;

/// A staging directory, held. Dropped, it is removed with all that is in it, unless it is marked.
#[derive(Debug)]
pub(crate) struct Stage {
    parent: Arc<Directory>,
    /// `None` once there is nothing to remove.
    name: Option<OsString>,
    /// Open, and with it locked.
    directory: Arc<Directory>,
    sign: Option<File>,
    on_drop: OnDrop,
}

/// What becomes of a staging directory that nobody has removed or kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnDrop {
    Remove,
    /// A journal may need it.
    Keep,
}

/// What a name in a directory that may be that of a staging directory stands for.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing any more.
    Gone,
    /// Its owner is alive.
    Alive,
    /// There are no locks, so that nobody can tell.
    Unknown,
    /// Its owner is dead, but it is needed for recovery.
    Kept,
    /// Its owner is dead, and it is held now.
    Orphan(Stage, Info),
}

/// How a directory is marked.
#[derive(Debug)]
pub(super) enum Marked {
    Not,
    With(Vec<u8>),
    /// By something that is no file.
    Oddly,
}

/// Why there is no staging directory, or not with what it was to have in it.
#[derive(Debug)]
pub(crate) struct NotMade {
    pub(crate) error: io::Error,
    /// The name of what was made all the same, and could not be removed.
    pub(crate) leftover: Option<OsString>,
}

impl NotMade {
    /// The error of what was to be staged for `path`, in a directory of `folder`.
    pub(crate) fn into_error(self, path: &Path, folder: &Path) -> Error {
        let error = Error::failed(Step::CreateTemp, path, self.error);
        error.with_leftover(self.leftover.map(|name| folder.join(name)))
    }
}

impl From<NotMade> for io::Error {
    fn from(not_made: NotMade) -> io::Error {
        not_made.error
    }
}

impl Stage {
    /// Makes a staging directory in `parent`.
    pub(crate) fn create(parent: &Arc<Directory>, options: &Options) -> Result<Stage, NotMade> {
        let mut leftover = None;
        let made = temp::with_random_name(options, |name| make(parent, name, &mut leftover));
        let ((directory, sign), name) = made.map_err(|error| NotMade { error, leftover })?;
        let (parent, directory) = (Arc::clone(parent), Arc::new(directory));
        Ok(Stage { parent, name: Some(name), directory, sign, on_drop: OnDrop::Remove })
    }

    /// Looks at what may be a staging directory, and takes hold of it if nobody does.
    pub(crate) fn find(parent: &Arc<Directory>, name: &OsStr) -> io::Result<Found> {
        let directory = match sys::open_subdirectory(parent, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Gone),
            result => result?,
        };
        let info = sys::inspect_directory(&directory)?;
        let (answer, sign) = show_life(&directory)?;
        match answer {
            Answer::Busy => return Ok(Found::Alive),
            Answer::Unavailable => return Ok(Found::Unknown),
            Answer::Held => {}
        }
        if !stands_for(parent, name, &info)? {
            return Ok(Found::Gone);
        }
        if is_needed(&directory)? {
            return Ok(Found::Kept);
        }
        let (parent, name) = (Arc::clone(parent), Some(name.to_owned()));
        let (directory, on_drop) = (Arc::new(directory), OnDrop::Remove);
        Ok(Found::Orphan(Stage { parent, name, directory, sign, on_drop }, info))
    }

    /// One whose owner is dead and whose journal is the caller's, so that nobody takes it for an
    /// orphan.
    pub(crate) fn inherit(
        parent: &Arc<Directory>,
        name: &OsStr,
        directory: Arc<Directory>,
    ) -> Stage {
        let (parent, name) = (Arc::clone(parent), Some(name.to_owned()));
        Stage { parent, name, directory, sign: None, on_drop: OnDrop::Keep }
    }

    /// Marks it as needed by a journal that is yet to be written.
    pub(crate) fn mark(&mut self, mark: &str, durability: Durability) -> io::Result<()> {
        let name = OsStr::new(JOURNAL);
        let creation = Creation { mode: Some(MARK_MODE), ..Creation::default() };
        let file = sys::create_temp(&self.directory, name, creation)?;
        self.on_drop = OnDrop::Keep;
        sys::write_all(Op::Write, &file, mark.as_bytes())?;
        match durability {
            Durability::None => sys::close(file),
            _ => sys::sync_file(&file, durability).map(drop),
        }
    }

    /// The directory itself.
    pub(crate) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Its name in the directory that it is in.
    pub(crate) fn name(&self) -> &OsStr {
        self.name.as_deref().unwrap_or_default()
    }

    /// Its path, if that of the directory that it is in is `parent`.
    pub(crate) fn path(&self, parent: &Path) -> PathBuf {
        parent.join(self.name())
    }

    /// Removes it with all that is in it.
    pub(crate) fn remove(mut self) -> io::Result<()> {
        self.remove_in_place()
    }

    /// Removes it after `error`.
    pub(crate) fn unmake(self, error: io::Error) -> NotMade {
        let name = self.name().to_owned();
        NotMade { error, leftover: self.remove().is_err().then_some(name) }
    }

    /// Leaves it where it is, and lets go of it.
    pub(crate) fn keep(mut self) {
        self.name = None;
    }

    /// Leaves it where it is, in use for as long as the file is open.
    pub(crate) fn keep_in_use(mut self) -> io::Result<File> {
        let file = match self.sign.take() {
            Some(sign) => sign,
            None => sys::file_of(&self.directory)?,
        };
        self.name = None;
        Ok(file)
    }

    fn remove_in_place(&mut self) -> io::Result<()> {
        let Some(name) = self.name.take() else { return Ok(()) };
        let sign = self.sign.take();
        let directory = mem::replace(&mut self.directory, Arc::clone(&self.parent));
        let is_marked = self.on_drop == OnDrop::Keep;
        let sign_is_last = sign.as_ref().map(|_| OsStr::new(SIGN));
        let mark_is_last = is_marked.then_some(OsStr::new(JOURNAL));
        let last: Vec<&OsStr> = sign_is_last.into_iter().chain(mark_is_last).collect();
        let mut error = tree::empty(&directory, &last);
        if sign.is_some() {
            drop(sign); // Windows keeps the name of a file that is open
            let _ = sys::remove_entry(&directory, OsStr::new(SIGN));
        }
        // A recovery that finds more than an empty directory believes nothing but the mark.
        if is_marked && error.is_none() {
            error = sys::remove_entry(&directory, OsStr::new(JOURNAL)).err();
        }
        // Its lock is held until it is gone: else whoever has just made it and waits for the lock
        // would believe that it is theirs. Where it has none it is closed first, since Windows
        // removes no directory that is open.
        let held = sys::DIRECTORIES_CAN_BE_LOCKED.then_some(directory);
        let mut removed = remove_emptied(&self.parent, &name, error);
        for pause in pauses() {
            let Some(directory) = &held else { break };
            if !matches!(&removed, Err(it) if it.kind() == io::ErrorKind::DirectoryNotEmpty) {
                break;
            }
            thread::sleep(pause);
            removed = remove_emptied(&self.parent, &name, tree::empty(directory, &[]));
        }
        drop(held);
        removed
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Remove {
            let _ = self.remove_in_place();
        }
    }
}

/// How long each attempt waits for what is hidden: a quarter of a second in all.
fn pauses() -> impl Iterator<Item = Duration> {
    iter::successors(Some(FIRST_PAUSE), |pause| Some(*pause * 2)).take(MAX_HIDDEN)
}

/// Removes a directory that was emptied, unless that failed.
fn remove_emptied(parent: &Directory, name: &OsStr, error: Option<io::Error>) -> io::Result<()> {
    match sys::remove_directory(parent, name) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
        // What stands in the way says more than that something does.
        result => result.map_err(|failed| error.unwrap_or(failed)),
    }
}

/// Whether a journal needs the staging directory of a dead owner.
fn is_needed(directory: &Directory) -> io::Result<bool> {
    match mark_in(directory)? {
        Marked::Not => Ok(false),
        Marked::With(text) => mark::needs(&text),
        Marked::Oddly => Ok(true),
    }
}

/// The mark in what may be a staging directory.
pub(super) fn mark_in(directory: &Directory) -> io::Result<Marked> {
    let name = OsStr::new(JOURNAL);
    let existing = match sys::look(directory, name)? {
        None => return Ok(Marked::Not),
        Some(existing) if existing.info.kind == FileKind::File => existing,
        Some(_) => return Ok(Marked::Oddly),
    };
    let file = sys::open_target(&existing, directory, name)?;
    let mut text = vec![0; mark::MAX_LEN];
    let len = sys::fill(&mut sys::Reader(Op::ReadTarget, &file), &mut text)?;
    text.truncate(len);
    Ok(Marked::With(text))
}

/// Makes the directory `name`. `AlreadyExists` asks for another name.
fn make(
    parent: &Directory,
    name: &OsStr,
    leftover: &mut Option<OsString>,
) -> io::Result<(Directory, Option<File>)> {
    sys::make_directory(parent, name, MODE)?;
    let error = match hold(parent, name) {
        Ok(Some(held)) => return Ok(held),
        Ok(None) => io::ErrorKind::AlreadyExists.into(),
        Err(error) => error,
    };
    // Whoever looks for orphans removes it too, but others may just have held it for a moment.
    match sys::remove_directory(parent, name) {
        Err(stays) if stays.kind() != io::ErrorKind::NotFound => *leftover = Some(name.to_owned()),
        _ => {}
    }
    Err(error)
}

/// Opens the fresh directory `name` and shows life in it. `None` if somebody took it for an orphan.
fn hold(parent: &Directory, name: &OsStr) -> io::Result<Option<(Directory, Option<File>)>> {
    // Whatever the umask has left.
    let directory = match tree::enter(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result?,
    };
    let (answer, sign) = match show_life(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result?,
    };
    let is_own = match answer {
        Answer::Held => stands_for(parent, name, &sys::inspect_directory(&directory)?)?,
        Answer::Busy => false,
        Answer::Unavailable => true,
    };
    Ok(is_own.then_some((directory, sign)))
}

/// Takes the lock that tells the staging directory of a living owner from an orphan.
fn show_life(directory: &Directory) -> io::Result<(Answer, Option<File>)> {
    if sys::DIRECTORIES_CAN_BE_LOCKED {
        return Ok((lock::hold_directory(directory)?, None));
    }
    let (sign, _) = sys::open_side_file(directory, OsStr::new(SIGN))?;
    Ok((lock::hold(&sign)?, Some(sign)))
}

/// Whether the name is that of what was found to be `info`.
pub(super) fn stands_for(parent: &Directory, name: &OsStr, info: &Info) -> io::Result<bool> {
    Ok(sys::id_at(Entry { directory: parent, name })? == Some(info.id))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A driver may take that long, and a directory that cannot be emptied holds up nobody longer.
    #[test]
    fn what_is_hidden_is_waited_for_for_a_quarter_of_a_second() {
        assert_eq!(pauses().sum::<Duration>(), Duration::from_millis(255));
    }

    /// Sweepers race with owners for every fresh staging directory: an owner that loses its own
    /// must make another, and nobody's may vanish while it is held.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    #[cfg_attr(windows, ignore = "in Wine each turn waits for names that are about to go")]
    fn no_owner_loses_its_staging_directory_to_a_sweeper() {
        let root = tempfile::tempdir().unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let sweepers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut removed = 0;
                        while !done.load(Ordering::Relaxed) {
                            let sweep = crate::sweep(root.path()).unwrap();
                            assert!(sweep.errors().is_empty(), "{:?}", sweep.errors());
                            removed += sweep.removed().len();
                        }
                        removed
                    })
                })
                .collect();
            let parent = Arc::new(sys::open_directory(None, root.path()).unwrap());
            for _ in 0..3000 {
                let stage = Stage::create(&parent, &Options::default()).unwrap();
                let file = stage.path(root.path()).join("0");
                std::fs::write(&file, "staged").unwrap();
                assert!(file.exists());
                stage.remove().unwrap();
            }
            done.store(true, Ordering::Relaxed);
            let removed: usize = sweepers.into_iter().map(|it| it.join().unwrap()).sum();
            eprintln!("{removed} removed before they were locked");
        });
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
