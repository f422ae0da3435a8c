//! Every order of events that a saver must get right, without a clock and mostly without a thread.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Saver;
use super::state::{Barrier, Batch, Next, Pace, State, Wake};
use super::worker::{Saves, guarded};
use crate::fault::{Fault, Op, Plan, with_plan};
use crate::{
    AtomicWriter, Backup, Commit, Durability, Error, ErrorKind, Outcome, Result, Step, SyncPlan,
    TargetState,
};

const SECOND: Duration = Duration::from_secs(1);
const PACE: Pace = Pace { debounce: Duration::from_secs(2), max_delay: Duration::from_secs(5) };

fn commit() -> Result<Commit> {
    Ok(Commit {
        outcome: Outcome::Replaced,
        durability: Durability::Full,
        sync_plan: SyncPlan::Portable,
        len: 0,
        path: "/target".into(),
        not_preserved: Vec::new(),
        version: None,
        backup: None,
        version_check: None,
    })
}

fn failure(step: Step) -> Result<Commit> {
    Err(Error::refused(ErrorKind::Io, step, Path::new("/target")))
}

#[track_caller]
fn take(state: &mut State, now: Instant) -> Batch {
    match state.next(now, PACE) {
        Next::Commit(batch) => batch,
        Next::Wait(left) => panic!("waits for {left:?}"),
        Next::End => panic!("ends"),
    }
}

#[track_caller]
fn check_waits(state: &mut State, now: Instant, expected: Option<Duration>) {
    match state.next(now, PACE) {
        Next::Wait(left) => assert_eq!(left, expected),
        Next::Commit(batch) => panic!("commits {:?}", batch.contents),
        Next::End => panic!("ends"),
    }
}

/// The step of the failure that a flush at `barrier` is told, `None` for none.
#[track_caller]
fn check_passed(state: &mut State, barrier: Barrier, expected: Option<Option<Step>>) {
    let told = state.passed(barrier).map(|result| result.err().map(|error| error.step()));
    assert_eq!(told, expected);
}

fn untold(state: &mut State) -> Option<Step> {
    state.untold().err().map(|error| error.step())
}

/// A saver that was dropped while a commit was under way ended when that one failed, though what it
/// had not saved was still there: the last contents were lost where one more try, as every other
/// drop makes, would have saved them.
#[test]
fn a_drop_beside_a_commit_that_fails_tries_once_more() {
    let now = Instant::now();
    let mut state = State::default();
    state.save(b"last".to_vec(), now);
    state.ask();
    let batch = take(&mut state, now);
    state.close();
    state.finish(batch, failure(Step::Publish));
    let batch = take(&mut state, now);
    assert_eq!(batch.contents, b"last");
    state.finish(batch, failure(Step::Publish));
    assert!(matches!(state.next(now, PACE), Next::End), "and not again and again");
    // With newer contents it is those that are tried.
    let mut state = State::default();
    state.save(b"last but one".to_vec(), now);
    state.ask();
    let batch = take(&mut state, now);
    state.save(b"last".to_vec(), now);
    state.close();
    state.finish(batch, failure(Step::Publish));
    let batch = take(&mut state, now);
    assert_eq!(batch.contents, b"last");
    state.finish(batch, failure(Step::Publish));
    assert!(matches!(state.next(now, PACE), Next::End));
}

