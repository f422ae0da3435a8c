//! The lock that keeps the writers of one target apart: a file beside it.
//!
//! Never the target itself, since a save replaces it and with it the lock. The file does not stay:
//! its holder removes it as the last thing it does with it. So whoever gets the lock looks whether
//! the name still stands for the file that was locked, and if not starts anew.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use super::lock::{self, Answer};
use crate::error::{self, Error, ErrorKind, Result, Step};
use crate::fnv::fnv_1a;
use crate::options::Lock;
use crate::protocol::target::Target;
use crate::sys::{self, Directory, Entry, FileId, FileKind, Origin};

const PREFIX: &str = ".wholefile-";
const LOCK: &str = ".lock";
const EXCHANGE: &str = ".swap";
/// As often as this, somebody else may remove the file that was just waited for.
const MAX_ATTEMPTS: usize = 1_000_000;
/// As often in a row, a file that was to be opened or created may be missing, or be gone once it is
/// open: opening what is there and creating what is not are two requests to some file systems
/// (FUSE), and its last holder may remove it in between. Of a directory that is gone, and of a
/// server that knows none of its files any more (NFS, ESTALE), the system says the same each time.
const MAX_MISSES: usize = 1_000;
/// How long a wait with a limit sleeps at first, and at most, before it asks again.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// The lock of a target, held. Dropped, it is free.
#[derive(Debug)]
pub(crate) struct SideLock {
    directory: Arc<Directory>,
    name: OsString,
    id: FileId,
    on_drop: OnDrop,
    /// Closed last: that is what lets the next one in.
    _file: File,
}

/// What becomes of the file when the lock is let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnDrop {
    Remove,
    Leave,
}

/// The locks of this process, each with the thread that took it: one that waits for its own lock
/// would wait forever.
static HELD: Mutex<Vec<(FileId, ThreadId)>> = Mutex::new(Vec::new());

fn held() -> MutexGuard<'static, Vec<(FileId, ThreadId)>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SideLock {
    /// Takes the lock of `target` as `lock` says. `None` if it asks for none.
    pub(crate) fn acquire(target: &Target, lock: Lock) -> Result<Option<SideLock>> {
        if lock == Lock::None {
            return Ok(None); // before a name is made, which takes memory
        }
        SideLock::acquire_named(&target.directory, name_for(&target.name), &target.path, lock)
    }

    /// Takes the lock `name` in `directory`, where whatever it is taken for has the path `path`.
    pub(crate) fn acquire_named(
        directory: &Arc<Directory>,
        name: OsString,
        path: &Path,
        lock: Lock,
    ) -> Result<Option<SideLock>> {
        let patience = match lock {
            Lock::None => return Ok(None),
            Lock::Try => Some(Duration::ZERO),
            Lock::Timeout(limit) => Some(limit),
            Lock::Wait => None,
        };
        let started = Instant::now();
        let locked = |waited| {
            let error = Error::refused(ErrorKind::Locked, Step::Lock, path);
            error.with_lock(path.with_file_name(&name), waited)
        };
        let failed = |error| Error::failed(Step::Lock, path, error);
        let mut misses = 0;
        for _ in 0..MAX_ATTEMPTS {
            let (file, origin) = match sys::open_side_file(directory, &name) {
                Err(error) if sys::is_gone(&error) && misses < MAX_MISSES => {
                    misses += 1;
                    continue;
                }
                opened => opened.map_err(failed)?,
            };
            let gave_up = |error| {
                remove_if_free(&file, origin, directory, &name);
                failed(error)
            };
            let info = match sys::inspect(&file) {
                Err(error) if sys::is_gone(&error) && misses < MAX_MISSES => {
                    misses += 1;
                    continue;
                }
                info => info.map_err(gave_up)?,
            };
            misses = 0;
            if info.kind != FileKind::File {
                return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "not a file")));
            }
            // Its name can be guessed, and a stranger's might never be let go of.
            if sys::may_be_planted(directory, &info).map_err(gave_up)? {
                return Err(failed(error::planted()));
            }
            let is_own = held().contains(&(info.id, thread::current().id()));
            let answer = match is_own {
                true => Answer::Busy,
                false => take(&file, patience, started).map_err(gave_up)?,
            };
            match answer {
                Answer::Held => {}
                Answer::Busy => return Err(locked(started.elapsed())),
                Answer::Unavailable => {
                    remove_if_free(&file, origin, directory, &name);
                    return Err(Error::refused(ErrorKind::Unsupported, Step::Lock, path));
                }
            }
            if id_of(directory, &name).map_err(gave_up)? == Some(info.id) {
                held().push((info.id, thread::current().id()));
                let (directory, on_drop) = (Arc::clone(directory), OnDrop::Remove);
                return Ok(Some(SideLock { directory, name, id: info.id, on_drop, _file: file }));
            }
        }
        Err(locked(started.elapsed()))
    }

    /// Leaves the file of the lock behind if it is this one, which its holder was not the first to
    /// have: a lock that nobody holds, and the next one takes it.
    pub(crate) fn leaving(mut self, file: Option<FileId>) -> SideLock {
        if file == Some(self.id) {
            self.on_drop = OnDrop::Leave;
        }
        self
    }
}

