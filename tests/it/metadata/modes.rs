//! The permission bits and the times.

use std::io::Write;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use wholefile::{AtomicWriter, ErrorKind, Metadata, Outcome, Preserve};

use super::{each_way, metadata};
use crate::child::{self, Child};
use crate::dir::Dir;
use crate::place::{Feature, has, lacks};
use crate::system::chmod;
#[cfg(target_os = "linux")]
use crate::system::{NOBODY, chown, is_root};

const UMASKS: [u32; 4] = [0o000, 0o022, 0o077, 0o777];

#[test]
fn the_mode_of_the_old_file_is_kept_under_every_umask() {
    const MODES: [u32; 14] = [
        0o600, 0o640, 0o644, 0o664, 0o666, 0o755, 0o444, 0o400, 0o4755, 0o2755, 0o6755, 0o1644,
        0o004, 0o777,
    ];
    if let Some(child::Given { dir, .. }) = child::given() {
        let mut kept = 0;
        for mode in MODES {
            each_way(|builder, new| {
                let target = dir.write("target", "old");
                chmod(&target, mode);
                let before = metadata(&target);
                assert_eq!(before.mode, mode);
                let commit = builder.write(&target, new).unwrap();
                assert!(commit.not_preserved().is_empty());
                assert_eq!(metadata(&target), before);
                assert_eq!(fs::metadata(&target).unwrap().len(), new.len() as u64);
                dir.assert_only(&["target"]);
                fs::remove_file(&target).unwrap();
                kept += 1;
            });
        }
        assert_eq!(kept, MODES.len() * 6);
        return;
    }
    if lacks(&[Feature::Modes]) {
        return;
    }
    for umask in UMASKS {
        let child =
            Child::of("metadata::modes::the_mode_of_the_old_file_is_kept_under_every_umask");
        child.umask(umask).run(&Dir::new(), "");
    }
}

/// The target was closed to others while a long save was on its way, and they could still read the
/// new contents, in a temp file that had been open to whom the old ones were.
#[test]
fn what_is_staged_for_longer_is_open_to_its_owner_alone() {
    if lacks(&[Feature::Modes]) {
        return;
    }
    let mut staged = 0;
    each_way(|builder, new| {
        let dir = Dir::new();
        let target = dir.write("target", "old");
        chmod(&target, 0o666);
        let mut writer = builder.open(&target).unwrap();
        writer.write_all(new).unwrap();
        for temp in dir.temps() {
            assert_eq!(dir.mode(&temp) & 0o077, 0);
            staged += 1;
        }
        chmod(&target, 0o604);
        writer.commit().unwrap();
        assert_eq!(dir.mode("target"), 0o604);
    });
    assert!(staged > 0);
}

#[test]
fn an_explicit_mode_is_given_to_a_new_file_and_to_an_old_one_under_every_umask() {
    if let Some(child::Given { dir, .. }) = child::given() {
        for mode in [0o600, 0o640, 0o644, 0o666, 0o777, 0o400, 0o4755, 0o2755] {
            for old_mode in [None, Some(0o600), Some(0o777), Some(0o4755)] {
                each_way(|builder, new| {
                    let target = dir.path("target");
                    if let Some(old_mode) = old_mode {
                        dir.write("target", "old");
                        chmod(&target, old_mode);
                    }
                    let commit = builder.clone().mode(mode).write(&target, new).unwrap();
                    assert_eq!(commit.outcome() == Outcome::Created, old_mode.is_none());
                    assert!(commit.not_preserved().is_empty());
                    assert_eq!(dir.mode("target"), mode, "was {old_mode:?}");
                    fs::remove_file(&target).unwrap();
                });
            }
        }
        // The type of the file is no part of it.
        AtomicWriter::builder().mode(0o100_640).write(dir.path("target"), "").unwrap();
        assert_eq!(dir.mode("target"), 0o640);
        return;
    }
    if lacks(&[Feature::Modes]) {
        return;
    }
    for umask in UMASKS {
        let child = Child::of(
            "metadata::modes::\
             an_explicit_mode_is_given_to_a_new_file_and_to_an_old_one_under_every_umask",
        );
        child.umask(umask).run(&Dir::new(), "");
    }
}

