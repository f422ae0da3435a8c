//! Who insists on durability, and file systems that lack what a save needs.

use std::thread;

use rustix::io::Errno;

use super::batches;
use super::cases::{Before, NEW, OLD};
use super::place::Place;
use crate::fault::{Fault, Op, Plan, with_plan};
use crate::{
    AtomicBatch, AtomicWriter, Builder, Durability, ErrorKind, Outcome, Publish, SpecialFiles,
    Step, TargetState, sys,
};

fn insisting(durability: Durability) -> Builder {
    AtomicWriter::builder().require_durability(true).durability(durability).clone()
}

/// Whether a directory can be synced is asked before anything is written; and if the answer is
/// another one afterwards, as after a network was lost, that is told.
#[test]
fn who_insists_on_durability_learns_of_a_name_that_was_not_synced_after_all() {
    let place = Place::new(Before::File);
    let save = || insisting(Durability::Full).write(place.path(), NEW);
    let (clean, plan) = with_plan(Plan::default(), save);
    assert_eq!(clean.unwrap().durability(), Durability::Full);
    let last = plan.log.iter().rposition(|op| *op == Op::SyncDirectory).expect("it is synced");
    let at = Some((last, Fault::Error(sys::lacking_error(Op::SyncDirectory))));
    let error = with_plan(Plan { at, ..Plan::default() }, save).0.unwrap_err();
    let told = (error.kind(), error.step(), error.target_state());
    let kind = ErrorKind::DurabilityUnavailable;
    assert_eq!(told, (kind, Step::SyncDirectory, TargetState::Replaced));
    assert_eq!(place.contents().as_deref(), Some(NEW));
}

/// What is there already is made as durable as what would have been written.
#[test]
fn unchanged_contents_are_synced_for_whoever_insists_on_it() {
    for (durability, syncs) in [
        (Durability::Full, &[Op::SyncFile, Op::SyncDirectory][..]),
        (Durability::Ordered, &[Op::SyncFile]),
        (Durability::None, &[]),
    ] {
        let place = Place::new(Before::Same);
        let mut builder = insisting(durability);
        let save = || builder.skip_unchanged(true).write(place.path(), NEW);
        let (result, plan) = with_plan(Plan::default(), save);
        let commit = result.unwrap();
        assert_eq!((commit.outcome(), commit.durability()), (Outcome::Unchanged, durability));
        let read = plan.log.iter().position(|op| *op == Op::ReadTarget).expect("it is compared");
        let is_sync = |op: &&Op| [Op::SyncFile, Op::SyncDirectory].contains(op);
        let synced: Vec<Op> = plan.log[read..].iter().filter(is_sync).copied().collect();
        assert_eq!(synced, syncs, "{durability}");
    }
}

/// Neither a rename that does not replace nor a link, as on some drivers of FAT: a file cannot be
/// created there and certainly not replace another. That is said to be so, and is no system error.
#[test]
fn where_nothing_can_be_created_without_replacing_that_is_said() {
    let place = Place::new(Before::Nothing);
    let lacking = [Op::RenameNoReplace, Op::Link].map(|op| (op, sys::lacking_error(op)));
    let plan = Plan { lacking: lacking.into(), ..Plan::default() };
    let mut builder = AtomicWriter::builder();
    let create = || builder.publish(Publish::CreateNew).write(place.path(), OLD);
    let error = with_plan(plan, create).0.unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Unsupported, Step::Publish));
    assert_eq!((error.target_state(), place.contents()), (TargetState::Untouched, None));
}

/// A file that was synced has nothing left to be told when it is closed.
#[test]
fn only_what_is_not_durable_is_listened_to_when_it_is_closed() {
    for (durability, closes) in
        [(Durability::Full, 0), (Durability::Ordered, 0), (Durability::None, 1)]
    {
        let place = Place::new(Before::File);
        let mut builder = AtomicWriter::builder();
        let save = || builder.durability(durability).write(place.path(), NEW);
        let (result, plan) = with_plan(Plan::default(), save);
        result.unwrap();
        let closed = plan.log.iter().filter(|op| **op == Op::Close).count();
        assert_eq!(closed, closes, "{durability}");
    }
}

/// A terminal cannot be synced, and what is on a read-only mount of /dev neither; but a disk that
/// fails is no device without syncs.
#[test]
fn a_device_that_cannot_be_synced_is_told_from_one_that_fails() {
    let place = Place::new(Before::Device);
    let mut builder = AtomicWriter::builder();
    builder.special_files(SpecialFiles::WriteThrough);
    let save = || builder.write(place.path(), NEW);
    let (_, clean) = with_plan(Plan::default(), save);
    let sync = clean.log.iter().position(|op| *op == Op::SyncFile).expect("it is tried");
    for (errno, is_without) in
        [(Errno::INVAL, true), (Errno::ROFS, true), (Errno::IO, false), (Errno::NOSPC, false)]
    {
        let at = Some((sync, Fault::Error(errno.raw_os_error())));
        let (result, _) = with_plan(Plan { at, ..Plan::default() }, save);
        match result {
            Ok(commit) => assert!(is_without && commit.durability() == Durability::None, "{errno}"),
            Err(error) => {
                assert_eq!((error.step(), is_without), (Step::SyncFile, false), "{errno}");
            }
        }
    }
}

/// Of files that are synced together, also after the first was alone, which shows what the file
/// system does.
#[test]
fn the_file_that_cannot_be_synced_is_the_one_that_is_told() {
    let save = |failing: Option<usize>| {
        let place = batches::Place::new(Publish::Replace);
        let mut batch = AtomicBatch::new();
        batch.options(&batches::portable());
        for (index, (path, _)) in place.targets.iter().enumerate() {
            batch.write(path, batches::new_of(index)).unwrap();
        }
        let at = failing.map(|at| (at, Fault::Error(Errno::IO.raw_os_error())));
        // On a thread that knows of no file system.
        let commit = move || with_plan(Plan { at, ..Plan::default() }, || batch.commit());
        let (result, plan) = thread::spawn(commit).join().unwrap();
        (place, result, plan.log)
    };
    let (_, clean, log) = save(None);
    clean.unwrap();
    let is_sync = |(_, op): &(usize, &Op)| matches!(op, Op::SyncFile | Op::WriteOut);
    let syncs = Vec::from_iter(log.iter().enumerate().filter(is_sync).map(|(at, _)| at));
    assert!(syncs.len() >= 3, "{log:?}");
    for (index, at) in syncs.into_iter().enumerate().take(3) {
        let (place, result, _) = save(Some(at));
        let error = result.unwrap_err();
        assert_eq!((error.step(), error.path()), (Step::SyncFile, &*place.targets[index].0));
    }
}
