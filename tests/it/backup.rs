//! The old file, kept under another name.

#[cfg(target_os = "linux")]
mod linux;
mod names;
#[cfg(unix)]
mod unix;

use std::io;

use fs_err as fs;
use wholefile::{
    AtomicBatch, AtomicWriter, Backup, Builder, Commit, Durability, ErrorKind, Outcome, Publish,
    Saver, Step, TargetState, Version,
};

use crate::dir::Dir;
use crate::place::{Feature, lacks};

fn with(backup: Backup) -> Builder {
    AtomicWriter::builder().backup(backup).clone()
}

fn suffix(suffix: &str) -> Backup {
    Backup::Suffix(suffix.into())
}

#[track_caller]
fn check(commit: &Commit, dir: &Dir, backup: Option<(&str, &str)>) {
    let path = backup.map(|(name, _)| dir.path(name));
    assert_eq!(commit.backup(), path.as_deref(), "{commit:?}");
    if let Some((name, contents)) = backup {
        assert_eq!(dir.read(name), contents, "{commit:?}");
    }
}

#[test]
fn each_kind_keeps_the_old_contents() {
    for durability in [Durability::Full, Durability::Ordered, Durability::None] {
        for len in [3, 100_000] {
            let dir = Dir::new();
            let target = dir.write("target", "0");
            dir.make("sub");
            let new = "n".repeat(len);
            for (backup, name) in [
                (suffix("~"), "target~"),
                (Backup::Path(dir.path("sub/elsewhere")), "sub/elsewhere"),
                (Backup::Path(dir.path("beside")), "beside"),
                (Backup::Numbered { keep: 9 }, "target.~1~"),
            ] {
                let mut builder = with(backup);
                builder.durability(durability);
                fs::write(&target, "old").unwrap();
                let commit = builder.write(&target, &new).unwrap();
                check(&commit, &dir, Some((name, "old")));
                assert_eq!(commit.outcome(), Outcome::Replaced);
                assert!(commit.durability() <= durability, "{commit:?}");
                assert_eq!(dir.read("target"), new);
            }
            let names = ["beside", "sub", "sub/elsewhere", "target", "target.~1~", "target~"];
            dir.assert_only(&names);
        }
    }
}

#[test]
fn a_backup_takes_the_place_of_the_one_before() {
    let dir = Dir::new();
    let target = dir.path("target");
    let builder = with(suffix(".bak"));
    for round in 0..4 {
        let commit = builder.write(&target, format!("{round}")).unwrap();
        let old = round.to_string().replace(char::is_numeric, &format!("{}", round.max(1) - 1));
        check(&commit, &dir, (round > 0).then_some(("target.bak", &*old)));
    }
    dir.assert_only(&["target", "target.bak"]);
    assert_eq!((dir.read("target"), dir.read("target.bak")), ("3".into(), "2".into()));
}

/// Nothing is replaced, so that there is nothing to be kept.
#[test]
fn there_is_no_backup_where_nothing_is_replaced() {
    let dir = Dir::new();
    let (target, builder) = (dir.path("target"), with(suffix("~")));
    check(&builder.write(&target, "old").unwrap(), &dir, None);
    check(&builder.clone().skip_unchanged(true).write(&target, "old").unwrap(), &dir, None);
    check(&builder.update(&target, |old| Ok(old.unwrap())).unwrap(), &dir, None);
    let mut names = vec!["target"];
    if !lacks(&[Feature::NoReplace]) {
        let mut create_new = builder.clone();
        create_new.publish(Publish::CreateNew);
        check(&create_new.write(dir.path("other"), "new").unwrap(), &dir, None);
        assert_eq!(create_new.write(&target, "").unwrap_err().kind(), ErrorKind::AlreadyExists);
        names.insert(0, "other");
    }
    let commit = AtomicWriter::builder().write(&target, "without").unwrap();
    check(&commit, &dir, None);
    dir.assert_only(&names);
}

#[test]
fn it_goes_with_the_other_options() {
    let dir = Dir::new();
    let target = dir.write("target", "0");
    let builder = with(suffix("~"));
    let mut existing = builder.clone();
    check(
        &existing.publish(Publish::Existing).write(&target, "1").unwrap(),
        &dir,
        Some(("target~", "0")),
    );
    let update = builder.update(&target, |old| {
        assert_eq!(old.as_deref(), Some(&b"1"[..]));
        Ok(b"2".to_vec())
    });
    check(&update.unwrap(), &dir, Some(("target~", "1")));
    let mut expecting = builder.clone();
    for (round, new) in (2..5).zip(["3", "4", "5"]) {
        expecting.expect(&Version::with_contents_of(&target).unwrap());
        let commit = expecting.write(&target, new).unwrap();
        check(&commit, &dir, Some(("target~", &round.to_string())));
        assert!(commit.version_check().is_some());
    }
    let saver = Saver::builder().options(&builder).open(&target).unwrap();
    saver.save("6").unwrap();
    saver.flush().unwrap();
    drop(saver);
    assert_eq!((dir.read("target"), dir.read("target~")), ("6".into(), "5".into()));
    let mut writer = builder.clone().buffer_size(0).open(&target).unwrap();
    io::Write::write_all(&mut writer, b"7").unwrap();
    check(&writer.commit().unwrap(), &dir, Some(("target~", "6")));
    dir.assert_only(&["target", "target~"]);
}

#[test]
fn a_conflict_leaves_no_backup_and_the_one_that_there_was() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let version = Version::of(&target).unwrap();
    fs::write(&target, "somebody else's").unwrap();
    for earlier in [None, Some("earlier")] {
        if let Some(earlier) = earlier {
            dir.write("target~", earlier);
        }
        let error = with(suffix("~")).expect(&version).write(&target, "new").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.target_state(), TargetState::Untouched);
        assert_eq!(dir.read("target"), "somebody else's");
        assert_eq!(fs::read_to_string(dir.path("target~")).ok().as_deref(), earlier);
    }
}

#[test]
fn a_batch_has_none() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let mut batch = AtomicBatch::new();
    batch.options(&with(suffix("~")));
    let error = batch.write(&target, "new").unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Unsupported, Step::Backup));
    drop(batch);
    dir.assert_only(&["target"]);
}

#[test]
fn only_the_highest_numbers_stay() {
    let dir = Dir::new();
    let target = dir.write("target", "0");
    let theirs = ["target.~01~", "target.~x~", "target.~2~.bak", "target.~5", "other.~1~"];
    for name in theirs.iter().chain(&["target.~2~", "target.~7~", "target.~9~"]) {
        dir.write(name, *name);
    }
    dir.make("target.~1~"); // not a file, and so not one of them
    for (keep, new, expected) in [
        (4, "1", &["target.~2~", "target.~7~", "target.~9~", "target.~10~"][..]),
        (2, "2", &["target.~10~", "target.~11~"]),
        (1, "3", &["target.~12~"]),
        (9, "4", &["target.~12~", "target.~13~"]),
    ] {
        let commit = with(Backup::Numbered { keep }).write(&target, new).unwrap();
        let old = (new.parse::<u32>().unwrap() - 1).to_string();
        check(&commit, &dir, Some((expected[expected.len() - 1], &old)));
        let mut names: Vec<&str> = theirs.iter().chain(expected).copied().collect();
        names.extend(["target", "target.~1~"]);
        names.sort_unstable();
        dir.assert_only(&names);
    }
}
