//! Single faults of batches, and what they once led to.

use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use super::batches::{Place, new_of, portable};
use crate::fault::{Fault, Interruption, Op, Plan, When, with_plan};
use crate::{
    AtomicBatch, AtomicWriter, Durability, ErrorKind, Publish, ReadOnly, Result, Step, TargetState,
    sys,
};

/// A batch with all files of the place.
fn batch_of(place: &Place, durability: Durability, journal: Option<&Path>) -> AtomicBatch {
    let mut batch = AtomicBatch::new();
    batch.options(portable().durability(durability));
    if let Some(journal) = journal {
        batch.journal(journal).unwrap();
    }
    for (index, (path, _)) in place.targets.iter().enumerate() {
        batch.write(path, new_of(index)).unwrap();
    }
    batch
}

fn full() -> Fault {
    Fault::DoneThenError(rustix::io::Errno::NOSPC.raw_os_error())
}

/// A file whose write failed, and that could not be removed from the batch's staging directory, was
/// named as if it were beside its target: whoever wanted to remove it found nothing there.
#[test]
fn a_file_that_stays_in_the_staging_directory_is_named_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let batch = AtomicBatch::new();
    let lacking = [Op::Write, Op::RemoveTemp].map(|op| (op, sys::lacking_error(op)));
    let plan = Plan { lacking: lacking.into(), ..Plan::default() };
    let write = || batch.write(dir.path().join("target"), "contents").unwrap_err();
    let (error, _) = with_plan(plan.clone(), write);
    assert_eq!((error.step(), error.leftover()), (Step::Write, None), "it went with its directory");
    batch.write(dir.path().join("other"), "contents").unwrap();
    let (error, _) = with_plan(plan, write);
    let leftover = error.leftover().expect("it is named");
    assert!(leftover.is_file(), "{}", leftover.display());
    drop(batch);
    assert!(!leftover.exists(), "the batch goes with all that is in it");
}

/// A network file system says when a file is closed that there was no room for what was written to
/// it. The batch closed its staged files without listening, opened them again to sync them, which
/// then succeeded, and replaced the old files by short ones.
#[test]
fn a_file_that_was_not_whole_when_it_was_closed_stays_out_of_the_batch() {
    let place = Place::new(Publish::Replace);
    let (path, _) = &place.targets[0];
    let write = || {
        let batch = AtomicBatch::new();
        let written = batch.write(path, new_of(0));
        (batch, written)
    };
    let ((batch, written), plan) = with_plan(Plan::default(), write);
    written.unwrap();
    drop(batch);
    let close = plan.log.iter().position(|op| *op == Op::Close).expect("it is closed");
    let plan = Plan { at: Some((close, full())), ..Plan::default() };
    let ((batch, written), _) = with_plan(plan, write);
    let error = written.unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::StorageFull, Step::Write));
    assert_eq!((error.leftover(), place.others()), (None, Vec::<PathBuf>::new()));
    place.check(0, TargetState::Untouched, "not whole");
    batch.write(path, new_of(0)).unwrap();
    batch.commit().unwrap();
    place.check(0, TargetState::Replaced, "once there was room");
}

#[test]
fn what_cannot_be_handed_to_the_system_is_told_when_it_is_flushed() {
    let place = Place::new(Publish::Replace);
    let mut batch = AtomicBatch::new();
    batch.options(portable().buffer_size(4));
    let mut writer = batch.open(&place.targets[0].0).unwrap();
    writer.write_all(b"more than that").unwrap();
    writer.write_all(b"it").unwrap();
    let lacking = vec![(Op::Write, rustix::io::Errno::NOSPC.raw_os_error())];
    let flush = || writer.flush().unwrap_err();
    let (error, _) = with_plan(Plan { lacking, ..Plan::default() }, flush);
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Poisoned);
    drop(batch);
    place.check(0, TargetState::Untouched, "never finished");
}

/// What was staged was opened by its name to be synced, and published, whatever its length was by
/// then: a file that a server, or another program, had cut short took the old one's place.
#[test]
fn what_was_cut_short_since_it_was_staged_is_not_published() {
    let lowest = [Durability::None, Durability::Ordered, Durability::Full];
    for (durability, is_journalled) in lowest
        .map(|it| (it, true))
        .into_iter()
        .chain([(Durability::Ordered, false), (Durability::Full, false)])
    {
        let place = Place::new(Publish::Replace);
        let journal = place.root.path().join("journal");
        let batch = batch_of(&place, durability, is_journalled.then_some(&*journal));
        let is_stage = |path: &&PathBuf| !path.ends_with("journal");
        let others = place.others();
        let stage = others.iter().find(is_stage).expect("a staging directory");
        let staged = fs_err::OpenOptions::new().write(true).open(stage.join("1")).unwrap();
        staged.set_len(1).unwrap();
        let name = format!("{durability}, {is_journalled}");
        let error = batch.commit().unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::Io, Step::SyncFile), "{name}");
        assert!(error.to_string().contains("the new contents of"), "{error}");
        assert!(error.io_error().unwrap().to_string().contains("not as long"), "{name}");
        (0..3).for_each(|index| place.check(index, TargetState::Untouched, &name));
        assert_eq!((place.others(), journal.exists()), (Vec::new(), false), "{name}");
    }
}

