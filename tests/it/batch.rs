//! Many files, each whole or not at all, and all of them or none up to the first publish.

#[cfg(target_os = "linux")]
mod linux;

use std::io::{IoSlice, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use wholefile::{
    AtomicBatch, AtomicWriter, Durability, Error, ErrorKind, Lock, Outcome, Publish, Step,
    TargetState, Tracking, Version,
};

use crate::dir::Dir;
use crate::place::{Feature, lacks};

#[track_caller]
pub(crate) fn check(error: &Error, kind: ErrorKind, step: Step, path: &Path) {
    assert_eq!((error.kind(), error.step(), error.path()), (kind, step, path), "{error}");
    assert_eq!(error.leftover(), None, "{error}");
}

#[track_caller]
pub(crate) fn states(error: &Error) -> Vec<(PathBuf, TargetState)> {
    error.files().map(|(path, state)| (path.to_path_buf(), state)).collect()
}

#[test]
fn every_file_has_its_new_contents_and_its_receipt() {
    let dir = Dir::new();
    dir.make("a");
    dir.write("a/old", "old");
    let mut batch = AtomicBatch::new();
    batch.options(AtomicWriter::builder().create_parents(true));
    let names: Vec<String> = ["a/old", "a/new", "new", "b/c/new"]
        .into_iter()
        .map(String::from)
        .chain((0..100).map(|index| format!("many/{index}")))
        .collect();
    for name in &names {
        batch.write(dir.path(name), name).unwrap();
    }
    assert_eq!(dir.read("a/old"), "old");
    assert!(!dir.path("new").exists());
    let commit = batch.commit().unwrap();
    assert_eq!(commit.commits().len(), names.len());
    for (commit, name) in commit.commits().iter().zip(&names) {
        let outcome = if name == "a/old" { Outcome::Replaced } else { Outcome::Created };
        assert_eq!(commit.outcome(), outcome, "{name}");
        assert_eq!((commit.path(), commit.len()), (&*dir.path(name), name.len() as u64));
        assert_eq!(dir.read(name), *name);
    }
    assert!(commit.durability() > Durability::None);
    assert_eq!(dir.temps(), Vec::<String>::new());
    let empty = AtomicBatch::new().commit().unwrap();
    assert_eq!((empty.commits().len(), empty.durability()), (0, Durability::Full));
}

#[test]
fn a_target_that_the_batch_has_is_refused_and_the_batch_goes_on() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    dir.make("a/b");
    dir.write("a/file", "old");
    let batch = AtomicBatch::new();
    batch.write(dir.path("a/file"), "new").unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("a/file", dir.path("link")).unwrap();
        std::os::unix::fs::symlink("a", dir.path("to directory")).unwrap();
    }
    let again: &[&str] = match cfg!(unix) {
        true => &["a/file", "a/./file", "a/b/../file", "link", "to directory/file"],
        false => &["a/file", "a/./file", "A/FILE"],
    };
    for name in again {
        let error = batch.write(dir.path(name), "twice").unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::Duplicate, Step::Resolve), "{name}");
        let error = batch.open(dir.path(name)).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Duplicate, "{name}");
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::AlreadyExists);
    }
    // Who gives a target up leaves it to others.
    drop(batch.open(dir.path("a/other")).unwrap());
    let mut writer = batch.open(dir.path("a/other")).unwrap();
    assert_eq!(batch.write(dir.path("a/other"), "").unwrap_err().kind(), ErrorKind::Duplicate);
    writer.write_all(b"other").unwrap();
    writer.finish().unwrap();
    assert_eq!(batch.write(dir.path("a/other"), "").unwrap_err().kind(), ErrorKind::Duplicate);
    assert_eq!(batch.commit().unwrap().commits().len(), 2);
    assert_eq!((dir.read("a/file"), dir.read("a/other")), ("new".into(), "other".into()));
    assert_eq!(dir.temps(), Vec::<String>::new());
}

