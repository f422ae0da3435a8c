//! Somebody else saves, removes or sweeps before each operation of a save that expects a version.
//! They know nothing of locks or versions, and must lose nothing for that.

mod failing;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::thread;

use super::cases::{Before, NEW};
use super::place::Place;
use crate::fault::{Fault, Interruption, Op, Plan, When, with_plan};
use crate::{
    AtomicWriter, Builder, Commit, Durability, Error, ErrorKind, Lock, Result, Staging,
    TargetState, Tracking, Version, VersionCheck, sys,
};

struct Case {
    name: &'static str,
    lacking: &'static [Op],
    see: fn(&Path) -> Result<Version>,
    set: fn(&mut Builder) -> &mut Builder,
}

const CASES: &[Case] = &[
    Case { name: "plain", lacking: &[], see: metadata, set: |builder| builder },
    Case {
        name: "tracked",
        lacking: &[],
        see: metadata,
        set: |builder| builder.tracking(Tracking::Metadata),
    },
    Case {
        name: "contents",
        lacking: &[],
        see: contents,
        set: |builder| builder.tracking(Tracking::Contents),
    },
    Case {
        name: "locked",
        lacking: &[],
        see: metadata,
        set: |builder| builder.lock(Lock::Wait).durability(Durability::None),
    },
    Case {
        name: "streamed",
        lacking: &[],
        see: metadata,
        set: |builder| builder.buffer_size(4).staging(Staging::Unnamed),
    },
    Case { name: "without locks", lacking: &[Op::Lock], see: metadata, set: |builder| builder },
];

fn metadata(path: &Path) -> Result<Version> {
    Version::of(path)
}

fn contents(path: &Path) -> Result<Version> {
    Version::with_contents_of(path)
}

thread_local! {
    /// How often somebody else has saved.
    static SAVES: Cell<usize> = const { Cell::new(0) };
}

fn moved_away(path: &Path) -> PathBuf {
    path.with_file_name("moved away")
}

fn theirs(save: usize) -> Vec<u8> {
    format!("theirs, {save}").into_bytes()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Replace,
    ChangeInPlace,
    Remove,
    /// To a name of its own, as who rotates logs does.
    MoveAway,
    Sweep,
}

impl Deed {
    fn at(self, index: usize) -> (When, Deed) {
        (When::At(index), self)
    }

    fn action(self) -> fn(&Path) {
        match self {
            Deed::Replace => |path| {
                let other = path.with_file_name("somebody else's");
                fs_err::write(&other, theirs(SAVES.get() + 1)).unwrap();
                fs_err::rename(other, path).unwrap();
                SAVES.set(SAVES.get() + 1);
            },
            Deed::ChangeInPlace => |path| {
                fs_err::write(path, theirs(SAVES.get() + 1)).unwrap();
                SAVES.set(SAVES.get() + 1);
            },
            Deed::Remove => |path| fs_err::remove_file(path).unwrap(),
            Deed::MoveAway => |path| fs_err::rename(path, moved_away(path)).unwrap(),
            Deed::Sweep => |path| drop(crate::sweep(path.parent().unwrap()).unwrap()),
        }
    }
}

/// Where there are no locks, a sweep takes nothing; but here only the save has none.
fn can_sweep(case: &Case) -> bool {
    !case.lacking.contains(&Op::Lock)
}

struct Run {
    place: Place,
    result: Result<Commit>,
    plan: Plan,
    saves: usize,
}

impl Run {
    /// The contents that somebody else saved last.
    fn theirs(&self) -> Vec<u8> {
        theirs(self.saves)
    }

    fn target(&self) -> Option<Vec<u8>> {
        self.place.contents()
    }

    fn error(&self) -> &Error {
        self.result.as_ref().unwrap_err()
    }

    #[track_caller]
    fn check_conflict(&self, name: &str) {
        let error = self.error();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{name}: {error:?}");
        assert_eq!(error.target_state(), TargetState::Untouched, "{name}: {error:?}");
    }

    #[track_caller]
    fn check_nothing_is_left(&self, name: &str) {
        assert_eq!(self.place.others(), Vec::<PathBuf>::new(), "{name}: {:?}", self.result);
    }
}

