//! Single faults of journals, and what they once led to.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::batches::{Place, new_of, portable};
use super::journals::{CASES, Case, journal_of, on_a_thread, others};
use crate::fault::{Fault, Interruption, Op, Plan, When};
use crate::many::stage::JOURNAL;
use crate::{
    AtomicBatch, BatchCommit, Builder, ErrorKind, Publish, Result, Step, TargetState, recover, sys,
};

/// The temp file of a journal that could neither be published nor removed stayed, and nobody was
/// told: what the error named was overwritten by what the batch itself had left, which was nothing.
#[test]
fn what_stays_of_a_journal_that_is_not_written_is_named() {
    let case = Case { name: "unremoved", builder: portable, lacking: &[Op::RemoveTemp] };
    let (_, clean) = case.commit(&case.place(), None);
    let publish = clean.log.iter().position(|op| *op == Op::RenameNoReplace).unwrap();
    let place = case.place();
    let io_error = rustix::io::Errno::IO.raw_os_error();
    let (result, _) = case.commit(&place, Some((publish, Fault::Error(io_error))));
    let error = result.unwrap_err();
    let named: Vec<_> = error.leftovers().map(PathBuf::from).collect();
    assert_eq!((named.len(), named), (1, others(&place)), "{error:?}");
}

/// As long as there is a journal, a recovery may need what an exchange has displaced.
#[test]
fn what_was_displaced_stays_until_the_journal_is_gone() {
    fn existing() -> Builder {
        portable().publish(Publish::Existing).clone()
    }
    let case = Case { name: "existing", builder: existing, lacking: &[] };
    let (result, plan) = case.commit(&case.place(), None);
    result.unwrap();
    let exchange = plan.log.iter().position(|op| *op == Op::Exchange).expect("it exchanges");
    let is_removal = |op: &&Op| [Op::RemoveTemp, Op::RemoveEntry].contains(op);
    let first = plan.log[exchange..].iter().find(is_removal);
    assert_eq!(first, Some(&Op::RemoveEntry), "that of the journal");
}

/// At every start of a program, and mostly there is none.
#[test]
fn where_there_is_no_journal_nothing_is_made() {
    let place = CASES[0].place();
    let (recovery, plan) = CASES[0].recover(&place, None);
    assert_eq!(recovery.unwrap().files().len(), 0);
    assert_eq!(plan.log, [Op::OpenDirectory, Op::Look, Op::Inspect], "that would take a right");
}

/// They were named only if the journal could be removed.
#[test]
fn the_stages_that_a_recovery_leaves_are_named_with_the_journal() {
    let place = CASES[0].died_halfway();
    let lacking = vec![(Op::RemoveEntry, sys::lacking_error(Op::RemoveTemp))];
    let plan = Plan { lacking, ..Plan::default() };
    let (recovery, _) = on_a_thread(plan, || recover(journal_of(&place)));
    let error = recovery.unwrap_err();
    assert_eq!((error.step(), error.leftovers().count()), (Step::RemoveJournal, 2), "{error:?}");
}

/// The mark names files, as the journal does.
#[test]
fn a_mark_is_its_owners_alone() {
    let place = CASES[0].died_halfway();
    let marks = others(&place).into_iter().map(|stage| stage.join(JOURNAL));
    let found = marks.filter_map(|mark| fs_err::metadata(mark).ok());
    let modes: Vec<u32> = found.map(|mark| mark.permissions().mode() & 0o777).collect();
    assert_eq!(modes, [0o600; 2]);
}

/// What others do to the path of the journal right before an operation.
fn meanwhile(place: &Place, when: When, action: fn(&Path)) -> Plan {
    let interruptions = vec![Interruption { when, action, path: journal_of(place) }];
    Plan { interruptions, ..CASES[0].plan(None) }
}

