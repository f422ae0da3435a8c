//! Locks and updates: who waits for whom, and that no update is lost.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(unix)]
mod unix;

use std::io::{self, ErrorKind as IoErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use fs_err as fs;
use wholefile::{
    AtomicWriter, Builder, Durability, Error, ErrorKind, Lock, Outcome, Step, TargetState, Version,
};

use crate::dir::Dir;
use crate::place::{Feature, has};

/// So many wait at least, or the test has shown nothing.
const FEWEST_WAITERS: usize = 50;

/// As many as may have open what they need.
#[cfg(unix)]
use unix::most_waiters;
#[cfg(not(unix))]
fn most_waiters() -> usize {
    usize::MAX
}

fn builder(lock: Lock) -> Builder {
    AtomicWriter::builder().durability(Durability::None).lock(lock).clone()
}

/// What another thread is told who asks for the lock.
fn ask(path: &Path, lock: Lock) -> Result<(), Error> {
    thread::scope(|scope| scope.spawn(|| builder(lock).open(path).map(drop)).join().unwrap())
}

#[track_caller]
fn check_locked(error: &Error, dir: &Dir) {
    assert_eq!((error.kind(), error.step()), (ErrorKind::Locked, Step::Lock));
    assert_eq!(error.target_state(), TargetState::Untouched);
    let (file, _) = error.lock().unwrap();
    assert!(file.is_file(), "{}", file.display());
    assert!(dir.names().contains(&file.file_name().unwrap().to_str().unwrap().to_owned()));
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

#[test]
fn the_lock_keeps_others_out_until_the_writer_ends() {
    let ends: [fn(AtomicWriter); 5] = [
        |writer| drop(writer),
        |writer| writer.rollback().unwrap(),
        |writer| drop(writer.commit().unwrap()),
        |writer| fs::remove_file(writer.keep().unwrap().1).unwrap(),
        |mut writer| {
            io::Seek::seek(&mut writer, io::SeekFrom::Current(-1)).unwrap_err();
            writer.commit().unwrap_err();
        },
    ];
    for (index, end) in ends.into_iter().enumerate() {
        for exists in [false, true] {
            let dir = Dir::new();
            let target = dir.path("target");
            if exists {
                fs::write(&target, "old").unwrap();
            }
            let writer = builder(Lock::Wait).open(&target).unwrap();
            check_locked(&ask(&target, Lock::Try).unwrap_err(), &dir);
            ask(&target, Lock::None).unwrap();
            ask(&dir.path("other"), Lock::Try).unwrap();
            end(writer);
            ask(&target, Lock::Try).unwrap();
            let expected: &[&str] = if exists || index == 2 { &["target"] } else { &[] };
            dir.assert_only(expected);
        }
    }
}

#[test]
fn the_longest_name_can_be_locked() {
    let dir = Dir::new();
    let target = dir.path("n".repeat(255));
    let _writer = builder(Lock::Wait).open(&target).unwrap();
    check_locked(&ask(&target, Lock::Try).unwrap_err(), &dir);
}

#[test]
fn a_wait_with_a_limit_ends_and_says_how_long_it_took() {
    let dir = Dir::new();
    let target = dir.path("target");
    let _writer = builder(Lock::Wait).open(&target).unwrap();
    for limit in [Duration::ZERO, Duration::from_millis(30)] {
        let error = ask(&target, Lock::Timeout(limit)).unwrap_err();
        check_locked(&error, &dir);
        assert!(error.lock().unwrap().1 >= limit);
    }
}

#[test]
fn who_waits_gets_the_lock_and_sees_what_was_saved_meanwhile() {
    for lock in [Lock::Wait, Lock::Timeout(Duration::from_secs(60))] {
        let dir = Dir::new();
        let target = dir.write("target", "0");
        let mut writer = builder(Lock::Wait).open(&target).unwrap();
        io::Write::write_all(&mut writer, b"1").unwrap();
        thread::scope(|scope| {
            let second = scope.spawn(|| {
                builder(lock).update(&target, |old| {
                    assert_eq!(old.unwrap(), b"1");
                    Ok(b"2".to_vec())
                })
            });
            writer.commit().unwrap();
            assert_eq!(second.join().unwrap().unwrap().outcome(), Outcome::Replaced);
        });
        assert_eq!(fs::read(&target).unwrap(), b"2");
        dir.assert_only(&["target"]);
    }
}

#[test]
fn an_update_within_an_update_of_the_same_file_is_an_error_and_no_deadlock() {
    let dir = Dir::new();
    let (target, other) = (dir.write("target", "old"), dir.path("other"));
    let commit = builder(Lock::Wait).update(&target, |_| {
        let error = builder(Lock::Wait).update(&target, |_| Ok(Vec::new())).unwrap_err();
        check_locked(&error, &dir);
        builder(Lock::Wait).update(&other, |_| Ok(b"another file".to_vec()))?;
        Ok(b"new".to_vec())
    });
    assert_eq!(commit.unwrap().outcome(), Outcome::Replaced);
    dir.assert_only(&["other", "target"]);
}

#[test]
fn an_update_gets_what_is_there_and_writes_only_what_is_new() {
    let dir = Dir::new();
    let target = dir.path("target");
    let large = vec![b'x'; 300_000];
    let mut old: Option<&[u8]> = None;
    for (new, outcome) in [
        (&b""[..], Outcome::Created),
        (b"", Outcome::Unchanged),
        (&large, Outcome::Replaced),
        (&large, Outcome::Unchanged),
        (b"small", Outcome::Replaced),
    ] {
        let commit = wholefile::atomic_update(&target, |seen| {
            assert!(seen.as_deref() == old);
            Ok(new.to_vec())
        });
        assert_eq!(commit.unwrap().outcome(), outcome);
        assert!(fs::read(&target).unwrap() == new);
        old = Some(new);
        dir.assert_only(&["target"]);
    }
}

/// Somebody who knows nothing of the lock replaced or removed the target while an update was under
/// way that changed nothing: the update said that the target had those contents.
#[test]
fn an_update_that_changes_nothing_looks_again() {
    let dir = Dir::new();
    let target = dir.path("target");
    let replace = |path: &Path| {
        fs::write(path.with_file_name("other"), "other").unwrap();
        fs::rename(path.with_file_name("other"), path).unwrap();
    };
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    // As `rsync --inplace --times` does: only the time of the last change of status shows it.
    let change = |path: &Path| {
        let before = fs::metadata(path).unwrap().modified().unwrap();
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        io::Write::write_all(&mut file.file(), b"emas").unwrap();
        file.file().set_modified(before).unwrap();
    };
    #[cfg(unix)]
    let has_status_times = has(Feature::ExactTimes);
    #[cfg(not(unix))]
    let has_status_times = false;
    for (meanwhile, outcome) in [
        (&replace as &dyn Fn(&Path), Outcome::Replaced),
        (&remove, Outcome::Created),
        (if has_status_times { &change } else { &replace }, Outcome::Replaced),
    ] {
        for expects in [false, true] {
            fs::write(&target, "same").unwrap();
            let mut builder = builder(Lock::Wait);
            if expects {
                builder.expect(&Version::of(&target).unwrap());
            }
            let result = builder.update(&target, |old| {
                meanwhile(&target);
                Ok(old.unwrap())
            });
            if expects {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Conflict);
            } else {
                assert_eq!(result.unwrap().outcome(), outcome);
                assert_eq!(dir.read("target"), "same");
            }
        }
    }
}

#[test]
fn an_update_that_fails_or_panics_leaves_the_target_and_the_lock_is_free() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let failed = builder(Lock::Wait).update(&target, |_| Err(io::ErrorKind::InvalidData.into()));
    let error = failed.unwrap_err();
    assert_eq!((error.kind(), error.target_state()), (ErrorKind::Closure, TargetState::Untouched));
    assert_eq!(error.io_error().unwrap().kind(), IoErrorKind::InvalidData);
    let update = || builder(Lock::Wait).update(&target, |_| panic!("on purpose"));
    catch_unwind(AssertUnwindSafe(update)).unwrap_err();
    ask(&target, Lock::Try).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"old");
    dir.assert_only(&["target"]);
}

