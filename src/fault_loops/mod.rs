//! Fails every operation of every kind of save once, with each error that it can give, and lets the
//! process die before every operation. After each: what is on disk, and is what was said true?

mod backups;
mod batches;
mod cases;
mod durability;
mod gone;
mod intruders;
mod journals;
mod meanwhile;
mod place;
mod single;
mod single_of_batches;
mod single_of_journals;
mod stages;
mod steps;
mod sweeps;
mod trees;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use self::backups::BACKUPS;
use self::cases::{Before, CASES, Case, NEW};
use self::place::Place;
use self::steps::{check_told, steps_of};
use crate::fault::{Fault, Op, Plan, with_plan};
use crate::{Commit, Durability, ErrorKind, Metadata, Outcome, Result, Step, TargetState, sys};

/// Runs a case under a fault, on a thread of its own, so that nothing is remembered between runs.
fn run(case: &Case, at: Option<(usize, Fault)>) -> (Place, Result<Commit>, Plan) {
    let lacking = case.lacking.iter().map(|op| (*op, sys::lacking_error(*op))).collect();
    let pretending = case.pretending.to_vec();
    let plan = Plan { at, lacking, pretending, ..Plan::default() };
    let first = Plan { at: None, ..plan.clone() };
    let place = Place::new(case.before).with_earlier(case.kept);
    let (path, save, is_known) = (place.path(), case.save, case.is_known);
    let scenario = move || {
        if is_known {
            // One on the same thread and file system, so that what it does has been found out.
            let beside = path.with_file_name("beside");
            with_plan(first, || save(&beside)).0.unwrap();
            fs_err::remove_file(beside).unwrap();
        }
        with_plan(plan, || save(&path))
    };
    let (result, plan) =
        thread::spawn(scenario).join().unwrap_or_else(|_| panic!("{}: {at:?} panicked", case.name));
    (place, result, plan)
}

fn all_cases() -> impl Iterator<Item = &'static Case> {
    CASES.iter().chain(BACKUPS)
}

fn faults_of(op: Op) -> Vec<Fault> {
    let mut faults: Vec<Fault> = sys::errors_of(op).into_iter().map(Fault::Error).collect();
    match op {
        Op::Rename | Op::RenameNoReplace => {
            faults.extend(sys::errors_of(op).into_iter().map(Fault::DoneThenError));
        }
        Op::Write | Op::WriteThrough => faults.extend([Fault::Short, Fault::Nothing]),
        Op::ReadTemp | Op::ReadTarget => faults.push(Fault::Short),
        _ => {}
    }
    faults
}

#[test]
fn every_operation_failed_once_with_each_of_its_errors() {
    let mut seen = HashSet::new();
    let mut runs = 0;
    for case in all_cases() {
        let (place, clean, plan) = run(case, None);
        check_result(case, &place, &clean, &plan);
        let clean_error = clean.err().map(|error| (error.kind(), error.step()));
        for (index, op) in plan.log.iter().copied().enumerate() {
            seen.insert(op);
            for fault in faults_of(op) {
                let (place, result, plan) = run(case, Some((index, fault)));
                assert_eq!(plan.log[index], op, "{}: not the same run twice", case.name);
                let faulted = Faulted { case, clean_error, index, op, fault };
                faulted.check(&place, &result, &plan);
                runs += 1;
            }
        }
    }
    eprintln!("{runs} runs, {} kinds of operation", seen.len());
    let mut never = place::not_to_be_had_here();
    never.push(Op::RemoveDirectory); // only after another failure
    // For sweeps and staging directories, which have loops of their own.
    never.extend([Op::List, Op::OpenOrphan, Op::RemoveEntry, Op::MoveDirectory]);
    never.push(Op::OpenStaged); // of batches and trees alone
    never.extend([Op::MakeSymlink, Op::CloneContents, Op::ListMounts]); // of trees
    let missing: Vec<&Op> = Op::ALL.iter().filter(|op| !seen.contains(op)).collect();
    assert!(missing.iter().all(|op| never.contains(op)), "no case reaches {missing:?}");
    assert!(runs > 3000, "only {runs} runs");
}

