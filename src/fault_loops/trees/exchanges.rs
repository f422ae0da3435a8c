//! What becomes of the target and of the old tree where their exchange goes wrong, or the rename of
//! a new tree.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

use super::intruders::{PRECIOUS, run, take_place};
use super::{Before, Place, tree_at};
use crate::fault::{Fault, Interruption, Op, Plan, When};
use crate::{AtomicDir, DirCommit, ErrorKind, Result, Step, TargetState, sys};

fn publish(place: &Place, plan: Plan) -> (Result<DirCommit>, Plan) {
    let target = place.target();
    run(plan, || {
        let staged = AtomicDir::builder().open(target)?;
        staged.write("index", "new")?;
        staged.commit()
    })
}

pub(super) fn error(errno: Errno) -> Fault {
    Fault::Error(errno.raw_os_error())
}

pub(super) fn done(errno: Errno) -> Fault {
    Fault::DoneThenError(errno.raw_os_error())
}

pub(super) fn failing(index: usize, fault: Fault) -> Plan {
    Plan { at: Some((index, fault)), ..Plan::default() }
}

pub(super) fn meddling(when: When, action: fn(&Path), path: PathBuf) -> Plan {
    Plan { interruptions: vec![Interruption { when, action, path }], ..Plan::default() }
}

pub(super) fn count(plan: &Plan, op: Op) -> usize {
    plan.log.iter().filter(|it| **it == op).count()
}

pub(super) fn last(plan: &Plan, op: Op) -> usize {
    plan.log.iter().rposition(|it| *it == op).unwrap_or_else(|| panic!("no {op:?}: {plan:?}"))
}

/// The exchange of a commit that nobody disturbs.
fn exchange() -> usize {
    let (clean, plan) = publish(&Place::new(Before::Tree), Plan::default());
    clean.unwrap();
    assert_eq!(count(&plan, Op::Exchange), 1);
    last(&plan, Op::Exchange)
}

fn index(place: &Place) -> String {
    fs_err::read_to_string(place.target().join("index")).unwrap()
}

/// The one folder that stayed, which the error names, and with it what was displaced.
#[track_caller]
fn kept(place: &Place, error: &crate::Error) -> PathBuf {
    let leftovers: Vec<PathBuf> = error.leftovers().map(PathBuf::from).collect();
    let [folder] = &leftovers[..] else { panic!("{error:?}") };
    assert!(place.others().contains(folder), "{error:?}");
    folder.join("tree")
}

/// Somebody else was faster, or there are no exchanges here, or the disk is broken; and whatever a
/// network file system says, it may have done it.
#[test]
fn what_an_exchange_says_and_has_done_decides_what_becomes_of_both_trees() {
    let exchange = exchange();
    let old = Place::new(Before::Tree).tree().unwrap();
    let untouched = |kind| Err((kind, TargetState::Untouched));
    let replaced = |kind| Err((kind, TargetState::Replaced));
    for (fault, expected, exchanges) in [
        (error(Errno::INVAL), untouched(ErrorKind::Unsupported), 1),
        (error(Errno::XDEV), untouched(ErrorKind::Unsupported), 1), // as overlayfs says it
        (error(Errno::IO), untouched(ErrorKind::Io), 1),
        (error(Errno::NOENT), Ok(()), 2),
        (error(Errno::EXIST), Ok(()), 2),
        (done(Errno::IO), replaced(ErrorKind::Io), 1),
        (done(Errno::NOENT), replaced(ErrorKind::NotFound), 1),
    ] {
        let place = Place::new(Before::Tree);
        let (result, plan) = publish(&place, failing(exchange, fault));
        let name = format!("{fault:?}: {result:?}");
        let told = result.as_ref().map(drop).map_err(|it| (it.kind(), it.target_state()));
        assert_eq!(told, expected, "{name}");
        assert_eq!(count(&plan, Op::Exchange), exchanges, "{name}");
        match &result {
            Err(error) if error.target_state() == TargetState::Replaced => {
                // Nothing is worth more after a failure than the old tree.
                assert_eq!(tree_at(&kept(&place, error)), old, "{name}");
                assert_eq!(index(&place), "new", "{name}");
            }
            _ => {
                assert_eq!(place.others(), Vec::<PathBuf>::new(), "{name}");
                assert_eq!(index(&place), if result.is_ok() { "new" } else { "old" }, "{name}");
            }
        }
    }
}