fn run(case: &Case, deeds: &[(When, Deed)], at: Option<(usize, Fault)>) -> Run {
    let place = Place::new(Before::File);
    let path = place.path();
    let interruptions = deeds.iter().map(|(when, deed)| {
        let (action, path) = (deed.action(), path.clone());
        Interruption { when: *when, action, path }
    });
    let interruptions = interruptions.collect();
    let lacking = case.lacking.iter().map(|op| (*op, sys::lacking_error(*op))).collect();
    let plan = Plan { at, lacking, interruptions, ..Plan::default() };
    let mut builder = AtomicWriter::builder();
    (case.set)(&mut builder).expect(&(case.see)(&path).unwrap());
    let save = move || {
        let (result, plan) = with_plan(plan, || builder.write(path, NEW));
        (result, plan, SAVES.get())
    };
    let (result, plan, saves) = thread::spawn(save).join().unwrap();
    Run { place, result, plan, saves }
}

/// The operation before which an intruder comes too late to be seen by a look.
fn exchange_in(clean: &Run) -> usize {
    clean.plan.log.iter().position(|op| *op == Op::Exchange).expect("files can be exchanged here")
}

fn clean(case: &Case) -> Run {
    let clean = run(case, &[], None);
    let commit = clean.result.as_ref().unwrap();
    assert_eq!(commit.version_check(), Some(VersionCheck::Atomic), "{}", case.name);
    assert_eq!(clean.target().as_deref(), Some(NEW), "{}", case.name);
    clean.check_nothing_is_left(case.name);
    clean
}

#[test]
fn without_an_exchange_the_target_is_looked_at_under_the_lock() {
    for see in [metadata, contents] {
        let case = Case { name: "", lacking: &[Op::Exchange], see, set: |builder| builder };
        let clean = run(&case, &[], None);
        let commit = clean.result.as_ref().unwrap();
        assert_eq!(commit.version_check(), Some(VersionCheck::UnderLock));
        // It is looked at as late as can be: after that comes only the rename.
        let log = &clean.plan.log;
        let rename = log.iter().rposition(|op| *op == Op::Rename).unwrap();
        assert_eq!(log[rename - 1], Op::Look);
        for index in 0..rename {
            let run = run(&case, &[Deed::Replace.at(index)], None);
            run.check_conflict(&format!("before {index}"));
            assert_eq!(run.target(), Some(run.theirs()));
            run.check_nothing_is_left("");
        }
    }
}

#[test]
fn whoever_saves_or_removes_at_any_moment_has_the_last_word() {
    let mut conflicts = 0;
    for case in CASES {
        let clean = clean(case);
        let exchange = exchange_in(&clean);
        let is_look = |op: &Op| *op == Op::Look;
        let look = clean.plan.log[..exchange].iter().rposition(is_look).unwrap();
        for deed in [Deed::Replace, Deed::ChangeInPlace, Deed::Remove] {
            for index in 0..clean.plan.log.len() {
                let name = format!("{}: {deed:?} before {index}", case.name);
                let run = run(case, &[deed.at(index)], None);
                let expected = (run.saves > 0).then(|| run.theirs());
                assert_eq!(run.target(), expected, "{name}: {:?}", run.result);
                run.check_nothing_is_left(&name);
                if index <= exchange {
                    run.check_conflict(&name);
                    conflicts += 1;
                    // Nor did a reader see anything else meanwhile, if it was in time for the look.
                    assert!(index > look || !run.plan.log.contains(&Op::Exchange), "{name}");
                } else {
                    let commit = run.result.as_ref().unwrap();
                    // What they did is no part of it, or the next save would undo it unseen.
                    let is_current = |version: &Version| version.is_current().unwrap();
                    assert!(!commit.version().is_some_and(is_current), "{name}: {commit:?}");
                }
            }
        }
    }
    assert!(conflicts > 100, "only {conflicts} conflicts");
}

/// Who replaces the target in the moment between the exchange and the one that takes it back has
/// the newest contents, and these must not be lost to what is put back.
#[test]
fn nor_is_a_second_or_a_third_one_lost_while_the_first_is_put_back() {
    let mut runs = 0;
    for case in CASES {
        let exchange = exchange_in(&clean(case));
        let first = Deed::Replace.at(exchange);
        let alone = run(case, &[first], None);
        alone.check_conflict(case.name);
        for second in exchange + 1..alone.plan.log.len() {
            let deeds = [first, Deed::Replace.at(second)];
            let two = run(case, &deeds, None);
            let name = format!("{} at {exchange} and {second}", case.name);
            two.check_conflict(&name);
            assert_eq!(two.target(), Some(two.theirs()), "{name}");
            two.check_nothing_is_left(&name);
            for third in second + 1..two.plan.log.len() {
                for deed in [Deed::Replace, Deed::Remove, Deed::Sweep] {
                    if deed == Deed::Sweep && !can_sweep(case) {
                        continue;
                    }
                    let name = format!("{name} and {third}");
                    let deeds = [first, Deed::Replace.at(second), deed.at(third)];
                    let three = run(case, &deeds, None);
                    three.check_conflict(&name);
                    let is_there = deed != Deed::Remove;
                    assert_eq!(three.target(), is_there.then(|| three.theirs()), "{name}");
                    three.check_nothing_is_left(&name);
                    runs += 1;
                }
            }
        }
    }
    assert!(runs > 100, "only {runs} runs");
}

