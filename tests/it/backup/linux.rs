//! What only Linux mounts, denies or lists.

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use fs_err as fs;
use wholefile::{Backup, Durability, ErrorKind, Outcome, Publish, SpecialFiles, Step, TargetState};

use super::{suffix, with};
use crate::child::{self, Child};
use crate::dir::Dir;
use crate::place::{Feature, lacks};
use crate::system::{Mount, NOBODY, chmod, chown, is_root, set_acl, spawn, xattrs};

/// A file that is mounted cannot be linked to where it is mounted on, and not be replaced: what was
/// copied for its backup is removed, and the earlier one is put back.
#[test]
fn a_publish_that_fails_leaves_the_earlier_backup() {
    if !is_root("backup::linux::a_publish_that_fails_leaves_the_earlier_backup") {
        return;
    }
    if lacks(&[Feature::Exchange]) {
        return;
    }
    for publish in [Publish::Replace, Publish::Existing] {
        for earlier in [None, Some("earlier")] {
            let dir = Dir::new();
            let (source, target) = (dir.write("source", "old"), dir.write("target", "under"));
            if let Some(earlier) = earlier {
                dir.write("target~", earlier);
            }
            let mount = Mount::bind(&source, &target);
            let backups = [suffix("~"), Backup::Path(dir.path("target~"))];
            for backup in backups.into_iter().chain([Backup::Numbered { keep: 1 }]) {
                let error = with(backup).publish(publish).write(&target, "new").unwrap_err();
                assert_eq!((error.kind(), error.step()), (ErrorKind::MountPoint, Step::Publish));
                assert_eq!(error.target_state(), TargetState::Untouched);
                assert_eq!(error.leftover(), None);
            }
            drop(mount);
            let kept = fs::read_to_string(dir.path("target~")).ok();
            assert_eq!(kept.as_deref(), earlier);
            let mut names = vec!["source", "target"];
            names.extend(earlier.map(|_| "target~"));
            dir.assert_only(&names);
        }
    }
}

/// On another file system the backup is a copy, with all that the old file had.
#[test]
fn on_another_file_system_it_is_a_copy_with_the_metadata() {
    if !is_root("backup::linux::on_another_file_system_it_is_a_copy_with_the_metadata") {
        return;
    }
    if lacks(&[Feature::Acls, Feature::Owners, Feature::UserXattrs]) {
        return;
    }
    for earlier in [false, true] {
        for contents in ["old".to_owned(), "0123456789abcdef".repeat(20_000)] {
            let (dir, other) = (Dir::new(), Dir::new());
            let _mount = Mount::tmpfs(other.root(), "size=10m");
            let target = dir.write("target", &contents);
            chmod(&target, 0o640);
            set_acl(&target, "u:1234:r");
            chown(&target, 2345, 3456);
            let before = (fs::metadata(&target).unwrap(), xattrs(&target));
            let kept = other.path("kept");
            if earlier {
                other.write("kept", "earlier");
            }
            let commit = with(Backup::Path(kept.clone())).write(&target, "new").unwrap();
            assert_eq!(commit.backup(), Some(&*kept));
            assert!(commit.not_preserved().is_empty(), "{commit:?}");
            let (old, backup) = (before.0, fs::metadata(&kept).unwrap());
            let of = |it: &std::fs::Metadata| (it.mode(), it.uid(), it.gid(), it.mtime());
            assert_eq!(of(&backup), of(&old));
            assert_eq!(xattrs(&kept), before.1);
            assert_eq!(other.read("kept"), contents);
            assert_eq!(dir.read("target"), "new");
            other.assert_only(&["kept"]);
            dir.assert_only(&["target"]);
        }
    }
}

#[test]
fn what_is_forbidden_leaves_all_as_it_was() {
    const TEST: &str = "backup::linux::what_is_forbidden_leaves_all_as_it_was";
    if let Some(child::Given { dir, case }) = child::given() {
        let target = dir.path("target");
        let write = |backup| with(backup).write(&target, "new");
        match &*case {
            // Somebody else's, which may neither be linked nor copied.
            "unreadable" => {
                for backup in [suffix("~"), Backup::Numbered { keep: 1 }] {
                    let error = write(backup).unwrap_err();
                    let kind = (error.kind(), error.step());
                    assert_eq!(kind, (ErrorKind::PermissionDenied, Step::Backup), "{error}");
                    assert_eq!(error.target_state(), TargetState::Untouched);
                    assert_eq!(error.leftover(), None);
                }
            }
            // Somebody else's, which may be read, is copied.
            "readable" => {
                let commit = write(suffix("~")).unwrap();
                assert_eq!(dir.read("target~"), "old", "{commit:?}");
            }
            // A directory that may not be listed has no highest number.
            "unlistable" => {
                let error = write(Backup::Numbered { keep: 1 }).unwrap_err();
                let kind = (error.kind(), error.step());
                assert_eq!(kind, (ErrorKind::PermissionDenied, Step::Backup), "{error}");
                let commit = write(suffix("~")).unwrap();
                assert_eq!(commit.durability(), Durability::Ordered);
                assert_eq!(std::fs::read(commit.backup().unwrap()).unwrap(), b"old");
            }
            case => panic!("{case}?"),
        }
        return;
    }
    if !is_root(TEST) || lacks(&[Feature::Owners, Feature::Modes]) {
        return;
    }
    for (case, owner, mode, of_directory, names) in [
        ("unreadable", 12345, 0o600, 0o700, &["target"][..]),
        ("readable", 12345, 0o644, 0o700, &["target", "target~"]),
        ("unlistable", NOBODY, 0o600, 0o300, &["target", "target~"]),
    ] {
        let dir = Dir::new();
        let target = dir.write("target", "old");
        chown(&target, owner, owner);
        chmod(&target, mode);
        chown(dir.root(), NOBODY, NOBODY);
        chmod(dir.root(), of_directory);
        Child::of(TEST).nobody().run(&dir, case);
        dir.assert_only(names);
        let is_new = case != "unreadable";
        assert_eq!(dir.read("target"), if is_new { "new" } else { "old" }, "{case}");
    }
}

/// What is written through was not replaced, and cannot be read again.
#[test]
fn there_is_no_backup_of_what_is_written_through() {
    let mut cat = spawn(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null())).unwrap();
    let pipe = format!("/proc/self/fd/{}", cat.stdin.as_ref().unwrap().as_raw_fd());
    for path in ["/dev/null", &pipe] {
        for backup in [suffix("~"), Backup::Numbered { keep: 1 }] {
            let mut through = with(backup);
            through.special_files(SpecialFiles::WriteThrough);
            let commit = through.write(path, "contents").unwrap();
            let became = (commit.outcome(), commit.backup());
            assert_eq!(became, (Outcome::WrittenThrough, None), "{path}");
        }
    }
    assert!(cat.wait().unwrap().success());
}