/// Symptom: a secret was saved with `mode(0o600)`, everybody could read it, and the receipt listed
/// no loss. Mechanism: a file system without permission bits (FAT, NTFS without `-o permissions`,
/// some network mounts) accepts chmod and does nothing. Lost: the confidentiality of the file.
#[test]
fn an_explicit_mode_that_the_file_system_ignores_is_on_the_receipt() {
    let keeps = has(Feature::Modes);
    each_way(|builder, new| {
        for old in [None, Some("old")] {
            let dir = Dir::new();
            old.iter().for_each(|old| drop(dir.write("target", old)));
            let mut builder = builder.clone();
            builder.mode(0o600);
            let commit = builder.write(dir.path("target"), new).unwrap();
            let lost: Vec<_> = commit.not_preserved().iter().map(|lost| lost.metadata()).collect();
            assert_eq!(lost, if keeps { vec![] } else { vec![Metadata::Mode] });
            assert_eq!(dir.mode("target") == 0o600, keeps);
            builder.preserve(Metadata::Mode, Preserve::Require);
            let kind = builder.write(dir.path("target"), new).err().map(|error| error.kind());
            assert_eq!(kind, if keeps { None } else { Some(ErrorKind::NotPreserved) });
        }
    });
}

#[test]
fn a_mode_that_changes_between_open_and_commit_is_the_one_that_is_kept() {
    if lacks(&[Feature::Modes]) {
        return;
    }
    each_way(|builder, new| {
        let dir = Dir::new();
        let target = dir.write("target", "old");
        chmod(&target, 0o600);
        let mut writer = builder.open(&target).unwrap();
        std::io::Write::write_all(&mut writer, new).unwrap();
        chmod(&target, 0o640);
        writer.commit().unwrap();
        assert_eq!(dir.mode("target"), 0o640);
    });
}

#[test]
fn a_mode_that_is_skipped_is_that_of_a_new_file() {
    if let Some(child::Given { dir, .. }) = child::given() {
        each_way(|builder, new| {
            let target = dir.write("target", "old");
            chmod(&target, 0o600);
            let mut builder = builder.clone();
            builder.preserve(Metadata::Mode, Preserve::Skip).write(&target, new).unwrap();
            assert_eq!(dir.mode("target"), 0o664);
        });
        return;
    }
    if lacks(&[Feature::Modes]) {
        return;
    }
    let child = Child::of("metadata::modes::a_mode_that_is_skipped_is_that_of_a_new_file");
    child.umask(0o002).run(&Dir::new(), "");
}

#[test]
fn the_times_are_kept_only_where_that_is_asked_for() {
    let past = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_000);
    for preserve in [Preserve::Skip, Preserve::Try, Preserve::Require] {
        each_way(|builder, new| {
            let dir = Dir::new();
            let target = dir.write("target", "old");
            let times = std::fs::FileTimes::new().set_modified(past).set_accessed(past);
            fs::File::open(&target).unwrap().into_parts().0.set_times(times).unwrap();
            let before = fs::metadata(&target).unwrap();
            builder.clone().preserve(Metadata::Times, preserve).write(&target, new).unwrap();
            let after = fs::metadata(&target).unwrap();
            let kept = preserve != Preserve::Skip;
            assert_eq!(after.modified().unwrap() == before.modified().unwrap(), kept);
            assert_eq!(after.accessed().unwrap() == before.accessed().unwrap(), kept);
        });
    }
}

/// chmod(2): "If the calling process is not privileged, and the group of the file does not match
/// the effective group ID of the process or one of its supplementary group IDs, the S_ISGID bit
/// will be turned off, but this will not cause an error to be returned."
#[cfg(target_os = "linux")]
#[test]
fn a_setgid_bit_that_is_taken_without_a_word_is_on_the_receipt() {
    const TEST: &str =
        "metadata::modes::a_setgid_bit_that_is_taken_without_a_word_is_on_the_receipt";
    if let Some(child::Given { dir, .. }) = child::given() {
        let target = dir.path("target");
        let commit = AtomicWriter::builder().write(&target, "new").unwrap();
        let [lost] = commit.not_preserved() else { panic!("{commit:?}") };
        assert_eq!(lost.metadata(), Metadata::Mode);
        assert_eq!(lost.cause(), std::io::ErrorKind::PermissionDenied);
        assert_eq!(metadata(&target).mode, 0o755);
        let mut builder = AtomicWriter::builder();
        builder.preserve(Metadata::Mode, Preserve::Require);
        assert_eq!(builder.write(&target, "new").unwrap().not_preserved().len(), 0);
        return;
    }
    if lacks(&[Feature::Owners, Feature::Creators, Feature::Modes]) || !is_root(TEST) {
        return;
    }
    let dir = Dir::new();
    // What is made in it has its group.
    chown(dir.root(), NOBODY, 12345);
    chmod(dir.root(), 0o2755);
    let target = dir.write("target", "old");
    chown(&target, NOBODY, 12345);
    chmod(&target, 0o2755);
    Child::of(TEST).nobody().run(&dir, "");
    dir.assert_only(&["target"]);
}
