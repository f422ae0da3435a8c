//! The old file, kept under a second name.
//!
//! Between the seal and the publish: `make` gives the old file the name of the backup, `undo` takes
//! it back if nothing was published, `finish` leaves it. All of that under a lock that goes with
//! the backup's name, since whoever finds a backup of the same file there relies on it.
//!
//! What bears the name already is exchanged for the new backup, and put back by `undo`. For that
//! time it has the name that goes with the lock (`side_lock::backup_exchange_name_for`), which is
//! nobody's orphan for as long as the lock is held: under the name of a temp file, a sweep would
//! take it for one. A process that is killed leaves it there, and then it is one.

mod copy;
mod maker;
mod numbers;
mod place;

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem;
use std::path::{Path, PathBuf};

use self::maker::{Given, Maker, Named, Way};
pub(crate) use self::place::Place;
use super::target::Target;
use super::temp::TempName;
use crate::concurrency::side_lock::SideLock;
use crate::error::{Error, ErrorKind, Result, Step, TargetState};
use crate::options::{Durability, Options, Publish};
use crate::sys::{self, Entry, FileId, FileKind};

/// A backup of what is still the target. Dropped, it is undone.
#[derive(Debug)]
#[must_use = "a backup is undone unless it is finished"]
pub(crate) struct Made {
    place: Place,
    name: OsString,
    state: State,
    /// If a version is expected.
    status: Status,
    /// The file of which it is.
    of: FileId,
    /// How durable the backup is, unless its name becomes so with that of the target.
    durability: Durability,
    surplus: Vec<OsString>,
    /// Let go of last.
    _lock: Option<SideLock>,
}

/// The time of the last change of the target's status, which a second name sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It has no second name.
    AsBefore,
    Since((i64, i64)),
    /// The system does not show it: what it answers is as it was before (FUSE drivers, cached).
    Unknown,
}

/// What there is to be undone.
#[derive(Debug)]
enum State {
    /// Nothing: it was there before, or what it has replaced is gone.
    Settled,
    /// This file bears a name that nothing had.
    Fresh(FileId),
    /// This file has been exchanged for what is under the other name now.
    Exchanged(FileId, TempName),
}

/// A backup that stays.
#[derive(Debug)]
pub(crate) struct Kept {
    place: Place,
    path: PathBuf,
    durability: Durability,
    /// The earlier ones that are too many now.
    surplus: Vec<OsString>,
    /// Why the earlier backup could not be removed.
    unremoved: Option<Error>,
}

/// Keeps what the target is, if the options ask for it and there is something.
pub(crate) fn make(target: &Target, options: &Options) -> Result<Option<Made>> {
    let Some(place) = &target.backup else { return Ok(None) };
    let expects_none = target.expected.as_ref().is_some_and(|version| !version.is_of_a_file());
    if expects_none || options.publish == Publish::CreateNew {
        return Ok(None);
    }
    let look = || {
        let existing = sys::look(&target.directory, &target.name);
        existing.map_err(|error| Error::failed(Step::Backup, &target.path, error))
    };
    if target.existing.is_none() && look()?.is_none() {
        return Ok(None);
    }
    let lock = place.lock(target)?;
    // A directory cannot be replaced, which publishing shows.
    let old = look()?.filter(|old| old.info.kind != FileKind::Directory);
    let Some(old) = old else { return Ok(None) };
    if target.expected.as_ref().is_some_and(|version| !version.is(Some(&old))) {
        return Err(Error::refused(ErrorKind::Conflict, Step::Publish, &target.path));
    }
    let maker = Maker { place, target, options, old: &old, is_locked: lock.is_some() };
    let Named { name, given, surplus } = match maker.make() {
        Ok(made) => made,
        Err(error) if error.kind() == ErrorKind::NotFound && look()?.is_none() => return Ok(None),
        Err(error) => return Err(error),
    };
    let Given { state, durability, way } = given;
    let place = place.clone();
    let mut made = Made {
        place,
        name,
        state,
        status: Status::AsBefore,
        of: old.info.id,
        durability,
        surplus,
        _lock: lock,
    };
    match maker.sync_directory().and_then(|achieved| {
        made.durability = durability.min(achieved);
        Ok(if target.expected.is_some() { look()? } else { None })
    }) {
        Ok(now) => {
            made.status = match now.filter(|_| way == Way::Linked).map(|now| now.info.changed) {
                None => Status::AsBefore,
                Some(changed) if changed == old.info.changed => Status::Unknown,
                Some(changed) => Status::Since(changed),
            };
            Ok(Some(made))
        }
        Err(error) => Err(made.undo(error)),
    }
}

impl Made {
    /// Whether the target is the file still of which it is.
    pub(crate) fn is_of(&self, target: &Target) -> bool {
        let at = Entry { directory: &target.directory, name: &target.name };
        matches!(sys::id_at(at), Ok(Some(now)) if now == self.of)
    }

