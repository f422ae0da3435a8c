//! Batches with a journal: what a commit that died leaves, and what a recovery makes of it.

pub(crate) mod forged;
mod refusals;
#[cfg(unix)]
mod unix;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use fs_err as fs;
use wholefile::{
    AtomicBatch, AtomicWriter, Builder, Durability, ErrorKind, Progress, Publish, Recovered, Step,
    Sweep, Sweeper, TargetState, recover,
};

use crate::batch::states;
use crate::dir::{Dir, sweep_when_free};
use crate::place::{Feature, lacks};

/// The targets of the tests, in three directories.
const NAMES: [&str; 5] = ["a/1", "a/2", "b/3", "b/c/4", "a/5"];

/// A directory with old files in it.
fn old() -> Dir {
    let dir = Dir::new();
    dir.make("b/c");
    dir.make("a");
    dir.make("state");
    for name in &NAMES[..3] {
        dir.write(name, "old");
    }
    dir
}

fn journal_of(dir: &Dir) -> PathBuf {
    dir.path("state/journal")
}

fn quick() -> Builder {
    AtomicWriter::builder().durability(Durability::None).clone()
}

/// Whether no journal can be written here: that takes a rename that does not replace, or a link.
fn cannot_be_written() -> bool {
    lacks(&[Feature::NoReplace])
}

/// A batch that makes the files new.
fn batch(dir: &Dir, builder: &Builder) -> AtomicBatch {
    let mut batch = AtomicBatch::new();
    batch.options(builder).journal(journal_of(dir)).unwrap();
    for name in NAMES {
        batch.write(dir.path(name), format!("new {name}")).unwrap();
    }
    batch
}

/// Ends the thread's work on the batch once so many files are published, as if it had died.
pub(crate) fn die_after(batch: AtomicBatch, published: usize) {
    let die = |progress: &Progress| {
        if progress.step() == Step::Publish && progress.files_done() == published {
            resume_unwind(Box::new("it dies"));
        }
        ControlFlow::Continue(())
    };
    catch_unwind(AssertUnwindSafe(|| batch.commit_with(die).map(drop))).unwrap_err();
}

/// A directory where a commit died after it had published two files.
fn died() -> Dir {
    let dir = old();
    die_after(batch(&dir, &quick()), 2);
    assert!(journal_of(&dir).exists());
    dir
}

fn swept(folder: PathBuf) -> Sweep {
    sweep_when_free(&Sweeper::new(), &folder)
}

#[track_caller]
fn check_contents(dir: &Dir, new: usize) {
    for (index, name) in NAMES.iter().enumerate() {
        let contents = fs::read_to_string(dir.path(name)).ok();
        let old = (index < 3).then(|| "old".to_owned());
        let expected = if index < new { Some(format!("new {name}")) } else { old };
        assert_eq!(contents, expected, "{name}");
    }
}

/// All files are new, and nothing else is there.
#[track_caller]
fn check_new(dir: &Dir) {
    check_contents(dir, NAMES.len());
    let mut expected = [&["a", "b", "b/c", "state"], &NAMES[..]].concat();
    expected.sort_unstable();
    dir.assert_only(&expected);
}

/// What has the new contents already is no part of what a recovery must publish.
#[test]
fn a_file_that_stays_as_it_is_is_in_no_journal() {
    if cannot_be_written() {
        return;
    }
    let dir = old();
    dir.write(NAMES[0], format!("new {}", NAMES[0]));
    die_after(batch(&dir, quick().skip_unchanged(true)), 2);
    dir.write(NAMES[0], "changed since");
    let recovery = recover(journal_of(&dir)).unwrap();
    assert_eq!(recovery.files().len(), NAMES.len() - 1);
    assert_eq!(dir.read(NAMES[0]), "changed since");
    dir.write(NAMES[0], format!("new {}", NAMES[0]));
    check_new(&dir);
}

#[test]
fn a_commit_leaves_nothing_but_the_files() {
    if cannot_be_written() {
        return;
    }
    for durability in [Durability::None, Durability::Ordered, Durability::Full] {
        let dir = old();
        let commit = batch(&dir, quick().durability(durability)).commit().unwrap();
        assert_eq!(commit.commits().len(), NAMES.len());
        check_new(&dir);
        assert_eq!(recover(journal_of(&dir)).unwrap().files().len(), 0);
        // The next one may have the same journal.
        batch(&dir, &quick()).commit().unwrap();
        check_new(&dir);
    }
}

