//! The temp file: created beside the target, locked while its writer lives, removed unless it is
//! published.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf, is_separator};
use std::sync::Arc;

use super::target::{StagingPlace, Target};
use crate::concurrency::lock::{self, Answer};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::options::{Options, Staging};
use crate::sys::{self, Creation, Directory, Entry, Replacing};

/// The name of a temp file is `PREFIX`, `RANDOM_LEN` letters and digits, `SUFFIX`: 27 bytes.
const PREFIX: &str = ".wholefile-";
const SUFFIX: &str = ".tmp";
const RANDOM_LEN: usize = 12;
/// The suffix of the directories that a link names (`many/dir/generation.rs`): for as long as it
/// does they have an owner without a lock, so that no temp file may be taken for one.
pub(crate) const GENERATION_SUFFIX: &str = ".tree";
/// As often as this may a temp file be taken for an orphan before it is locked.
const MAX_UNSEEN: usize = 8;
/// The longest name that the usual file systems take.
const MAX_NAME_LEN: usize = 255;

/// A temp file in the target's directory.
#[derive(Debug)]
pub(crate) struct Temp {
    /// `None` while the file is unnamed. Before `file`, so that the name goes before the lock does.
    name: Option<TempName>,
    pub(crate) file: File,
    directory: Arc<Directory>,
    /// The permissions that were asked for; `None` for those of any new file.
    pub(crate) mode: Option<u32>,
    /// Whether another program was given the path.
    is_shown: bool,
}

/// The name of a temp file. Dropped, it removes the file.
#[derive(Debug)]
pub(crate) struct TempName {
    directory: Arc<Directory>,
    /// The directory's own name beside the target, if it is not the target's directory.
    directory_name: Option<OsString>,
    /// `None` once there is nothing to remove.
    name: Option<OsString>,
}

