//! Fails every operation of a journalled batch of three files and of its recovery, lets the process
//! die before each of them, and recovers: all files must be new or all must be old.

use std::path::PathBuf;
use std::thread;

use super::batches::{Place, new_of, portable};
use super::faults_of;
use super::place::sweep_when_free;
use super::steps::check_told;
use crate::fault::{Fault, Op, Plan, with_plan};
use crate::{
    AtomicBatch, BatchCommit, Builder, Durability, ErrorKind, Publish, Recovered, Recovery, Result,
    Step, SyncPlan, TargetState, recover, sys,
};

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) builder: fn() -> Builder,
    pub(super) lacking: &'static [Op],
}

pub(super) const CASES: &[Case] = &[
    Case { name: "plain", builder: portable, lacking: &[] },
    Case {
        name: "not durable",
        builder: || portable().durability(Durability::None).clone(),
        lacking: &[],
    },
    Case {
        name: "new ones are created",
        builder: || portable().publish(Publish::CreateNew).clone(),
        lacking: &[],
    },
    Case {
        name: "new ones by links",
        builder: || portable().publish(Publish::CreateNew).clone(),
        lacking: &[Op::RenameNoReplace],
    },
    Case {
        name: "existing ones are exchanged",
        builder: || portable().publish(Publish::Existing).clone(),
        lacking: &[],
    },
    Case { name: "directories cannot be synced", builder: portable, lacking: &[Op::SyncDirectory] },
];

/// Nothing comes of it that these failed: the file of the lock may stay, and of a file system that
/// nothing is known of everything is synced.
const SURVIVED: [Op; 4] = [Op::Identify, Op::Inspect, Op::Look, Op::RemoveSideFile];

impl Case {
    pub(super) fn place(&self) -> Place {
        Place::new((self.builder)().options.publish)
    }

    fn is_durable(&self) -> bool {
        (self.builder)().options.durability > Durability::None
    }

    pub(super) fn plan(&self, at: Option<(usize, Fault)>) -> Plan {
        let lacking = self.lacking.iter().map(|op| (*op, sys::lacking_error(*op))).collect();
        Plan { at, lacking, ..Plan::default() }
    }

    pub(super) fn commit(
        &self,
        place: &Place,
        at: Option<(usize, Fault)>,
    ) -> (Result<BatchCommit>, Plan) {
        on_a_thread(self.plan(at), || {
            let mut batch = AtomicBatch::new();
            batch.options(&(self.builder)());
            batch.journal(journal_of(place))?;
            for (index, (path, _)) in place.targets.iter().enumerate() {
                batch.write(path, new_of(index))?;
            }
            batch.commit()
        })
    }

    pub(super) fn recover(
        &self,
        place: &Place,
        at: Option<(usize, Fault)>,
    ) -> (Result<Recovery>, Plan) {
        on_a_thread(self.plan(at), || recover(journal_of(place)))
    }

    /// A commit that died before it published the second file.
    pub(super) fn died_halfway(&self) -> Place {
        let (_, plan) = self.commit(&self.place(), None);
        let is_publish =
            |op: &Op| [Op::Rename, Op::RenameNoReplace, Op::Link, Op::Exchange].contains(op);
        let publishes: Vec<usize> =
            (0..plan.log.len()).filter(|index| is_publish(&plan.log[*index])).collect();
        // The last three: the journal itself is published before.
        let second = publishes[publishes.len() - 2];
        let place = self.place();
        let _ = self.commit(&place, Some((second, Fault::Die)));
        assert!(journal_of(&place).exists());
        place.check(0, TargetState::Replaced, self.name);
        place.check(1, TargetState::Untouched, self.name);
        place
    }
}

/// What is known of the file systems is known by thread.
pub(super) fn on_a_thread<T: Send>(plan: Plan, scenario: impl FnOnce() -> T + Send) -> (T, Plan) {
    thread::scope(|scope| scope.spawn(|| with_plan(plan, scenario)).join().unwrap())
}