/// Symptom: a commit that met a journal of others where it was to write its own left its staging
/// directories, and named none. Mechanism: whoever does not ask for the lock may put something
/// there after the commit has looked; that was taken for a journal that needs what is staged. Lost:
/// the space, until the other journal was gone and somebody swept.
#[test]
fn what_others_put_in_the_place_of_the_journal_is_not_touched() {
    let place = CASES[0].place();
    let put = |path: &Path| fs_err::write(path, "of others").unwrap();
    let plan = meanwhile(&place, When::BeforeEach(Op::RenameNoReplace), put);
    let error = commit(&place, plan, false).0.unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::RecoveryNeeded, Step::Resolve), "{error}");
    assert_eq!(error.journal(), Some(&*journal_of(&place)));
    assert_eq!(fs_err::read(journal_of(&place)).unwrap(), b"of others");
    assert_eq!((others(&place), error.leftovers().count()), (Vec::new(), 0), "{error:?}");
    (0..3).for_each(|index| place.check(index, TargetState::Untouched, "not recovered"));
}

/// As the documentation advises those who do not want to recover any more.
#[test]
fn a_journal_that_others_have_removed_is_gone() {
    let remove = |path: &Path| fs_err::remove_file(path).unwrap();
    let last = |plan: &Plan| plan.log.iter().rposition(|op| *op == Op::RemoveEntry).unwrap();
    let (_, clean) = commit(&CASES[0].place(), CASES[0].plan(None), false);
    let place = CASES[0].place();
    commit(&place, meanwhile(&place, When::At(last(&clean)), remove), false).0.unwrap();
    (0..3).for_each(|index| place.check(index, TargetState::Replaced, "committed"));

    let (_, clean) = CASES[0].recover(&CASES[0].died_halfway(), None);
    let place = CASES[0].died_halfway();
    let plan = meanwhile(&place, When::At(last(&clean)), remove);
    let recovery = on_a_thread(plan, || recover(journal_of(&place))).0.unwrap();
    assert_eq!(recovery.files().len(), 3);
}

/// The journal's directory may be on another file system than the files.
#[test]
fn a_batch_that_insists_on_durability_insists_on_that_of_its_journal() {
    let commit = |at| {
        let place = CASES[0].place();
        let (result, plan) = commit(&place, CASES[0].plan(at), true);
        (place, result, plan)
    };
    let (_, result, Plan { log, .. }) = commit(None);
    result.unwrap();
    let find = |from: usize, wanted: Op| {
        from + log[from..].iter().position(|op| *op == wanted).expect("it is one of its steps")
    };
    let synced = find(find(0, Op::RenameNoReplace), Op::SyncDirectory);
    let lacking = Fault::Error(sys::lacking_error(Op::SyncDirectory));
    let (place, result, _) = commit(Some((synced, lacking)));
    let error = result.unwrap_err();
    let expected = (ErrorKind::DurabilityUnavailable, Step::SyncDirectory);
    assert_eq!((error.kind(), error.step()), expected, "{error}");
    (0..3).for_each(|index| place.check(index, TargetState::Untouched, "it was to be durable"));
    assert_eq!((error.journal(), place.others()), (None, Vec::new()));
}

/// Died once all was published and the first staging directory had lost its mark.
fn died_at_last() -> (Place, PathBuf) {
    let place = CASES[0].place();
    let (_, clean) = commit(&place, CASES[0].plan(None), false);
    let removal = clean.log.iter().position(|op| *op == Op::RemoveDirectory).unwrap();
    let place = CASES[0].place();
    let _ = commit(&place, CASES[0].plan(Some((removal, Fault::Die))), false);
    let is_empty = |stage: &PathBuf| fs_err::read_dir(stage).unwrap().count() == 0;
    let emptied = stages_of(&place).into_iter().find(is_empty).expect("one was emptied");
    (place, emptied)
}

