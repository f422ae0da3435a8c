//! What fails while a backup is made, is taken back or displaces another.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::io::Errno;

use super::super::cases::{Before, NEW, OLD};
use super::super::place::Place;
use super::{
    ELSEWHERE, FRESH, Kept, NUMBERED, OVER, backup, backup_elsewhere, backup_elsewhere_required,
    backup_numbered, full,
};
use crate::fault::{Fault, Interruption, Op, Plan, When, with_plan};
use crate::options::Options;
use crate::protocol::backup as protocol;
use crate::protocol::target::Target;
use crate::{Backup, Commit, Durability, ErrorKind, Result, Step, TargetState, sys};

pub(super) type Save = fn(&Path) -> Result<Commit>;

type Deed = fn(&Path);

/// A save, and what of the system it met.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    pub(super) kept: Kept,
    pub(super) save: Save,
    pub(super) lacking: &'static [Op],
    pub(super) fault: Option<(usize, Fault)>,
    /// What others do to the target or beside it, and when.
    pub(super) deed: Option<(When, Deed)>,
}

pub(super) struct Run {
    pub(super) place: Place,
    pub(super) result: Result<Commit>,
    pub(super) log: Vec<Op>,
}

pub(super) fn attempt(kept: Kept, save: Save) -> Attempt {
    Attempt { kept, save, lacking: &[], fault: None, deed: None }
}

impl Attempt {
    pub(super) fn lacking(self, lacking: &'static [Op]) -> Attempt {
        Attempt { lacking, ..self }
    }

    pub(super) fn failing(self, at: usize, fault: Fault) -> Attempt {
        Attempt { fault: Some((at, fault)), ..self }
    }

    pub(super) fn while_others(self, when: When, deed: Deed) -> Attempt {
        Attempt { deed: Some((when, deed)), ..self }
    }

    /// On a thread of its own, so that nothing is remembered between runs.
    pub(super) fn run(self) -> Run {
        self.run_at(Place::new(Before::File).with_earlier(Some(self.kept)))
    }

    pub(super) fn run_at(self, place: Place) -> Run {
        let (path, save) = (place.path(), self.save);
        let deed =
            self.deed.map(|(when, action)| Interruption { when, action, path: path.clone() });
        let lacking = self.lacking.iter().map(|op| (*op, sys::lacking_error(*op))).collect();
        let interruptions = Vec::from_iter(deed);
        let plan = Plan { at: self.fault, lacking, interruptions, ..Plan::default() };
        let run = move || with_plan(plan, || save(&path));
        let (result, plan) = thread::spawn(run).join().unwrap();
        Run { place, result, log: plan.log }
    }
}

impl Run {
    pub(super) fn count(&self, op: Op) -> usize {
        self.log.iter().filter(|it| **it == op).count()
    }

    /// The index of the rename that publishes.
    pub(super) fn publish(&self) -> usize {
        self.log.iter().rposition(|it| *it == Op::Rename).expect("it is published")
    }

    /// The index of the first operation of this kind after the first of that kind.
    pub(super) fn after(&self, first: Op, op: Op) -> usize {
        let start = self.log.iter().position(|it| *it == first).expect("the first");
        start + self.log[start..].iter().position(|it| *it == op).expect("one after it")
    }

    /// The backup has these contents, and there is nothing else but the target.
    #[track_caller]
    pub(super) fn check_only(&self, kept: Kept, target: &[u8], backup: Option<&[u8]>, name: &str) {
        let name = format!("{name}: {:?} after {:?}", self.result, self.log);
        assert_eq!(self.place.contents().as_deref(), Some(target), "{name}");
        assert_eq!(self.place.backup(kept).as_deref(), backup, "{name}");
        let mut others = self.place.others();
        others.retain(|path| !path.ends_with(kept.name));
        assert_eq!(others, Vec::<PathBuf>::new(), "{name}");
    }
}

fn io_error() -> i32 {
    Errno::IO.raw_os_error()
}

