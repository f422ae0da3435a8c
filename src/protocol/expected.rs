//! Publishing over the version that was expected, and over no other.
//!
//! Always under the lock of the target, so that nobody who asks for the lock is in the middle of an
//! update. Others do not ask. Where two files can be exchanged, the new one is exchanged for the
//! target, and then what it displaced is looked at: if that is not the version that was expected,
//! it is put back. Whoever replaced the target at the last moment thus loses nothing.
//!
//! For that time the temp file has a name of its own (`side_lock::exchange_name_for`), which is
//! nobody's orphan for as long as the lock is held: under the usual name, a sweep would take what
//! was displaced for one, since nobody holds a lock of it.

use std::ffi::OsString;
use std::io;

use super::backup::{Made, Status};
use super::publish::{self, Cause, OldName, Published, Unpublished};
use super::sync::{Sealed, SealedFile};
use super::target::Target;
use super::temp::TempName;
use crate::commit::VersionCheck;
use crate::concurrency::side_lock::{self, SideLock};
use crate::concurrency::version::Version;
use crate::error::{Error, ErrorKind, Step, TargetState};
use crate::fault::Op;
use crate::options::{Lock, Options};
use crate::sys::{self, Entry, Existing, Replacing};

/// As often as this may others replace the target in the very moments in which it is put back.
const MAX_ROUNDS: usize = 64;

/// Whether nobody who asks for the lock can come in between.
#[derive(Debug)]
pub(crate) enum Guard {
    /// The lock is held, by the writer since it was opened or for this step alone.
    Held { _own: Option<SideLock> },
    /// The file system has no locks.
    Missing,
}

/// What came of an attempt to publish that the system did not refuse.
enum Attempt {
    Published(OldName, VersionCheck),
    /// The target is not the version that was expected, and is as others left it.
    Conflict,
    /// It takes the lock, and the file system has none.
    Unlocked,
    /// The target was not that version, and what was displaced could not be put back.
    Stuck(io::Error),
}

/// What alone may be replaced.
#[derive(Clone, Copy)]
struct Expected<'a> {
    version: &'a Version,
    status: Status,
}

impl Expected<'_> {
    fn is(self, now: Option<&Existing>) -> bool {
        match self.status {
            Status::AsBefore => self.version.is(now),
            Status::Since(changed) => {
                self.version.was(now) && now.is_some_and(|now| now.info.changed == changed)
            }
            Status::Unknown => self.version.was(now),
        }
    }
}

/// The sealed file on its way.
struct Candidate {
    name: TempName,
    file: SealedFile,
}

/// Step 4 of a commit that expects a version.
pub(crate) fn publish(
    version: &Version,
    sealed: Sealed,
    guard: &Guard,
    backup: Option<&Made>,
    target: &Target,
    options: &Options,
) -> Result<Published, Unpublished> {
    let Sealed { name, file, sync } = sealed;
    let path = &target.path;
    let expected = Expected { version, status: backup.map_or(Status::AsBefore, Made::status) };
    let first_name = name.entry().name.to_owned();
    let mut new = Candidate { name, file };
    let attempt = match version.is_of_a_file() {
        true => replace(expected, &mut new, guard, target, options),
        false => create(&mut new, guard, target, options),
    };
    let Candidate { name, file } = new;
    match attempt {
        Ok(Attempt::Published(old_name, check)) => {
            publish::finish(old_name, name, target.destination())?;
            publish::close(file, sync, target.destination())?;
            Ok(Published { sync, version_check: Some(check) })
        }
        Ok(Attempt::Conflict) => {
            let error = Error::refused(ErrorKind::Conflict, Step::Publish, path);
            Err(Unpublished::Failed(name.abandon(path, error)))
        }
        Ok(Attempt::Unlocked) => {
            let error = Error::refused(ErrorKind::Unsupported, Step::Lock, path);
            Err(Unpublished::Failed(name.abandon(path, error)))
        }
        Ok(Attempt::Stuck(error)) => {
            let stuck = set_aside(Candidate { name, file }, first_name, target, error);
            Err(Unpublished::Failed(stuck))
        }
        Err(cause) => Err(publish::failed(target.destination(), name, file, cause)),
    }
}

