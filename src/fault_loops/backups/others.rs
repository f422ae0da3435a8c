//! What others do to the target, or at the name of its backup, while a save keeps one.

use std::path::{Path, PathBuf};
use std::thread;

use super::super::cases::{Before, NEW, OLD};
use super::super::place::{Place, THEIRS, replace};
use super::{BACKUPS, EARLIER, FRESH, OVER, backup, run_and_sweep, suffix};
use crate::fault::{Fault, Interruption, Op, Plan, When, with_plan};
use crate::{AtomicWriter, Backup, ErrorKind, Step, TargetState, Version, sys};

pub(super) fn replace_backup(path: &Path) {
    replace(&path.with_file_name("target~"));
}

/// The backup was linked to a name that a save without its lock had taken meanwhile, and to rename
/// one name of a file to another of its names does nothing.
#[test]
fn what_others_do_at_the_name_of_the_backup_meanwhile_is_no_hindrance() {
    let link = |path: &Path| {
        let _ = fs_err::remove_file(path.with_file_name("target~"));
        fs_err::hard_link(path, path.with_file_name("target~")).unwrap();
    };
    let remove = |path: &Path| drop(fs_err::remove_file(path.with_file_name("target~")));
    let write = |path: &Path| fs_err::write(path.with_file_name("target~"), EARLIER).unwrap();
    for lacking in [None, Some(Op::Exchange)] {
        for action in [link as fn(&Path), remove, write] {
            let clean = BACKUPS.iter().find(|case| case.name == "backup over an earlier one");
            let clean = run_and_sweep(clean.unwrap(), usize::MAX, None).2.log;
            let publish = clean.iter().rposition(|op| *op == Op::Rename).unwrap();
            for at in 0..publish {
                let place = Place::new(Before::File).with_earlier(Some(OVER));
                let (path, when) = (place.path(), When::At(at));
                let interruptions = vec![Interruption { when, action, path: path.clone() }];
                let lacking = lacking.map(|op| (op, sys::lacking_error(op)));
                let lacking = Vec::from_iter(lacking);
                let plan = Plan { lacking, interruptions, ..Plan::default() };
                let save = move || with_plan(plan, || backup(&path));
                let (result, plan) = thread::spawn(save).join().unwrap();
                let name = format!("before {at}, {:?}: {result:?}", plan.log);
                assert_eq!(place.contents().as_deref(), Some(NEW), "{name}");
                let mut others = place.others();
                others.retain(|path| !path.ends_with("target~"));
                assert_eq!(others, Vec::<PathBuf>::new(), "{name}");
                result.unwrap();
            }
        }
    }
}

/// Somebody replaces the target at any moment of a save that expects another version and keeps a
/// backup of it: their file stays, and the backup is what it was.
#[test]
fn at_a_conflict_the_backup_is_undone() {
    let (mut conflicts, mut linked) = (0, 0);
    for (kept, lacking) in [(FRESH, None), (OVER, None), (FRESH, Some(Op::Link))] {
        let lacking = Vec::from_iter(lacking.map(|op| (op, sys::lacking_error(op))));
        for at in 0.. {
            let place = Place::new(Before::File).with_earlier(Some(kept));
            let (path, when) = (place.path(), When::At(at));
            let version = Version::of(&path).unwrap();
            let interruption = Interruption { when, action: replace, path: path.clone() };
            let (lacking, interruptions) = (lacking.clone(), vec![interruption]);
            let plan = Plan { lacking, interruptions, ..Plan::default() };
            let save = move || with_plan(plan, || suffix().expect(&version).write(&path, NEW));
            let (result, plan) = thread::spawn(save).join().unwrap();
            if plan.log.len() <= at {
                break;
            }
            let name = format!("{kept:?}, before {at}, {:?}: {result:?}", plan.log);
            let Err(error) = result else {
                // It came after all.
                assert_eq!(place.contents().as_deref(), Some(THEIRS), "{name}");
                assert_eq!(place.backup(kept).as_deref(), Some(OLD), "{name}");
                continue;
            };
            assert_eq!(error.kind(), ErrorKind::Conflict, "{name}");
            assert_eq!(error.target_state(), TargetState::Untouched, "{name}");
            assert_eq!(place.contents().as_deref(), Some(THEIRS), "{name}");
            assert_eq!(place.backup(kept).as_deref(), kept.before(), "{name}");
            let mut others = place.others();
            others.retain(|path| !path.ends_with(kept.name));
            assert_eq!(others, Vec::<PathBuf>::new(), "{name}");
            conflicts += 1;
            linked += usize::from(plan.log[..at].contains(&Op::Link));
        }
    }
    assert!(conflicts > 100 && linked > 20, "{conflicts} conflicts, {linked} after a link");
}

