//! Versions: a save over what was seen, and over nothing else.

#[cfg(target_os = "linux")]
mod linux;

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;

use fs_err as fs;
use wholefile::{
    AtomicWriter, Builder, Commit, Durability, ErrorKind, Lock, Outcome, Publish, Result, Staging,
    Step, TargetState, Tracking, Version, VersionCheck,
};

use crate::dir::{Dir, wait_until};
use crate::place::{Feature, has, lacks};

fn builder() -> Builder {
    AtomicWriter::builder().durability(Durability::None).clone()
}

#[track_caller]
fn check_conflict(result: Result<Commit>, dir: &Dir, contents: Option<&str>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(error.target_state(), TargetState::Untouched, "{error}");
    assert!(error.to_string().contains("it is not the version that was expected"), "{error}");
    assert_eq!(fs::read_to_string(dir.path("target")).ok().as_deref(), contents);
    let names: &[&str] = if contents.is_some() { &["target"] } else { &[] };
    dir.assert_only(names);
}

/// What somebody else does to the file, and whether the version is another one then.
struct Change {
    name: &'static str,
    change: fn(&Path),
    /// What is there afterwards.
    after: Option<&'static str>,
}

const CHANGES: &[Change] = &[
    Change { name: "replaced", change: |path| replace(path, "other"), after: Some("other") },
    Change { name: "replaced, as long", change: |path| replace(path, "new"), after: Some("new") },
    Change {
        name: "replaced by the same",
        change: |path| replace(path, "old"),
        after: Some("old"),
    },
    Change {
        name: "removed and made anew",
        change: |path| {
            fs::remove_file(path).unwrap();
            fs::write(path, "old").unwrap();
        },
        after: Some("old"),
    },
    Change { name: "appended to", change: append, after: Some("old+") },
    Change { name: "removed", change: |path| fs::remove_file(path).unwrap(), after: None },
];

fn replace(path: &Path, contents: &str) {
    let other = path.with_file_name("made by somebody else");
    fs::write(&other, contents).unwrap();
    fs::rename(other, path).unwrap();
}

fn append(path: &Path) {
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"+").unwrap();
}

/// The ways to save, each of which gets an opportunity to be disturbed before it commits.
type Save = fn(&Builder, &Path, &dyn Fn()) -> Result<Commit>;

const SAVES: &[(&str, Save)] = &[
    ("write", |builder, path, disturb| {
        disturb();
        builder.write(path, "mine")
    }),
    ("open", |builder, path, disturb| {
        let mut writer = builder.open(path)?;
        writer.write_all(b"mine").unwrap();
        disturb();
        writer.commit()
    }),
    ("edit", |builder, path, disturb| {
        let mut writer = builder.open(path)?;
        writer.write_all(b"mi--").unwrap();
        writer.as_file().unwrap();
        writer.seek(SeekFrom::Start(2)).unwrap();
        writer.read_exact(&mut [0; 2]).unwrap();
        writer.seek(SeekFrom::Start(2)).unwrap();
        writer.write_all(b"ne").unwrap();
        disturb();
        writer.commit()
    }),
    ("update", |builder, path, disturb| {
        builder.update(path, |_| {
            disturb();
            Ok(b"mine".to_vec())
        })
    }),
];

fn builders() -> Vec<(String, Builder)> {
    let mut builders = Vec::new();
    for lock in [Lock::None, Lock::Try] {
        for staging in [Staging::Named, Staging::Unnamed] {
            let mut builder = builder();
            builder.lock(lock).staging(staging);
            builders.push((format!("{lock:?} {staging:?}"), builder));
        }
    }
    builders
}

const TAKES: [fn(&Path) -> Result<Version>; 2] =
    [|path| Version::of(path), |path| Version::with_contents_of(path)];