pub(super) fn journal_of(place: &Place) -> PathBuf {
    place.root.path().join("journal")
}

/// What is left besides the targets and the journal.
pub(super) fn others(place: &Place) -> Vec<PathBuf> {
    let mut others = place.others();
    others.retain(|path| *path != journal_of(place));
    others
}

fn sweep(place: &Place, name: &str) -> usize {
    let sweep = sweep_when_free(place.root.path());
    assert!(sweep.errors().is_empty(), "{name}: {sweep:?}");
    sweep.kept().len()
}

/// What comes first after a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Sweep,
    Recovery,
}

/// Recovers, and checks that all files are new or all are old, and that nothing is left.
#[track_caller]
fn check_recovered(place: &Place, name: &str, first: First) -> TargetState {
    let was_there = journal_of(place).exists();
    let kept = if first == First::Sweep { sweep(place, name) } else { 0 };
    assert!(kept == 0 || was_there, "{name}: kept without a journal");
    let recovery = recover(journal_of(place)).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    assert_eq!(recovery.files().len(), if was_there { 3 } else { 0 }, "{name}");
    let is_new = fs_err::read(&place.targets[0].0).is_ok_and(|it| it == new_of(0));
    let state = if is_new { TargetState::Replaced } else { TargetState::Untouched };
    assert!(is_new || !was_there, "{name}: recovered, and yet old");
    (0..3).for_each(|index| place.check(index, state, name));
    sweep(place, name);
    assert_eq!((others(place), journal_of(place).exists()), (Vec::new(), false), "{name}");
    assert_eq!(recover(journal_of(place)).unwrap().files().len(), 0, "{name}: again");
    state
}

#[test]
fn a_journalled_batch_is_committed_and_nothing_stays() {
    for case in CASES {
        let place = case.place();
        let (result, plan) = case.commit(&place, None);
        let commit = result.unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
        assert_eq!(commit.commits().len(), 3);
        (0..3).for_each(|index| place.check(index, TargetState::Replaced, case.name));
        assert_eq!((others(&place), journal_of(&place).exists()), (Vec::new(), false));
        assert!(plan.log.contains(&Op::OpenSideFile), "{}", case.name);
    }
}

#[test]
fn every_operation_of_a_journalled_batch_failed_once() {
    let (mut runs, mut recovered, mut old) = (0, 0, 0);
    for case in CASES {
        let (_, clean) = case.commit(&case.place(), None);
        for (index, op) in clean.log.iter().copied().enumerate() {
            for fault in faults_of(op) {
                let place = case.place();
                let (result, plan) = case.commit(&place, Some((index, fault)));
                let name = format!("{}: {index} {op:?} {fault:?}: {result:?}", case.name);
                assert_eq!(plan.log[index], op, "{name}: not the same run twice");
                check_result(&place, &result, op, &name);
                assert!(case.is_durable() || !plan.log.iter().any(is_sync), "{name}: {plan:?}");
                check_told(&result, fault, SURVIVED.contains(&op), &name);
                let is_there = journal_of(&place).exists();
                recovered += usize::from(is_there);
                if check_recovered(&place, &name, First::Sweep) == TargetState::Untouched {
                    old += 1;
                }
                runs += 1;
            }
        }
    }
    eprintln!("{runs} runs, {recovered} to be recovered, {old} all old");
    assert!(runs > 2000 && recovered > 100 && old > 500);
}

