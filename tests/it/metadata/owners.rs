//! The owner and the group, and what becomes of the mode without them.

use std::os::unix::fs::MetadataExt;

use fs_err as fs;
use wholefile::{AtomicWriter, ErrorKind, Metadata as Item, Outcome, Preserve, Step, TargetState};

use super::{each_way, metadata};
use crate::child::{self, Child};
use crate::dir::Dir;
use crate::place::{Feature, lacks};
use crate::system::{NOBODY, chmod, chown, is_root, set_xattr, xattr};

#[test]
fn root_keeps_the_owner_and_with_it_setuid_and_setgid() {
    if !is_root("metadata::owners::root_keeps_the_owner_and_with_it_setuid_and_setgid") {
        return;
    }
    if lacks(&[Feature::Owners, Feature::Modes]) {
        return;
    }
    let mut kept = 0;
    for (uid, gid) in [(12345, 23456), (0, 23456), (12345, 0), (0, 0)] {
        for mode in [0o600, 0o640, 0o644, 0o4755, 0o2755, 0o6755, 0o2644, 0o440] {
            each_way(|builder, new| {
                let dir = Dir::new();
                let target = dir.write("target", "old");
                chown(&target, uid, gid);
                chmod(&target, mode);
                let before = metadata(&target);
                let commit = builder.write(&target, new).unwrap();
                assert!(commit.not_preserved().is_empty());
                assert_eq!(metadata(&target), before);
                assert_eq!((before.uid, before.gid, before.mode), (uid, gid, mode));
                kept += 1;
            });
        }
    }
    assert_eq!(kept, 4 * 8 * 6);
}

#[test]
fn an_owner_that_is_skipped_is_the_writer_and_setuid_is_dropped() {
    if !is_root("metadata::owners::an_owner_that_is_skipped_is_the_writer_and_setuid_is_dropped") {
        return;
    }
    if lacks(&[Feature::Owners, Feature::Modes]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "old");
    chown(&target, 12345, 23456);
    chmod(&target, 0o6755);
    let mut builder = AtomicWriter::builder();
    builder.preserve(Item::Owner, Preserve::Skip).write(&target, "new").unwrap();
    let after = metadata(&target);
    assert_eq!((after.uid, after.gid, after.mode), (0, 0, 0o755));
}

/// A directory of everybody's with a file of somebody else's.
fn somebody_elses(mode: u32, gid: u32) -> Dir {
    let dir = Dir::new();
    chmod(dir.root(), 0o777);
    let target = dir.write("target", "old");
    chown(&target, 12345, gid);
    chmod(&target, mode);
    dir
}

/// Modes of another user's file, of another group or of the writer's own, and what is left of them.
const LOST_OWNER: [(u32, u32, u32); 10] = [
    // The group is lost too: its bits become at most the others', and the others' at most its.
    (23456, 0o644, 0o644),
    (23456, 0o664, 0o644),
    (23456, 0o640, 0o600),
    (23456, 0o660, 0o600),
    (23456, 0o604, 0o600),
    (23456, 0o6755, 0o755),
    (23456, 0o2775, 0o755),
    // The group is kept.
    (NOBODY, 0o660, 0o660),
    (NOBODY, 0o4755, 0o755),
    (NOBODY, 0o6775, 0o775),
];

#[test]
fn who_may_not_keep_the_owner_is_told_and_gives_away_no_rights() {
    const TEST: &str =
        "metadata::owners::who_may_not_keep_the_owner_is_told_and_gives_away_no_rights";
    if let Some(child::Given { dir, case }) = child::given() {
        let target = dir.path("target");
        let before = metadata(&target);
        let mode = u32::from_str_radix(&case, 8).unwrap();
        let commit = AtomicWriter::builder().write(&target, "new").unwrap();
        let after = metadata(&target);
        let lost: Vec<_> = commit.not_preserved().iter().map(|lost| lost.metadata()).collect();
        let expected: &[Item] =
            if mode == before.mode { &[Item::Owner] } else { &[Item::Owner, Item::Mode] };
        assert_eq!(lost, expected);
        assert!(commit.not_preserved().iter().all(|lost| lost.xattr().is_none()));
        let denied = std::io::ErrorKind::PermissionDenied;
        assert!(commit.not_preserved().iter().all(|lost| lost.cause() == denied));
        assert_eq!((after.uid, after.gid), (NOBODY, NOBODY));
        assert_eq!(format!("{:o}", after.mode), case);
        return;
    }
    if !is_root(TEST) {
        return;
    }
    if lacks(&[Feature::Creators, Feature::Owners, Feature::Modes]) {
        return;
    }
    for (gid, mode, left) in LOST_OWNER {
        let dir = somebody_elses(mode, gid);
        Child::of(TEST).nobody().run(&dir, &format!("{left:o}"));
        assert_eq!(dir.read("target"), "new");
        dir.assert_only(&["target"]);
    }
}