/// The same, cut short before the batch has closed it.
#[test]
fn what_was_cut_short_before_it_is_closed_is_not_taken() {
    let place = Place::new(Publish::Replace);
    let (path, _) = &place.targets[0];
    let batch = AtomicBatch::new();
    let write = || batch.write(path, new_of(0));
    let (_, clean) = with_plan(Plan::default(), write);
    let last_look = clean.log.iter().rposition(|op| *op == Op::Inspect).expect("it is looked at");
    drop(batch);
    let cut_short = |root: &Path| {
        let folders = fs_err::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
        let stages = folders.filter(|it| it.extension().is_some_and(|it| it == "tmp"));
        let staged = stages.flat_map(|it| fs_err::read_dir(it).unwrap());
        let cut =
            staged.map(|entry| fs_err::File::options().write(true).open(entry.unwrap().path()));
        assert_eq!(cut.map(|file| file.unwrap().set_len(1).unwrap()).count(), 1);
    };
    let (when, root) = (When::At(last_look), path.parent().unwrap().to_path_buf());
    let interruptions = vec![Interruption { when, action: cut_short, path: root }];
    let batch = AtomicBatch::new();
    let write = || batch.write(path, new_of(0));
    let error = with_plan(Plan { interruptions, ..Plan::default() }, write).0.unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Io, Step::Write), "{error}");
    assert!(error.io_error().unwrap().to_string().contains("not as long"), "{error}");
    drop(batch);
    place.check(0, TargetState::Untouched, "cut short");
}

/// Whether directories can be synced was asked when the first file came to a folder, by the options
/// of that file. A later one that insisted on it was taken, and the batch published all files
/// before it said that what had been insisted on cannot be had.
#[test]
fn every_file_that_insists_on_durability_is_heard_before_anything_is_published() {
    let place = Place::new(Publish::Replace);
    let lacking = vec![(Op::SyncDirectory, sys::lacking_error(Op::SyncDirectory))];
    let insist = || -> (AtomicBatch, Result<()>) {
        let mut batch = AtomicBatch::new();
        batch.write(&place.targets[0].0, new_of(0)).unwrap();
        batch.options(AtomicWriter::builder().require_durability(true));
        let written = batch.write(&place.targets[1].0, new_of(1));
        (batch, written)
    };
    let ((batch, written), _) = with_plan(Plan { lacking, ..Plan::default() }, insist);
    let error = written.unwrap_err();
    let expected = (ErrorKind::DurabilityUnavailable, Step::SyncDirectory);
    assert_eq!((error.kind(), error.step()), expected, "{error}");
    assert_eq!(error.target_state(), TargetState::Untouched);
    batch.commit().unwrap();
    place.check(0, TargetState::Replaced, "it did not insist");
    place.check(1, TargetState::Untouched, "it did");
    // And once is enough.
    let ((batch, written), plan) = with_plan(Plan::default(), insist);
    written.unwrap();
    let syncs = |plan: &Plan| plan.log.iter().filter(|op| **op == Op::SyncDirectory).count();
    let more = || batch.write(place.root.path().join("more"), "");
    let (written, after) = with_plan(Plan::default(), more);
    written.unwrap();
    assert_eq!((syncs(&plan), syncs(&after)), (1, 0));
}

/// The mark that keeps a staging directory for its journal was closed without listening, where it
/// is not synced: one that was not whole is no mark, so that a sweep would have removed what the
/// journal needs.
#[test]
fn a_mark_that_was_not_whole_when_it_was_closed_ends_the_commit() {
    let place = Place::new(Publish::Replace);
    let journal = place.root.path().join("journal");
    let commit = |plan| {
        let batch = batch_of(&place, Durability::None, Some(&journal));
        with_plan(plan, || batch.commit())
    };
    let (result, plan) = commit(Plan::default());
    result.unwrap();
    let closes: Vec<_> =
        (0..plan.log.len()).filter(|index| plan.log[*index] == Op::Close).collect();
    assert_eq!(closes.len(), 3, "two marks and the journal: {:?}", plan.log);
    for close in closes {
        let plan = Plan { at: Some((close, full())), ..Plan::default() };
        let error = commit(plan).0.unwrap_err();
        assert_eq!((error.kind(), error.journal()), (ErrorKind::StorageFull, None), "{error}");
        assert!(error.files().all(|(_, state)| state == TargetState::Untouched));
        assert_eq!((place.others(), journal.exists()), (Vec::new(), false));
    }
}