/// In the order of their folders.
fn stages_of(place: &Place) -> Vec<PathBuf> {
    let mut stages = others(place);
    stages.retain(|path| path.extension().is_some_and(|it| it == "tmp"));
    stages
}

/// Without its mark a staging directory is nobody's, and a sweeper may come before the recovery.
#[test]
fn what_becomes_of_an_emptied_staging_directory_is_no_obstacle() {
    let taken: fn(&Path) = |stage| drop(fs_err::remove_dir(stage));
    let filled: fn(&Path) = |stage| fs_err::write(stage.join("file"), "of others").unwrap();
    for (action, stays) in [(taken, false), (filled, true)] {
        let (place, emptied) = died_at_last();
        let when = When::BeforeEach(Op::RemoveDirectory);
        let interruptions = vec![Interruption { when, action, path: emptied.clone() }];
        let plan = Plan { interruptions, ..CASES[0].plan(None) };
        let recovery = on_a_thread(plan, || recover(journal_of(&place))).0.unwrap();
        assert_eq!((recovery.files().len(), journal_of(&place).exists()), (3, false));
        let left: Vec<PathBuf> = stays.then_some(emptied).into_iter().collect();
        assert_eq!(stages_of(&place), left);
    }
}

#[test]
fn what_has_taken_the_place_of_a_staging_directory_is_an_obstacle() {
    let linked: fn(&Path) = |stage| {
        let moved = stage.with_file_name("moved");
        fs_err::rename(stage, &moved).unwrap();
        rustix::fs::symlink(moved, stage).unwrap();
    };
    // As if its owner were alive where directories cannot be locked; here they can be.
    let unmarked: fn(&Path) = |stage| {
        for name in ["1", JOURNAL] {
            fs_err::remove_file(stage.join(name)).unwrap();
        }
        fs_err::write(stage.join("lock"), "").unwrap();
    };
    let looped: fn(&Path) = |stage| {
        let folder = stage.parent().unwrap();
        fs_err::rename(folder, folder.with_file_name("moved")).unwrap();
        rustix::fs::symlink(folder.file_name().unwrap(), folder).unwrap();
    };
    for (number, action, says) in [
        (0, linked, "not staged any more"),
        (0, unmarked, "not the staging directory"),
        (1, looped, "not where it was"),
    ] {
        let place = CASES[0].died_halfway();
        action(&stages_of(&place)[number]);
        let error = recover(journal_of(&place)).unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::Unrecoverable, Step::Recover));
        let text = error.io_error().unwrap().to_string();
        assert!(text.contains(says), "{text}");
        place.check(1, TargetState::Untouched, says);
        assert!(journal_of(&place).exists());
    }
}

/// A new file was looked for before any was published, and is not replaced by one that came since.
#[test]
fn a_recovery_creates_no_file_in_the_place_of_another() {
    let case = CASES.iter().find(|case| case.name == "new ones are created").unwrap();
    let place = case.died_halfway();
    let (when, path) = (When::BeforeEach(Op::RenameNoReplace), place.targets[1].0.clone());
    let put = |path: &Path| fs_err::write(path, "of others").unwrap();
    let interruptions = vec![Interruption { when, action: put, path: path.clone() }];
    let plan = Plan { interruptions, ..case.plan(None) };
    let error = on_a_thread(plan, || recover(journal_of(&place))).0.unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::AlreadyExists, Step::Publish), "{error}");
    assert_eq!(fs_err::read(path).unwrap(), b"of others");
    assert_eq!(error.journal(), Some(&*journal_of(&place)));
}

fn commit(place: &Place, plan: Plan, insists: bool) -> (Result<BatchCommit>, Plan) {
    on_a_thread(plan, || {
        let mut batch = AtomicBatch::new();
        batch.options(portable().require_durability(insists));
        batch.journal(journal_of(place))?;
        for (index, (path, _)) in place.targets.iter().enumerate() {
            batch.write(path, new_of(index))?;
        }
        batch.commit()
    })
}
