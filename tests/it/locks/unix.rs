//! What takes a symlink, a FIFO, a process that is killed or another user.

use std::cell::OnceCell;
use std::env;
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::thread;

use fs_err as fs;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wholefile::{ErrorKind, Lock, Outcome, Publish, Step, Symlinks, TargetState};

use super::{ask, builder, check_locked};
use crate::child::{self, Child};
use crate::dir::Dir;
use crate::place::{Feature, has, lacks};
use crate::system::{NOBODY, chmod, chown, is_root, make_fifo, spawn};

/// As many as this process may have descriptors for, once it has asked for all that it may have.
pub(super) fn most_waiters() -> usize {
    /// The directory, the file of the lock, and what replaces that while it is looked at.
    const EACH: u64 = 3;
    /// For the tests that run meanwhile.
    const OTHERS: u64 = 150;
    let limit = getrlimit(Resource::Nofile);
    // Where that is not to be had (macOS: what has no limit), it stays as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(most.saturating_sub(OTHERS) / EACH).unwrap_or(usize::MAX)
}

#[test]
fn whatever_path_leads_to_the_target_it_has_one_lock() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "old");
    dir.make("folder");
    symlink("../target", dir.path("folder/link")).unwrap();
    symlink(dir.path("folder/link"), dir.path("second link")).unwrap();
    let _writer = builder(Lock::Wait).open(&target).unwrap();
    for path in ["folder/link", "second link", "folder/../target"] {
        check_locked(&ask(&dir.path(path), Lock::Try).unwrap_err(), &dir);
    }
}

/// `git clean -fdx` took the file of a lock that somebody held. The next writer made another, which
/// the first removed as its own, and so on: none of them kept the next but one out any more.
#[test]
fn whoever_has_lost_the_file_of_the_lock_leaves_the_next_one_alone() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let first = builder(Lock::Try).open(&target).unwrap();
    let locks = dir.names().into_iter().filter(|name| name.ends_with(".lock"));
    locks.for_each(|name| fs::remove_file(dir.path(&name)).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            let _second = builder(Lock::Try).open(&target).unwrap();
            drop(first);
            check_locked(&ask(&target, Lock::Try).unwrap_err(), &dir);
        });
    });
    dir.assert_only(&["target"]);
}

/// An update of a link that is to be replaced was given nothing, although a read of the path gives
/// contents: what it made of that took the link's place.
#[test]
fn an_update_takes_no_link_for_an_empty_file() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    dir.write("file", "contents");
    let link = dir.path("link");
    symlink("file", &link).unwrap();
    let error = builder(Lock::Wait)
        .symlinks(Symlinks::Replace)
        .update(&link, |_| panic!("of what?"))
        .unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Symlink, Step::Read));
    assert_eq!(error.target_state(), TargetState::Untouched);
    dir.assert_only(&["file", "link"]);
}

#[test]
fn a_process_that_is_killed_lets_go_of_the_lock() {
    if let Some(given) = child::given() {
        let _writer = builder(Lock::Try).open(given.dir.path("target")).unwrap();
        return child::wait_to_be_killed();
    }
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let child = Child::of("locks::unix::a_process_that_is_killed_lets_go_of_the_lock");
    let child = child.run_until_it_is_here(&dir, "");
    check_locked(&ask(&target, Lock::Try).unwrap_err(), &dir);
    drop(child);
    builder(Lock::Try).write(&target, "new").unwrap();
    dir.assert_only(&["target"]);
}

#[test]
fn what_is_no_lock_file_is_an_error_and_stays() {
    if lacks(&[Feature::Symlinks, Feature::Fifos]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let lock = {
        let _writer = builder(Lock::Try).open(&target).unwrap();
        let error = ask(&target, Lock::Try).unwrap_err();
        error.lock().unwrap().0.to_path_buf()
    };
    let victim = dir.write("victim", "precious");
    let reader = OnceCell::new();
    let plants: [&dyn Fn(); 5] = [
        &|| fs::create_dir(&lock).unwrap(),
        &|| symlink(&victim, &lock).unwrap(),
        &|| symlink(dir.path("elsewhere"), &lock).unwrap(),
        &|| make_fifo(&lock),
        // It can be opened for writing once somebody reads from it.
        &|| {
            make_fifo(&lock);
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            reader.set(openat(CWD, &lock, flags, Mode::empty()).unwrap()).unwrap();
        },
    ];
    for plant in plants {
        plant();
        let before = dir.names();
        let error = builder(Lock::Wait).write(&target, "new").unwrap_err();
        assert_eq!((error.step(), error.target_state()), (Step::Lock, TargetState::Untouched));
        assert_eq!(dir.names(), before);
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        if lock.is_dir() && !lock.is_symlink() {
            fs::remove_dir(&lock).unwrap();
        } else {
            fs::remove_file(&lock).unwrap();
        }
    }
    // One that an earlier writer left is as good as a new one.
    fs::write(&lock, "").unwrap();
    builder(Lock::Try).write(&target, "new").unwrap();
    dir.assert_only(&["target", "victim"]);
}

#[test]
fn a_strangers_lock_file_in_a_directory_of_everybodys_is_not_waited_for() {
    if lacks(&[Feature::Owners, Feature::Modes]) {
        return;
    }
    if !is_root("locks::unix::a_strangers_lock_file_in_a_directory_of_everybodys_is_not_waited_for")
    {
        return;
    }
    let dir = Dir::new();
    chmod(dir.root(), 0o1777);
    let target = dir.write("target", "old");
    let lock = {
        let _writer = builder(Lock::Try).open(&target).unwrap();
        ask(&target, Lock::Try).unwrap_err().lock().unwrap().0.to_path_buf()
    };
    fs::write(&lock, "").unwrap();
    chown(&lock, NOBODY, NOBODY);
    let error = builder(Lock::Wait).write(&target, "new").unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::PermissionDenied, Step::Lock));
    assert!(lock.exists());
}