/// On a network file system, what is reported as failed may have been done: then the backup is
/// there. If it was not done, that is the error, and no other way is tried, since none can be known
/// to be meant.
#[test]
fn what_gives_the_backup_its_name_has_failed_only_if_it_was_not_done() {
    for (kept, save, lacking, op) in [
        (FRESH, backup as Save, &[][..], Op::Link),
        (OVER, backup, &[], Op::Link),
        (OVER, backup, &[], Op::Exchange),
        (OVER, backup, &[Op::Exchange], Op::Rename),
        (FRESH, backup, &[Op::Link], Op::RenameNoReplace),
        (OVER, backup, &[Op::Link], Op::Rename),
        (OVER, backup, &[Op::Link], Op::Exchange),
        (ELSEWHERE, backup_elsewhere, &[], Op::Link),
    ] {
        let name = format!("{kept:?}, {op:?}, lacking {lacking:?}");
        let attempt = attempt(kept, save).lacking(lacking);
        let at = attempt.run().after(op, op);
        let run = attempt.failing(at, Fault::Error(io_error())).run();
        run.check_only(kept, OLD, kept.before(), &name);
        let error = run.result.unwrap_err();
        assert_eq!((error.step(), error.target_state()), (Step::Backup, TargetState::Untouched));
        assert_eq!(error.io_error().and_then(io::Error::raw_os_error), Some(io_error()), "{name}");
        assert_eq!(error.leftover(), None, "{name}");

        let run = attempt.failing(at, Fault::DoneThenError(io_error())).run();
        run.check_only(kept, NEW, Some(OLD), &name);
        run.result.unwrap();
    }
}

/// A backup that is taken back and cannot be removed is named; one that is gone did not stay.
#[test]
fn a_backup_that_stays_is_named_and_one_that_is_gone_is_not() {
    let remove = |path: &Path| fs_err::remove_file(path.with_file_name("target~")).unwrap();
    let clean = attempt(FRESH, backup).run();
    let publish = clean.publish();
    for (at, is_first, step) in
        [(clean.after(Op::Link, Op::SyncFile), true, Step::Backup), (publish, false, Step::Publish)]
    {
        let failing = attempt(FRESH, backup).failing(at, Fault::Error(io_error()));
        let undone = failing.run();
        let is_removal = |op: &Op| *op == Op::RemoveTemp;
        let removal = match is_first {
            true => undone.log.iter().position(is_removal),
            false => undone.log.iter().rposition(is_removal),
        };
        undone.check_only(FRESH, OLD, None, "undone");

        let run = failing.while_others(When::At(removal.unwrap()), remove).run();
        run.check_only(FRESH, OLD, None, "gone");
        let error = run.result.unwrap_err();
        assert_eq!((error.step(), error.leftover()), (step, None), "{error}");

        let run = failing.lacking(&[Op::RemoveTemp]).run();
        let (path, error) = (FRESH.path(&run.place), run.result.unwrap_err());
        assert_eq!(error.step(), step, "{error}");
        assert!(error.leftovers().any(|leftover| leftover == path), "{error:?}");
        assert_eq!(fs_err::read(path).unwrap(), OLD);
    }
}

/// The same of those that are too many once the target is replaced.
#[test]
fn an_earlier_backup_too_many_that_stays_is_named_and_one_that_is_gone_is_not() {
    let remove = |path: &Path| fs_err::remove_file(path.with_file_name("target.~9~")).unwrap();
    let numbered = attempt(NUMBERED, backup_numbered);
    let removal = numbered.run().after(Op::RemoveEntry, Op::RemoveEntry);
    let run = numbered.while_others(When::At(removal), remove).run();
    run.check_only(NUMBERED, NEW, Some(OLD), "gone");
    run.result.unwrap();

    let denied = Errno::ACCESS.raw_os_error();
    let run = numbered.failing(removal, Fault::Error(denied)).run();
    let error = run.result.unwrap_err();
    assert_eq!((error.step(), error.target_state()), (Step::Backup, TargetState::Replaced));
    assert_eq!(error.io_error().and_then(io::Error::raw_os_error), Some(denied));
    assert_eq!(error.leftover(), Some(&*run.place.folder().join("target.~9~")));
    assert_eq!(run.place.contents().as_deref(), Some(NEW));
}