#[test]
fn a_path_that_cannot_be_is_refused_before_anything_is_staged_for_it() {
    if lacks(&[Feature::Modes]) {
        return;
    }
    let dir = Dir::new();
    dir.make("directory");
    let read_only = dir.write("read-only", "old");
    let mut permissions = fs::metadata(&read_only).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&read_only, permissions).unwrap();
    let batch = AtomicBatch::new();
    batch.write(dir.path("good"), "good").unwrap();
    let before = dir.names();
    for (name, kind) in [
        ("missing/file", ErrorKind::NotFound),
        ("good/", ErrorKind::InvalidPath),
        ("directory", ErrorKind::IsADirectory),
        ("read-only", ErrorKind::ReadOnly),
    ] {
        let path = PathBuf::from(format!("{}/{name}", dir.root().display()));
        let error = batch.write(&path, "bad").unwrap_err();
        check(&error, kind, Step::Resolve, &path);
        assert_eq!(states(&error), [(path, TargetState::Untouched)]);
    }
    assert_eq!(dir.names(), before);
    batch.commit().unwrap();
    dir.assert_only(&["directory", "good", "read-only"]);
}

#[test]
fn a_batch_that_is_dropped_or_rolled_back_leaves_nothing() {
    let dir = Dir::new();
    dir.write("file", "old");
    for rollback in [false, true] {
        let mut batch = AtomicBatch::new();
        batch.options(AtomicWriter::builder().create_parents(true));
        batch.write(dir.path("file"), "new").unwrap();
        batch.write(dir.path("a/b/file"), "new").unwrap();
        let mut writer = batch.open(dir.path("c/file")).unwrap();
        writer.write_all(&[b'x'; 100_000]).unwrap();
        drop(writer);
        match rollback {
            true => batch.rollback().unwrap(),
            false => drop(batch),
        }
        dir.assert_only(&["file"]);
        assert_eq!(dir.read("file"), "old");
    }
}

/// The directories that were created for a file stayed when the file left the batch, by an error or
/// a drop, and the batch was committed: a tool that skipped the files which it could not write left
/// empty directories behind, one for each.
#[test]
fn directories_that_were_created_for_a_file_go_when_it_leaves() {
    let dir = Dir::new();
    let mut batch = AtomicBatch::new();
    batch.options(AtomicWriter::builder().create_parents(true));
    let leave = |name: &str| drop(batch.open(dir.path(name)).unwrap());
    leave("a/b/dropped");
    dir.assert_only(&[]);
    let mut writer = batch.open(dir.path("a/b/failed")).unwrap();
    writer.write_all(&[b'x'; 100_000]).unwrap();
    writer.seek(SeekFrom::Current(-200_000)).unwrap_err();
    writer.finish().unwrap_err();
    dir.assert_only(&[]);
    // What others need stays, and goes with the last of them.
    let first = batch.open(dir.path("c/d/first")).unwrap();
    let second = batch.open(dir.path("c/e/second")).unwrap();
    let third = batch.open(dir.path("c/third")).unwrap();
    drop(first);
    assert!(dir.path("c/e").exists() && !dir.path("c/d").exists());
    drop(third);
    assert!(dir.path("c/e").exists());
    drop(second);
    dir.assert_only(&[]);
    batch.write(dir.path("f/g/file"), "new").unwrap();
    leave("f/left");
    leave("f/h/left");
    // What is somebody else's is left alone.
    let writer = batch.open(dir.path("i/left")).unwrap();
    dir.write("i/other", "other");
    drop(writer);
    batch.commit().unwrap();
    dir.assert_only(&["f", "f/g", "f/g/file", "i", "i/other"]);
}

/// While one thread's file leaves and takes its directory with it, another's comes to the same one:
/// it must find that directory or make it anew, and the last one takes it along, whoever made it.
#[test]
fn a_directory_that_goes_with_one_file_is_made_anew_for_the_next() {
    let dir = Dir::new();
    let mut batch = AtomicBatch::new();
    batch.options(AtomicWriter::builder().create_parents(true).durability(Durability::None));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (batch, dir) = (&batch, &dir);
            scope.spawn(move || {
                for turn in 0..300 {
                    drop(batch.open(dir.path(format!("a/b/{thread}-{turn}"))).unwrap());
                }
            });
        }
    });
    batch.write(dir.path("file"), "new").unwrap();
    batch.commit().unwrap();
    dir.assert_only(&["file"]);
}