#[test]
fn what_is_rolled_back_or_unchanged_leaves_no_journal() {
    if cannot_be_written() {
        return;
    }
    let dir = old();
    drop(batch(&dir, &quick()));
    batch(&dir, &quick()).rollback().unwrap();
    let error = batch(&dir, &quick()).commit_with(|_| ControlFlow::Break(())).unwrap_err();
    assert_eq!((error.kind(), error.journal()), (ErrorKind::Cancelled, None));
    check_contents(&dir, 0);
    assert_eq!(dir.temps(), Vec::<String>::new());
    assert_eq!(dir.names().len(), 4 + 3);
    batch(&dir, &quick()).commit().unwrap();
    batch(&dir, quick().skip_unchanged(true)).commit().unwrap();
    let mut empty = AtomicBatch::new();
    empty.journal(journal_of(&dir)).unwrap();
    empty.commit().unwrap();
    check_new(&dir);
}

#[test]
fn what_died_is_kept_by_a_sweep_and_completed_by_a_recovery() {
    if cannot_be_written() {
        return;
    }
    for published in 1..=NAMES.len() {
        let dir = old();
        die_after(batch(&dir, &quick()), published);
        check_contents(&dir, published);
        for folder in ["a", "b", "b/c"] {
            let sweep = swept(dir.path(folder));
            assert_eq!((sweep.kept().len(), sweep.removed().len()), (1, 0), "{sweep:?}");
        }
        let recovery = recover(journal_of(&dir)).unwrap();
        for (index, (path, recovered)) in recovery.files().enumerate() {
            assert_eq!(
                fs::canonicalize(path).unwrap(),
                fs::canonicalize(dir.path(NAMES[index])).unwrap()
            );
            let now = if index < published { Recovered::Before } else { Recovered::Now };
            assert_eq!(recovered, now);
        }
        assert_eq!(recovery.files().len(), NAMES.len());
        check_new(&dir);
    }
}

#[test]
fn new_and_existing_files_are_recovered_as_they_were_to_be_published() {
    if cannot_be_written() {
        return;
    }
    for publish in [Publish::CreateNew, Publish::Existing] {
        // A link by which a file is published must be known for that file.
        if publish == Publish::CreateNew && lacks(&[Feature::LinkNumbers]) {
            continue;
        }
        let dir = old();
        for name in NAMES {
            match publish {
                Publish::Existing => drop(dir.write(name, "old")),
                _ => drop(fs::remove_file(dir.path(name))),
            }
        }
        die_after(batch(&dir, quick().publish(publish)), 2);
        assert_eq!(recover(journal_of(&dir)).unwrap().files().len(), NAMES.len());
        check_new(&dir);
    }
}

/// The staging directories stay until the journal that needs them is gone, and no longer: also
/// where its directory cannot be found for a while.
#[test]
fn a_staging_directory_is_an_orphan_once_its_journal_is_certainly_gone() {
    if cannot_be_written() {
        return;
    }
    let dir = died();
    fs::rename(dir.path("state"), dir.path("elsewhere")).unwrap();
    assert_eq!(swept(dir.path("a")).kept().len(), 1);
    // As where another file system was mounted there.
    dir.make("state");
    assert_eq!(swept(dir.path("a")).kept().len(), 1);
    fs::remove_dir(dir.path("state")).unwrap();
    fs::rename(dir.path("elsewhere"), dir.path("state")).unwrap();
    assert_eq!(swept(dir.path("a")).kept().len(), 1);
    // Whoever does not want to recover any more removes the journal.
    fs::remove_file(journal_of(&dir)).unwrap();
    for folder in ["a", "b", "b/c"] {
        assert_eq!(swept(dir.path(folder)).removed().len(), 1);
    }
    check_contents(&dir, 2);
    assert_eq!(dir.temps(), Vec::<String>::new());
}

