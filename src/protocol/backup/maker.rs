//! Giving the old file the name of its backup.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use super::State;
use super::copy::Waiting;
use super::numbers::{self, Numbered};
use super::place::{Name, Place, Site, is_reserved};
use super::{put_back, take_back};
use crate::concurrency::side_lock;
use crate::error::{self, Error, ErrorKind, Result, Step};
use crate::fault::Op;
use crate::options::{Durability, InUse, Options, ReadOnly};
use crate::protocol::publish::with_rename_flags;
use crate::protocol::sync;
use crate::protocol::target::{self, Target};
use crate::protocol::temp::{self, TempName};
use crate::sys::{self, Entry, Existing, FileId, FileKind, Info, Replacing};

/// As often as this may others take the next number, which they do without the lock.
const MAX_NUMBERS: u64 = 100;

/// Whatever has the attribute may be replaced: it is a backup, and so was its predecessor.
const REPLACING: Replacing = Replacing { read_only: ReadOnly::Replace, in_use: InUse::Fail };

pub(super) struct Maker<'a> {
    pub(super) place: &'a Place,
    pub(super) target: &'a Target,
    pub(super) options: &'a Options,
    pub(super) old: &'a Existing,
    pub(super) is_locked: bool,
}

/// A backup that has its name.
pub(super) struct Named {
    pub(super) name: OsString,
    pub(super) given: Given,
    /// The earlier ones that are too many once the target is replaced.
    pub(super) surplus: Vec<OsString>,
}

/// What was done to give it its name.
pub(super) struct Given {
    pub(super) state: State,
    /// That of its contents.
    pub(super) durability: Durability,
    pub(super) way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The old file has one name more. Its count of links would not tell: FUSE drivers cache it.
    Linked,
    /// It was not touched.
    Copied,
    /// It had the name already.
    Found,
}