    pub(crate) fn status(&self) -> Status {
        self.status
    }

    /// After an attempt to publish that ended with `error`: undone, unless the target may be new.
    pub(crate) fn undo(mut self, error: Error) -> Error {
        if error.target_state() != TargetState::Untouched {
            let leftover = self.earlier();
            return match self.remove_earlier() {
                Ok(()) => error,
                Err(_) => error.with_leftover(leftover),
            };
        }
        error.with_backup(self.take_back())
    }

    /// Leaves the backup where it is, and removes the one that it has displaced.
    pub(crate) fn finish(mut self, target: &Target) -> Kept {
        let leftover = self.earlier();
        let unremoved = self.remove_earlier().err().map(|error| {
            Error::failed(Step::Backup, &target.path, error)
                .with_state(TargetState::Replaced)
                .with_leftover(leftover)
        });
        let (place, surplus) = (self.place.clone(), mem::take(&mut self.surplus));
        let (path, durability) = (place.path_of(&self.name), self.durability);
        Kept { place, path, durability, surplus, unremoved }
    }

    /// Where the earlier backup is meanwhile.
    fn earlier(&self) -> Option<PathBuf> {
        match &self.state {
            State::Exchanged(_, earlier) => Some(earlier.beside(self.place.path())),
            State::Settled | State::Fresh(_) => None,
        }
    }

    fn remove_earlier(&mut self) -> io::Result<()> {
        match mem::replace(&mut self.state, State::Settled) {
            State::Exchanged(_, earlier) => earlier.remove(),
            State::Settled | State::Fresh(_) => Ok(()),
        }
    }

    /// Gives what stays although it should not.
    fn take_back(&mut self) -> Option<PathBuf> {
        let state = mem::replace(&mut self.state, State::Settled);
        take_back(state, &self.place, &self.name)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = self.take_back();
    }
}

/// Undoes what was done for the backup `name`, and gives what stays although it should not.
fn take_back(state: State, place: &Place, name: &OsStr) -> Option<PathBuf> {
    let at = place.entry(name);
    match state {
        State::Settled => None,
        State::Fresh(id) => {
            let removed = match sys::id_at(at) {
                Ok(Some(now)) if now == id => sys::remove_temp(at.directory, at.name),
                Ok(_) => Ok(()), // it is somebody else's by now, or gone
                Err(error) => Err(error),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Some(place.path_of(name)),
                _ => None,
            }
        }
        State::Exchanged(id, earlier) => put_back(id, earlier, at, place.path()),
    }
}

/// Gives the `earlier` backup its name again, which the file `id` has now, and removes that.
fn put_back(id: FileId, earlier: TempName, at: Entry<'_>, path: &Path) -> Option<PathBuf> {
    let from = earlier.entry();
    let put = match sys::id_at(at) {
        Ok(None) => sys::rename_no_replace(from, at), // somebody has removed the new one
        // Somebody who knows of no lock has replaced it, and with it the earlier one.
        Ok(Some(now)) if now != id => Ok(()),
        _ => sys::exchange(from, at),
    };
    if put.is_err() {
        match sys::id_at(from) {
            // A network file system may have done what it reports as failed.
            Ok(Some(now)) if now == id => {}
            Ok(None) if !matches!(sys::id_at(at), Ok(Some(now)) if now == id) => {}
            // It was taken for an orphan, and there is nothing to be put back.
            Ok(None) => return Some(path.with_file_name(at.name)),
            _ => return Some(set_aside(earlier, path)),
        }
    }
    let leftover = earlier.beside(path);
    earlier.remove().err().map(|_| leftover)
}

/// Leaves it where no sweep takes it for an orphan: it may be the only copy of an earlier version.
fn set_aside(earlier: TempName, path: &Path) -> PathBuf {
    let from = earlier.entry();
    let mut aside = from.name.to_owned();
    aside.push(".old");
    let to = Entry { directory: from.directory, name: &aside };
    let leftover = match sys::rename_no_replace(from, to) {
        Ok(()) => path.with_file_name(&aside),
        Err(_) => earlier.beside(path),
    };
    earlier.keep();
    leftover
}

impl Kept {
    /// Once the target is as durable as it will be: removes the oldest of many. Gives the path, and
    /// how durable target and backup are.
    pub(crate) fn complete(
        self,
        achieved: Result<Durability>,
        target: &Target,
    ) -> Result<(PathBuf, Durability)> {
        match (achieved, self.unremoved) {
            (Ok(achieved), None) => {
                numbers::prune(&self.surplus, &self.place, target)?;
                Ok((self.path, achieved.min(self.durability)))
            }
            (Err(error), Some(unremoved)) => {
                Err(error.with_leftover(unremoved.leftover().map(PathBuf::from)))
            }
            (Err(error), None) | (Ok(_), Some(error)) => Err(error),
        }
    }
}