/// Where there are no locks, a backup is made without; a lock that cannot be had is an error.
#[test]
fn only_where_there_are_no_locks_the_backup_is_made_without() {
    let clean = attempt(OVER, backup).run();
    let lock = clean.after(Op::OpenSideFile, Op::Lock);
    for errno in [Errno::NOLCK, Errno::OPNOTSUPP] {
        let fault = Fault::Error(errno.raw_os_error());
        let run = attempt(OVER, backup).failing(lock, fault).run();
        run.check_only(OVER, NEW, Some(OLD), &errno.to_string());
        run.result.unwrap();
    }
    let run = attempt(OVER, backup).failing(lock, Fault::Error(io_error())).run();
    run.check_only(OVER, OLD, OVER.before(), "a lock that fails");
    let error = run.result.unwrap_err();
    assert_eq!((error.step(), error.target_state()), (Step::Lock, TargetState::Untouched));
    assert_eq!(error.io_error().and_then(io::Error::raw_os_error), Some(io_error()));
}

fn elsewhere(path: &Path, durability: Durability) -> Result<Commit> {
    let place = Backup::Path(path.with_file_name("sub").join("backup"));
    full().durability(durability).backup(place).write(path, NEW)
}

/// A backup in another directory is no more durable than its name there.
#[test]
fn the_directory_of_a_backup_elsewhere_is_synced_if_names_are_to_be_durable() {
    for (kept, save, syncs) in [
        (FRESH, backup as Save, 1),
        (ELSEWHERE, backup_elsewhere, 2),
        (ELSEWHERE, |path| elsewhere(path, Durability::Ordered), 0),
        (ELSEWHERE, |path| elsewhere(path, Durability::None), 0),
    ] {
        let run = attempt(kept, save).run();
        assert_eq!(run.count(Op::SyncDirectory), syncs, "{kept:?}: {:?}", run.log);
        run.result.unwrap();
    }
    let unable = sys::lacking_error(Op::SyncDirectory);
    for (save, errno, kind) in [
        (backup_elsewhere as Save, unable, None),
        (backup_elsewhere_required, unable, Some(ErrorKind::DurabilityUnavailable)),
        (backup_elsewhere, io_error(), Some(ErrorKind::Io)),
        (backup_elsewhere_required, io_error(), Some(ErrorKind::Io)),
    ] {
        // That of the target comes later, and is asked for before the backup is made.
        let at = attempt(ELSEWHERE, save).run().after(Op::Link, Op::SyncDirectory);
        let run = attempt(ELSEWHERE, save).failing(at, Fault::Error(errno)).run();
        let Some(kind) = kind else {
            run.check_only(ELSEWHERE, NEW, Some(OLD), "it cannot be synced");
            assert_eq!(run.result.unwrap().durability(), Durability::Ordered);
            continue;
        };
        run.check_only(ELSEWHERE, OLD, None, "an error");
        let error = run.result.unwrap_err();
        let told = (error.kind(), error.step(), error.target_state());
        assert_eq!(told, (kind, Step::Backup, TargetState::Untouched), "{error:?}");
        assert_eq!(error.leftover(), None, "{error:?}");
    }
}

/// Whatever becomes of a save, even a panic, a backup of what was not replaced does not stay.
#[test]
fn a_backup_that_is_dropped_is_undone() {
    for kept in [FRESH, OVER] {
        let place = Place::new(Before::File).with_earlier(Some(kept));
        let options = Options { backup: Backup::Suffix("~".into()), ..Options::default() };
        let target = Target::resolve(None, &place.path(), &options, None).unwrap();
        let made = protocol::make(&target, &options).unwrap().expect("a backup");
        assert_eq!(place.backup(kept).as_deref(), Some(OLD));
        drop(made);
        assert_eq!(place.backup(kept).as_deref(), kept.before());
        let others = place.others();
        assert!(others.iter().all(|path| path.ends_with(kept.name)), "{others:?}");
    }
}
