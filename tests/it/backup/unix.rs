//! Numbers, links, rights, and what others leave and do.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::thread;

use fs_err as fs;
use wholefile::{
    AtomicWriter, Backup, ErrorKind, HardLinks, Staging, Step, Sweeper, Symlinks, TargetState,
};

use super::{check, suffix, with};
use crate::dir::{Dir, sweep_when_free};
use crate::place::{Feature, lacks};
use crate::system::{chmod, make_fifo};

/// Where the file at `target~` is while it may have to be put back.
const ASIDE: &str = ".wholefile-fd1706c8a46e186d.swap";

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

/// The owner, the mode, the times and all else are kept since it is the same file.
#[test]
fn the_backup_is_the_old_file_itself() {
    let features =
        [Feature::HardLinks, Feature::LinkNumbers, Feature::FreshLinkCounts, Feature::Modes];
    if lacks(&features) {
        return;
    }
    for staging in [Staging::Named, Staging::Unnamed] {
        for earlier in [false, true] {
            let dir = Dir::new();
            let target = dir.write("target", "old");
            chmod(&target, 0o604);
            let before = fs::metadata(&target).unwrap();
            if earlier {
                dir.write("target~", "earlier");
            }
            let commit = with(suffix("~")).staging(staging).write(&target, "new").unwrap();
            let backup = fs::metadata(commit.backup().unwrap()).unwrap();
            assert_eq!(backup.ino(), before.ino());
            assert_eq!((backup.mode(), backup.nlink()), (before.mode(), 1));
            assert_eq!(backup.modified().unwrap(), before.modified().unwrap());
            assert_ne!(inode(&target), before.ino());
            dir.assert_only(&["target", "target~"]);
        }
    }
}

#[test]
fn of_a_link_that_is_replaced_the_link_is_kept() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    dir.write("real", "real");
    let builder = with(suffix("~")).symlinks(Symlinks::Replace).clone();
    for earlier in [false, true] {
        let link = dir.path("link");
        let _ = fs::remove_file(&link);
        symlink("real", &link).unwrap();
        let commit = builder.write(&link, "new").unwrap();
        assert_eq!(commit.backup(), Some(&*dir.path("link~")), "{earlier}");
        assert_eq!(fs::read_link(dir.path("link~")).unwrap(), Path::new("real"));
        assert_eq!((dir.read("link"), dir.read("real")), ("new".into(), "real".into()));
    }
    // Followed, it is the file that is kept, beside itself.
    fs::rename(dir.path("link~"), dir.path("link")).unwrap();
    let commit = with(suffix("~")).write(dir.path("link"), "newer").unwrap();
    check(&commit, &dir, Some(("real~", "real")));
    dir.assert_only(&["link", "real", "real~"]);
}

#[test]
fn a_link_at_the_name_of_the_backup_is_replaced_and_not_followed() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "old");
    dir.write("victim", "victim");
    symlink("victim", dir.path("target~")).unwrap();
    check(&with(suffix("~")).write(&target, "new").unwrap(), &dir, Some(("target~", "old")));
    assert_eq!(dir.read("victim"), "victim");
    assert!(fs::symlink_metadata(dir.path("target~")).unwrap().is_file());
    // Nor does a link to its directory hide that it is the target.
    symlink(".", dir.path("here")).unwrap();
    let error = with(Backup::Path(dir.path("here/target"))).open(&target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
}

#[test]
fn a_fifo_at_the_name_of_the_backup_is_refused() {
    if lacks(&[Feature::Fifos]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "old");
    make_fifo(&dir.path("target~"));
    let error = with(suffix("~")).write(&target, "new").unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::SpecialFile, Step::Resolve));
    let writer = with(suffix(".bak")).open(&target).unwrap();
    make_fifo(&dir.path("target.bak")); // since it was looked at
    let error = writer.commit().unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::SpecialFile, Step::Backup));
    assert_eq!(error.target_state(), TargetState::Untouched);
    dir.assert_only(&["target", "target.bak", "target~"]);
    assert_eq!(dir.read("target"), "old");
}