/// An exchange takes anything: a directory that had taken the name of the backup since the last
/// look would have been taken away with all that was in it.
#[test]
fn what_is_no_file_and_takes_the_name_meanwhile_stays_there() {
    let directory = |path: &Path| {
        let _ = fs_err::remove_file(path.with_file_name("target~"));
        fs_err::create_dir(path.with_file_name("target~")).unwrap();
    };
    let fifo = |path: &Path| {
        let _ = fs_err::remove_file(path.with_file_name("target~"));
        sys::make_fifo(&path.with_file_name("target~"));
    };
    let mut refused = 0;
    for action in [directory as fn(&Path), fifo] {
        for at in 0.. {
            let place = Place::new(Before::File).with_earlier(Some(OVER));
            let (path, when) = (place.path(), When::At(at));
            let interruptions = vec![Interruption { when, action, path: path.clone() }];
            let plan = Plan { interruptions, ..Plan::default() };
            let save = move || with_plan(plan, || backup(&path));
            let (result, plan) = thread::spawn(save).join().unwrap();
            let Some(Op::Exchange) = plan.log.get(at) else {
                if plan.log.len() <= at {
                    break;
                }
                continue;
            };
            let name = format!("before {at}, {:?}: {result:?}", plan.log);
            let error = result.unwrap_err();
            let kinds = [ErrorKind::IsADirectory, ErrorKind::SpecialFile];
            assert!(kinds.contains(&error.kind()), "{name}");
            assert_eq!(error.step(), Step::Backup, "{name}");
            assert_eq!(place.contents().as_deref(), Some(OLD), "{name}");
            let stays = fs_err::symlink_metadata(place.folder().join("target~")).unwrap();
            assert!(!stays.is_file(), "{name}");
            let names = fs_err::read_dir(place.folder()).unwrap();
            assert_eq!(names.count(), 2, "{name}");
            refused += 1;
        }
    }
    assert_eq!(refused, 2);
}

/// What somebody who knows of no lock has put at the name of the backup, before it is undone, is
/// theirs: it was removed, or the earlier backup took its place.
#[test]
fn what_others_have_put_there_since_stays() {
    let remove = |path: &Path| fs_err::remove_file(path.with_file_name("target~")).unwrap();
    for (action, is_there) in [(replace_backup as fn(&Path), true), (remove, false)] {
        for kept in [FRESH, OVER] {
            let case = BACKUPS.iter().find(|case| {
                case.name
                    == match kept.is_over {
                        true => "backup over an earlier one",
                        false => "backup",
                    }
            });
            let (_, _, clean) = run_and_sweep(case.unwrap(), usize::MAX, None);
            let publish = clean.log.iter().rposition(|op| *op == Op::Rename).unwrap();
            let failed = (publish, Fault::Error(rustix::io::Errno::IO.raw_os_error()));
            let place = Place::new(Before::File).with_earlier(Some(kept));
            let path = place.path();
            let interruption = Interruption { when: When::At(publish), action, path: path.clone() };
            let plan =
                Plan { at: Some(failed), interruptions: vec![interruption], ..Plan::default() };
            let save = move || with_plan(plan, || backup(&path));
            let (result, _) = thread::spawn(save).join().unwrap();
            let name = format!("{kept:?}: {result:?}");
            let error = result.unwrap_err();
            assert_eq!((error.step(), error.leftover()), (Step::Publish, None), "{name}");
            assert_eq!(place.contents().as_deref(), Some(OLD), "{name}");
            // An earlier one that was exchanged is put back where nothing is.
            let expected = if is_there { Some(THEIRS) } else { kept.before() };
            assert_eq!(place.backup(kept).as_deref(), expected, "{name}");
            let mut others = place.others();
            others.retain(|path| !path.ends_with("target~"));
            assert_eq!(others, Vec::<PathBuf>::new(), "{name}");
        }
    }
}