#[test]
fn an_old_tree_stays_where_nobody_knows_what_an_exchange_has_done() {
    let exchange = exchange();
    let place = Place::new(Before::Tree);
    let meddling = meddling(When::At(exchange + 1), take_place, place.target());
    let at = Some((exchange, done(Errno::IO)));
    let (result, _) = publish(&place, Plan { at, ..meddling });
    let error = result.unwrap_err();
    assert_eq!((error.step(), error.target_state()), (Step::Publish, TargetState::Unknown));
    let old = Place::new(Before::Tree).tree().unwrap();
    assert_eq!(tree_at(&kept(&place, &error)), old);
    assert_eq!(fs_err::read_to_string(place.target()).unwrap(), PRECIOUS);
}

/// Whatever has the target's name by then, a tree that is where it was staged has not taken it.
#[test]
fn a_tree_that_is_where_it_was_staged_has_replaced_nothing() {
    let exchange = exchange();
    let place = Place::new(Before::Tree);
    let meddling = meddling(When::At(exchange), take_place, place.target());
    let at = Some((exchange, error(Errno::IO)));
    let (result, _) = publish(&place, Plan { at, ..meddling });
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.target_state()), (ErrorKind::Io, TargetState::Untouched));
    assert_eq!(place.others(), [place.root.path().join("moved")]);
    assert_eq!(fs_err::read_to_string(place.target()).unwrap(), PRECIOUS);
}

#[test]
fn a_target_that_is_as_it_was_is_untouched_though_the_staged_tree_is_gone() {
    static TURNS: AtomicUsize = AtomicUsize::new(0);
    let remove: fn(&Path) = |staged| match TURNS.fetch_add(1, Ordering::Relaxed) {
        0 => fs_err::remove_dir_all(staged).unwrap(),
        turns => assert!(turns < 100, "it goes on for ever"),
    };
    let place = Place::new(Before::Tree);
    let staged = AtomicDir::builder().open(place.target()).unwrap();
    let always = When::BeforeEach(Op::Exchange);
    let meddling = meddling(always, remove, staged.path().to_path_buf());
    let (result, plan) = run(meddling, || staged.commit());
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.target_state()), (ErrorKind::NotFound, TargetState::Untouched));
    assert_eq!(count(&plan, Op::Exchange), 8);
    assert_eq!((index(&place).as_str(), place.others()), ("old", Vec::new()));
}

/// Moves the target away, as often as there are spare files for it.
fn leave(target: &Path) {
    if take_spare(target).is_some() {
        fs_err::rename(target, target.with_file_name("moved")).unwrap();
    }
}

fn come_back(target: &Path) {
    fs_err::rename(target.with_file_name("moved"), target).unwrap();
}

/// Takes one of the spare files beside the target.
fn take_spare(target: &Path) -> Option<()> {
    let spare = fs_err::read_dir(target.with_file_name("spares")).unwrap().next()?;
    fs_err::remove_file(spare.unwrap().path()).unwrap();
    Some(())
}

#[test]
fn a_target_that_comes_and_goes_is_not_waited_for_for_ever() {
    let place = Place::new(Before::Tree);
    let spares = place.root.path().join("spares");
    fs_err::create_dir(&spares).unwrap();
    for number in 0..6 {
        fs_err::write(spares.join(number.to_string()), "").unwrap();
    }
    let target = place.target();
    let meddling = [(Op::Exchange, leave as fn(&Path)), (Op::RenameNoReplace, come_back)];
    let interruptions = meddling.map(|(op, action)| {
        let (when, path) = (When::BeforeEach(op), target.clone());
        Interruption { when, action, path }
    });
    let plan = Plan { interruptions: interruptions.into(), ..Plan::default() };
    let (result, plan) = run(plan, || AtomicDir::builder().open(&target)?.commit());
    let error = result.unwrap_err();
    let told = (error.io_error().map(std::io::Error::kind), error.target_state());
    assert_eq!(told, (Some(std::io::ErrorKind::AlreadyExists), TargetState::Untouched));
    assert_eq!((count(&plan, Op::Exchange), count(&plan, Op::RenameNoReplace)), (4, 4));
    assert_eq!((index(&place).as_str(), place.others()), ("old", vec![spares]));
}