impl Drop for SideLock {
    fn drop(&mut self) {
        // Somebody may have removed it, and another process holds the next one.
        let is_anothers =
            || matches!(id_of(&self.directory, &self.name), Ok(Some(id)) if id != self.id);
        if self.on_drop == OnDrop::Remove && !is_anothers() {
            // If it stays, it is a lock that nobody holds, and the next one takes it.
            let _ = sys::remove_side_file(&self.directory, &self.name);
        }
        let mut held = held();
        if let Some(index) = held.iter().position(|(id, _)| *id == self.id) {
            held.swap_remove(index);
        }
    }
}

/// The file that bears the name of a lock, unless it is about to go.
pub(crate) fn id_of(directory: &Directory, name: &OsStr) -> io::Result<Option<FileId>> {
    match sys::id_at(Entry { directory, name }) {
        // Windows says so in this way.
        Err(error)
            if !sys::LOCKS_ARE_ADVISORY && error.kind() == io::ErrorKind::PermissionDenied =>
        {
            Ok(None)
        }
        now => now,
    }
}

/// After a failure: the file may be one that this call has made, and nobody else will remove it
/// soon. As ever, only whoever holds the lock may, and only if the name stands for what is locked.
/// If the lock cannot be had, it must be one that this call has made: what was there before may
/// well be held, since ENOLCK is also said to one host without a lock daemon (nfs(5)), and where
/// the kernel is short of memory (flock(2)).
fn remove_if_free(file: &File, origin: Origin, directory: &Directory, name: &OsStr) {
    let is_free = match lock::hold(file) {
        Ok(Answer::Held) => sys::inspect(file).is_ok_and(|info| {
            let now = sys::id_at(Entry { directory, name });
            info.kind == FileKind::File && now.is_ok_and(|now| now == Some(info.id))
        }),
        Ok(Answer::Unavailable) | Err(_) => origin == Origin::Created,
        Ok(Answer::Busy) => false,
    };
    if is_free {
        let _ = sys::remove_side_file(directory, name);
    }
}

