//! Disks and mounts that do not let a save happen.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use fs_err as fs;
use wholefile::{AtomicBatch, AtomicWriter, ErrorKind, Publish, Staging, Step, Sweeper, recover};

use crate::dir::{Dir, sweep_when_free, wait_until};
use crate::images::{Image, Recipe};
use crate::journal::die_after;
use crate::permissions::check;
use crate::system::{Mount, is_root, nobody_forks};

#[test]
fn a_single_file_that_is_mounted_cannot_be_replaced() {
    if !is_root("mounts::a_single_file_that_is_mounted_cannot_be_replaced") {
        return;
    }
    for publish in [Publish::Replace, Publish::Existing] {
        for len in [3, 100_000] {
            let dir = Dir::new();
            let (source, target) = (dir.write("source", "old"), dir.write("target", "under"));
            let mount = Mount::bind(&source, &target);
            let mut builder = AtomicWriter::builder();
            let error = builder.publish(publish).write(&target, vec![b'n'; len]).unwrap_err();
            check(&error, ErrorKind::MountPoint, Step::Publish, &target);
            assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ResourceBusy);
            assert_eq!(dir.read("target"), "old");
            drop(mount);
            assert_eq!((dir.read("source"), dir.read("target")), ("old".into(), "under".into()));
            dir.assert_only(&["source", "target"]);
        }
    }
}

/// A file system of its own, mounted on a directory, with an old file at `target`.
fn small_disk(options: &str) -> (Dir, Mount, PathBuf) {
    let dir = Dir::new();
    let mount = Mount::tmpfs(dir.root(), options);
    let target = dir.write("target", "old");
    (dir, mount, target)
}

#[test]
fn a_full_disk_poisons_a_stream_and_the_old_file_stays() {
    if !is_root("mounts::a_full_disk_poisons_a_stream_and_the_old_file_stays") {
        return;
    }
    for staging in [Staging::Named, Staging::Unnamed] {
        let (dir, _mount, target) = small_disk("size=1m");
        let mut builder = AtomicWriter::builder();
        let mut writer = builder.staging(staging).open(&target).unwrap();
        let written = (0..40).try_for_each(|_| writer.write_all(&[1; 100_000]));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
        // That there is room again does not make the contents whole.
        writer.write_all(b"more").unwrap_err();
        let error = writer.commit().unwrap_err();
        check(&error, ErrorKind::Poisoned, Step::Write, &target);
        assert_eq!(error.io_error().unwrap().kind(), io::ErrorKind::StorageFull);
        assert_eq!(dir.read("target"), "old");
        dir.assert_only(&["target"]);
        let error = builder.write(&target, vec![1; 4 << 20]).unwrap_err();
        check(&error, ErrorKind::StorageFull, Step::Write, &target);
        let error = builder.reserve(2 << 20).open(&target).unwrap_err();
        check(&error, ErrorKind::StorageFull, Step::Reserve, &target);
        dir.assert_only(&["target"]);
    }
}

#[test]
fn a_full_disk_fails_a_small_save_at_commit() {
    if !is_root("mounts::a_full_disk_fails_a_small_save_at_commit") {
        return;
    }
    let (dir, _mount, target) = small_disk("size=1m");
    let mut filler = fs::File::create(dir.path("filler")).unwrap();
    while filler.write(&[1; 4096]).is_ok() {}
    let mut writer = AtomicWriter::builder().open(&target).unwrap();
    writer.write_all(b"small").unwrap();
    let error = writer.commit().unwrap_err();
    check(&error, ErrorKind::StorageFull, Step::Write, &target);
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::StorageFull);
    assert_eq!(dir.read("target"), "old");
    dir.assert_only(&["filler", "target"]);
    drop(filler);
    fs::remove_file(dir.path("filler")).unwrap();
    // Another test's process may be starting, and hold the file until it has.
    wait_until("there is room again", || AtomicWriter::builder().write(&target, "small").is_ok());
    assert_eq!(dir.read("target"), "small");
}