/// What took the name of the new tree at the last moment is looked at as what was there before;
/// whatever else is wrong is no reason to try once more.
#[test]
fn what_a_rename_of_a_new_tree_says_decides_whether_it_is_tried_again() {
    let lacking = [(Op::RenameNoReplace, sys::lacking_error(Op::RenameNoReplace))];
    let without = Plan { lacking: lacking.into(), ..Plan::default() };
    for (plan, op, errno, is_survived, moves) in [
        (Plan::default(), Op::RenameNoReplace, Errno::INVAL, true, 1),
        (Plan::default(), Op::RenameNoReplace, Errno::IO, false, 0),
        (without.clone(), Op::MoveDirectory, Errno::NOTEMPTY, true, 2),
        (without.clone(), Op::MoveDirectory, Errno::NOTDIR, true, 2),
        (without, Op::MoveDirectory, Errno::IO, false, 1),
    ] {
        let (clean, log) = publish(&Place::new(Before::Nothing), plan.clone());
        clean.unwrap();
        let place = Place::new(Before::Nothing);
        let at = Some((last(&log, op), error(errno)));
        let (result, log) = publish(&place, Plan { at, ..plan });
        let name = format!("{op:?} {errno:?}: {result:?}");
        assert_eq!(count(&log, Op::MoveDirectory), moves, "{name}");
        assert_eq!((result.is_ok(), place.target().exists()), (is_survived, is_survived), "{name}");
        if let Err(error) = result {
            let told = (error.kind(), error.target_state());
            assert_eq!(told, (ErrorKind::Io, TargetState::Untouched), "{name}");
        }
        assert_eq!(place.others(), Vec::<PathBuf>::new(), "{name}");
    }
}

#[test]
fn what_cannot_be_put_back_is_kept_and_named() {
    let exchange = exchange();
    let publish_beside = |at| {
        let place = Place::new(Before::Tree);
        let meddling = meddling(When::At(exchange), take_place, place.target());
        let (result, plan) = publish(&place, Plan { at, ..meddling });
        (place, result.unwrap_err(), plan)
    };
    let (_, put_back, plan) = publish_beside(None);
    assert_eq!(put_back.target_state(), TargetState::Untouched);
    assert_eq!(count(&plan, Op::Exchange), 2);
    let at = Some((last(&plan, Op::Exchange), error(Errno::IO)));
    let (place, error, _) = publish_beside(at);
    let told = (error.kind(), error.step(), error.target_state());
    assert_eq!(told, (ErrorKind::Io, Step::Publish, TargetState::Replaced));
    assert_eq!(fs_err::read_to_string(kept(&place, &error)).unwrap(), PRECIOUS);
    assert_eq!(index(&place), "new");
}

#[test]
fn an_old_tree_stays_where_the_name_of_the_new_one_is_not_synced() {
    let (clean, plan) = publish(&Place::new(Before::Tree), Plan::default());
    clean.unwrap();
    let place = Place::new(Before::Tree);
    let old = place.tree().unwrap();
    let sync = failing(last(&plan, Op::SyncDirectory), error(Errno::IO));
    let error = publish(&place, sync).0.unwrap_err();
    let told = (error.step(), error.target_state());
    assert_eq!(told, (Step::SyncDirectory, TargetState::Replaced));
    assert_eq!(tree_at(&kept(&place, &error)), old);
    // A new tree has nothing that would be kept.
    let (clean, plan) = publish(&Place::new(Before::Nothing), Plan::default());
    clean.unwrap();
    let place = Place::new(Before::Nothing);
    let sync = failing(last(&plan, Op::SyncDirectory), self::error(Errno::IO));
    let error = publish(&place, sync).0.unwrap_err();
    assert_eq!(error.target_state(), TargetState::Replaced);
    assert_eq!((error.leftovers().count(), place.others().len()), (0, 0));
    assert_eq!(index(&place), "new");
}