#[test]
fn an_owner_that_is_required_and_cannot_be_kept_is_an_error() {
    const TEST: &str = "metadata::owners::an_owner_that_is_required_and_cannot_be_kept_is_an_error";
    if let Some(child::Given { dir, .. }) = child::given() {
        each_way(|builder, new| {
            let mut builder = builder.clone();
            builder.preserve(Item::Owner, Preserve::Require);
            let error = builder.write(dir.path("target"), new).unwrap_err();
            assert_eq!((error.kind(), error.step()), (ErrorKind::NotPreserved, Step::Metadata));
            assert_eq!(error.target_state(), TargetState::Untouched);
            assert_eq!(error.leftover(), None);
            dir.assert_only(&["target"]);
        });
        // The mode alone, where it is lost with the owner.
        let mut builder = AtomicWriter::builder();
        builder.preserve(Item::Mode, Preserve::Require);
        let error = builder.write(dir.path("target"), "new").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotPreserved);
        return;
    }
    if !is_root(TEST) {
        return;
    }
    if lacks(&[Feature::Creators, Feature::Owners, Feature::Modes]) {
        return;
    }
    let dir = somebody_elses(0o4664, 23456);
    let before = metadata(&dir.path("target"));
    Child::of(TEST).nobody().run(&dir, "");
    assert_eq!(metadata(&dir.path("target")), before);
    assert_eq!(dir.read("target"), "old");
    dir.assert_only(&["target"]);
}

#[test]
fn an_attribute_that_may_not_be_set_is_listed_by_name() {
    const TEST: &str = "metadata::owners::an_attribute_that_may_not_be_set_is_listed_by_name";
    const NAME: &str = "security.test";
    if let Some(child::Given { dir, .. }) = child::given() {
        let target = dir.path("target");
        let mut builder = AtomicWriter::builder();
        builder.preserve(Item::Xattrs, Preserve::Require);
        let error = builder.write(&target, "new").unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::NotPreserved, Step::Metadata));
        assert_eq!(xattr(&target, NAME), Some(b"value".to_vec()));
        let commit = AtomicWriter::builder().write(&target, "new").unwrap();
        let lost: Vec<_> = commit.not_preserved().iter().map(|lost| lost.metadata()).collect();
        assert_eq!(lost, [Item::Xattrs]);
        assert_eq!(commit.not_preserved()[0].xattr(), Some(NAME.as_ref()));
        assert_eq!(xattr(&target, NAME), None);
        return;
    }
    if !is_root(TEST) {
        return;
    }
    if lacks(&[Feature::Owners, Feature::SystemXattrs]) {
        return;
    }
    let dir = somebody_elses(0o644, NOBODY);
    chown(dir.path("target"), NOBODY, NOBODY);
    set_xattr(&dir.path("target"), NAME, b"value");
    Child::of(TEST).nobody().run(&dir, "");
    assert_eq!(dir.read("target"), "new");
}

#[test]
fn the_old_files_attributes_and_contents_need_not_be_readable() {
    const TEST: &str =
        "metadata::owners::the_old_files_attributes_and_contents_need_not_be_readable";
    if let Some(child::Given { dir, .. }) = child::given() {
        assert!(fs::read(dir.path("target")).is_err(), "this user may not read it");
        let commit = AtomicWriter::builder().write(dir.path("target"), "new").unwrap();
        assert!(!commit.not_preserved().is_empty());
        assert_eq!(fs::metadata(dir.path("target")).unwrap().uid(), NOBODY);
        return;
    }
    if !is_root(TEST) {
        return;
    }
    if lacks(&[Feature::Creators, Feature::Owners, Feature::Modes, Feature::UserXattrs]) {
        return;
    }
    let dir = somebody_elses(0o600, 23456);
    set_xattr(&dir.path("target"), "user.secret", b"value");
    Child::of(TEST).nobody().run(&dir, "");
    assert_eq!(dir.read("target"), "new");
    assert_eq!(dir.mode("target"), 0o600);
    dir.assert_only(&["target"]);
}