#[test]
fn the_process_dies_before_every_operation() {
    let mut runs = 0;
    let mut left = 0;
    for case in all_cases() {
        for index in 0.. {
            let (place, _, plan) = run(case, Some((index, Fault::Die)));
            if plan.log.len() <= index {
                break; // it reached the end alive
            }
            runs += 1;
            let name = format!("{}: died before {index}, {:?}", case.name, plan.log[index]);
            let contents = place.contents();
            let whole = contents.as_deref() == place.old() || contents.as_deref() == Some(NEW);
            assert!(whole, "{name}: {contents:?}");
            let mut others = place.others();
            others.retain(|path| !is_of_a_lock(path, ".lock"));
            if let Some(kept) = case.kept {
                kept.check_whole(&place, &name);
                others.retain(|path| !kept.files(&place).contains(path));
            }
            assert!(others.len() <= 1 + usize::from(case.kept.is_some()), "{name}: {others:?}");
            for orphan in &others {
                assert!(has_the_documented_name(orphan), "{name}: {orphan:?}");
            }
            left += others.len();
            if case.before != Before::Device {
                // The next writer is not disturbed by what stayed.
                let commit = crate::AtomicWriter::builder()
                    .create_parents(true)
                    .write(place.path(), b"the next")
                    .unwrap_or_else(|error| panic!("{name}: next writer: {error}"));
                assert_eq!(place.contents().as_deref(), Some(&b"the next"[..]), "{commit:?}");
            }
        }
    }
    eprintln!("{runs} deaths, {left} orphans");
    assert!(runs > 400 && left > 50, "{runs} deaths, {left} orphans");
}