#[test]
fn files_are_written_from_many_threads() {
    let dir = Dir::new();
    let batch = AtomicBatch::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (batch, dir) = (&batch, &dir);
            scope.spawn(move || {
                for file in 0..50 {
                    batch.write(dir.path(format!("{thread}-{file}")), format!("{file}")).unwrap();
                }
            });
        }
    });
    assert_eq!(batch.commit().unwrap().commits().len(), 200);
    assert_eq!(dir.names().len(), 200);
    assert_eq!(dir.read("3-49"), "49");
}

#[test]
fn a_writer_of_a_batch_takes_what_any_writer_takes() {
    let dir = Dir::new();
    let batch = AtomicBatch::new();
    let mut one = batch.open(dir.path("one")).unwrap();
    let mut other = batch.open(dir.path("other")).unwrap();
    for _ in 0..1000 {
        writeln!(one, "{:0>99}", 1).unwrap();
        writeln!(other, "{:0>99}", 2).unwrap();
    }
    one.seek(SeekFrom::Start(0)).unwrap();
    one.write_all(b"head").unwrap();
    one.set_len(50_000).unwrap();
    other.as_file().unwrap();
    assert_eq!(one.path(), dir.path("one"));
    other.finish().unwrap();
    one.finish().unwrap();
    let commits = batch.commit().unwrap().into_commits();
    assert_eq!((commits[0].path(), commits[0].len()), (&*dir.path("other"), 100_000));
    assert_eq!((commits[1].path(), commits[1].len()), (&*dir.path("one"), 50_000));
    assert!(dir.read("one").starts_with("head"));
}

#[test]
fn what_was_poisoned_stays_out_of_the_batch() {
    let dir = Dir::new();
    let batch = AtomicBatch::new();
    batch.write(dir.path("good"), "good").unwrap();
    let mut writer = batch.open(dir.path("bad")).unwrap();
    writer.write_all(b"bad").unwrap();
    writer.seek(SeekFrom::Current(-100)).unwrap_err();
    let error = writer.finish().unwrap_err();
    check(&error, ErrorKind::Poisoned, Step::Write, &dir.path("bad"));
    batch.write(dir.path("bad"), "better").unwrap();
    batch.commit().unwrap();
    assert_eq!(dir.read("bad"), "better");
}

#[test]
fn what_happened_to_the_targets_meanwhile_counts() {
    let dir = Dir::new();
    dir.write("file", "old");
    let mut batch = AtomicBatch::new();
    batch.write(dir.path("file"), "new").unwrap();
    batch.options(AtomicWriter::builder().publish(Publish::CreateNew));
    batch.write(dir.path("created"), "new").unwrap();
    dir.write("created", "somebody else's");
    let error = batch.commit().unwrap_err();
    check(&error, ErrorKind::AlreadyExists, Step::Resolve, &dir.path("created"));
    let untouched = |name| (dir.path(name), TargetState::Untouched);
    assert_eq!(states(&error), [untouched("file"), untouched("created")]);
    assert!(error.to_string().contains("0 of the 2 files"), "{error}");
    assert_eq!((dir.read("file"), dir.read("created")), ("old".into(), "somebody else's".into()));
    dir.assert_only(&["created", "file"]);
}

#[test]
fn options_that_a_batch_cannot_keep_are_refused() {
    let dir = Dir::new();
    for lock in [Lock::Try, Lock::Wait] {
        let mut batch = AtomicBatch::new();
        batch.options(AtomicWriter::builder().lock(lock));
        let error = batch.write(dir.path("file"), "new").unwrap_err();
        check(&error, ErrorKind::Unsupported, Step::Lock, &dir.path("file"));
    }
    // A version is that of one file.
    let nothing = Version::of(dir.path("file")).unwrap();
    let mut expecting = AtomicWriter::builder();
    expecting.expect(&nothing);
    for builder in [&expecting, AtomicWriter::builder().tracking(Tracking::Metadata)] {
        let mut batch = AtomicBatch::new();
        batch.options(builder);
        let error = batch.write(dir.path("file"), "new").unwrap_err();
        check(&error, ErrorKind::Unsupported, Step::Resolve, &dir.path("file"));
    }
    let mut batch = AtomicBatch::new();
    batch.options(AtomicWriter::builder().staging_prefix("a/b"));
    let error = batch.write(dir.path("file"), "new").unwrap_err();
    check(&error, ErrorKind::InvalidOption, Step::Resolve, &dir.path("file"));
    dir.assert_only(&[]);
}