/// A journal that could not be made durable was removed again, but not its name's removal synced,
/// while what it needs was removed as well: after a power cut it could be back, of a batch whose
/// commit had failed, and every recovery then refused, and every further batch.
#[test]
fn a_journal_that_was_taken_back_does_not_come_back() {
    let commit = |at| {
        let place = Place::new(Publish::Replace);
        let journal = place.root.path().join("journal");
        let batch = batch_of(&place, Durability::Full, Some(&journal));
        let plan = Plan { at, ..Plan::default() };
        // On a thread of its own: what is known of the file systems is known by thread.
        let commit = move || with_plan(plan, || batch.commit());
        let (result, plan) = thread::spawn(commit).join().unwrap();
        (place, result, plan)
    };
    let (_, result, Plan { log, .. }) = commit(None);
    result.unwrap();
    let find = |from: usize, wanted: Op| {
        from + log[from..].iter().position(|op| *op == wanted).expect("it is one of its steps")
    };
    let synced = find(find(0, Op::RenameNoReplace), Op::SyncDirectory);
    let (place, result, plan) = commit(Some((synced, full())));
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.journal()), (ErrorKind::StorageFull, None), "{error}");
    assert!(error.files().all(|(_, state)| state == TargetState::Untouched), "{error}");
    assert_eq!(place.others(), Vec::<PathBuf>::new());
    let wanted = [Op::RemoveEntry, Op::RemoveDirectory, Op::SyncDirectory];
    let after = plan.log[synced + 1..].iter().copied().filter(|op| wanted.contains(op));
    let after: Vec<Op> = after.collect();
    assert_eq!(after[..2], [Op::RemoveEntry, Op::SyncDirectory], "before what it needs goes");
}

/// A batch of which every file had its contents already said, of a staging directory that it could
/// not remove, that the new contents were in place and not proven to be durable.
#[test]
fn a_batch_without_anything_to_publish_leaves_all_targets_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    fs_err::write(&target, "contents").unwrap();
    let mut batch = AtomicBatch::new();
    batch.options(portable().skip_unchanged(true));
    batch.write(&target, "contents").unwrap();
    let lacking = vec![(Op::RemoveDirectory, sys::lacking_error(Op::RemoveDirectory))];
    let (result, _) = with_plan(Plan { lacking, ..Plan::default() }, || batch.commit());
    let error = result.unwrap_err();
    let expected = (Step::RemoveTemp, TargetState::Untouched);
    assert_eq!((error.step(), error.target_state()), expected, "{error}");
    assert!(error.files().all(|(_, state)| state == TargetState::Untouched), "{error}");
}

/// Files are synced together with those of the same durability, and counted with all.
#[test]
fn what_is_told_of_syncs_counts_each_file_once() {
    for first in [Durability::Full, Durability::Ordered] {
        let place = Place::new(Publish::Replace);
        let mut batch = AtomicBatch::new();
        for (index, (path, _)) in place.targets.iter().enumerate() {
            let durability = if index == 0 { first } else { Durability::Full };
            batch.options(portable().durability(durability)).write(path, new_of(index)).unwrap();
        }
        let mut told = Vec::new();
        let commit = || {
            batch.commit_with(|progress| {
                if progress.step() == Step::SyncFile {
                    told.push((progress.files_done(), progress.bytes_done()));
                }
                ControlFlow::Continue(())
            })
        };
        with_plan(Plan::default(), commit).0.unwrap();
        // The last time once all are synced.
        let expected = [(1, 10), (2, 21), (3, 121), (3, 121)];
        // All together, the first shows what the file system does, and nothing is told of it.
        let is_alone = first == Durability::Full && told.len() == 3;
        assert_eq!(told, expected[usize::from(is_alone)..]);
    }
}

