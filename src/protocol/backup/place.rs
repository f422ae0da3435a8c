//! Where a backup is made, found when the target is.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf, is_separator};
use std::sync::Arc;

use super::numbers;
use crate::concurrency::side_lock::{self, SideLock};
use crate::error::{self, Error, ErrorKind, NoBackup, Result, Step};
use crate::options::{Backup, Lock, Options};
use crate::protocol::target::{self, Target};
use crate::protocol::temp;
use crate::sys::{self, Directory, Entry, FileId, FileKind, Info};

/// The directory of a backup, held open, and its name there.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(super) directory: Arc<Directory>,
    /// That of the backup, or of the target where a number comes after its name.
    path: PathBuf,
    pub(super) name: Name,
    pub(super) site: Site,
}

#[derive(Clone, Debug)]
pub(super) enum Name {
    This(OsString),
    /// This one with a number after it, as the highest so many of which stay.
    Numbered(OsString, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// In the directory of the target, whose sync is its own.
    Beside,
    Elsewhere,
}

impl Place {
    /// Finds the place of the backup of `target`, whose directory and name are known. A path that
    /// is given for it is relative to `base`. `None` if no backup is asked for, or possible.
    pub(crate) fn find(
        target: &Target,
        base: Option<&Arc<Directory>>,
        options: &Options,
    ) -> Result<Option<Place>> {
        let invalid = |reason| {
            let error = error::no_backup(reason);
            Err(target::failed(&target.path, error).with_kind(ErrorKind::InvalidOption))
        };
        let beside = |path, name| {
            let (directory, site) = (Arc::clone(&target.directory), Site::Beside);
            Place { directory, path, name, site }
        };
        let place = match &options.backup {
            Backup::None => return Ok(None),
            Backup::Numbered { keep: 0 } => return invalid(NoBackup::Keep),
            Backup::Numbered { keep } => {
                beside(target.path.clone(), Name::Numbered(target.name.clone(), *keep))
            }
            Backup::Suffix(suffix) => {
                let name: OsString = [&*target.name, &**suffix].into_iter().collect();
                if !may_be_suffix(suffix) || !sys::may_name_file(Path::new(""), &name) {
                    return invalid(NoBackup::Suffix);
                }
                beside(target.path.with_file_name(&name), Name::This(name))
            }
            Backup::Path(path) => Place::at(path, target, base)?,
        };
        if target.through.is_some() {
            return Ok(None);
        }
        let first = place.first_name();
        if place.site == Site::Beside && may_be_one(&first, &target.name) {
            return invalid(NoBackup::Target);
        }
        if is_reserved(&first, options) {
            return invalid(NoBackup::Reserved);
        }
        match place.name {
            Name::This(_) => {
                let found = place.occupant(&first, Step::Resolve, &target.path)?;
                let is_same = found.is_some_and(|found| Some(found.id) == target.id());
                if is_same && place.site == Site::Beside && !is_listed(&place, &first) {
                    return invalid(NoBackup::Target);
                }
            }
            // Whatever bears it has its number; but the name may be too long.
            Name::Numbered(..) => {
                let found = sys::id_at(place.entry(&first));
                found.map_err(|error| target::failed(&target.path, error))?;
            }
        }
        Ok(Some(place))
    }

    fn at(path: &Path, target: &Target, base: Option<&Arc<Directory>>) -> Result<Place> {
        let invalid = || {
            let error = io::Error::from(io::ErrorKind::InvalidInput);
            Err(target::failed(path, error).with_kind(ErrorKind::InvalidPath))
        };
        let Some((parent, name)) = target::split(path) else { return invalid() };
        if !sys::may_name_file(parent, name) {
            return invalid();
        }
        let failed = |error| target::failed(path, error);
        let here = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let opened = sys::open_directory(base.map(|base| &**base), here).map_err(failed)?;
        let id = sys::inspect_directory(&opened).map_err(failed)?.id;
        let targets = sys::inspect_directory(&target.directory).map_err(failed)?.id;
        let (directory, site) = match id == targets {
            true => (Arc::clone(&target.directory), Site::Beside),
            false => (Arc::new(opened), Site::Elsewhere),
        };
        Ok(Place { directory, path: path.to_path_buf(), name: Name::This(name.to_owned()), site })
    }

    /// The name, or the first that it can be.
    fn first_name(&self) -> OsString {
        match &self.name {
            Name::This(name) => name.clone(),
            Name::Numbered(name, _) => numbers::name_with(name, 1),
        }
    }

    /// Beside which all is that is made for it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn path_of(&self, name: &OsStr) -> PathBuf {
        self.path.with_file_name(name)
    }