#[test]
fn a_disk_without_inodes_fails_at_the_temp_file() {
    if !is_root("mounts::a_disk_without_inodes_fails_at_the_temp_file") {
        return;
    }
    let (dir, _mount, target) = small_disk("nr_inodes=2");
    let error = AtomicWriter::builder().write(&target, "small").unwrap_err();
    check(&error, ErrorKind::StorageFull, Step::CreateTemp, &target);
    assert_eq!(dir.read("target"), "old");
    dir.assert_only(&["target"]);
}

#[test]
fn a_file_system_that_is_mounted_read_only_is_an_error_of_its_own() {
    if !is_root("mounts::a_file_system_that_is_mounted_read_only_is_an_error_of_its_own") {
        return;
    }
    let _alone = nobody_forks();
    let (dir, mount, target) = small_disk("size=1m");
    mount.make_read_only();
    let error = AtomicWriter::builder().write(&target, "new").unwrap_err();
    check(&error, ErrorKind::ReadOnlyFilesystem, Step::CreateTemp, &target);
    let mut builder = AtomicWriter::builder();
    let error = builder.create_parents(true).open(dir.path("a/b/target")).unwrap_err();
    let step = Step::CreateParents;
    check(&error, ErrorKind::ReadOnlyFilesystem, step, &dir.path("a/b/target"));
    assert_eq!(dir.read("target"), "old");
}

/// All roots of ext4 have one number. Where another was mounted over the journal's, that was taken
/// for its directory, and the journal for gone: a sweep removed what was staged, and when the
/// journal could be seen again, some files were new and none of the others could be recovered.
#[test]
fn a_journal_under_another_file_system_of_its_kind_is_not_gone() {
    const TEST: &str = "mounts::a_journal_under_another_file_system_of_its_kind_is_not_gone";
    // The second kind does not tell when a directory was made.
    for make in ["mkfs.ext4 -q -F", "mkfs.ext4 -q -F -I 128"] {
        let image = || Image::new(TEST, &Recipe { make, options: "rw" });
        let Some(first) = image() else { return };
        thread::sleep(Duration::from_secs(1)); // mke2fs counts in seconds
        let Some(second) = image() else { return };
        let number = |image: &Image| fs::metadata(image.root()).unwrap().ino();
        assert_eq!(number(&first), number(&second));
        let dir = Dir::new();
        let state = dir.make("state");
        let _mount = Mount::bind(first.root(), &state);
        let mut batch = AtomicBatch::new();
        batch.journal(state.join("journal")).unwrap();
        for name in ["one", "two"] {
            batch.write(dir.path(name), "new").unwrap();
        }
        die_after(batch, 1);
        let kept = || sweep_when_free(&Sweeper::new(), dir.root()).kept().len();
        assert_eq!(kept(), 1);
        let over = Mount::bind(second.root(), &state);
        assert_eq!(kept(), 1, "{make}");
        drop(over);
        assert_eq!(recover(state.join("journal")).unwrap().files().len(), 2);
        assert_eq!((dir.read("one"), dir.read("two")), ("new".into(), "new".into()));
        assert_eq!(dir.temps(), [""; 0]);
    }
}

/// Whoever recovers has nothing but the paths in the journal.
#[test]
fn a_directory_that_its_path_does_not_lead_to_is_in_no_journal() {
    if !is_root("mounts::a_directory_that_its_path_does_not_lead_to_is_in_no_journal") {
        return;
    }
    let dir = Dir::new();
    let below = dir.make("below");
    let mut batch = AtomicBatch::new();
    batch.journal(dir.path("journal")).unwrap();
    batch.write(below.join("file"), "new").unwrap();
    let mount = Mount::tmpfs(&below, "size=1m");
    let error = batch.commit().unwrap_err();
    check(&error, ErrorKind::NotFound, Step::Resolve, &below);
    assert!(error.io_error().unwrap().to_string().contains("does not lead to it"), "{error:?}");
    drop(mount);
    dir.assert_only(&["below"]);
}
