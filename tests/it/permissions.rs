//! Directories, users and limits that do not let a save happen, or not quite.

use std::io::{self, Write};
use std::path::Path;

use fs_err as fs;
use wholefile::{
    AtomicWriter, Durability, Error, ErrorKind, Outcome, Publish, Staging, Step, TargetState,
};

use crate::child::{self, Child};
use crate::dir::Dir;
use crate::place::{Feature, lacks};
use crate::system::{NOBODY, chmod, chown, is_root};

#[track_caller]
pub(crate) fn check(error: &Error, kind: ErrorKind, step: Step, path: &Path) {
    assert_eq!((error.kind(), error.step()), (kind, step), "{error}");
    assert_eq!(error.target_state(), TargetState::Untouched);
    assert_eq!((error.path(), error.leftover()), (path, None));
}

#[test]
fn a_directory_that_may_not_be_written_is_an_error_at_the_temp_file() {
    const TEST: &str =
        "permissions::a_directory_that_may_not_be_written_is_an_error_at_the_temp_file";
    if let Some(child::Given { dir, .. }) = child::given() {
        for name in ["target", "new"] {
            let target = dir.path(name);
            let error = AtomicWriter::builder().write(&target, "small").unwrap_err();
            check(&error, ErrorKind::PermissionDenied, Step::CreateTemp, &target);
            let large = vec![b'n'; 100_000];
            let error = AtomicWriter::builder().write(&target, &large).unwrap_err();
            check(&error, ErrorKind::PermissionDenied, Step::CreateTemp, &target);
            let mut writer = AtomicWriter::builder().open(&target).unwrap();
            let error = writer.write_all(&large).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            check(&writer.commit().unwrap_err(), ErrorKind::Poisoned, Step::CreateTemp, &target);
        }
        return;
    }
    if !is_root(TEST) {
        return;
    }
    if lacks(&[Feature::Owners, Feature::Modes]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "old");
    chown(&target, NOBODY, NOBODY);
    Child::of(TEST).nobody().run(&dir, "");
    assert_eq!(dir.read("target"), "old");
    dir.assert_only(&["target"]);
}

#[test]
fn a_directory_that_may_not_be_entered_is_an_error_at_once() {
    const TEST: &str = "permissions::a_directory_that_may_not_be_entered_is_an_error_at_once";
    if let Some(child::Given { dir, .. }) = child::given() {
        for create_parents in [false, true] {
            let target = dir.path("closed/sub/target");
            let mut builder = AtomicWriter::builder();
            let error = builder.create_parents(create_parents).open(&target).unwrap_err();
            check(&error, ErrorKind::PermissionDenied, Step::Resolve, &target);
        }
        return;
    }
    if !is_root(TEST) {
        return;
    }
    if lacks(&[Feature::Modes]) {
        return;
    }
    let dir = Dir::new();
    chmod(dir.make("closed"), 0o700);
    Child::of(TEST).nobody().run(&dir, "");
    dir.assert_only(&["closed"]);
}

#[test]
fn a_directory_that_may_be_written_but_not_read_takes_a_save() {
    const TEST: &str = "permissions::a_directory_that_may_be_written_but_not_read_takes_a_save";
    if let Some(child::Given { dir, .. }) = child::given() {
        assert!(fs::read_dir(dir.path("dropbox")).is_err(), "this user may not read it");
        for staging in [Staging::Named, Staging::Unnamed] {
            for name in ["target", "new"] {
                let target = dir.path("dropbox").join(name);
                let mut builder = AtomicWriter::builder();
                let commit = builder.staging(staging).write(&target, "new").unwrap();
                assert_eq!(commit.durability(), Durability::Ordered);
                let commit = builder.durability(Durability::None).write(&target, "new").unwrap();
                assert_eq!(commit.durability(), Durability::None);
                let mut builder = AtomicWriter::builder();
                builder.require_durability(true).staging(staging);
                let error = builder.write(&target, "newer").unwrap_err();
                let kind = ErrorKind::DurabilityUnavailable;
                check(&error, kind, Step::SyncDirectory, &target);
                let commit = builder.durability(Durability::Ordered).write(&target, "new").unwrap();
                assert_eq!(commit.durability(), Durability::Ordered);
                let mut writer = AtomicWriter::builder().open(&target).unwrap();
                fs::write(writer.staging_path().unwrap(), "new").unwrap();
                assert_eq!(writer.commit().unwrap().outcome(), Outcome::Replaced);
            }
        }
        return;
    }
    if !is_root(TEST) {
        return;
    }
    if lacks(&[Feature::Creators, Feature::Owners, Feature::Modes]) {
        return;
    }
    let dir = Dir::new();
    let dropbox = dir.make("dropbox");
    let target = dir.write("dropbox/target", "old");
    chown(&target, NOBODY, NOBODY);
    chown(&dropbox, NOBODY, NOBODY);
    chmod(&dropbox, 0o300);
    Child::of(TEST).nobody().run(&dir, "");
    assert_eq!((dir.read("dropbox/target"), dir.read("dropbox/new")), ("new".into(), "new".into()));
    dir.assert_only(&["dropbox", "dropbox/new", "dropbox/target"]);
}