/// A save of somebody else's was gone if a third program moved the target away in the moment
/// between the exchange and the one that takes it back: what it moved was the new file, but the
/// put-back found no target, took it for removed, and removed what had been displaced.
#[test]
fn nor_is_what_was_displaced_lost_when_the_target_is_moved_away() {
    let (mut moves, mut put_back) = (0, 0);
    for case in CASES {
        let exchange = exchange_in(&clean(case));
        let first = Deed::Replace.at(exchange);
        let log = run(case, &[first], None).plan.log;
        for index in exchange + 1..log.len() {
            let name = format!("{} moved away before {index}", case.name);
            let run = run(case, &[first, Deed::MoveAway.at(index)], None);
            run.check_conflict(&name);
            let moved = run.place.others();
            assert_eq!(moved, [moved_away(&run.place.path())], "{name}: {:?}", run.result);
            let moved = fs_err::read(&moved[0]).unwrap();
            let target = run.target();
            moves += 1;
            if moved == NEW {
                assert_eq!(target, Some(run.theirs()), "{name}: {:?}", run.result);
                put_back += 1;
            } else {
                assert_eq!((moved, target), (run.theirs(), None), "{name}: {:?}", run.result);
            }
        }
    }
    assert!(moves > put_back && put_back >= CASES.len(), "{moves} moves, {put_back} put back");
}

/// And when somebody else has saved again by the time that it could be put back.
#[test]
fn nor_is_it_lost_when_the_name_is_taken_by_then() {
    for case in CASES {
        let exchange = exchange_in(&clean(case));
        let deeds = [Deed::Replace.at(exchange), Deed::MoveAway.at(exchange + 1)];
        let log = run(case, &deeds, None).plan.log;
        let back = log[exchange..].iter().position(|op| *op == Op::RenameNoReplace);
        let back = exchange + back.expect("it is put back");
        let run = run(case, &[deeds[0], deeds[1], Deed::Replace.at(back)], None);
        let error = run.error();
        let became = (error.kind(), error.target_state());
        assert_eq!(became, (ErrorKind::Conflict, TargetState::Unknown), "{}: {error:?}", case.name);
        assert_eq!(fs_err::read(error.leftover().unwrap()).unwrap(), theirs(1), "{}", case.name);
        assert_eq!(run.target(), Some(theirs(2)), "{}", case.name);
    }
}

/// What was displaced has nobody's lock, and a sweep that takes it for an orphan would destroy the
/// only copy of what somebody else has saved.
#[test]
fn a_sweep_at_any_moment_takes_nothing_away() {
    for case in CASES.iter().filter(|case| can_sweep(case)) {
        let clean = clean(case);
        let exchange = exchange_in(&clean);
        let conflict = run(case, &[Deed::Replace.at(exchange)], None);
        for index in 0..conflict.plan.log.len() {
            let name = format!("{} swept before {index}", case.name);
            let swept = run(case, &[Deed::Sweep.at(index)], None);
            assert_eq!(swept.target().as_deref(), Some(NEW), "{name}: {:?}", swept.result);
            if index <= exchange {
                continue;
            }
            let deeds = [Deed::Replace.at(exchange), Deed::Sweep.at(index)];
            let both = run(case, &deeds, None);
            both.check_conflict(&name);
            assert_eq!(both.target(), Some(both.theirs()), "{name}");
            both.check_nothing_is_left(&name);
        }
    }
}

#[test]
fn whoever_never_stops_is_given_way_to_and_not_lost() {
    for case in CASES {
        let run = run(case, &[(When::BeforeEach(Op::Exchange), Deed::Replace)], None);
        let error = run.error();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
        assert_eq!(error.target_state(), TargetState::Unknown, "{error:?}");
        let leftover = error.leftover().unwrap().to_path_buf();
        assert!(error.to_string().contains("the old contents are in"), "{error}");
        let contents = [run.target().unwrap(), fs_err::read(&leftover).unwrap()];
        assert!(contents.contains(&run.theirs()), "{}: {:?}", case.name, run.saves);
        assert!(run.saves > 50, "gave up after {}", run.saves);
        // No sweep takes it.
        Deed::Sweep.action()(&run.place.path());
        assert_eq!(run.place.others(), [leftover]);
    }
}