#[test]
fn a_save_replaces_the_version_that_was_expected_and_no_other() {
    let mut conflicts = 0;
    for (options, builder) in builders() {
        for (way, save) in SAVES {
            for take in TAKES {
                let dir = Dir::new();
                let target = dir.write("target", "old");
                let version = take(&target).unwrap();
                let commit = save(builder.clone().expect(&version), &target, &|| {}).unwrap();
                assert_eq!(commit.outcome(), Outcome::Replaced, "{options} {way}");
                assert!(commit.version_check().is_some());
                assert_eq!(fs::read(&target).unwrap(), b"mine");
                dir.assert_only(&["target"]);
                assert!(!version.is_current().unwrap());
                for Change { name, change, after } in CHANGES {
                    let dir = Dir::new();
                    let target = dir.write("target", "old");
                    let version = take(&target).unwrap();
                    assert!(version.is_current().unwrap());
                    let disturb = || {
                        change(&target);
                        assert!(!version.is_current().unwrap(), "{options} {way} {name}");
                    };
                    let result = save(builder.clone().expect(&version), &target, &disturb);
                    check_conflict(result, &dir, *after);
                    conflicts += 1;
                }
            }
        }
    }
    assert_eq!(conflicts, 4 * SAVES.len() * 2 * CHANGES.len());
}

#[test]
fn where_no_file_was_expected_none_is_replaced() {
    let check = match has(Feature::NoReplace) {
        true => VersionCheck::Atomic,
        false => VersionCheck::UnderLock,
    };
    for (options, builder) in builders() {
        for (way, save) in SAVES {
            for publish in [Publish::Replace, Publish::CreateNew] {
                let dir = Dir::new();
                let target = dir.path("target");
                let nothing = Version::of(&target).unwrap();
                let mut builder = builder.clone();
                builder.expect(&nothing).publish(publish);
                let commit = save(&builder, &target, &|| {}).unwrap();
                assert_eq!(commit.outcome(), Outcome::Created, "{options} {way}");
                assert_eq!(commit.version_check(), Some(check));
                dir.assert_only(&["target"]);
                fs::remove_file(&target).unwrap();
                let appear = || fs::write(&target, "appeared").unwrap();
                check_conflict(save(&builder, &target, &appear), &dir, Some("appeared"));
            }
        }
    }
}

#[test]
fn the_receipt_has_the_version_if_that_was_asked_for() {
    for tracking in [Tracking::None, Tracking::Metadata, Tracking::Contents] {
        for staging in [Staging::Named, Staging::Unnamed] {
            let dir = Dir::new();
            let target = dir.path("target");
            let mut builder = builder();
            builder.tracking(tracking).staging(staging).skip_unchanged(true);
            let mut versions = vec![Version::of(&target).unwrap()];
            let large = vec![b'x'; 200_000];
            let saves = [
                (&b"1"[..], Outcome::Created),
                (b"2", Outcome::Replaced),
                (b"2", Outcome::Unchanged),
                (&large, Outcome::Replaced),
                (&large, Outcome::Unchanged),
            ];
            for (contents, outcome) in saves {
                let commit = builder.write(&target, contents).unwrap();
                assert_eq!(commit.outcome(), outcome);
                assert_eq!(commit.version().is_some(), tracking != Tracking::None);
                let Some(version) = commit.version() else { continue };
                assert!(version.is_current().unwrap(), "{tracking:?} {outcome}");
                let last = versions.last().unwrap();
                assert_eq!(last.is_current().unwrap(), outcome == Outcome::Unchanged);
                versions.push(version.clone());
                // It is as good for the next save as one that was taken by a look.
                let same = builder.clone().expect(version).write(&target, contents).unwrap();
                assert_eq!(same.outcome(), Outcome::Unchanged);
            }
            let updated = builder.update(&target, |old| Ok(old.unwrap())).unwrap();
            assert_eq!(updated.outcome(), Outcome::Unchanged);
            assert_eq!(updated.version().is_some(), tracking != Tracking::None);
            if let Some(version) = updated.version() {
                assert!(version.is_current().unwrap());
            }
        }
    }
}

#[test]
fn a_version_shows_of_what_it_is() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let shown = format!("{:?}", Version::of(&target).unwrap());
    assert!(shown.contains("target") && shown.contains("len: 3"), "{shown}");
    let shown = format!("{:?}", Version::of(dir.path("missing")).unwrap());
    assert!(shown.contains("missing") && shown.contains("None"), "{shown}");
}

/// Who may not replace a file may see which one it is.
#[test]
fn a_read_only_file_has_a_version() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let writable = fs::metadata(&target).unwrap().permissions();
    let mut read_only = writable.clone();
    read_only.set_readonly(true);
    fs::set_permissions(&target, read_only).unwrap();
    assert!(Version::of(&target).unwrap().is_current().unwrap());
    fs::set_permissions(&target, writable).unwrap();
}

