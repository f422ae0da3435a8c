//! Whether the target must exist, must not, or may: at `open` and at `commit`.

use std::cell::OnceCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use fs_err as fs;
use wholefile::{AtomicWriter, ErrorKind, Outcome, Publish, Staging, Step, SyncPlan, TargetState};

use crate::dir::{Dir, wait_until};
use crate::place::{Feature, has, lacks};

/// What somebody else does between `open` and `commit`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meanwhile {
    Nothing,
    /// The target is removed, or made.
    Toggled,
    /// A directory takes the name.
    Directory,
}

/// How it ends: the outcome, or the kind of the error and when it comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Done(Outcome),
    AtOpen(ErrorKind),
    AtCommit(ErrorKind),
}

/// A program that saves in the destructor of something that belongs to a thread: what had been
/// learned about file systems was gone by then, and to ask for it ended the process.
#[test]
fn a_thread_can_save_in_its_last_moments() {
    if lacks(&[Feature::NoReplace]) {
        return;
    }
    struct LastWords(PathBuf);

    impl Drop for LastWords {
        fn drop(&mut self) {
            save(&self.0, "last");
        }
    }

    fn save(dir: &Path, name: &str) {
        let mut builder = AtomicWriter::builder();
        builder.publish(Publish::CreateNew).sync_plan(SyncPlan::Fewest);
        builder.write(dir.join(name), "words").unwrap();
    }

    thread_local! {
        static LAST_WORDS: OnceCell<LastWords> = const { OnceCell::new() };
    }
    let dir = Dir::new();
    let root = dir.root().to_path_buf();
    let thread = thread::spawn(move || {
        // Before anything is learned, so that it goes after that.
        LAST_WORDS.with(|it| it.set(LastWords(root.clone())).ok().unwrap());
        save(&root, "first");
    });
    thread.join().unwrap();
    dir.assert_only(&["first", "last"]);
}

#[track_caller]
fn check(publish: Publish, exists: bool, meanwhile: Meanwhile, expected: Expected) {
    for staging in [Staging::Named, Staging::Unnamed] {
        for len in [3, 100_000] {
            check_one(publish, staging, len, (exists, meanwhile, expected));
        }
    }
}

#[track_caller]
fn check_one(
    publish: Publish,
    staging: Staging,
    len: usize,
    (exists, meanwhile, expected): (bool, Meanwhile, Expected),
) {
    let dir = Dir::new();
    let target = dir.path("target");
    if exists {
        dir.write("target", "old");
    }
    let mut builder = AtomicWriter::builder();
    let mut writer = match (builder.publish(publish).staging(staging).open(&target), expected) {
        (Ok(writer), Expected::Done(_) | Expected::AtCommit(_)) => writer,
        (Err(error), Expected::AtOpen(kind)) => {
            assert_eq!((error.kind(), error.step()), (kind, Step::Resolve));
            assert_eq!(error.target_state(), TargetState::Untouched);
            assert_eq!(fs::read(&target).ok(), exists.then(|| b"old".to_vec()));
            return;
        }
        (other, _) => panic!("{publish:?}, {exists}, {meanwhile:?}: {other:?}"),
    };
    writer.write_all(&vec![b'n'; len]).unwrap();
    let mut theirs = exists.then_some("old");
    match meanwhile {
        Meanwhile::Nothing => {}
        Meanwhile::Toggled if exists => {
            fs::remove_file(&target).unwrap();
            theirs = None;
        }
        Meanwhile::Toggled => {
            dir.write("target", "theirs");
            theirs = Some("theirs");
        }
        Meanwhile::Directory => {
            let _ = fs::remove_file(&target);
            fs::create_dir(&target).unwrap();
            theirs = None;
        }
    }
    match (writer.commit(), expected) {
        (Ok(commit), Expected::Done(outcome)) => {
            assert_eq!(commit.outcome(), outcome);
            assert_eq!(fs::read(&target).unwrap(), vec![b'n'; len]);
            dir.assert_only(&["target"]);
        }
        (Err(error), Expected::AtCommit(kind)) => {
            assert_eq!(error.kind(), kind);
            assert_eq!(error.target_state(), TargetState::Untouched);
            assert_eq!(fs::read_to_string(&target).ok().as_deref(), theirs);
            assert!(dir.temps().is_empty());
        }
        (result, _) => panic!("{publish:?}, {exists}, {meanwhile:?}: {result:?}"),
    }
}