    pub(super) fn entry<'a>(&'a self, name: &'a OsStr) -> Entry<'a> {
        Entry { directory: &self.directory, name }
    }

    /// The file or symlink that bears the name of a backup, if there is one. Refuses what is not to
    /// be replaced.
    pub(super) fn occupant(&self, name: &OsStr, step: Step, path: &Path) -> Result<Option<Info>> {
        let failed = |error| target::failed(path, error).of_step(step);
        let found = sys::look(&self.directory, name).map_err(failed)?;
        self.check(name, found.map(|found| found.info), step, path)
    }

    pub(super) fn check(
        &self,
        name: &OsStr,
        found: Option<Info>,
        step: Step,
        path: &Path,
    ) -> Result<Option<Info>> {
        let refuse = |cause, kind| {
            let error = error::no_place_for_backup(&self.path_of(name), cause);
            Err(Error::failed(step, path, error).with_kind(kind))
        };
        match found.as_ref().map(|info| info.kind) {
            Some(FileKind::Directory) => {
                refuse(io::ErrorKind::IsADirectory, ErrorKind::IsADirectory)
            }
            Some(FileKind::Special) => refuse(io::ErrorKind::Other, ErrorKind::SpecialFile),
            Some(FileKind::File | FileKind::Symlink) | None => Ok(found),
        }
    }

    /// How many names of this file are those of its backup, which it has until the target is
    /// replaced, and of which a killed process may have left both.
    pub(crate) fn names_of(&self, id: FileId) -> io::Result<u64> {
        let (Name::This(base) | Name::Numbered(base, _)) = &self.name;
        let backup = match &self.name {
            Name::This(name) => Some(name.clone()),
            Name::Numbered(name, _) => {
                let last = numbers::list(self)?.pop();
                last.map(|last| numbers::name_with(name, last.number))
            }
        };
        let mut count = 0;
        for name in backup.into_iter().chain([side_lock::backup_exchange_name_for(base)]) {
            count += u64::from(sys::id_at(self.entry(&name))? == Some(id));
        }
        Ok(count)
    }

    /// Waits until nobody else is at work here. `None` where the file system has no locks.
    pub(super) fn lock(&self, target: &Target) -> Result<Option<SideLock>> {
        let (Name::This(name) | Name::Numbered(name, _)) = &self.name;
        let lock = side_lock::backup_name_for(name);
        match SideLock::acquire_named(&self.directory, lock, &target.path, Lock::Wait) {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
            result => result,
        }
    }
}

/// Whether both may be names of one file, in a directory where case does not matter.
fn may_be_one(one: &OsStr, other: &OsStr) -> bool {
    match (one.to_str(), other.to_str()) {
        (Some(one), Some(other)) => one.to_lowercase() == other.to_lowercase(),
        _ => one == other,
    }
}

/// Whether a name that leads to the target is a second one, and not the same in another spelling:
/// some systems overlook more than case, such as how an accent is written, or know 8.3 names. If
/// nobody can tell it is taken for one.
fn is_listed(place: &Place, name: &OsStr) -> bool {
    let listed = sys::list(&place.directory, |it, _| it == name);
    listed.map_or(true, |listed| !listed.is_empty())
}

fn may_be_suffix(suffix: &OsStr) -> bool {
    let bytes = suffix.as_encoded_bytes();
    !bytes.is_empty() && bytes.iter().all(|byte| *byte != 0 && !is_separator(char::from(*byte)))
}

/// Whether a sweep, or whoever asks for a lock, would take a file of this name for its own.
pub(super) fn is_reserved(name: &OsStr, options: &Options) -> bool {
    temp::is_name(name, options)
        || temp::is_name(name, &Options::default())
        || side_lock::is_name(name)
        || side_lock::lock_of_exchange(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Op, Plan, with_plan};

    /// A second name of the target is a backup that a killed process has made, and another spelling
    /// of its only name is the target.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    fn a_name_is_one_of_its_own_as_it_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("target");
        fs_err::write(&path, "old").unwrap();
        fs_err::write(dir.path().join("target~"), "earlier").unwrap();
        let options = Options { backup: Backup::Suffix("~".into()), ..Options::default() };
        let target = Target::resolve(None, &path, &options, None).unwrap();
        let place = target.backup.as_ref().expect("a backup is asked for");
        assert!(is_listed(place, OsStr::new("target~")));
        for spelling in ["TARGET~", "target~ ", "TARGET~1"] {
            assert!(!is_listed(place, OsStr::new(spelling)), "{spelling}");
            let plan = Plan { lacking: vec![(Op::List, 13)], ..Plan::default() };
            let (nobody_knows, _) = with_plan(plan, || is_listed(place, OsStr::new(spelling)));
            assert!(nobody_knows, "{spelling}");
        }
    }
}