#[test]
fn a_file_that_cannot_be_published_leaves_the_journal_until_it_can() {
    if cannot_be_written() {
        return;
    }
    let dir = old();
    let in_the_way = dir.path(NAMES[3]);
    let obstruct = |progress: &Progress| {
        if progress.step() == Step::Publish && progress.files_done() == 1 {
            fs::create_dir(&in_the_way).unwrap();
        }
        ControlFlow::Continue(())
    };
    let error = batch(&dir, &quick()).commit_with(obstruct).unwrap_err();
    assert_eq!((error.step(), error.journal()), (Step::Publish, Some(&*journal_of(&dir))));
    assert!(error.to_string().contains("state"), "{error}");
    let (new, old) = (TargetState::Replaced, TargetState::Untouched);
    let found: Vec<_> = states(&error).into_iter().map(|(_, state)| state).collect();
    assert_eq!((&found[..3], &found[4..]), (&[new, new, new][..], &[old][..]), "{error:?}");
    // Nothing else may have this journal, and nothing is recovered as long as it is in the way.
    let again = AtomicBatch::new().journal(journal_of(&dir)).map(drop).unwrap_err();
    assert_eq!((again.kind(), again.step()), (ErrorKind::RecoveryNeeded, Step::Resolve));
    let error = recover(journal_of(&dir)).unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Unrecoverable, Step::Recover));
    let found: Vec<_> = states(&error).into_iter().map(|(_, state)| state).collect();
    assert_eq!(found, [new, new, new, old, old]);
    fs::remove_dir(in_the_way).unwrap();
    recover(journal_of(&dir)).unwrap();
    check_new(&dir);
}

#[test]
fn whoever_recovers_or_commits_at_once_waits_and_each_file_is_published_once() {
    if cannot_be_written() {
        return;
    }
    let dir = died();
    let barrier = Barrier::new(8);
    let published: usize = thread::scope(|scope| {
        let recover_all = || {
            barrier.wait();
            let recovery = recover(journal_of(&dir)).unwrap();
            recovery.files().filter(|(_, recovered)| *recovered == Recovered::Now).count()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(recover_all)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(published, 3);
    check_new(&dir);
    // One may look at a target that another is about to replace.
    if lacks(&[Feature::OneStep]) {
        return;
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| drop(batch(&dir, &quick()).commit().unwrap())));
        }
    });
    check_new(&dir);
}

#[test]
fn what_a_journal_cannot_have_is_refused_before_anything_is_staged() {
    #[track_caller]
    fn check(result: Result<(), wholefile::Error>, kind: ErrorKind, path: &Path) {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.step(), error.path()), (kind, Step::Resolve, path));
        assert_eq!(error.target_state(), TargetState::Untouched);
    }
    let dir = old();
    let before = dir.names();
    let journal = |path: &Path| AtomicBatch::new().journal(path).map(drop);
    check(journal(&dir.path("none/journal")), ErrorKind::NotFound, &dir.path("none/journal"));
    let recovered = recover(dir.path("none/journal")).map(drop);
    check(recovered, ErrorKind::NotFound, &dir.path("none/journal"));
    check(journal(&dir.path("a")), ErrorKind::IsADirectory, &dir.path("a"));
    check(journal(&dir.path("a/")), ErrorKind::InvalidPath, &dir.path("a/"));
    check(journal(&dir.path("a/1")), ErrorKind::RecoveryNeeded, &dir.path("a/1"));
    let mut batch = AtomicBatch::new();
    batch.journal(dir.path("a/journal")).unwrap();
    let same = dir.path("b/../a/journal");
    check(batch.write(&same, ""), ErrorKind::Duplicate, &same);
    assert_eq!(dir.names(), before);
    batch.write(dir.path("a/1"), "new").unwrap();
    let late = batch.journal(dir.path("b/journal")).map(drop);
    check(late, ErrorKind::InvalidOption, &dir.path("b/journal"));
    drop(batch);
    assert_eq!(dir.names(), before);
}

#[test]
fn a_journal_that_appears_before_the_commit_stops_it() {
    let dir = old();
    let batch = batch(&dir, &quick());
    fs::write(journal_of(&dir), "somebody's").unwrap();
    let error = batch.commit().unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::RecoveryNeeded, Step::Resolve));
    assert_eq!(error.journal(), Some(&*journal_of(&dir)));
    assert!(states(&error).iter().all(|(_, state)| *state == TargetState::Untouched));
    check_contents(&dir, 0);
    assert_eq!(dir.temps(), Vec::<String>::new());
    assert_eq!(fs::read_to_string(journal_of(&dir)).unwrap(), "somebody's");
}