#[track_caller]
fn check_result(place: &Place, result: &Result<BatchCommit>, op: Op, name: &str) {
    let is_there = journal_of(place).exists();
    let Err(error) = result else {
        (0..3).for_each(|index| place.check(index, TargetState::Replaced, name));
        return assert!(!is_there, "{name}: the journal stayed");
    };
    let states: Vec<_> = error.files().map(|(_, state)| state).collect();
    let states = if states.len() == 3 { states } else { vec![TargetState::Untouched; 3] };
    (0..3).for_each(|index| place.check(index, states[index], name));
    // Its own removal may be done and reported as failed.
    if error.step() != Step::RemoveJournal && error.kind() != ErrorKind::RecoveryNeeded {
        let named = error.journal() == Some(&*journal_of(place));
        assert_eq!(named, is_there, "{name}: {op:?}: the journal and what is said of it");
    }
    if !is_there {
        let is_one = |state| states.iter().all(|it| *it == state);
        let is_whole = is_one(TargetState::Untouched) || is_one(TargetState::Replaced);
        assert!(is_whole, "{name}: halfway without a journal");
    }
}

#[test]
fn the_process_dies_before_every_operation_of_a_journalled_batch() {
    let (mut deaths, mut old, mut new) = (0, 0, 0);
    for (case, first) in dying() {
        for index in 0.. {
            let place = case.place();
            let (_, plan) = case.commit(&place, Some((index, Fault::Die)));
            if plan.log.len() <= index {
                break;
            }
            deaths += 1;
            let name = format!("{}: {first:?} after {index}, {:?}", case.name, plan.log[index]);
            match check_recovered(&place, &name, first) {
                TargetState::Untouched => old += 1,
                _ => new += 1,
            }
        }
    }
    eprintln!("{deaths} deaths, {old} all old, {new} all new");
    assert!(deaths > 400 && old > 200 && new > 100);
}

/// A sweep removes what is not marked any more, so that a recovery that comes after it never meets
/// a staging directory that is about to go.
fn dying() -> impl Iterator<Item = (&'static Case, First)> {
    CASES.iter().flat_map(|case| [(case, First::Sweep), (case, First::Recovery)])
}

#[test]
fn every_operation_of_a_recovery_failed_once() {
    let (mut runs, mut failed) = (0, 0);
    for case in CASES {
        let (clean, plan) = case.recover(&case.died_halfway(), None);
        let how: Vec<_> = clean.unwrap().files().map(|(_, how)| how).collect();
        assert_eq!(how, [Recovered::Before, Recovered::Now, Recovered::Now]);
        for (index, op) in plan.log.iter().copied().enumerate() {
            for fault in faults_of(op) {
                let place = case.died_halfway();
                let (result, _) = case.recover(&place, Some((index, fault)));
                let name = format!("{}: {index} {op:?} {fault:?}: {result:?}", case.name);
                if let Err(error) = &result {
                    failed += 1;
                    let states: Vec<_> = error.files().map(|(_, state)| state).collect();
                    if states.len() == 3 {
                        (0..3).for_each(|index| place.check(index, states[index], &name));
                    }
                }
                assert!(result.is_ok() || !fault_is_harmless(&result), "{name}");
                check_told(&result, fault, SURVIVED.contains(&op), &name);
                assert_eq!(
                    check_recovered(&place, &name, First::Sweep),
                    TargetState::Replaced,
                    "{name}"
                );
                runs += 1;
            }
        }
    }
    eprintln!("{runs} runs, {failed} failed");
    assert!(runs > 1000 && failed > 500);
}

/// A signal is no reason to fail.
fn fault_is_harmless(result: &Result<Recovery>) -> bool {
    let error = result.as_ref().err().and_then(|error| error.io_error());
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::Interrupted)
}

#[test]
fn the_process_dies_before_every_operation_of_a_recovery() {
    let mut deaths = 0;
    for (case, first) in dying() {
        for index in 0.. {
            let place = case.died_halfway();
            let (_, plan) = case.recover(&place, Some((index, Fault::Die)));
            if plan.log.len() <= index {
                break;
            }
            deaths += 1;
            let name = format!("{}: {first:?} after {index}, {:?}", case.name, plan.log[index]);
            // The first to try again dies as well.
            let _ = case.recover(&place, Some((index / 2, Fault::Die)));
            assert_eq!(check_recovered(&place, &name, first), TargetState::Replaced, "{name}");
        }
    }
    eprintln!("{deaths} deaths");
    assert!(deaths > 200);
}