#[test]
fn each_choice_holds_at_open_and_still_at_commit() {
    if lacks(&[Feature::NoReplace]) {
        return;
    }
    use Expected::{AtCommit, AtOpen, Done};
    use Meanwhile::{Directory, Nothing, Toggled};
    use Publish::{CreateNew, Existing, Replace};
    let (created, replaced) = (Done(Outcome::Created), Done(Outcome::Replaced));
    for (publish, exists, meanwhile, expected) in [
        (Replace, true, Nothing, replaced),
        (Replace, false, Nothing, created),
        (Replace, true, Toggled, created),
        (Replace, false, Toggled, replaced),
        (Replace, true, Directory, AtCommit(ErrorKind::IsADirectory)),
        (Replace, false, Directory, AtCommit(ErrorKind::IsADirectory)),
        (CreateNew, true, Nothing, AtOpen(ErrorKind::AlreadyExists)),
        (CreateNew, false, Nothing, created),
        (CreateNew, false, Toggled, AtCommit(ErrorKind::AlreadyExists)),
        (CreateNew, false, Directory, AtCommit(ErrorKind::IsADirectory)),
        (Existing, true, Nothing, replaced),
        (Existing, false, Nothing, AtOpen(ErrorKind::NotFound)),
        (Existing, true, Toggled, AtCommit(ErrorKind::NotFound)),
        (Existing, true, Directory, AtCommit(ErrorKind::IsADirectory)),
    ] {
        check(publish, exists, meanwhile, expected);
    }
}

/// Symptom: on FAT, a save with `CreateNew` failed with `PermissionDenied`, as if the user lacked a
/// right. Mechanism: without a rename that does not replace, the temp file is linked, and link(2)
/// says EPERM where there are no links. Lost: the difference between what to ask the administrator
/// for and what this file system cannot do.
#[test]
fn where_a_file_can_be_neither_linked_nor_moved_to_a_free_name_only_creating_is_unsupported() {
    let dir = Dir::new();
    let mut builder = AtomicWriter::builder();
    let result = builder.publish(Publish::CreateNew).write(dir.path("target"), "new");
    if has(Feature::NoReplace) {
        assert_eq!(result.unwrap().outcome(), Outcome::Created);
        return;
    }
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Unsupported, Step::Publish));
    assert_eq!((error.target_state(), error.leftover()), (TargetState::Untouched, None));
    dir.assert_only(&[]);
    AtomicWriter::builder().write(dir.path("target"), "new").unwrap();
}

#[test]
fn of_many_who_create_the_same_file_exactly_one_wins() {
    const WRITERS: usize = 8;
    const MIN_ROUNDS: usize = 50;
    if lacks(&[Feature::NoReplace]) {
        return;
    }
    let dir = Dir::new();
    let (mut round, mut lost_at_publish) = (0, 0);
    wait_until("two writers met at the last moment", || {
        let target = dir.path(format!("target {round}"));
        let barrier = Barrier::new(WRITERS);
        let save = |n: usize| {
            let mut builder = AtomicWriter::builder();
            builder.durability(wholefile::Durability::None).publish(Publish::CreateNew);
            barrier.wait();
            builder.write(&target, n.to_string()).map(|_| n)
        };
        let results: Vec<_> = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS).map(|n| scope.spawn(move || save(n))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let winners: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        assert_eq!(fs::read_to_string(&target).unwrap(), winners[0].to_string());
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            assert_eq!(error.target_state(), TargetState::Untouched);
            lost_at_publish += usize::from(error.step() == Step::Publish);
        }
        round += 1;
        round >= MIN_ROUNDS && lost_at_publish > 0
    });
    assert_eq!(dir.names().len(), round);
}