#[cfg(unix)]
#[test]
fn a_batch_writes_through_nothing() {
    if lacks(&[Feature::Fifos]) {
        return;
    }
    let dir = Dir::new();
    crate::system::make_fifo(&dir.path("fifo"));
    let mut batch = AtomicBatch::new();
    batch.options(AtomicWriter::builder().special_files(wholefile::SpecialFiles::WriteThrough));
    let error = batch.write(dir.path("fifo"), "new").unwrap_err();
    check(&error, ErrorKind::SpecialFile, Step::Resolve, &dir.path("fifo"));
    drop(batch);
    dir.assert_only(&["fifo"]);
}

#[test]
fn unchanged_files_are_left_alone() {
    let dir = Dir::new();
    dir.write("same", "contents");
    dir.write("other", "old");
    let before = fs::metadata(dir.path("same")).unwrap().modified().unwrap();
    let mut batch = AtomicBatch::new();
    batch.options(AtomicWriter::builder().skip_unchanged(true));
    batch.write(dir.path("same"), "contents").unwrap();
    batch.write(dir.path("other"), "contents").unwrap();
    let commit = batch.commit().unwrap();
    let outcomes: Vec<_> = commit.commits().iter().map(|commit| commit.outcome()).collect();
    assert_eq!(outcomes, [Outcome::Unchanged, Outcome::Replaced]);
    assert_eq!(fs::metadata(dir.path("same")).unwrap().modified().unwrap(), before);
    assert_eq!(commit.commits()[0].durability(), Durability::None);
    assert!(commit.durability() > Durability::None, "it does not count");
}

#[test]
fn progress_comes_step_by_step_and_ends_at_the_end() {
    let dir = Dir::new();
    let batch = AtomicBatch::new();
    for index in 0..10 {
        batch.write(dir.path(index.to_string()), vec![b'x'; index]).unwrap();
    }
    let mut seen = Vec::new();
    let commit = batch.commit_with(|progress| {
        assert_eq!((progress.files(), progress.bytes()), (10, 45));
        seen.push((progress.step(), progress.files_done(), progress.bytes_done()));
        // It is heeded only before the first is published.
        match progress.step() {
            Step::Publish => std::ops::ControlFlow::Break(()),
            _ => std::ops::ControlFlow::Continue(()),
        }
    });
    commit.unwrap();
    let publishes: Vec<_> = seen.iter().filter(|(step, ..)| *step == Step::Publish).collect();
    assert_eq!(publishes.len(), 10);
    assert_eq!(seen.last(), Some(&(Step::Publish, 10, 45)));
    assert!(seen.contains(&(Step::SyncFile, 10, 45)), "{seen:?}");
}

#[test]
fn a_writer_of_a_batch_takes_slices_and_gives_back_what_it_has() {
    let dir = Dir::new();
    let batch = AtomicBatch::new();
    let mut writer = batch.open(dir.path("file")).unwrap();
    assert_eq!(writer.write_vectored(&[IoSlice::new(b"one "), IoSlice::new(b"two")]).unwrap(), 7);
    writer.flush().unwrap();
    writer.seek(SeekFrom::Start(4)).unwrap();
    let mut read = String::new();
    writer.read_to_string(&mut read).unwrap();
    assert_eq!(read, "two");
    writer.finish().unwrap();
    batch.commit().unwrap();
    assert_eq!(dir.read("file"), "one two");
}

#[test]
fn a_file_for_which_there_is_no_room_leaves_the_batch_as_it_was() {
    let dir = Dir::new();
    let mut batch = AtomicBatch::new();
    batch.options(AtomicWriter::builder().reserve(1 << 60));
    let error = batch.open(dir.path("file")).unwrap_err();
    check(&error, ErrorKind::StorageFull, Step::Reserve, &dir.path("file"));
    batch.options(&AtomicWriter::builder());
    batch.write(dir.path("file"), "new").unwrap();
    assert_eq!(batch.commit().unwrap().commits().len(), 1);
    dir.assert_only(&["file"]);
}