/// Keeps those out who ask for the lock, from before the backup is made until the end.
pub(crate) fn guard(target: &Target, options: &Options) -> crate::error::Result<Guard> {
    if options.lock != Lock::None {
        return Ok(Guard::Held { _own: None });
    }
    match SideLock::acquire(target, Lock::Wait) {
        Ok(own) => Ok(Guard::Held { _own: own }),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Guard::Missing),
        Err(error) => Err(error),
    }
}

fn entry_of(target: &Target) -> Entry<'_> {
    Entry { directory: &target.directory, name: &target.name }
}

fn look(entry: Entry<'_>) -> io::Result<Option<Existing>> {
    sys::look(entry.directory, entry.name)
}

/// Publishes where no file was expected.
fn create(
    new: &mut Candidate,
    guard: &Guard,
    target: &Target,
    options: &Options,
) -> Result<Attempt, Cause> {
    let (from, to) = (new.name.entry(), entry_of(target));
    let cause = match publish::create_new(from, to) {
        Ok(old_name) => return Ok(Attempt::Published(old_name, VersionCheck::Atomic)),
        Err(cause) => cause,
    };
    let lacks_it = cause.kind == Some(ErrorKind::Unsupported);
    if !lacks_it && cause.error.kind() != io::ErrorKind::AlreadyExists {
        return Err(cause);
    }
    let staged = new.file.id()?;
    match sys::id_at(entry_of(target))? {
        // A network file system may have done what it reports as failed.
        Some(id) if id == staged => Err(cause),
        None if lacks_it && matches!(guard, Guard::Missing) => Ok(Attempt::Unlocked),
        None if lacks_it => {
            let old_name =
                publish::replace(from, new.file.open_file(), to, Replacing::by(options))?;
            Ok(Attempt::Published(old_name, VersionCheck::UnderLock))
        }
        _ => Ok(Attempt::Conflict),
    }
}

/// Publishes over the file that was expected.
fn replace(
    expected: Expected<'_>,
    new: &mut Candidate,
    guard: &Guard,
    target: &Target,
    options: &Options,
) -> Result<Attempt, Cause> {
    let to = entry_of(target);
    let existing = match look(to)? {
        Some(existing) if expected.is(Some(&existing)) => existing,
        _ => return Ok(Attempt::Conflict),
    };
    if let (true, Guard::Held { .. }, SealedFile::Open(file)) =
        (sys::HAS_EXCHANGE, guard, &mut new.file)
    {
        // One of this name that is there already is what a killed process left.
        let name = side_lock::exchange_name_for(&target.name);
        new.name.rename(file, name, Replacing::by(options))?;
    }
    let from = new.name.entry();
    let exchange = || sys::exchange(from, to);
    match publish::with_rename_flags(Op::Exchange, to.directory, exchange) {
        Some(Ok(())) => look_at_displaced(expected.version, new, target),
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            match sys::id_at(entry_of(target))? {
                None => Ok(Attempt::Conflict), // removed since the look
                Some(_) => Err(error.into()),
            }
        }
        Some(Err(error)) => Err(error.into()),
        None => {
            if matches!(guard, Guard::Missing) {
                return Ok(Attempt::Unlocked);
            }
            let has_contents =
                expected.version.has_contents_of(&existing, to.directory, to.name)?;
            // Once more, since that may have taken long.
            let now = look(to)?;
            if !has_contents || !expected.is(now.as_ref()) {
                return Ok(Attempt::Conflict);
            }
            let old_name =
                publish::replace(from, new.file.open_file(), to, Replacing::by(options))?;
            Ok(Attempt::Published(old_name, VersionCheck::UnderLock))
        }
    }
}

