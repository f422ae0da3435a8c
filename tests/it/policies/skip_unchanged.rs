//! A target that has the new contents already.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use fs_err as fs;
use wholefile::{AtomicWriter, Builder, Durability, Outcome, Staging};

use crate::dir::Dir;
use crate::place::{Feature, lacks};
use crate::system::{NOBODY, chmod, chown, is_root};

fn builder() -> Builder {
    let mut builder = AtomicWriter::builder();
    builder.skip_unchanged(true);
    builder
}

/// What a file is told by: it changes whenever the file is replaced or touched.
fn identity(dir: &Dir) -> (u64, i64, i64, i64, i64) {
    let metadata = fs::metadata(dir.path("target")).unwrap();
    (
        metadata.ino(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

#[track_caller]
fn check(old: &[u8], new: &[u8], expected: Outcome) {
    for staging in [Staging::Named, Staging::Unnamed] {
        for buffer_size in [0, 1000, 64 << 10, 10 << 20] {
            let dir = Dir::new();
            let target = dir.write("target", old);
            let before = identity(&dir);
            let mut builder = builder();
            let mut writer =
                builder.staging(staging).buffer_size(buffer_size).open(&target).unwrap();
            writer.write_all(new).unwrap();
            let commit = writer.commit().unwrap();
            assert_eq!(commit.outcome(), expected, "{} to {} bytes", old.len(), new.len());
            assert_eq!(commit.len(), new.len() as u64);
            assert_eq!(commit.path(), target);
            let unchanged = expected == Outcome::Unchanged;
            let durability = if unchanged { Durability::None } else { Durability::Full };
            assert_eq!(commit.durability(), durability);
            assert_eq!(identity(&dir) == before, unchanged);
            assert!(fs::read(&target).unwrap() == new);
            dir.assert_only(&["target"]);
        }
    }
}

#[test]
fn an_unchanged_target_is_left_alone_and_a_changed_one_replaced() {
    for len in [0, 1, 1000, 64 << 10, (64 << 10) + 1, 300_000] {
        let old = vec![b'o'; len];
        check(&old, &old, Outcome::Unchanged);
        let longer = [&old[..], b"o"].concat();
        check(&old, &longer, Outcome::Replaced);
        check(&longer, &old, Outcome::Replaced);
        for at in [0, len / 2, len.saturating_sub(1)].into_iter().filter(|at| *at < len) {
            let mut changed = old.clone();
            changed[at] = b'x';
            check(&old, &changed, Outcome::Replaced);
        }
    }
}

#[test]
fn a_target_that_is_missing_is_created() {
    let dir = Dir::new();
    assert_eq!(builder().write(dir.path("target"), "").unwrap().outcome(), Outcome::Created);
    assert_eq!(builder().write(dir.path("target"), "").unwrap().outcome(), Outcome::Unchanged);
    dir.assert_only(&["target"]);
}

#[test]
fn required_durability_is_given_to_contents_that_are_there_already() {
    for durability in [Durability::None, Durability::Ordered, Durability::Full] {
        let dir = Dir::new();
        let target = dir.write("target", "same");
        let before = identity(&dir);
        let mut builder = builder();
        let commit = builder.durability(durability).require_durability(true).write(&target, "same");
        let commit = commit.unwrap();
        assert_eq!((commit.outcome(), commit.durability()), (Outcome::Unchanged, durability));
        assert_eq!(identity(&dir), before);
    }
}

#[test]
fn another_mode_is_a_change_and_the_same_one_is_none() {
    if lacks(&[Feature::Modes]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "same");
    chmod(&target, 0o640);
    let outcome = |mode| builder().mode(mode).write(&target, "same").unwrap().outcome();
    assert_eq!(outcome(0o640), Outcome::Unchanged);
    assert_eq!(outcome(0o600), Outcome::Replaced);
    assert_eq!(dir.mode("target"), 0o600);
    assert_eq!(outcome(0o600), Outcome::Unchanged);
}

#[test]
fn what_another_process_staged_is_compared_too() {
    let dir = Dir::new();
    let target = dir.write("target", "same");
    for (staged, expected) in [("same", Outcome::Unchanged), ("else", Outcome::Replaced)] {
        let mut writer = builder().open(&target).unwrap();
        fs::write(writer.staging_path().unwrap(), staged).unwrap();
        assert_eq!(writer.commit().unwrap().outcome(), expected);
        assert_eq!(dir.read("target"), staged);
        dir.assert_only(&["target"]);
    }
}

/// A file that another user made with the very contents that root would save counted as unchanged,
/// and so stayed that user's, who could change it again: root's save was lost without a word.
#[test]
fn a_file_that_another_user_planted_is_replaced_even_if_it_has_these_contents() {
    if lacks(&[Feature::Owners, Feature::Modes]) {
        return;
    }
    const TEST: &str = "policies::skip_unchanged::\
                        a_file_that_another_user_planted_is_replaced_even_if_it_has_these_contents";
    if !is_root(TEST) {
        return;
    }
    let dir = Dir::new();
    chmod(dir.root(), 0o1777);
    let target = dir.write("target", "same");
    assert_eq!(builder().write(&target, "same").unwrap().outcome(), Outcome::Unchanged);
    chown(&target, NOBODY, NOBODY);
    assert_eq!(builder().write(&target, "same").unwrap().outcome(), Outcome::Replaced);
    assert_eq!(fs::metadata(&target).unwrap().uid(), 0);
    assert_eq!(builder().write(&target, "same").unwrap().outcome(), Outcome::Unchanged);
}

#[test]
fn an_update_of_the_mode_alone_is_one() {
    if lacks(&[Feature::Modes]) {
        return;
    }
    let dir = Dir::new();
    let target = dir.write("target", "same");
    chmod(&target, 0o644);
    for outcome in [Outcome::Replaced, Outcome::Unchanged] {
        let mut builder = AtomicWriter::builder();
        let commit = builder.mode(0o600).update(&target, |old| Ok(old.unwrap())).unwrap();
        assert_eq!(commit.outcome(), outcome);
        assert_eq!((dir.read("target"), dir.mode("target")), ("same".into(), 0o600));
    }
}