/// A user who wanted to read what root saves to /tmp/token had only to make that file first: the
/// new one was given the old one's owner, mode and ACL, and with it the contents, although root had
/// asked for 0600.
#[test]
fn nothing_is_taken_over_from_a_file_that_another_user_planted() {
    if lacks(&[Feature::Owners, Feature::Modes, Feature::UserXattrs]) {
        return;
    }
    if !is_root("metadata::owners::nothing_is_taken_over_from_a_file_that_another_user_planted") {
        return;
    }
    let all = [Item::Owner, Item::Mode, Item::Xattrs];
    each_way(|builder, new| {
        let planted = || {
            let dir = Dir::new();
            chmod(dir.root(), 0o1777);
            let target = dir.write("target", "planted");
            set_xattr(&target, "user.planted", b"by nobody");
            chown(&target, NOBODY, NOBODY);
            chmod(&target, 0o666);
            dir
        };
        let dir = planted();
        let plain = metadata(&dir.write("plain", ""));
        let target = dir.path("target");
        for metadata in all {
            let mut builder = builder.clone();
            builder.preserve(metadata, Preserve::Require);
            let error = builder.write(&target, new).unwrap_err();
            assert_eq!((error.kind(), error.step()), (ErrorKind::NotPreserved, Step::Metadata));
            assert_eq!(error.target_state(), TargetState::Untouched);
            assert_eq!(dir.read("target"), "planted");
        }
        let mut writer = builder.open(&target).unwrap();
        std::io::Write::write_all(&mut writer, new).unwrap();
        let staged = metadata(&writer.staging_path().unwrap());
        assert_eq!(staged, super::Metadata { mode: plain.mode & 0o700, ..plain.clone() });
        let commit = writer.commit().unwrap();
        let lost: Vec<Item> = commit.not_preserved().iter().map(|it| it.metadata()).collect();
        assert_eq!((metadata(&target), &lost[..]), (plain, &all[..]));
        let dir = planted();
        let commit = builder.clone().mode(0o600).write(dir.path("target"), new).unwrap();
        let after = metadata(&dir.path("target"));
        assert_eq!((after.uid, after.gid, after.mode, after.xattrs), (0, 0, 0o600, Vec::new()));
        assert_eq!(commit.outcome(), Outcome::Replaced);
        dir.assert_only(&["target"]);
    });
}

/// What a planted file keeps others out of, its successor keeps them out of: the file of another
/// user in /tmp may be no trap but private.
#[test]
fn a_planted_file_still_restricts_its_successor() {
    if lacks(&[Feature::Owners, Feature::Modes, Feature::LinkCounts]) {
        return;
    }
    if !is_root("metadata::owners::a_planted_file_still_restricts_its_successor") {
        return;
    }
    let modes = [(0o600, 0o600), (0o644, 0o644), (0o666, 0o666), (0o777, 0o666), (0o640, 0o600)];
    for (mode, at_most) in modes {
        for owner in [NOBODY, 0] {
            each_way(|builder, new| {
                let dir = Dir::new();
                chmod(dir.root(), 0o1777);
                let target = dir.write("target", "private");
                let plain = metadata(&dir.write("plain", ""));
                if owner == 0 {
                    fs::hard_link(&target, dir.path("another name")).unwrap();
                }
                chown(&target, owner, owner);
                chmod(&target, mode);
                let mut writer = builder.open(&target).unwrap();
                std::io::Write::write_all(&mut writer, new).unwrap();
                let expected = (0, 0, plain.mode & at_most);
                let staged = metadata(&writer.staging_path().unwrap());
                assert_eq!((staged.uid, staged.gid, staged.mode), (0, 0, expected.2 & 0o700));
                writer.commit().unwrap();
                let after = metadata(&target);
                assert_eq!((after.uid, after.gid, after.mode), expected, "{mode:o} of {owner}");
            });
        }
    }
}

/// Where anybody may make hard links (fs.protected_hardlinks is 0), a link to any setuid program at
/// the name of root's next report made that report a setuid program.
#[test]
fn nothing_is_taken_over_from_a_hard_link_in_a_directory_of_everybodys() {
    if lacks(&[Feature::Owners, Feature::Modes, Feature::HardLinks, Feature::LinkCounts]) {
        return;
    }
    const TEST: &str =
        "metadata::owners::nothing_is_taken_over_from_a_hard_link_in_a_directory_of_everybodys";
    if !is_root(TEST) {
        return;
    }
    for (mode, left) in [(0o1777, 0), (0o755, 0o6000)] {
        let dir = Dir::new();
        let program = dir.write("program", "setuid");
        chmod(&program, 0o6755);
        chmod(dir.make("shared"), mode);
        let target = dir.path("shared/target");
        fs::hard_link(&program, &target).unwrap();
        AtomicWriter::builder().write(&target, "report").unwrap();
        assert_eq!(dir.mode("shared/target") & 0o6000, left);
        assert_eq!((dir.read("program"), dir.mode("program")), ("setuid".into(), 0o6755));
    }
}