fn has_the_documented_name(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let random = name.strip_prefix(".wholefile-").and_then(|name| name.strip_suffix(".tmp"));
    random.is_some_and(|it| it.len() == 12 && it.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        || is_of_a_lock(path, ".swap")
}

/// The file of a lock that nobody holds, which the next one who asks for the lock takes and
/// removes, or with another suffix the file that is exchanged under it.
fn is_of_a_lock(path: &Path, suffix: &str) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let hash = name.strip_prefix(".wholefile-").and_then(|name| name.strip_suffix(suffix));
    hash.is_some_and(|it| it.len() == 16 && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// What holds for every run: the result, the disk and the receipt or error agree.
#[track_caller]
fn check_result(case: &Case, place: &Place, result: &Result<Commit>, plan: &Plan) {
    let name = format!("{}: {:?} after {:?}", case.name, result, plan.log);
    let contents = place.contents();
    let is_old = contents.as_deref() == place.old();
    let is_new = contents.as_deref() == Some(NEW);
    let kept = case.kept.map_or_else(Vec::new, |kept| kept.check(place, result, &name));
    let mut leftovers = match result {
        Ok(commit) => {
            assert!(is_new || case.before == Before::Device, "{name}: {contents:?}");
            assert_eq!(commit.len(), NEW.len() as u64, "{name}");
            let replaced = match case.before {
                Before::Nothing | Before::NoParents => Outcome::Created,
                Before::File | Before::DefaultAcl | Before::Symlink => Outcome::Replaced,
                Before::Same => commit.outcome(), // a comparison that fails means a replacement
                Before::Device => Outcome::WrittenThrough,
            };
            assert_eq!(commit.outcome(), replaced, "{name}");
            Vec::new()
        }
        Err(error) => {
            match error.target_state() {
                TargetState::Untouched => assert!(is_old, "{name}: {contents:?}"),
                TargetState::Replaced if case.before == Before::Device => {}
                TargetState::Replaced => assert!(is_new, "{name}: {contents:?}"),
                TargetState::Displaced => panic!("{name}: nobody has asked for two steps"),
                TargetState::Unknown => assert!(is_old || is_new, "{name}: {contents:?}"),
            }
            Vec::from_iter(error.leftovers().filter(|path| !kept.contains(&path.to_path_buf())))
        }
    };
    let mut others = place.others();
    others.retain(|path| !kept.contains(path));
    if plan.meets(Op::RemoveSideFile) || may_be_somebody_elses(case, plan) {
        others.retain(|path| !is_of_a_lock(path, ".lock"));
    }
    others.sort();
    leftovers.sort();
    assert_eq!(others.iter().map(PathBuf::as_path).collect::<Vec<_>>(), leftovers, "{name}");
}

/// Whether the file of a lock may be somebody else's as far as a save without locks can tell, so
/// that it stays: it was said to be gone, and found when it was asked for once more, or to be held.
fn may_be_somebody_elses(case: &Case, plan: &Plan) -> bool {
    let Some((_, Fault::Error(code) | Fault::DoneThenError(code))) = plan.at else { return false };
    let error = io::Error::from_raw_os_error(code);
    let is_found_again =
        [Op::OpenSideFile, Op::Inspect].iter().any(|op| plan.meets(*op)) && sys::is_gone(&error);
    let is_held = plan.meets(Op::Lock) && error.kind() == io::ErrorKind::WouldBlock;
    case.lacking.contains(&Op::Lock) && (is_found_again || is_held)
}

struct Faulted<'a> {
    case: &'a Case,
    clean_error: Option<(ErrorKind, Step)>,
    index: usize,
    op: Op,
    fault: Fault,
}

impl Faulted<'_> {
    #[track_caller]
    fn check(&self, place: &Place, result: &Result<Commit>, plan: &Plan) {
        let Faulted { case, op, fault, .. } = self;
        let name = format!("{}: {op:?} {fault:?}: {result:?}", case.name);
        let (code, done) = match fault {
            Fault::Short => return assert!(result.is_ok() == self.clean_error.is_none(), "{name}"),
            Fault::Nothing => {
                let error = result.as_ref().unwrap_err();
                assert!(steps_of(*op).contains(&error.step()), "{name}: step");
                let cause = error.io_error().map(io::Error::kind);
                assert_eq!(cause, Some(io::ErrorKind::WriteZero), "{name}: cause");
                return check_result(case, place, result, plan);
            }
            Fault::Error(code) => (*code, false),
            Fault::DoneThenError(code) => (*code, true),
            Fault::Die | Fault::Meanwhile(_) => unreachable!("has a test of its own"),
        };
        let injected = io::Error::from_raw_os_error(code);
        if matches!(result, Err(error) if error.kind() == ErrorKind::Locked) {
            return assert_eq!(*op, Op::Lock, "{name}"); // somebody else holds the target's lock
        }
        check_result(case, place, result, plan);
        match result {
            Ok(commit) => {
                let later = &plan.log[self.index + 1..];
                assert!(self.may_be_survived(&injected, later), "{name}: reported nothing");
                self.check_receipt(commit, &injected, later, &name);
            }
            // The case ends in this error without any fault.
            Err(error) if self.clean_error == Some((error.kind(), error.step())) => {}
            Err(error) if done => {
                assert_eq!(error.step(), Step::Publish, "{name}: step");
                assert_eq!(error.target_state(), TargetState::Replaced, "{name}: state");
            }
            Err(error) => {
                assert_ne!(injected.kind(), io::ErrorKind::Interrupted, "{name}: not retried");
                assert!(steps_of(*op).contains(&error.step()), "{name}: step");
                check_told(result, *fault, false, &name);
                let cause_is_later = match *op {
                    // "It exists already" is not the end when a directory is created.
                    Op::MakeDirectory => injected.kind() == io::ErrorKind::AlreadyExists,
                    // Nor is a lock that somebody holds, as long as the file can be removed.
                    Op::Lock => injected.kind() == io::ErrorKind::WouldBlock,
                    _ => false,
                };
                if let (Some(io_error), false) = (error.io_error(), cause_is_later) {
                    assert_eq!(io_error.raw_os_error(), Some(code), "{name}: cause");
                }
                let full = matches!(
                    injected.kind(),
                    io::ErrorKind::StorageFull
                        | io::ErrorKind::QuotaExceeded
                        | io::ErrorKind::FileTooLarge
                );
                assert_eq!(error.kind() == ErrorKind::StorageFull, full, "{name}: kind");
                if case.lacking == [Op::RemoveTemp] && plan.log.contains(&Op::RemoveTemp) {
                    assert!(error.leftover().is_some(), "{name}: leftover not named");
                }
            }
        }
    }

    /// Whether a save may succeed although this happened.
    fn may_be_survived(&self, error: &io::Error, later: &[Op]) -> bool {
        let kind = error.kind();
        if kind == io::ErrorKind::Interrupted {
            return true;
        }
        // Denied in any case, and on the receipt for that.
        if self.op == Op::SetOwner && self.case.lacking == [Op::SetOwner] {
            return true;
        }
        let denied = kind == io::ErrorKind::PermissionDenied;
        let is_creation = |op: &Op| matches!(op, Op::CreateTemp | Op::OpenSideFile);
        let is_made_anew = sys::is_gone(error) && later.iter().any(is_creation);
        if self.case.kept.is_some_and(|kept| kept.survives(self.op, error, self.fault)) {
            return true;
        }
        match self.op {
            // Asked once more, only to remove what this save has made.
            Op::Lock if later.first() == Some(&Op::RemoveSideFile) => true,
            Op::Lock => sys::lacks_locks(error) || kind == io::ErrorKind::WouldBlock,
            Op::CreateTemp | Op::LinkUnnamed => kind == io::ErrorKind::AlreadyExists,
            Op::CreateUnnamed => sys::lacks_unnamed(error),
            // A comparison that fails means a replacement.
            Op::OpenTarget | Op::ReadTarget => true,
            Op::ReadTemp => self.case.before == Before::Same,
            Op::ListXattrs | Op::GetXattr | Op::SetXattr | Op::RemoveXattr => {
                denied || sys::cannot_be_kept(error)
            }
            Op::SetOwner | Op::SetMode | Op::SetTimes => denied || sys::cannot_be_kept(error),
            Op::SyncDirectory => sys::lacks_directory_sync(error),
            Op::SyncFile => {
                let is_without =
                    sys::lacks_directory_sync(error) || kind == io::ErrorKind::ReadOnlyFilesystem;
                self.case.before == Before::Device && is_without
            }
            Op::Identify => true, // nothing is known then, and the plan is portable
            Op::RenameNoReplace | Op::Exchange => sys::lacks_rename_flags(error),
            Op::OpenDirectory => kind == io::ErrorKind::NotFound,
            Op::Link => sys::lacks_links(error), // where nothing was expected, under the lock
            // To the name that is then exchanged, which shows that it was done.
            Op::Rename => matches!(self.fault, Fault::DoneThenError(_)) && self.is_expecting(),
            Op::RemoveSideFile => true, // the next one takes it
            // It was only to be the writer's own.
            Op::Look if later.first() == Some(&Op::RemoveSideFile) => true,
            Op::OpenSideFile | Op::Look => is_made_anew,
            // A device that is not known cannot be remembered.
            Op::Inspect => {
                // Nor is a version, once it is published: then it is not current.
                let is_tracked = self.case.name.contains("expected contents");
                let is_remembered =
                    matches!(self.case.lacking, [Op::RenameNoReplace | Op::Exchange, ..]);
                is_made_anew || is_tracked || is_remembered
            }
            _ => false,
        }
    }

    fn is_expecting(&self) -> bool {
        self.case.name.contains("expected")
    }

    fn check_receipt(&self, commit: &Commit, error: &io::Error, later: &[Op], name: &str) {
        if error.kind() == io::ErrorKind::Interrupted || commit.outcome() == Outcome::Unchanged {
            return;
        }
        let lost = match self.op {
            Op::SyncDirectory => return assert!(commit.durability() < Durability::Full, "{name}"),
            Op::ListXattrs | Op::GetXattr | Op::SetXattr | Op::RemoveXattr => Metadata::Xattrs,
            Op::SetOwner => Metadata::Owner,
            Op::SetMode => Metadata::Mode,
            Op::SetTimes => Metadata::Times,
            Op::Inspect => {
                let is_published = !later.iter().any(|op| [Op::Exchange, Op::Rename].contains(op));
                if let Some(version) = commit.version().filter(|_| is_published) {
                    assert!(!version.is_current().unwrap(), "{name}: current, though not seen");
                }
                return;
            }
            _ => return,
        };
        if later.contains(&Op::Look) || self.case.kept.is_some_and(|kept| kept.is_copy) {
            // It is of the backup, or was read for the temp file's mode, and is read again at
            // commit.
            return;
        }
        let mut listed = commit.not_preserved().iter().map(crate::NotPreserved::metadata);
        assert!(listed.any(|metadata| metadata == lost), "{name}: not on the receipt");
    }
}