impl Temp {
    /// Creates a temp file that is never readable by more than `creation` allows.
    pub(crate) fn create(
        target: &Target,
        options: &Options,
        creation: Creation<'_>,
    ) -> Result<Temp> {
        let failed = |error| Error::failed(Step::CreateTemp, &target.path, error);
        if let Some(place) = &target.place {
            return Temp::create_at(place, creation).map_err(failed);
        }
        let directory = Arc::clone(&target.directory);
        if options.staging == Staging::Unnamed {
            match create_unnamed(&directory, creation.mode) {
                Ok(file) => return Ok(Temp::of(None, file, directory, creation.mode)),
                Err(error) if sys::lacks_unnamed(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let mut creation = creation;
        let ((file, locked), name) = with_random_name(options, |name| {
            create_named(&directory, name, creation).inspect_err(|_| {
                // Whoever locked it had opened it, and cannot open the next one; the mode is set
                // with the other metadata. Else they could do so again and again. (They still can
                // for a new file, but that they could hinder by taking the target's own name.)
                creation.mode = creation.mode.map(|mode| mode & 0o700);
            })
        })
        .map_err(failed)?;
        let name = Some(TempName::in_directory(&directory, name));
        let temp = Temp::of(name, file, directory, creation.mode);
        match locked {
            Ok(()) => Ok(temp),
            Err(error) => Err(temp.abandon(&target.path, failed(error))),
        }
    }

    /// Creates it where nobody else makes anything and one lock shows life for all.
    fn create_at(place: &StagingPlace, creation: Creation<'_>) -> io::Result<Temp> {
        let directory = Arc::clone(&place.directory);
        let file = sys::create_temp(&directory, &place.name, creation)?;
        Ok(Temp::of(Some(TempName::of(place)), file, directory, creation.mode))
    }

    fn of(
        name: Option<TempName>,
        file: File,
        directory: Arc<Directory>,
        mode: Option<u32>,
    ) -> Temp {
        Temp { name, file, directory, mode, is_shown: false }
    }

    /// Opens one again that was created there and closed.
    pub(crate) fn reopen(place: &StagingPlace) -> io::Result<Temp> {
        let directory = Arc::clone(&place.directory);
        let file = sys::open_staged(&directory, &place.name)?;
        Ok(Temp::of(Some(TempName::of(place)), file, directory, None))
    }

    /// As [`Temp::create`], and sees that nobody who looks for orphans took the file for one before
    /// it was locked.
    pub(crate) fn create_seen(
        target: &Target,
        options: &Options,
        creation: Creation<'_>,
    ) -> Result<Temp> {
        let failed = |error| Error::failed(Step::CreateTemp, &target.path, error);
        for _ in 0..MAX_UNSEEN {
            let temp = Temp::create(target, options, creation)?;
            if target.place.is_some() {
                return Ok(temp);
            }
            match temp.is_under_its_name() {
                Ok(true) => return Ok(temp),
                Ok(false) => drop(temp.keep()),
                Err(error) => {
                    let is_taken = sys::is_gone(&error);
                    let error = temp.abandon(&target.path, failed(error));
                    if !is_taken || error.leftover().is_some() {
                        return Err(error);
                    }
                }
            }
        }
        Err(Error::refused(ErrorKind::Io, Step::CreateTemp, &target.path))
    }

    /// Whether the name, if it has one, stands for this file. Its count of links would not tell:
    /// FUSE drivers rename what is removed while it is open, and count that name.
    fn is_under_its_name(&self) -> io::Result<bool> {
        let Some(name) = self.name() else { return Ok(true) };
        if !sys::LOCKS_ARE_ADVISORY {
            return Ok(true); // it is not locked, and so never taken for an orphan
        }
        let now = sys::id_at(Entry { directory: &self.directory, name })?;
        Ok(now == Some(sys::inspect(&self.file)?.id))
    }

    /// Creates another file where this one is, to see what the system makes of it.
    pub(crate) fn sample(
        &self,
        options: &Options,
        creation: Creation<'_>,
    ) -> io::Result<(File, TempName)> {
        let create = |name: &OsStr| sys::create_temp(&self.directory, name, creation);
        let (file, name) = with_random_name(options, create)?;
        let directory_name = self.name.as_ref().and_then(|it| it.directory_name.clone());
        let directory = Arc::clone(&self.directory);
        Ok((file, TempName { directory, directory_name, name: Some(name) }))
    }

    /// Whether a program that was given the path has put another file in this one's place.
    pub(crate) fn is_replaced(&self) -> io::Result<bool> {
        let Some(name) = self.name.as_ref().filter(|_| self.is_shown) else { return Ok(false) };
        let now = sys::id_at(name.entry())?;
        Ok(now.is_some() && now != Some(sys::inspect(&self.file)?.id))
    }

    /// The name, once there is one.
    pub(crate) fn name(&self) -> Option<&OsStr> {
        self.name.as_ref().and_then(|name| name.name.as_deref())
    }

    /// Gives the file a name if it has none. Its lock is held already.
    pub(crate) fn ensure_name(&mut self, options: &Options) -> io::Result<&OsStr> {
        if self.name.is_none() {
            let link = |name: &OsStr| sys::link_unnamed(&self.file, &self.directory, name);
            let ((), name) = with_random_name(options, link)?;
            self.name = Some(TempName::in_directory(&self.directory, name));
        }
        self.name().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Removes the file.
    pub(crate) fn remove(self) -> io::Result<()> {
        match self.name {
            Some(name) => name.remove(),
            None => Ok(()),
        }
    }

    /// Leaves the file where it is: under its own name, or published.
    pub(crate) fn keep(mut self) -> (File, Option<OsString>) {
        let name = self.name.as_mut().and_then(|name| name.name.take());
        (self.file, name)
    }

    /// Removes the file after `error`, which then names it if even that failed.
    pub(crate) fn abandon(self, target: &Path, error: Error) -> Error {
        match self.name {
            Some(name) => name.abandon(target, error),
            None => error,
        }
    }

    /// The name, if there is one, and the file.
    pub(crate) fn into_parts(self) -> (Option<TempName>, File) {
        (self.name, self.file)
    }

    /// The path of the temp file for another program, absolute where the system can tell.
    pub(crate) fn show(&mut self, target: &Path) -> Option<PathBuf> {
        self.is_shown = true;
        let name = self.name.as_ref()?;
        match sys::path_of(&self.directory) {
            Some(directory) => Some(directory.join(name.entry().name)),
            None => std::path::absolute(name.beside(target)).ok(),
        }
    }

    /// The same, relative where the path of `target` is.
    pub(crate) fn beside(&self, target: &Path) -> Option<PathBuf> {
        self.name.as_ref().map(|name| name.beside(target))
    }
}

impl TempName {
    /// Of a file that was staged there.
    pub(crate) fn of(place: &StagingPlace) -> TempName {
        let StagingPlace { directory, directory_name, name } = place.clone();
        TempName { directory, directory_name: Some(directory_name), name: Some(name) }
    }

    pub(super) fn in_directory(directory: &Arc<Directory>, name: OsString) -> TempName {
        let directory = Arc::clone(directory);
        TempName { directory, directory_name: None, name: Some(name) }
    }

    /// Where the file is.
    pub(crate) fn entry(&self) -> Entry<'_> {
        Entry { directory: &self.directory, name: self.name.as_deref().unwrap_or_default() }
    }

    /// The path of the temp file of `target`: beside it, or in a directory beside it.
    pub(crate) fn beside(&self, target: &Path) -> PathBuf {
        let name = self.entry().name;
        match &self.directory_name {
            Some(directory) => target.with_file_name(directory).join(name),
            None => target.with_file_name(name),
        }
    }

    /// Leaves the file where it is: published.
    pub(crate) fn keep(mut self) {
        self.name = None;
    }

    /// Removes the file after `error`, which then names it if even that failed.
    pub(crate) fn abandon(self, target: &Path, error: Error) -> Error {
        let path = self.beside(target);
        match self.remove() {
            Ok(()) => error,
            Err(_) => error.with_leftover(Some(path)),
        }
    }

    /// Gives `file`, which bears this name, another one, in place of whatever bears that.
    pub(crate) fn rename(
        &mut self,
        file: &mut File,
        to: OsString,
        replacing: Replacing,
    ) -> io::Result<()> {
        let new = Entry { directory: &self.directory, name: &to };
        let renamed = sys::rename(self.entry(), Some(file), new, replacing);
        // A network file system may have done what it reports as failed.
        if renamed.is_err() && !bears(new, file) {
            return renamed;
        }
        self.name = Some(to);
        Ok(())
    }

    pub(crate) fn remove(mut self) -> io::Result<()> {
        self.remove_in_place()
    }

    fn remove_in_place(&mut self) -> io::Result<()> {
        let Some(name) = self.name.take() else { return Ok(()) };
        match sys::remove_temp(&self.directory, &name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

impl Drop for TempName {
    fn drop(&mut self) {
        let _ = self.remove_in_place();
    }
}

/// Calls `create` with one random name after another until it does not answer `AlreadyExists`, and
/// gives its result and the name. tempfile bounds the number of tries and reseeds.
pub(crate) fn with_random_name<T>(
    options: &Options,
    mut create: impl FnMut(&OsStr) -> io::Result<T>,
) -> io::Result<(T, OsString)> {
    let (prefix, suffix) = affixes(options);
    let made = tempfile::Builder::new()
        .prefix(prefix)
        .suffix(suffix)
        .rand_bytes(RANDOM_LEN)
        // It would remove the file by its path, and the path may lead elsewhere by then.
        .disable_cleanup(true)
        .make_in("/", |path| {
            // tempfile joins the name to the folder given; only the name is used.
            let name = path.file_name().unwrap_or_default();
            Ok((create(name)?, name.to_owned()))
        })?;
    Ok(made.into_parts().0)
}

/// Whether `name` is one that a temp file with these affixes may have.
pub(crate) fn is_name(name: &OsStr, options: &Options) -> bool {
    let (prefix, suffix) = affixes(options);
    let random = name
        .as_encoded_bytes()
        .strip_prefix(prefix.as_encoded_bytes())
        .and_then(|rest| rest.strip_suffix(suffix.as_encoded_bytes()));
    random.is_some_and(|it| it.len() == RANDOM_LEN && it.iter().all(u8::is_ascii_alphanumeric))
}

fn affixes(options: &Options) -> (&OsStr, &OsStr) {
    let prefix = options.staging_prefix.as_deref().unwrap_or(OsStr::new(PREFIX));
    let suffix = options.staging_suffix.as_deref().unwrap_or(OsStr::new(SUFFIX));
    (prefix, suffix)
}

/// Checks that prefix and suffix make the name of a temp file, before anything is made.
pub(crate) fn check_affixes(options: &Options, path: &Path) -> Result<()> {
    if options.staging_prefix.is_none() && options.staging_suffix.is_none() {
        return Ok(());
    }
    let (prefix, suffix) = affixes(options);
    let bytes = || [prefix, suffix].into_iter().flat_map(|affix| affix.as_encoded_bytes());
    let fits = bytes().count() + RANDOM_LEN <= MAX_NAME_LEN;
    let name: OsString = [prefix, OsStr::new("0"), suffix].into_iter().collect();
    let is_name = sys::may_name_file(Path::new(""), &name) && suffix != GENERATION_SUFFIX;
    if fits && is_name && bytes().all(|byte| *byte != 0 && !is_separator(char::from(*byte))) {
        Ok(())
    } else {
        Err(Error::refused(ErrorKind::InvalidOption, Step::Resolve, path))
    }
}

fn create_named(
    directory: &Directory,
    name: &OsStr,
    creation: Creation<'_>,
) -> io::Result<(File, io::Result<()>)> {
    let file = sys::create_temp(directory, name, creation)?;
    match show_life(&file) {
        Ok(Answer::Held | Answer::Unavailable) => Ok((file, Ok(()))),
        // Somebody came between the creation and the lock: take another name. Whoever looks for
        // orphans removes the file, but a bad neighbour may have taken the lock and does not.
        Ok(Answer::Busy) => match sys::remove_temp(directory, name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Ok((file, Err(error))),
            _ => Err(io::ErrorKind::AlreadyExists.into()),
        },
        Err(error) => Ok((file, Err(error))),
    }
}

fn bears(entry: Entry<'_>, file: &File) -> bool {
    matches!((sys::id_at(entry), sys::inspect(file)), (Ok(Some(id)), Ok(info)) if id == info.id)
}

fn create_unnamed(directory: &Directory, mode: Option<u32>) -> io::Result<File> {
    let file = sys::create_unnamed(directory, mode)?;
    show_life(&file)?;
    Ok(file)
}

/// Takes the lock that tells the temp file of a living writer from an orphan.
fn show_life(file: &File) -> io::Result<Answer> {
    if sys::LOCKS_ARE_ADVISORY {
        lock::hold(file)
    } else {
        // It would keep the programs that `staging_path` is for from writing to the file.
        Ok(Answer::Unavailable)
    }
}
