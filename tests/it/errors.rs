//! What an error says, and what it becomes as an `io::Error`.

use std::error::Error as _;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use wholefile::{
    AtomicWriter, Error, ErrorKind, Publish, Step, TargetState, atomic_write, atomic_write_with,
};

use crate::dir::Dir;

/// Checks all that can be asked of an error under which nothing happened.
#[track_caller]
fn check(error: Error, kind: ErrorKind, step: Step, path: &Path, io_kind: io::ErrorKind) {
    assert_eq!((error.kind(), error.step()), (kind, step));
    assert_eq!((error.path(), error.leftover()), (path, None));
    assert_eq!(error.target_state(), TargetState::Untouched);
    let sentence = error.to_string();
    assert!(sentence.starts_with("failed to "), "{sentence}");
    assert!(sentence.contains(&format!("`{}`", path.display())), "{sentence}");
    assert_eq!(error.source().is_some(), error.io_error().is_some());
    if let Some(source) = error.io_error() {
        assert_eq!(source.kind(), io_kind);
        assert!(!sentence.contains(&source.to_string()), "the cause is named once: {sentence}");
    }
    let io_error = io::Error::from(error);
    assert_eq!((io_error.kind(), io_error.to_string()), (io_kind, sentence));
    let inner = io_error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).unwrap();
    assert_eq!(inner.kind(), kind, "nothing is lost on the way");
}

#[test]
fn an_error_names_its_kind_step_path_and_keeps_the_kind_of_its_cause() {
    let dir = Dir::new();
    dir.write("file", "old");
    std::fs::create_dir(dir.path("directory")).unwrap();
    let write = |name: &str| atomic_write(dir.path(name), "new").unwrap_err();
    let step = Step::Resolve;

    let path = dir.path("missing/target");
    check(write("missing/target"), ErrorKind::NotFound, step, &path, io::ErrorKind::NotFound);
    let path = dir.path("directory");
    check(write("directory"), ErrorKind::IsADirectory, step, &path, io::ErrorKind::IsADirectory);
    let path = dir.path("a/");
    check(write("a/"), ErrorKind::InvalidPath, step, &path, io::ErrorKind::InvalidInput);
    if cfg!(unix) {
        let (path, kind) = (dir.path("file/target"), io::ErrorKind::NotADirectory);
        check(write("file/target"), ErrorKind::NotADirectory, step, &path, kind);
    }

    let path = dir.path("file");
    let error = AtomicWriter::builder().publish(Publish::CreateNew).open(&path).unwrap_err();
    check(error, ErrorKind::AlreadyExists, step, &path, io::ErrorKind::AlreadyExists);
    let error = AtomicWriter::builder().staging_prefix("a/b").open(&path).unwrap_err();
    check(error, ErrorKind::InvalidOption, step, &path, io::ErrorKind::InvalidInput);
    let path = dir.path("new");
    let error = AtomicWriter::builder().publish(Publish::Existing).open(&path).unwrap_err();
    check(error, ErrorKind::NotFound, step, &path, io::ErrorKind::NotFound);
    assert_eq!(dir.read("file"), "old");
    dir.assert_only(&["directory", "file"]);
}

#[test]
fn the_error_of_a_closure_keeps_its_kind() {
    let dir = Dir::new();
    let path = dir.path("target");
    for kind in [io::ErrorKind::InvalidData, io::ErrorKind::NotFound, io::ErrorKind::Other] {
        let error = atomic_write_with(&path, |_| Err(kind.into())).unwrap_err();
        check(error, ErrorKind::Closure, Step::Write, &path, kind);
    }
    let error = atomic_write_with(&path, |_| Err(io::Error::other("their reason"))).unwrap_err();
    assert_eq!(error.io_error().unwrap().to_string(), "their reason");
    dir.assert_only(&[]);
}

#[test]
fn the_writers_own_error_comes_out_of_a_closure_as_it_went_in() {
    let dir = Dir::new();
    let path = dir.path("target");
    let error = atomic_write_with(&path, |writer| writer.seek(SeekFrom::Current(-1)).map(drop));
    let (step, kind) = (Step::Write, io::ErrorKind::InvalidInput);
    check(error.unwrap_err(), ErrorKind::Io, step, &path, kind);
    // A closure that passes over it does not get the contents published.
    let error = atomic_write_with(&path, |writer| {
        writer.write_all(b"contents")?;
        writer.seek(SeekFrom::Current(-100)).unwrap_err();
        Ok(())
    });
    check(error.unwrap_err(), ErrorKind::Poisoned, step, &path, kind);
    dir.assert_only(&[]);
}

/// Of another save of the same file, which was not this one's failure.
#[test]
fn the_error_of_another_writer_is_the_cause_of_this_ones() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let error = atomic_write_with(&target, |_| {
        AtomicWriter::builder().publish(Publish::CreateNew).write(&target, "")?;
        Ok(())
    })
    .unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Closure, Step::Write));
    let inner = error.io_error().and_then(|error| error.get_ref()).unwrap();
    assert_eq!(inner.downcast_ref::<Error>().unwrap().kind(), ErrorKind::AlreadyExists);
}

#[test]
fn a_poisoned_writer_does_not_commit_and_gives_the_first_failure() {
    for len in [10, 100_000] {
        let dir = Dir::new();
        let path = dir.write("target", "old");
        let mut writer = AtomicWriter::builder().open(&path).unwrap();
        writer.write_all(&vec![1; len]).unwrap();
        let first = writer.seek(SeekFrom::Current(-200_000)).unwrap_err();
        assert_eq!(first.kind(), io::ErrorKind::InvalidInput);
        writer.write_all(b"more").unwrap_err();
        let (kind, step) = (ErrorKind::Poisoned, Step::Write);
        check(writer.commit().unwrap_err(), kind, step, &path, io::ErrorKind::InvalidInput);
        assert_eq!(dir.read("target"), "old");
        dir.assert_only(&["target"]);
    }
}