/// Takes the lock of the side file, waiting for at most `patience`, or for as long as it takes. The
/// clock is one that nobody can set, so that a jump of the other makes no wait shorter or longer.
fn take(file: &File, patience: Option<Duration>, started: Instant) -> io::Result<Answer> {
    let Some(patience) = patience else { return lock::wait(file) };
    let mut pause = FIRST_PAUSE;
    // Bounded by `patience`: no pause is empty before it is over.
    loop {
        let answer = lock::hold(file)?;
        let left = patience.saturating_sub(started.elapsed());
        if answer != Answer::Busy || left.is_zero() {
            return Ok(answer);
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The name of the lock of the file `name`, of the same length however long that is. Two names
/// whose hashes are the same share a lock, which is a wait too many and nothing worse.
fn name_for(name: &OsStr) -> OsString {
    name_with(name, LOCK)
}

/// The name of the temp file that is exchanged for the file `name`, by whoever holds the lock: what
/// that displaces is no orphan for as long as the lock is held.
pub(crate) fn exchange_name_for(name: &OsStr) -> OsString {
    name_with(name, EXCHANGE)
}

/// The name of the lock under which a backup of this name, or with numbers after it, is made. It is
/// not that of the lock of a target, so that whoever waits for it holds nothing that others wait
/// for who have it.
pub(crate) fn backup_name_for(name: &OsStr) -> OsString {
    name_with(&as_backup(name), LOCK)
}

/// The name that goes with that lock.
pub(crate) fn backup_exchange_name_for(name: &OsStr) -> OsString {
    name_with(&as_backup(name), EXCHANGE)
}

/// What no file can be called.
fn as_backup(name: &OsStr) -> OsString {
    [name, OsStr::new("/backup")].into_iter().collect()
}

fn name_with(name: &OsStr, suffix: &str) -> OsString {
    format!("{PREFIX}{:016x}{suffix}", fnv_1a(&sys::lock_key(name))).into()
}

/// Whether `name` is one that the lock of some file has.
pub(crate) fn is_name(name: &OsStr) -> bool {
    has_form(name, LOCK)
}

/// The name of the lock that belongs to `name`, if that is one that is exchanged.
pub(crate) fn lock_of_exchange(name: &OsStr) -> Option<OsString> {
    let name = has_form(name, EXCHANGE).then(|| name.to_str())??;
    Some(name.replace(EXCHANGE, LOCK).into())
}

fn has_form(name: &OsStr, suffix: &str) -> bool {
    let bytes = name.as_encoded_bytes();
    let rest = bytes.strip_prefix(PREFIX.as_bytes());
    let hash = rest.and_then(|rest| rest.strip_suffix(suffix.as_bytes()));
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    hash.is_some_and(|it| it.len() == 16 && it.iter().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(unix)]
    use crate::fault::{Fault, Op, Plan, with_plan};

    /// Where a server answered that each file of a lock was gone as soon as it was open (NFS,
    /// ESTALE), the wait asked for it a million times, which takes hours there, and then said that
    /// somebody else held the lock: the save hung, and nobody learned why.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    #[cfg(unix)]
    fn a_file_that_is_always_gone_is_an_error_and_no_endless_wait() {
        for op in [Op::OpenSideFile, Op::Inspect] {
            let dir = tempfile::tempdir().unwrap();
            let directory = Arc::new(sys::open_directory(None, dir.path()).unwrap());
            let path = dir.path().join("target");
            let lacking = vec![(op, rustix::io::Errno::STALE.raw_os_error())];
            let acquire = || {
                let name = name_for("target".as_ref());
                SideLock::acquire_named(&directory, name, &path, Lock::Wait)
            };
            let (result, plan) = with_plan(Plan { lacking, ..Plan::default() }, acquire);
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.step()), (ErrorKind::Io, Step::Lock), "{error}");
            let asked = plan.log.iter().filter(|it| **it == op).count();
            // Perhaps once more, to remove what may be its own.
            assert!((MAX_MISSES + 1..=MAX_MISSES + 2).contains(&asked), "{op:?}: {asked}");
        }
    }

    /// Symptom: two updates ran at a time, and one of them was lost. Mechanism: to a third process
    /// the system said that it had no locks to give (ENOLCK: short of memory, or its host without a
    /// lock daemon), which removed the file of the lock as one that nobody could hold; the next
    /// process made another and locked that, while the holder of the first was still at work. Lost:
    /// the update that was published first.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    #[cfg(unix)]
    fn without_locks_nothing_is_removed_but_what_this_call_has_made() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Arc::new(sys::open_directory(None, dir.path()).unwrap());
        let (path, name) = (dir.path().join("target"), name_for("target".as_ref()));
        let file = dir.path().join(&name);
        let acquire = |plan| {
            let acquire = || SideLock::acquire_named(&directory, name.clone(), &path, Lock::Try);
            with_plan(plan, || acquire().map(drop))
        };
        let lacking = sys::lacking_error(Op::Lock);
        let first = acquire(Plan::default()).1.log.iter().position(|op| *op == Op::Lock).unwrap();
        let once = Plan { at: Some((first, Fault::Error(lacking))), ..Plan::default() };
        let always = Plan { lacking: vec![(Op::Lock, lacking)], ..Plan::default() };
        for (plan, was_there, is_held, stays) in [
            (&always, true, true, true),
            (&once, true, true, true),
            (&always, true, false, true),
            (&once, true, false, false),
            (&always, false, false, false),
            (&once, false, false, false),
        ] {
            let case = format!("{plan:?}, {was_there}, {is_held}");
            let holder = was_there.then(|| fs_err::File::create(&file).unwrap().into_parts().0);
            if is_held {
                assert_eq!(lock::hold(holder.as_ref().unwrap()).unwrap(), Answer::Held);
            }
            let error = acquire(plan.clone()).0.unwrap_err();
            assert_eq!(
                (error.kind(), error.step()),
                (ErrorKind::Unsupported, Step::Lock),
                "{case}"
            );
            assert_eq!(file.exists(), stays, "{case}");
            let next = acquire(Plan::default()).0.map_err(|error| error.kind());
            assert_eq!(next, if is_held { Err(ErrorKind::Locked) } else { Ok(()) }, "{case}");
            drop(holder);
            acquire(Plan::default()).0.unwrap();
            assert!(!file.exists(), "{case}");
        }
    }

    #[test]
    fn the_name_of_a_lock_never_changes() {
        assert_eq!(name_for("foobar".as_ref()), ".wholefile-85944171f73967e8.lock");
        assert_eq!(name_for("n".repeat(255).as_ref()).len(), 32);
        let backup = OsStr::new("target~");
        assert_eq!(backup_name_for(backup), ".wholefile-fd1706c8a46e186d.lock");
        assert_eq!(backup_exchange_name_for(backup), ".wholefile-fd1706c8a46e186d.swap");
    }
}
