//! What takes a descriptor of one's own, or a mount.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;

use fs_err as fs;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use wholefile::{ErrorKind, Lock, Step, TargetState};

use super::{ask, builder, check_locked};
use crate::dir::Dir;
use crate::system::{Mount, is_root, nobody_forks, spawn};

/// The lock belongs to what was opened, and so to every process that inherited it by a fork. Since
/// the holder removes the file, the next one makes another, which the child does not hold.
#[test]
fn a_child_that_was_forked_meanwhile_does_not_keep_the_lock() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let writer = builder(Lock::Try).open(&target).unwrap();
    let lock = inherited_lock(&dir);
    let mut child = spawn(Command::new("sleep").arg("600").stdin(lock)).unwrap();
    check_locked(&ask(&target, Lock::Try).unwrap_err(), &dir);
    writer.commit().unwrap();
    let next = ask(&target, Lock::Try);
    child.kill().unwrap();
    child.wait().unwrap();
    next.unwrap();
    dir.assert_only(&["target"]);
}

/// What a fork would hand on: the same open file, and not the same file opened once more.
fn inherited_lock(dir: &Dir) -> OwnedFd {
    let root = fs::canonicalize(dir.root()).unwrap();
    let is_lock = |path: PathBuf| {
        let to = fs::read_link(path).unwrap_or_default();
        to.parent() == Some(&*root) && to.extension() == Some("lock".as_ref())
    };
    let number = fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(Result::unwrap)
        .filter(|descriptor| is_lock(descriptor.path()))
        .find_map(|descriptor| descriptor.file_name().to_str().unwrap().parse().ok())
        .expect("the lock is open");
    let myself = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    pidfd_getfd(myself, number, PidfdGetfdFlags::empty()).unwrap()
}

#[test]
fn a_file_system_that_is_mounted_read_only_has_no_place_for_a_lock() {
    if !is_root("locks::unix::a_file_system_that_is_mounted_read_only_has_no_place_for_a_lock") {
        return;
    }
    let dir = Dir::new();
    let _alone = nobody_forks();
    let mount = Mount::tmpfs(dir.root(), "size=1m");
    let target = dir.write("target", "old");
    mount.make_read_only();
    for lock in [Lock::Try, Lock::Wait] {
        let error = builder(lock).open(&target).unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::ReadOnlyFilesystem, Step::Lock));
        assert_eq!(error.target_state(), TargetState::Untouched);
    }
}