#[test]
fn a_commit_is_due_after_the_debounce_and_at_the_latest_after_the_maximum() {
    let zero = Duration::ZERO;
    let (never, pace) = (Duration::MAX, |debounce, max_delay| Pace { debounce, max_delay });
    // Seconds at which there is a save, then at which it is asked, and how long it waits then.
    let cases: &[(Pace, &[u32], u32, Option<Duration>)] = &[
        (PACE, &[0], 0, Some(2 * SECOND)),
        (PACE, &[0], 1, Some(SECOND)),
        (PACE, &[0], 2, Some(zero)),
        (PACE, &[0], 9, Some(zero)),
        (PACE, &[0, 1], 2, Some(SECOND)),
        (PACE, &[0, 1, 2, 3, 4], 4, Some(SECOND)),
        (PACE, &[0, 1, 2, 3, 4], 5, Some(zero)),
        (pace(zero, never), &[0], 0, Some(zero)),
        (pace(never, zero), &[0], 0, Some(zero)),
        (pace(never, 5 * SECOND), &[0, 4], 4, Some(SECOND)),
        (pace(2 * SECOND, never), &[0, 99], 99, Some(2 * SECOND)),
        (pace(never, never), &[0, 1], 1000, None),
    ];
    let start = Instant::now();
    for &(pace, saves, asked, expected) in cases {
        let mut state = State::default();
        for second in saves {
            state.save(vec![*second as u8], start + *second * SECOND);
        }
        match state.next(start + asked * SECOND, pace) {
            Next::Commit(batch) => {
                assert_eq!(expected, Some(zero), "{pace:?} {saves:?}");
                assert_eq!(batch.contents, [*saves.last().unwrap() as u8], "the latest");
            }
            Next::Wait(left) => assert_eq!(left, expected, "{pace:?} {saves:?}"),
            Next::End => panic!("ends"),
        }
    }
}

#[test]
fn only_what_the_thread_does_not_know_wakes_it() {
    let (mut state, now) = (State::default(), Instant::now());
    assert_eq!(state.save(Vec::new(), now).0, Wake::Needed, "asleep without a deadline");
    assert_eq!(state.save(Vec::new(), now).0, Wake::NotNeeded, "its deadline only moves away");
    state.ask();
    assert_eq!(state.save(Vec::new(), now).0, Wake::NotNeeded, "woken by the flush");
    let batch = take(&mut state, now);
    assert_eq!(state.save(Vec::new(), now).0, Wake::Needed);
    state.ask();
    state.finish(batch, failure(Step::Write));
    let batch = take(&mut state, now);
    state.finish(batch, failure(Step::Write));
    assert_eq!(state.save(Vec::new(), now).0, Wake::Needed, "nothing was due");
}

#[test]
fn a_flush_waits_for_its_own_contents_or_newer_ones() {
    let (mut state, now) = (State::default(), Instant::now());
    let before_all = state.ask();
    check_passed(&mut state, before_all, Some(None));
    state.save(b"1".to_vec(), now);
    let first = state.ask();
    let batch = take(&mut state, now);
    state.save(b"2".to_vec(), now);
    let second = state.ask();
    check_passed(&mut state, first, None);
    // The failure concerns the first only; the second is tried at once.
    assert_eq!(state.finish(batch, failure(Step::Write)).unwrap().contents, b"1");
    check_passed(&mut state, first, Some(Some(Step::Write)));
    check_passed(&mut state, second, None);
    let batch = take(&mut state, now);
    assert_eq!(batch.contents, b"2");
    state.finish(batch, commit());
    for barrier in [first, second] {
        check_passed(&mut state, barrier, Some(None));
    }
    check_waits(&mut state, now, None);
}

#[test]
fn a_flush_is_not_told_of_a_failure_before_it() {
    let (mut state, now) = (State::default(), Instant::now());
    state.save(b"1".to_vec(), now);
    state.ask();
    let batch = take(&mut state, now);
    state.finish(batch, failure(Step::Write));
    let again = state.ask();
    check_passed(&mut state, again, None);
    let batch = take(&mut state, now);
    state.finish(batch, failure(Step::Publish));
    check_passed(&mut state, again, Some(Some(Step::Publish)));
    check_passed(&mut state, again, Some(Some(Step::Publish))); // another one who waits
}

#[test]
fn contents_that_were_not_saved_are_kept_until_somebody_asks() {
    let (mut state, now) = (State::default(), Instant::now());
    state.save(b"kept".to_vec(), now);
    let batch = take(&mut state, now + PACE.debounce);
    assert!(state.finish(batch, failure(Step::Write)).is_none());
    check_waits(&mut state, now + 1000 * SECOND, None);
    state.ask();
    assert_eq!(take(&mut state, now).contents, b"kept");
}

