//! Space that is reserved at `open`.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use fs_err as fs;
use wholefile::{AtomicWriter, ErrorKind, Staging, Step, TargetState};

use crate::dir::Dir;
use crate::place::{Feature, lacks};

#[test]
fn more_than_there_is_fails_at_open_and_leaves_nothing() {
    // The hidden name of the temp file would keep the new parents from being removed.
    let paths = &["target", "new", "a/b/new"][..if lacks(&[Feature::OneStep]) { 2 } else { 3 }];
    for staging in [Staging::Named, Staging::Unnamed] {
        let dir = Dir::new();
        dir.write("target", "old");
        let mut builder = AtomicWriter::builder();
        builder.staging(staging).create_parents(true).reserve(1 << 60);
        for path in paths {
            let error = builder.open(dir.path(path)).unwrap_err();
            assert_eq!((error.kind(), error.step()), (ErrorKind::StorageFull, Step::Reserve));
            assert_eq!(error.target_state(), TargetState::Untouched);
            assert_eq!(error.leftover(), None);
        }
        assert_eq!(dir.read("target"), "old");
        dir.assert_only(&["target"]);
    }
}

#[test]
fn what_was_reserved_and_not_needed_is_given_back() {
    const RESERVED: u64 = 16 << 20;
    let dir = Dir::new();
    AtomicWriter::builder().write(dir.path("plain"), "contents").unwrap();
    let mut builder = AtomicWriter::builder();
    let mut writer = builder.reserve(RESERVED).open(dir.path("target")).unwrap();
    let staging = writer.staging_path().unwrap();
    let reserved = fs::metadata(&staging).unwrap();
    assert_eq!(reserved.len(), 0, "the length stays what was written");
    if !lacks(&[Feature::Reservation]) {
        assert!(reserved.blocks() * 512 >= RESERVED, "{} blocks", reserved.blocks());
    }
    writer.write_all(b"contents").unwrap();
    assert_eq!(writer.commit().unwrap().len(), 8);
    let blocks = |name| fs::metadata(dir.path(name)).unwrap().blocks();
    assert_eq!(blocks("target"), blocks("plain"));
    assert_eq!(dir.read("target"), "contents");
}

#[test]
fn contents_may_outgrow_what_was_reserved() {
    let dir = Dir::new();
    let contents = vec![b'n'; 300_000];
    AtomicWriter::builder().reserve(1000).write(dir.path("target"), &contents).unwrap();
    assert_eq!(fs::read(dir.path("target")).unwrap(), contents);
    dir.assert_only(&["target"]);
}