/// What becomes of the path of the backup once the writer is open does not matter (guarantee 8).
#[test]
fn the_directory_of_the_backup_is_the_one_that_was_opened() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    dir.make("sub");
    let writer = with(Backup::Path(dir.path("sub/backup"))).open(&target).unwrap();
    fs::rename(dir.path("sub"), dir.path("moved")).unwrap();
    dir.make("sub");
    writer.commit().unwrap();
    assert_eq!(dir.read("moved/backup"), "old");
    dir.assert_only(&["moved", "moved/backup", "sub", "target"]);
}

/// A process was killed after it had made the backup, and before the target was replaced: they are
/// one file. To rename one of its names over the other does nothing, and the numbers would go on.
#[test]
fn what_a_killed_process_has_made_is_taken_for_the_backup() {
    if lacks(&[Feature::HardLinks, Feature::LinkNumbers, Feature::FreshLinkCounts]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "0");
    for (backup, name, new) in [
        (suffix("~"), "target~", "1"),
        (Backup::Path(dir.path("elsewhere")), "elsewhere", "2"),
        (Backup::Numbered { keep: 3 }, "target.~4~", "3"),
    ] {
        fs::hard_link(&target, dir.path(name)).unwrap();
        let mut builder = with(backup);
        // That name is not one that somebody else has given it.
        let commit = builder.hard_links(HardLinks::Refuse).write(&target, new).unwrap();
        check(&commit, &dir, Some((name, &(new.parse::<u32>().unwrap() - 1).to_string())));
        fs::hard_link(&target, dir.path("theirs")).unwrap();
        assert_eq!(builder.write(&target, "").unwrap_err().kind(), ErrorKind::HardLinked);
        fs::remove_file(dir.path("theirs")).unwrap();
    }
    dir.assert_only(&["elsewhere", "target", "target.~4~", "target~"]);
}

/// The names that others have given it are no backups, whatever the backup is to be called.
#[test]
fn a_file_with_names_of_others_is_refused_where_there_is_no_backup_yet() {
    if lacks(&[Feature::HardLinks, Feature::LinkNumbers, Feature::FreshLinkCounts]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "old");
    fs::hard_link(&target, dir.path("theirs")).unwrap();
    let elsewhere = Backup::Path(dir.path("elsewhere"));
    for backup in [suffix("~"), elsewhere, Backup::Numbered { keep: 3 }] {
        let error = with(backup).hard_links(HardLinks::Refuse).write(&target, "").unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::HardLinked, Step::Resolve));
    }
    dir.assert_only(&["target", "theirs"]);
}

#[test]
fn a_sweep_leaves_backups_alone_and_takes_what_was_to_be_exchanged() {
    let dir = Dir::new();
    let target = dir.write("target", "0");
    with(suffix("~")).write(&target, "1").unwrap();
    with(Backup::Numbered { keep: 2 }).write(&target, "2").unwrap();
    let aside = dir.write(ASIDE, "an earlier one");
    let sweep = sweep_when_free(&Sweeper::new(), dir.root());
    assert_eq!(sweep.removed(), [aside]);
    dir.assert_only(&["target", "target.~1~", "target~"]);
}

#[test]
fn what_a_killed_process_left_of_an_exchange_is_in_nobodys_way() {
    if lacks(&[Feature::HardLinks]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "1");
    dir.write("target~", "0");
    dir.write(ASIDE, "left");
    check(&with(suffix("~")).write(&target, "2").unwrap(), &dir, Some(("target~", "1")));
    dir.assert_only(&["target", "target~"]);
}

/// Each backup is the whole of some version, and of the one before where they ask for the lock.
#[test]
fn savers_that_meet_keep_whole_files() {
    let dir = Dir::new();
    let target = dir.write("target", "0");
    let threads: u32 = 4;
    let rounds: u32 = 25;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let mut builder = with(suffix("~"));
                    builder.durability(wholefile::Durability::None);
                    let count = |old: Option<Vec<u8>>| {
                        let old = String::from_utf8(old.unwrap()).unwrap();
                        Ok((old.parse::<u32>().unwrap() + 1).to_string().into_bytes())
                    };
                    builder.update(&target, count).unwrap();
                    // Without the lock: of whatever version, but of a whole one.
                    let numbered = Backup::Numbered { keep: 1000 };
                    builder.backup(numbered).write(dir.path("other"), "whole").unwrap();
                }
            });
        }
    });
    let last = threads * rounds;
    assert_eq!(dir.read("target"), last.to_string());
    assert_eq!(dir.read("target~"), (last - 1).to_string());
    let numbered = dir.names().into_iter().filter(|name| name.starts_with("other.~"));
    let numbered = Vec::from_iter(numbered);
    assert!(!numbered.is_empty() && numbered.len() < last as usize, "{numbered:?}");
    assert!(numbered.iter().all(|name| dir.read(name) == "whole"));
    assert!(dir.temps().is_empty() && dir.names().len() == numbered.len() + 3, "{:?}", dir.names());
}