#[test]
fn another_users_lock_cannot_be_held_by_everybody() {
    const NAME: &str = "locks::unix::another_users_lock_cannot_be_held_by_everybody";
    if let Some(given) = child::given() {
        let error = builder(Lock::Wait).open(given.dir.path("target")).unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::PermissionDenied, Step::Lock));
        return;
    }
    if lacks(&[Feature::Modes]) || !is_root(NAME) {
        return;
    }
    let dir = Dir::new();
    chmod(dir.root(), 0o777);
    let _writer = builder(Lock::Try).open(dir.write("target", "old")).unwrap();
    assert!(env::var_os("WHOLEFILE_CHILD_DIR").is_none());
    Child::of(NAME).nobody().run(&dir, "");
}

#[test]
fn a_target_that_is_removed_during_an_update_is_created_anew_or_missed() {
    for (publish, outcome) in
        [(Publish::Replace, Some(Outcome::Created)), (Publish::Existing, None)]
    {
        let dir = Dir::new();
        let target = dir.write("target", "old");
        let result = builder(Lock::Wait).publish(publish).update(&target, |old| {
            fs::remove_file(&target).unwrap();
            Ok([old.unwrap(), b" and new".to_vec()].concat())
        });
        match outcome {
            Some(outcome) => {
                assert_eq!(result.unwrap().outcome(), outcome);
                assert_eq!(dir.read("target"), "old and new");
            }
            None => {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotFound);
                assert_eq!(error.target_state(), TargetState::Untouched);
                dir.assert_only(&[]);
            }
        }
    }
}

#[test]
fn a_lock_file_that_may_not_be_opened_is_an_error_and_no_wait() {
    const NAME: &str = "locks::unix::a_lock_file_that_may_not_be_opened_is_an_error_and_no_wait";
    if let Some(given) = child::given() {
        let error = builder(Lock::Wait).open(given.dir.path("target")).unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::PermissionDenied, Step::Lock));
        assert_eq!(error.target_state(), TargetState::Untouched);
        return;
    }
    if lacks(&[Feature::Owners, Feature::Modes]) || !is_root(NAME) {
        return;
    }
    let dir = Dir::new();
    chown(dir.root(), NOBODY, NOBODY);
    let target = dir.write("target", "old");
    let lock = {
        let _writer = builder(Lock::Try).open(&target).unwrap();
        ask(&target, Lock::Try).unwrap_err().lock().unwrap().0.to_path_buf()
    };
    fs::write(&lock, "").unwrap();
    chmod(&lock, 0);
    chown(&lock, NOBODY, NOBODY);
    Child::of(NAME).nobody().run(&dir, "");
    assert!(lock.exists());
}

#[test]
fn a_thousand_processes_wait_and_each_gets_its_turn() {
    const NAME: &str = "locks::unix::a_thousand_processes_wait_and_each_gets_its_turn";
    const PROCESSES: usize = 20;
    // Where files that are closed stay open for a while, the driver runs out of descriptors.
    let threads = if has(Feature::OneStep) { 50 } else { 5 };
    if let Some(given) = child::given() {
        let target = given.dir.path("target");
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mark = |old: Option<Vec<u8>>| Ok([old.unwrap(), vec![b'|']].concat());
                    builder(Lock::Wait).update(&target, mark).unwrap();
                });
            }
        });
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "");
    let writer = builder(Lock::Wait).open(&target).unwrap();
    let start = |_| spawn(Child::of(NAME).command(&dir, "").stdout(Stdio::null())).unwrap();
    let children: Vec<_> = (0..PROCESSES).map(start).collect();
    drop(writer);
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(dir.read("target").len(), PROCESSES * threads);
    dir.assert_only(&["target"]);
}