/// Of files that stay as they are, `progress` was told before the first other one was published;
/// that it wanted to stop there was not heeded, although nothing had been published.
#[test]
fn nobody_is_told_of_publishing_before_it_has_begun() {
    for is_journalled in [false, true] {
        let place = Place::new(Publish::Replace);
        fs_err::write(&place.targets[0].0, new_of(0)).unwrap();
        let mut batch = AtomicBatch::new();
        batch.options(portable().skip_unchanged(true));
        if is_journalled {
            batch.journal(place.root.path().join("journal")).unwrap();
        }
        for (index, (path, _)) in place.targets.iter().enumerate() {
            batch.write(path, new_of(index)).unwrap();
        }
        let mut told = Vec::new();
        let commit = batch.commit_with(|progress| {
            if progress.step() != Step::Publish {
                return ControlFlow::Continue(());
            }
            place.check(1, TargetState::Replaced, "the first to be published");
            told.push(progress.files_done());
            ControlFlow::Break(())
        });
        assert_eq!(commit.unwrap().commits().len(), 3);
        assert_eq!(told, [2, 3]);
    }
}

#[test]
fn a_cancelled_batch_is_rolled_back() {
    let place = Place::new(Publish::Replace);
    let mut batch = AtomicBatch::new();
    batch.options(&portable());
    for (index, (path, _)) in place.targets.iter().enumerate() {
        batch.write(path, new_of(index)).unwrap();
    }
    let error = batch.commit_with(|_| ControlFlow::Break(())).unwrap_err();
    assert_eq!((error.kind(), error.files().count()), (ErrorKind::Cancelled, 3));
    (0..3).for_each(|index| place.check(index, TargetState::Untouched, "cancelled"));
    assert_eq!(place.others(), Vec::<PathBuf>::new());
}

/// Which of them is created for a file does not matter, nor that another file has left.
#[test]
fn every_directory_that_leads_to_a_new_file_is_synced() {
    for is_journalled in [false, true] {
        let place = Place::new(Publish::Replace);
        let root = place.root.path();
        let mut batch = AtomicBatch::new();
        batch.options(&portable());
        if is_journalled {
            batch.journal(root.join("journal")).unwrap();
        }
        batch.write(root.join("a/b/file"), "new").unwrap();
        drop(batch.open(root.join("c/another")).unwrap());
        let (commit, plan) = with_plan(Plan::default(), || batch.commit());
        commit.unwrap();
        let published = plan.log.iter().rposition(|op| *op == Op::Rename).unwrap();
        let (before, after) = plan.log.split_at(published);
        let syncs = |log: &[Op]| log.iter().filter(|op| **op == Op::SyncDirectory).count();
        // With a journal the staging directory, too, and the journal's as it comes and goes.
        let expected = if is_journalled { (3 + 2, 3 + 1) } else { (0, 3) };
        assert_eq!((syncs(before), syncs(after)), expected, "{plan:?}");
    }
}

#[test]
fn what_was_created_for_several_files_goes_with_the_last() {
    let place = Place::new(Publish::CreateNew);
    let mut batch = AtomicBatch::new();
    batch.options(&portable());
    for name in ["a/file", "a/b/file", "a/b/c/file"] {
        batch.write(place.root.path().join(name), "new").unwrap();
    }
    drop(batch);
    assert_eq!(fs_err::read_dir(place.root.path()).unwrap().count(), 0);
}

/// With the mode that its target has got meanwhile, nobody but root could open it to sync it.
#[test]
fn a_file_that_nobody_may_open_is_synced_while_it_is_open() {
    let place = Place::new(Publish::Replace);
    let (path, _) = &place.targets[0];
    let mut batch = AtomicBatch::new();
    batch.options(portable().read_only(ReadOnly::Replace)).write(path, new_of(0)).unwrap();
    fs_err::set_permissions(path, PermissionsExt::from_mode(0o000)).unwrap();
    let (commit, plan) = with_plan(Plan::default(), || batch.commit());
    commit.unwrap();
    let count = |wanted| plan.log.iter().filter(|op| **op == wanted).count();
    assert_eq!((count(Op::OpenStaged), count(Op::SyncFile)), (1, 1), "{plan:?}");
    place.check(0, TargetState::Replaced, "synced in time");
}

/// Root opens whatever it likes, and others only what its owner may open: what they could not open
/// again is synced before it is closed.
#[test]
fn a_file_that_its_owner_may_not_open_is_told_by_its_mode() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let file = fs_err::File::create(folder.path().join("file")).unwrap().into_parts().0;
    for (mode, can_be_opened) in
        [(0o600, true), (0o400, true), (0o200, true), (0o177, false), (0o066, false), (0, false)]
    {
        file.set_permissions(PermissionsExt::from_mode(mode)).unwrap();
        let info = sys::inspect(&file).unwrap();
        assert_eq!(sys::can_be_opened_again(&info), can_be_opened, "{mode:o}");
    }
}