impl Maker<'_> {
    pub(super) fn make(&self) -> Result<Named> {
        match &self.place.name {
            Name::This(name) => {
                let given = self.make_at(name)?;
                Ok(Named { name: name.clone(), given, surplus: Vec::new() })
            }
            Name::Numbered(name, _) => self.make_numbered(name),
        }
    }

    fn make_numbered(&self, base: &OsStr) -> Result<Named> {
        let numbered = numbers::list(self.place).map_err(|error| self.failed(error))?;
        let highest = numbered.last().map_or(0, |it| it.number);
        let mut copied = None;
        for number in (highest..=highest + MAX_NUMBERS).filter(|number| *number > 0) {
            let name = numbers::name_with(base, number);
            if number == highest {
                let found = sys::look(&self.place.directory, &name);
                let found = found.map_err(|error| self.failed(error))?;
                if found.is_some_and(|found| self.is_second_name(&found.info)) {
                    let given = self.find(&name)?;
                    return self.with_surplus(numbered, name, given);
                }
            } else if !is_reserved(&name, self.options) {
                if let Some(given) = self.make_fresh(&name, &mut copied)? {
                    return self.with_surplus(numbered, name, given);
                }
            }
        }
        Err(self.failed(error::no_free_number()))
    }

    fn with_surplus(&self, numbered: Vec<Numbered>, name: OsString, given: Given) -> Result<Named> {
        match numbers::surplus(numbered, &name, self.place) {
            Ok(surplus) => Ok(Named { name, given, surplus }),
            Err(error) => {
                let leftover = take_back(given.state, self.place, &name);
                Err(self.failed(error).with_backup(leftover))
            }
        }
    }

    fn make_at(&self, name: &OsStr) -> Result<Given> {
        let mut copied = None;
        match self.place.occupant(name, Step::Backup, self.path())? {
            Some(found) if self.is_second_name(&found) => return self.find(name),
            Some(_) => {}
            None => {
                if let Some(made) = self.make_fresh(name, &mut copied)? {
                    return Ok(made);
                }
            }
        }
        let waiting = match copied {
            Some(copied) => self.rename_aside(copied),
            None => self.wait_aside(),
        };
        self.exchange(waiting?, name)
    }

    /// Whether what bears the name is the old file. Where files have no numbers, all have the same.
    fn is_second_name(&self, found: &Info) -> bool {
        found.id == self.old.info.id && found.links > 1
    }

    /// The old file has the name already: a process was killed after it had made the backup.
    fn find(&self, name: &OsStr) -> Result<Given> {
        let (_, durability) = self.sync(self.place.entry(name))?;
        Ok(Given { state: State::Settled, durability, way: Way::Found })
    }

    /// `None` if something bears the name. Where the old file cannot be linked, it is copied once.
    fn make_fresh(&self, name: &OsStr, copied: &mut Option<Waiting>) -> Result<Option<Given>> {
        let at = self.place.entry(name);
        let copy = match copied.take() {
            Some(copy) => copy,
            None => match self.link(at) {
                Ok(()) => return self.sync_fresh(at),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
                Err(error) if sys::cannot_be_linked(&error) => self.copy()?,
                Err(error) => return Err(self.failed(error)),
            },
        };
        match self.name_copy(&copy, at) {
            Ok(()) => {
                let (id, durability) = (copy.id, copy.durability);
                copy.name.keep();
                Ok(Some(Given { state: State::Fresh(id), durability, way: Way::Copied }))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                *copied = Some(copy);
                Ok(None)
            }
            Err(error) => Err(copy.name.abandon(self.place.path(), self.failed(error))),
        }
    }

    fn link(&self, to: Entry<'_>) -> io::Result<()> {
        let Info { kind, read_only, .. } = self.old.info;
        if sys::READ_ONLY_BINDS_NAMES && read_only && kind == FileKind::File {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let linked = sys::link(self.from(), to);
        // A network file system may have done what it reports as failed.
        if linked.is_err() && self.bears(to, self.old.info.id) { Ok(()) } else { linked }
    }

    /// Syncs a backup that was just given its name, and takes it back if that fails. `None` if
    /// somebody has put something else there meanwhile.
    fn sync_fresh(&self, at: Entry<'_>) -> Result<Option<Given>> {
        let error = match self.sync(at) {
            Ok((info, durability)) if self.is_old(&info) => {
                let state = State::Fresh(info.id);
                return Ok(Some(Given { state, durability, way: Way::Linked }));
            }
            Ok(_) => return Ok(None),
            Err(error) => error,
        };
        let leftover = match sys::look(at.directory, at.name) {
            Ok(Some(found)) if self.is_old(&found.info) => {
                take_back(State::Fresh(found.info.id), self.place, at.name)
            }
            Ok(_) => None,
            Err(_) => Some(self.place.path_of(at.name)),
        };
        Err(error.with_backup(leftover))
    }

    /// Whether a file that was linked is the old one, or the one that bears the target's name by
    /// now. Where each name has a number of its own (FUSE drivers), its state must tell.
    fn is_old(&self, info: &Info) -> bool {
        let (old, state) = (&self.old.info, |it: &Info| (it.kind, it.len, it.times.modified));
        info.id == old.id || state(info) == state(old) || self.bears(self.from(), info.id)
    }

    /// Gives a copy its name, if that is free.
    fn name_copy(&self, copy: &Waiting, at: Entry<'_>) -> io::Result<()> {
        let from = copy.name.entry();
        let rename = || sys::rename_no_replace(from, at);
        let renamed = match with_rename_flags(Op::RenameNoReplace, at.directory, rename) {
            Some(renamed) => renamed,
            // Neither that nor links: the lock must do, for those who ask for it.
            None => match sys::id_at(at)? {
                Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
                None => sys::rename(from, None, at, REPLACING),
            },
        };
        if renamed.is_err() && self.bears(at, copy.id) { Ok(()) } else { renamed }
    }

    /// Gives the old file the name that goes with the lock, or one that a sweep leaves alone since
    /// there are no locks.
    fn link_aside(&self) -> io::Result<TempName> {
        let directory = &self.place.directory;
        if !self.is_locked {
            let link = |name: &OsStr| self.link(Entry { directory, name });
            let ((), name) = temp::with_random_name(self.options, link)?;
            return Ok(TempName::in_directory(directory, name));
        }
        let (Name::This(name) | Name::Numbered(name, _)) = &self.place.name;
        let aside = side_lock::backup_exchange_name_for(name);
        let to = Entry { directory, name: &aside };
        let linked = match self.link(to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // What a killed process left.
                TempName::in_directory(directory, aside.clone()).remove()?;
                self.link(to)
            }
            linked => linked,
        };
        linked.map(|()| TempName::in_directory(directory, aside))
    }

    /// The old file under a name of its own, or a copy of it.
    fn wait_aside(&self) -> Result<Waiting> {
        let name = match self.link_aside() {
            Ok(name) => name,
            Err(error) if sys::cannot_be_linked(&error) => return self.rename_aside(self.copy()?),
            Err(error) => return Err(self.failed(error)),
        };
        match self.sync(name.entry()) {
            Ok((info, durability)) => Ok(Waiting { name, file: None, id: info.id, durability }),
            Err(error) => Err(name.abandon(self.place.path(), error)),
        }
    }

    /// Gives a copy the name that goes with the lock, where there is one.
    fn rename_aside(&self, mut copy: Waiting) -> Result<Waiting> {
        if !self.is_locked {
            return Ok(copy);
        }
        let (Name::This(name) | Name::Numbered(name, _)) = &self.place.name;
        let aside = side_lock::backup_exchange_name_for(name);
        let to = Entry { directory: &self.place.directory, name: &aside };
        match sys::rename(copy.name.entry(), copy.file.as_mut(), to, REPLACING) {
            Err(error) if !self.bears(to, copy.id) => {
                Err(copy.name.abandon(self.place.path(), self.failed(error)))
            }
            _ => {
                copy.name.keep();
                let name = TempName::in_directory(&self.place.directory, aside);
                Ok(Waiting { name, ..copy })
            }
        }
    }

    /// Makes what waits the backup, in the place of the earlier one.
    fn exchange(&self, waiting: Waiting, name: &OsStr) -> Result<Given> {
        let at = self.place.entry(name);
        let Waiting { name: waiting, mut file, id, durability } = waiting;
        let way = if file.is_some() { Way::Copied } else { Way::Linked };
        let exchange = || sys::exchange(waiting.entry(), at);
        let refused = match with_rename_flags(Op::Exchange, at.directory, exchange) {
            Some(Err(error)) if !self.bears(at, id) => Some(error),
            Some(_) => {
                let state = self.check_displaced(id, waiting, name)?;
                return Ok(Given { state, durability, way });
            }
            None => None,
        };
        let abandon =
            |waiting: TempName, error| Err(waiting.abandon(self.place.path(), self.failed(error)));
        let state = match refused {
            Some(error) if error.kind() != io::ErrorKind::NotFound => {
                return abandon(waiting, error);
            }
            Some(_) => State::Fresh(id), // somebody has removed the earlier one
            None => State::Settled,      // it cannot be put back
        };
        match sys::rename(waiting.entry(), file.as_mut(), at, REPLACING) {
            Err(error) if !self.bears(at, id) => abandon(waiting, error),
            _ => self.remove_renamed(waiting).map(|()| Given { state, durability, way }),
        }
    }

    /// Another of its names in the place of a name of the same file, a rename leaves both
    /// (rename(2)).
    fn remove_renamed(&self, waiting: TempName) -> Result<()> {
        let leftover = waiting.beside(self.place.path());
        if !matches!(sys::id_at(waiting.entry()), Ok(Some(_))) {
            waiting.keep(); // if nobody can tell, it is as the rename says
            return Ok(());
        }
        let failed = |error| self.failed(error).with_leftover(Some(leftover));
        waiting.remove().map_err(failed)
    }

    /// An exchange takes anything. What is not to be replaced is put back.
    fn check_displaced(&self, id: FileId, waiting: TempName, name: &OsStr) -> Result<State> {
        let found = sys::look(waiting.entry().directory, waiting.entry().name);
        let checked = match found {
            Ok(found) => self.place.check(name, found.map(|it| it.info), Step::Backup, self.path()),
            Err(error) => Err(self.failed(error)),
        };
        match checked {
            Ok(_) => Ok(State::Exchanged(id, waiting)),
            Err(error) => {
                let leftover = put_back(id, waiting, self.place.entry(name), self.place.path());
                Err(error.with_backup(leftover))
            }
        }
    }

    /// Syncs the contents of the old file under the name of its backup: whoever wrote it may not
    /// have done so. Gives the file that it is.
    fn sync(&self, at: Entry<'_>) -> Result<(Info, Durability)> {
        let failed = |error| self.failed(error);
        let linked = sys::look(at.directory, at.name).map_err(failed)?;
        let linked = linked.ok_or_else(|| self.failed(io::ErrorKind::NotFound.into()))?.info;
        if self.options.durability == Durability::None || linked.kind != FileKind::File {
            return Ok((linked, Durability::Full));
        }
        let file = sys::open_staged(at.directory, at.name).map_err(failed)?;
        let info = sys::inspect(&file).map_err(failed)?;
        let synced = sync::sync_contents(&file, &self.as_target(), &self.options_of_sync());
        let synced = synced.map_err(|error| error.of_backup(self.path()))?;
        Ok((info, synced.durability()))
    }

    /// Syncs the backup's directory, if the sync of the target's is not its own.
    pub(super) fn sync_directory(&self) -> Result<Durability> {
        let durability = self.options.durability;
        if self.place.site == Site::Beside || durability < Durability::Full {
            return Ok(Durability::Full);
        }
        match sys::sync_directory(&self.place.directory) {
            Ok(()) => Ok(Durability::Full),
            Err(error) if !sys::lacks_directory_sync(&error) => Err(self.failed(error)),
            Err(_) if self.options.require_durability => {
                let kind = ErrorKind::DurabilityUnavailable;
                Err(Error::refused(kind, Step::Backup, self.path()))
            }
            Err(_) => Ok(Durability::Ordered),
        }
    }

    pub(super) fn from(&self) -> Entry<'_> {
        Entry { directory: &self.target.directory, name: &self.target.name }
    }

    pub(super) fn path(&self) -> &Path {
        &self.target.path
    }

    pub(super) fn failed(&self, error: io::Error) -> Error {
        target::failed(self.path(), error).of_step(Step::Backup)
    }

    fn bears(&self, at: Entry<'_>, id: FileId) -> bool {
        matches!(sys::id_at(at), Ok(Some(now)) if now == id)
    }
}