#[test]
fn newer_contents_take_the_place_of_those_that_were_not_saved() {
    let (mut state, now) = (State::default(), Instant::now());
    // Handed over after the failure, and while the commit ran.
    for is_late in [true, false] {
        state.save(b"older".to_vec(), now);
        let batch = take(&mut state, now + PACE.debounce);
        if is_late {
            assert!(state.finish(batch, failure(Step::Write)).is_none());
            assert_eq!(state.save(b"newer".to_vec(), now).1.unwrap().contents, b"older");
        } else {
            assert!(state.save(b"newer".to_vec(), now).1.is_none());
            assert_eq!(state.finish(batch, failure(Step::Write)).unwrap().contents, b"older");
        }
        check_waits(&mut state, now, Some(PACE.debounce));
        assert_eq!(take(&mut state, now + PACE.debounce).contents, b"newer");
    }
}

#[test]
fn an_error_is_told_once_unless_a_later_commit_makes_it_obsolete() {
    let (mut state, now) = (State::default(), Instant::now());
    assert_eq!(untold(&mut state), None);
    for is_repaired in [false, true] {
        state.save(Vec::new(), now);
        let batch = take(&mut state, now + PACE.debounce);
        state.finish(batch, failure(Step::Metadata));
        if is_repaired {
            let barrier = state.ask();
            let batch = take(&mut state, now);
            state.finish(batch, commit());
            check_passed(&mut state, barrier, Some(None));
        }
        assert_eq!(untold(&mut state), (!is_repaired).then_some(Step::Metadata));
        assert_eq!(untold(&mut state), None);
    }
    state.save(Vec::new(), now);
    let barrier = state.ask();
    let batch = take(&mut state, now);
    state.finish(batch, failure(Step::Write));
    check_passed(&mut state, barrier, Some(Some(Step::Write)));
    assert_eq!(untold(&mut state), None, "the flush was told");
}

#[test]
fn a_saver_that_is_closed_makes_one_last_commit() {
    let now = Instant::now();
    let mut state = State::default();
    state.close();
    assert!(matches!(state.next(now, PACE), Next::End), "there is nothing to save");

    // What came of the last commit, and what came of one before it.
    for last in [commit as fn() -> _, || failure(Step::Write)] {
        for has_failed in [false, true] {
            let mut state = State::default();
            state.save(b"last".to_vec(), now);
            if has_failed {
                let batch = take(&mut state, now + PACE.debounce);
                state.finish(batch, failure(Step::Write));
            }
            state.close();
            let batch = take(&mut state, now);
            assert_eq!(batch.contents, b"last");
            state.finish(batch, last());
            assert!(matches!(state.next(now, PACE), Next::End));
        }
    }
}

/// With `skip_unchanged`, a commit whose directory could not be synced left its contents in place;
/// the next commit of the same contents found them there and was told as a success, although
/// nobody had synced the directory: a power cut lost what `flush` had called saved.
#[test]
#[cfg_attr(miri, ignore = "it saves: Miri has no openat(2)")]
fn contents_that_are_there_but_not_proven_durable_are_saved_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target");
    let mut saves = Saves::new(AtomicWriter::builder().skip_unchanged(true).clone());
    let ((), plan) = with_plan(Plan::default(), || drop(saves.commit(&path, b"0", 1).unwrap()));
    let Some(at) = plan.log.iter().position(|op| *op == Op::SyncDirectory) else {
        return eprintln!("SKIPPED: no directory is synced here");
    };
    let io_error = if cfg!(windows) { 1117 } else { 5 };
    let plan = Plan { at: Some((at, Fault::Error(io_error))), ..Plan::default() };
    fs_err::remove_file(&path).unwrap();
    let (result, _) = with_plan(plan, || saves.commit(&path, b"1", 2));
    assert_eq!(result.unwrap_err().target_state(), TargetState::Replaced);
    assert_eq!(saves.commit(&path, b"1", 2).unwrap().outcome(), Outcome::Replaced);
    assert_eq!(saves.commit(&path, b"1", 3).unwrap().outcome(), Outcome::Unchanged);
    // What has changed nothing is no reason.
    let lacking = vec![(Op::SyncFile, io_error)];
    let (result, _) =
        with_plan(Plan { lacking, ..Plan::default() }, || saves.commit(&path, b"2", 4));
    assert_eq!(result.unwrap_err().target_state(), TargetState::Untouched);
    assert_eq!(saves.commit(&path, b"1", 5).unwrap().outcome(), Outcome::Unchanged);
}