/// What somebody else wrote into the file right after it was published is not what was published:
/// with it in the version, the next save would overwrite it unseen.
#[test]
fn what_came_after_the_publishing_is_no_part_of_the_version() {
    let dir = Dir::new();
    let target = dir.path("target");
    for tracking in [Tracking::Metadata, Tracking::Contents] {
        for change in CHANGES {
            let commit = builder().tracking(tracking).write(&target, "old").unwrap();
            (change.change)(&target);
            let version = commit.version().unwrap();
            assert!(!version.is_current().unwrap(), "{}", change.name);
            check_conflict(builder().expect(version).write(&target, "mine"), &dir, change.after);
        }
    }
}

#[test]
fn an_unchanged_file_that_was_expected_stays() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let version = Version::with_contents_of(&target).unwrap();
    let mut builder = builder();
    builder.expect(&version).skip_unchanged(true);
    let commit = builder.write(&target, "old").unwrap();
    assert_eq!((commit.outcome(), commit.version_check()), (Outcome::Unchanged, None));
    replace(&target, "old");
    check_conflict(builder.write(&target, "old"), &dir, Some("old"));
}

#[test]
fn options_that_contradict_the_version_are_an_error_at_once() {
    let dir = Dir::new();
    let target = dir.path("target");
    let nothing = Version::of(&target).unwrap();
    fs::write(&target, "old").unwrap();
    let file = Version::of(&target).unwrap();
    for (version, publish) in [(nothing, Publish::Existing), (file, Publish::CreateNew)] {
        let error = builder().expect(&version).publish(publish).open(&target).unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::InvalidOption, Step::Resolve));
    }
}

#[test]
fn where_there_is_not_even_a_directory_there_is_no_file() {
    let dir = Dir::new();
    let target = dir.path("a/b/target");
    let nothing = Version::of(&target).unwrap();
    assert!(nothing.is_current().unwrap());
    let mut builder = builder();
    builder.expect(&nothing).create_parents(true);
    builder.write(&target, "new").unwrap();
    assert!(!nothing.is_current().unwrap());
    assert_eq!(builder.write(&target, "new").unwrap_err().kind(), ErrorKind::Conflict);
    let error = Version::of(dir.path("a/b/target/below")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    for path in ["", "a/", ".."] {
        assert!(Version::of(dir.path("").join(path)).is_err(), "{path}");
    }
}

/// An update reads, thinks and publishes under the lock. A save that came in between, however sure
/// that the file was the one it expected, would be overwritten by what the update had made of the
/// old contents.
#[test]
fn a_save_that_expects_a_version_waits_for_the_update_under_way() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let version = Version::of(&target).unwrap();
    thread::scope(|scope| {
        let mut saver = None;
        let commit = builder().update(&target, |_| {
            let save = || builder().expect(&version).write(&target, "mine");
            // Of the same thread, it could wait forever.
            assert_eq!(save().unwrap_err().kind(), ErrorKind::Locked);
            let handle = scope.spawn(save);
            wait_until("its temp file is there", || {
                !dir.temps().is_empty() || handle.is_finished()
            });
            saver = Some(handle);
            Ok(b"updated".to_vec())
        });
        assert_eq!(commit.unwrap().outcome(), Outcome::Replaced);
        let saved = saver.unwrap().join().unwrap();
        check_conflict(saved, &dir, Some("updated"));
    });
}

#[test]
fn of_many_that_expect_the_same_version_one_succeeds() {
    if lacks(&[Feature::OneStep]) {
        return;
    }
    const THREADS: usize = 16;
    let dir = Dir::new();
    let target = dir.write("target", "old");
    for round in 0..20 {
        let version = Version::of(&target).unwrap();
        let save = |thread: usize| {
            let contents = format!("{round} {thread}");
            builder().expect(&version).write(&target, &contents).map(|_| contents)
        };
        let mut winners = Vec::new();
        thread::scope(|scope| {
            let savers: Vec<_> =
                (0..THREADS).map(|thread| scope.spawn(move || save(thread))).collect();
            for saver in savers {
                match saver.join().unwrap() {
                    Ok(contents) => winners.push(contents),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                }
            }
        });
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(dir.read("target"), winners[0]);
        dir.assert_only(&["target"]);
    }
}