#[test]
fn a_full_directory_of_numbers_is_no_hindrance() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    dir.make("target.~3~"); // bears the highest number
    let commit = with(Backup::Numbered { keep: 1 }).write(&target, "new").unwrap();
    check(&commit, &dir, Some(("target.~4~", "old")));
    dir.assert_only(&["target", "target.~3~", "target.~4~"]);
    let error = AtomicWriter::builder().backup(Backup::Numbered { keep: 0 }).open(&target);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidOption);
}

/// Names are bytes, of which nobody knows what they spell.
#[test]
fn a_name_that_is_no_text_is_compared_as_it_is() {
    let dir = Dir::new();
    let target = dir.path(OsStr::from_bytes(b"target \xff"));
    if fs::write(&target, "old").is_err() {
        return; // no such names on this file system
    }
    let itself = with(Backup::Path(target.clone())).write(&target, "").unwrap_err();
    assert_eq!(itself.kind(), ErrorKind::InvalidOption);
    let commit = with(suffix("~")).write(&target, "new").unwrap();
    assert_eq!(fs::read_to_string(commit.backup().unwrap()).unwrap(), "old");
}

/// That of the target may have the most bytes that a name can have.
#[test]
fn a_name_that_becomes_too_long_is_refused() {
    if lacks(&[Feature::LongNames]) {
        return;
    }
    let dir = Dir::new();
    let name = "n".repeat(250);
    dir.write(&name, "old");
    for backup in [suffix(".backup"), Backup::Numbered { keep: 1 }] {
        let long = match &backup {
            Backup::Numbered { .. } => "n".repeat(252),
            _ => name.clone(),
        };
        let error = with(backup).write(dir.path(&long), "new").unwrap_err();
        assert_eq!(
            (error.kind(), error.step()),
            (ErrorKind::InvalidPath, Step::Resolve),
            "{error}"
        );
        assert_eq!(error.target_state(), TargetState::Untouched);
    }
    assert_eq!(dir.read(&name), "old");
    dir.assert_only(&[&name]);
    let mut suffix = OsString::from("b".repeat(4));
    suffix.push("~");
    let commit = with(Backup::Suffix(suffix)).write(dir.path(&name), "new").unwrap();
    assert_eq!(commit.backup(), Some(&*dir.path(format!("{name}bbbb~"))));
}

/// The backup of a name with one more digit does not fit any more.
#[test]
fn a_number_that_makes_the_name_too_long_leaves_all_as_it_was() {
    if lacks(&[Feature::LongNames]) {
        return;
    }
    let dir = Dir::new();
    let name = "n".repeat(251);
    let (target, ninth) = (dir.write(&name, "old"), format!("{name}.~9~"));
    dir.write(&ninth, "ninth");
    let error = with(Backup::Numbered { keep: 9 }).write(&target, "new").unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::InvalidPath, Step::Backup), "{error}");
    assert_eq!(error.target_state(), TargetState::Untouched);
    dir.assert_only(&[&name, &ninth]);
    assert_eq!((dir.read(&name), dir.read(&ninth)), ("old".into(), "ninth".into()));
}

/// With `open_at`, a relative path is one in the directory that is given.
#[test]
fn the_path_of_a_backup_is_relative_to_where_the_target_is() {
    let dir = Dir::new();
    dir.write("target", "old");
    let folder = fs::File::open(dir.root()).unwrap();
    let builder = with(Backup::Path("kept".into()));
    let writer = builder.open_at(folder.file(), "target").unwrap();
    let commit = writer.commit().unwrap();
    assert_eq!(commit.backup(), Some(Path::new("kept")));
    assert_eq!((dir.read("kept"), dir.read("target")), ("old".into(), String::new()));
    dir.assert_only(&["kept", "target"]);
}