#[test]
fn many_threads_update_and_no_update_is_lost() {
    const THREADS: usize = 8;
    const UPDATES: usize = 50;
    let dir = Dir::new();
    let target = dir.path("target");
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..UPDATES {
                    let count = |old: Option<Vec<u8>>| {
                        let mut marks = old.unwrap_or_default();
                        marks.push(b'|');
                        Ok(marks)
                    };
                    builder(Lock::Wait).update(&target, count).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read(&target).unwrap().len(), THREADS * UPDATES);
    dir.assert_only(&["target"]);
}

#[test]
fn a_thousand_wait_and_each_gets_its_turn() {
    let dir = Dir::new();
    let target = dir.path("target");
    // Where files that are closed stay open for a while, the driver runs out of descriptors.
    let wanted = if has(Feature::OneStep) { most_waiters().min(1000) } else { 100 };
    let writer = builder(Lock::Wait).open(&target).unwrap();
    let mut waiters = 0;
    thread::scope(|scope| {
        for _ in 0..wanted {
            let thread = thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, || {
                let mark =
                    |old: Option<Vec<u8>>| Ok([old.unwrap_or_default(), vec![b'|']].concat());
                builder(Lock::Wait).update(&target, mark).unwrap();
            });
            if thread.is_err() {
                break; // this process may have no more of them
            }
            waiters += 1;
        }
        drop(writer);
    });
    assert!(waiters >= FEWEST_WAITERS, "only {waiters} waited: too few threads or descriptors");
    assert_eq!(fs::read(&target).unwrap().len(), waiters);
    dir.assert_only(&["target"]);
}