#[test]
fn anothers_file_in_a_sticky_directory_stays() {
    const TEST: &str = "permissions::anothers_file_in_a_sticky_directory_stays";
    if let Some(child::Given { dir, .. }) = child::given() {
        let target = dir.path("target");
        for publish in [Publish::Replace, Publish::Existing] {
            for staging in [Staging::Named, Staging::Unnamed] {
                let mut builder = AtomicWriter::builder();
                let error = builder.publish(publish).staging(staging).write(&target, "new");
                let error = error.unwrap_err();
                check(&error, ErrorKind::PermissionDenied, Step::Publish, &target);
            }
        }
        let commit = AtomicWriter::builder().write(dir.path("own"), "new").unwrap();
        assert_eq!(commit.outcome(), Outcome::Created);
        let commit = AtomicWriter::builder().write(dir.path("own"), "newer").unwrap();
        assert_eq!(commit.outcome(), Outcome::Replaced);
        return;
    }
    if !is_root(TEST) {
        return;
    }
    if lacks(&[Feature::Creators, Feature::Owners, Feature::Modes]) {
        return;
    }
    let dir = Dir::new();
    chmod(dir.root(), 0o1777);
    let target = dir.write("target", "old");
    chown(&target, 12345, 12345);
    chmod(&target, 0o666);
    Child::of(TEST).nobody().run(&dir, "");
    assert_eq!((dir.read("target"), dir.read("own")), ("old".into(), "newer".into()));
    dir.assert_only(&["own", "target"]);
}

#[test]
fn a_temp_file_that_cannot_be_removed_is_named_by_the_error() {
    const TEST: &str = "permissions::a_temp_file_that_cannot_be_removed_is_named_by_the_error";
    if let Some(child::Given { dir, case }) = child::given() {
        let target = dir.path("target");
        let mut writer = AtomicWriter::builder().open(&target).unwrap();
        writer.write_all(b"new").unwrap();
        let temp = writer.staging_path().unwrap();
        chmod(dir.root(), 0o500);
        let (error, kind, step) = match &*case {
            "commit" => {
                let error = writer.commit().unwrap_err();
                (error, ErrorKind::PermissionDenied, Step::Publish)
            }
            "poisoned" => {
                writer.set_len(u64::MAX).unwrap_err();
                (writer.commit().unwrap_err(), ErrorKind::Poisoned, Step::Write)
            }
            _ => {
                let error = writer.rollback().unwrap_err();
                (error, ErrorKind::PermissionDenied, Step::RemoveTemp)
            }
        };
        assert_eq!((error.kind(), error.step()), (kind, step));
        assert_eq!(error.target_state(), TargetState::Untouched);
        assert_eq!(error.leftover(), Some(&*temp));
        assert!(error.to_string().contains(&*temp.to_string_lossy()), "{error}");
        return;
    }
    if !is_root(TEST) {
        return;
    }
    if lacks(&[Feature::Owners, Feature::Modes]) {
        return;
    }
    for case in ["commit", "poisoned", "rollback"] {
        let dir = Dir::new();
        let target = dir.write("target", "old");
        chown(&target, NOBODY, NOBODY);
        chown(dir.root(), NOBODY, NOBODY);
        Child::of(TEST).nobody().run(&dir, case);
        assert_eq!(dir.read("target"), "old");
        assert_eq!((dir.temps().len(), dir.names().len()), (1, 2));
    }
}

/// With SIGXFSZ ignored, as servers do, a file that reaches the limit on sizes is an error.
#[test]
fn a_file_that_outgrows_the_limit_on_sizes_is_an_error() {
    if let Some(child::Given { dir, .. }) = child::given() {
        let target = dir.path("target");
        let error = AtomicWriter::builder().write(&target, vec![1; 1 << 20]).unwrap_err();
        check(&error, ErrorKind::StorageFull, Step::Write, &target);
        let mut writer = AtomicWriter::builder().buffer_size(1000).open(&target).unwrap();
        (0..1000).try_for_each(|_| writer.write_all(&[1; 999])).unwrap_err();
        check(&writer.commit().unwrap_err(), ErrorKind::Poisoned, Step::Write, &target);
        AtomicWriter::builder().write(&target, "new").unwrap();
        return;
    }
    let dir = Dir::new();
    dir.write("target", "old");
    let child = Child::of("permissions::a_file_that_outgrows_the_limit_on_sizes_is_an_error");
    child.after("trap '' XFSZ; ulimit -f 200").run(&dir, "");
    assert_eq!(dir.read("target"), "new");
    dir.assert_only(&["target"]);
}