/// A commit had replaced the target and its backup, and failed at the end: tried again, it made a
/// backup of what it had just saved, and the version before was gone. Of numbered backups each try
/// removed one more.
#[test]
#[cfg_attr(miri, ignore = "it saves: Miri has no openat(2)")]
fn what_is_tried_again_after_it_was_published_is_no_backup_of_itself() {
    let io_error = if cfg!(windows) { 1117 } else { 5 };
    let suffix = (Backup::Suffix("~".into()), Op::SyncDirectory, &[("target~", "3")][..]);
    let numbered = (
        Backup::Numbered { keep: 2 },
        Op::RemoveEntry,
        &[("target.~1~", "1"), ("target.~2~", "2"), ("target.~3~", "3")][..],
    );
    let cases = [(suffix.clone(), false), (numbered, false), (suffix, true)];
    for ((backup, op, expected), is_replaced_meanwhile) in cases {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        for (name, contents) in [("target.~1~", "1"), ("target.~2~", "2"), ("target", "3")] {
            fs_err::write(place(name), contents).unwrap();
        }
        let path = place("target");
        let mut saves = Saves::new(AtomicWriter::builder().backup(backup).clone());
        let plan = Plan { lacking: vec![(op, io_error)], ..Plan::default() };
        let (result, plan) = with_plan(plan, || saves.commit(&path, b"4", 1));
        if !plan.log.contains(&op) {
            eprintln!("SKIPPED: no directory is synced here");
            continue;
        }
        assert_eq!(result.unwrap_err().target_state(), TargetState::Replaced, "{op:?}");
        if is_replaced_meanwhile {
            // What it would replace now is somebody else's.
            fs_err::write(&path, "theirs").unwrap();
            let commit = saves.commit(&path, b"4", 1).unwrap();
            let kept = commit.backup().map(|backup| fs_err::read(backup).unwrap());
            assert_eq!(kept.as_deref(), Some(&b"theirs"[..]), "{op:?}");
            continue;
        }
        let commit = saves.commit(&path, b"4", 1).unwrap();
        assert_eq!((commit.outcome(), commit.backup()), (Outcome::Replaced, None), "{op:?}");
        for (name, contents) in expected {
            assert_eq!(fs_err::read_to_string(place(name)).unwrap(), *contents, "{op:?}");
        }
        // What comes next is another version.
        let backup = saves.commit(&path, b"5", 2).unwrap().backup().map(Path::to_path_buf);
        assert_eq!(fs_err::read(backup.unwrap()).unwrap(), b"4", "{op:?}");
    }
}

#[test]
fn a_commit_that_panics_is_one_that_failed() {
    let path = Path::new("/target");
    for (panic, cause) in [
        // Without the detour the compiler makes a literal of it.
        ((|| panic!("at {}", black_box(42))) as fn() -> Result<Commit>, "a panic: at 42"),
        (|| panic!("a literal"), "a panic: a literal"),
        (|| std::panic::panic_any(42), "a panic: without a message"),
    ] {
        let error = guarded(path, panic).unwrap_err();
        assert_eq!((error.step(), error.target_state()), (Step::Save, TargetState::Unknown));
        assert_eq!(error.path(), path);
        assert_eq!(error.again().io_error().unwrap().to_string(), cause);
    }
}

#[test]
#[cfg_attr(miri, ignore = "it saves: Miri has no openat(2)")]
fn what_a_saver_shows_of_itself_are_not_the_contents() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target");
    let saver = Saver::builder().debounce(Duration::MAX).open(&path).unwrap();
    saver.save("a secret").unwrap();
    assert_eq!(format!("{saver:?}"), format!("Saver {{ path: {path:?}, .. }}"));
    saver.flush().unwrap();
}

/// A child that was forked has no thread to wait for: a flush in it, or a drop at its end, would
/// never return.
#[test]
#[cfg_attr(miri, ignore = "it saves: Miri has no openat(2)")]
fn a_forked_process_leaves_the_saves_to_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target");
    let mut saver = Saver::builder().debounce(Duration::MAX).open(&path).unwrap();
    saver.save("the parent's").unwrap();
    Arc::get_mut(&mut saver.0).unwrap().process ^= 1;
    for result in [saver.save("the child's"), saver.flush()] {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::Unsupported, Step::Save));
    }
    assert!(saver.last_commit().is_none());
    drop(saver);
    assert!(!path.exists());
}