/// In the very moment in which the earlier backup is put back, somebody removes the new one: two
/// files cannot be exchanged then, and no sweep may take the only one that there is.
#[test]
fn an_earlier_backup_that_cannot_be_put_back_is_named() {
    let remove = |path: &Path| fs_err::remove_file(path.with_file_name("target~")).unwrap();
    let case = BACKUPS.iter().find(|case| case.name == "backup over an earlier one").unwrap();
    let clean = run_and_sweep(case, usize::MAX, None).2.log;
    let publish = clean.iter().rposition(|op| *op == Op::Rename).unwrap();
    let failed = Some((publish, Fault::Error(rustix::io::Errno::IO.raw_os_error())));
    let undone = run_and_sweep(case, usize::MAX, failed).2.log;
    let exchange = undone.iter().rposition(|op| *op == Op::Exchange).unwrap();
    assert!(exchange > publish, "{undone:?}");
    let place = Place::new(Before::File).with_earlier(Some(OVER));
    let path = place.path();
    let interruption =
        Interruption { when: When::At(exchange), action: remove, path: path.clone() };
    let plan = Plan { at: failed, interruptions: vec![interruption], ..Plan::default() };
    let (result, _) = with_plan(plan, || backup(&path));
    let error = result.unwrap_err();
    assert_eq!((error.step(), error.target_state()), (Step::Publish, TargetState::Untouched));
    let leftover = error.leftover().unwrap();
    assert!(leftover.to_string_lossy().ends_with(".swap.old"), "{error}");
    assert!(error.to_string().ends_with(".swap.old` stayed behind"), "{error}");
    let sweep = crate::sweep(place.folder()).unwrap();
    assert!(sweep.removed().is_empty(), "{sweep:?}");
    assert_eq!(fs_err::read(leftover).unwrap(), EARLIER);
    assert_eq!(place.others(), [leftover]);
}

/// Who takes the next number without the lock, again and again, does not keep the save for ever.
#[test]
fn a_number_is_not_looked_for_without_end() {
    let take = |path: &Path| {
        let names = fs_err::read_dir(path.parent().unwrap()).unwrap();
        // But for the target, its temp file and the file of the lock, all are numbered.
        let number = names.count() - 3 + 1;
        fs_err::write(path.with_file_name(format!("target.~{number}~")), EARLIER).unwrap();
    };
    let place = Place::new(Before::File);
    let path = place.path();
    let when = When::BeforeEach(Op::Link);
    let interruptions = vec![Interruption { when, action: take, path: path.clone() }];
    let plan = Plan { interruptions, ..Plan::default() };
    let save = || AtomicWriter::builder().backup(Backup::Numbered { keep: 1 }).write(&path, NEW);
    let (result, plan) = with_plan(plan, save);
    let links = plan.log.iter().filter(|op| **op == Op::Link).count();
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::AlreadyExists, Step::Backup));
    assert_eq!(error.target_state(), TargetState::Untouched);
    assert_eq!(links, 100);
    assert_eq!(place.contents().as_deref(), Some(OLD));
}