/// What a journal needs is durable before it is, and nothing is removed before all is durable.
#[test]
fn the_syncs_of_a_journalled_batch_are_where_they_must_be() {
    let case = &CASES[0];
    let place = case.place();
    let (_, plan) = with_plan(Plan { pretending: vec![Op::Identify], ..case.plan(None) }, || {
        let mut batch = AtomicBatch::new();
        batch.options(portable().sync_plan(SyncPlan::Fewest));
        batch.journal(journal_of(&place)).unwrap();
        for (index, (path, _)) in place.targets.iter().enumerate() {
            batch.write(path, new_of(index)).unwrap();
        }
        assert!(
            batch.commit().unwrap().commits().iter().all(|it| it.sync_plan() == SyncPlan::Portable)
        );
    });
    let ops = steps_of(&plan);
    let (file, names, out) = (Op::SyncFile, Op::SyncDirectory, Op::WriteOut);
    #[rustfmt::skip]
    let expected = [
        file, out, names,        // the contents
        file,                    // the marks
        names,                   // the staged names
        file, Op::RenameNoReplace, names, // the journal
        Op::Rename, names,
        Op::RemoveEntry, Op::RemoveDirectory, Op::RemoveEntry, Op::RemoveDirectory,
        Op::RemoveEntry, names,  // the journal again
    ];
    assert_eq!(ops, expected);
    assert_eq!(plan.log.iter().filter(|op| **op == Op::Rename).count(), 3);

    let (recovery, plan) = case.recover(&case.died_halfway(), None);
    assert_eq!(recovery.unwrap().files().len(), 3);
    // From the sync of the journal's name on: who died may not have come to that. A recovery that
    // left it out published files on one disk by a journal that was not yet on another, and a power
    // cut then left some files new, some old, and nothing to complete them by.
    assert_eq!(steps_of(&plan), expected[expected.len() - 9..]);
}

/// The removal of the journal was synced under `Full` alone. Under `Ordered` a power cut could
/// bring it back after the files had been saved anew: every recovery then refused, and every batch.
#[test]
fn a_journal_that_was_removed_does_not_come_back() {
    for durability in [Durability::None, Durability::Ordered, Durability::Full] {
        let place = CASES[0].place();
        let (_, plan) = on_a_thread(CASES[0].plan(None), || {
            let mut batch = AtomicBatch::new();
            batch.options(portable().durability(durability));
            batch.journal(journal_of(&place)).unwrap();
            batch.write(&place.targets[0].0, new_of(0)).unwrap();
            batch.commit().unwrap()
        });
        let steps = steps_of(&plan);
        let last = |op: Op| steps.iter().rposition(|it| *it == op).unwrap();
        // Else the journal is gone for certain while the name of a file is not yet there.
        let are_names_first = steps[last(Op::Rename) + 1] == Op::SyncDirectory;
        assert_eq!(are_names_first, durability > Durability::None, "{durability}: {steps:?}");
        let removal = last(Op::RemoveEntry);
        let synced = if durability == Durability::None { &[][..] } else { &[Op::SyncDirectory] };
        assert_eq!(&steps[removal + 1..], synced, "{durability}: {steps:?}");
    }
}

fn is_sync(op: &Op) -> bool {
    [Op::SyncFile, Op::SyncDirectory, Op::WriteOut].contains(op)
}

/// What is published, synced and removed, in this order, and how often does not matter.
fn steps_of(plan: &Plan) -> Vec<Op> {
    let is_of_interest = |op: &&Op| {
        let ops = [Op::SyncFile, Op::SyncDirectory, Op::WriteOut, Op::Rename, Op::RenameNoReplace];
        ops.contains(op) || [Op::RemoveEntry, Op::RemoveDirectory].contains(op)
    };
    let mut ops: Vec<Op> = plan.log.iter().filter(is_of_interest).copied().collect();
    ops.dedup();
    ops
}