/// After the exchange: is what the temp file's name stands for now what was expected? It has been
/// renamed, which sets the time of its last change of status; but that was looked at a moment ago.
fn look_at_displaced(
    version: &Version,
    new: &Candidate,
    target: &Target,
) -> Result<Attempt, Cause> {
    let from = new.name.entry();
    let is_expected = || match look(from)? {
        Some(displaced) if version.was(Some(&displaced)) => {
            version.has_contents_of(&displaced, from.directory, from.name)
        }
        _ => Ok(false),
    };
    let is_expected = is_expected();
    if matches!(is_expected, Ok(true)) {
        return Ok(Attempt::Published(OldName::Present, VersionCheck::Atomic));
    }
    match put_back(new, target) {
        Ok(()) => match is_expected {
            Ok(_) => Ok(Attempt::Conflict),
            Err(error) => Err(error.into()),
        },
        Err(error) if is_put_back(new, target) => match is_expected {
            Ok(_) => Ok(Attempt::Conflict),
            Err(_) => Err(error.into()),
        },
        Err(error) => Ok(Attempt::Stuck(error)),
    }
}

/// Exchanges once more, so that the target is what it was. In the meantime somebody may have
/// replaced it yet again: then it is *that* file which was displaced now, and must be put back in
/// its turn, while the one that was put in its place is one that its writer has replaced.
fn put_back(new: &Candidate, target: &Target) -> io::Result<()> {
    let (from, to) = (new.name.entry(), entry_of(target));
    // What the target is, unless somebody replaces it. Held, so that nothing else has its number.
    let mut at_target: Option<Existing> = None;
    let mut expected_back = new.file.id()?;
    for _ in 0..MAX_ROUNDS {
        let at_name = look(from)?;
        match sys::exchange(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && look(to)?.is_none() => {
                return if is_removed(at_target.as_ref(), new, to)? {
                    Ok(()) // by somebody who meant whatever the target was
                } else {
                    // Whoever moved it elsewhere has that one, and this may be the only copy.
                    sys::rename_no_replace(from, to)
                };
            }
            result => result?,
        }
        if look(from)?.is_some_and(|displaced| displaced.info.id == expected_back) {
            return Ok(());
        }
        at_target = at_name;
        match &at_target {
            Some(existing) => expected_back = existing.info.id,
            None => return Err(io::ErrorKind::NotFound.into()),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Whether the file that was the target, the new one if it is none of somebody else's, has lost a
/// name. It has not if somebody gave it another one.
fn is_removed(theirs: Option<&Existing>, new: &Candidate, to: Entry<'_>) -> io::Result<bool> {
    let (before, now) = match (theirs, &new.file) {
        (Some(theirs), _) => (theirs.info.links, sys::inspect_held(theirs, to.directory, to.name)),
        (None, SealedFile::Open(file)) => (1, sys::inspect(file)),
        (None, SealedFile::Closed(_) | SealedFile::Recoverable(_)) => return Ok(true),
    };
    match now {
        Ok(info) => Ok(info.links < before),
        Err(error) if sys::is_gone(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether the names say so, whatever an error said.
fn is_put_back(new: &Candidate, target: &Target) -> bool {
    let Ok(staged) = new.file.id() else { return false };
    let at_target = sys::id_at(entry_of(target));
    matches!((sys::id_at(new.name.entry()), at_target), (Ok(Some(at_name)), Ok(at_target))
        if at_name == staged && at_target != Some(staged))
}

/// Leaves what was displaced where no sweep takes it for an orphan: it may be the only copy of what
/// somebody else has saved.
fn set_aside(new: Candidate, first_name: OsString, target: &Target, error: io::Error) -> Error {
    let state = match (new.file.id(), sys::id_at(entry_of(target))) {
        (Ok(staged), Ok(Some(id))) if staged == id => TargetState::Replaced,
        _ => TargetState::Unknown,
    };
    let mut aside = first_name;
    aside.push(".old");
    let from = new.name.entry();
    let to = Entry { directory: from.directory, name: &aside };
    let leftover = match sys::rename_no_replace(from, to) {
        Ok(()) => target.path.with_file_name(&aside),
        Err(_) => new.name.beside(&target.path),
    };
    new.name.keep();
    Error::failed(Step::Publish, &target.path, error)
        .with_kind(ErrorKind::Conflict)
        .with_state(state)
        .with_leftover(Some(leftover))
}
