//! Readers see the whole old file or the whole new one, and always one of them.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fs_err as fs;
use wholefile::{AtomicWriter, Durability, Publish, Staging};

use crate::dir::{Dir, Stop, wait_until};
use crate::place::{Feature, lacks};

/// Contents from which it can be told which version they are, and whether they are whole.
fn contents(version: u64) -> Vec<u8> {
    let len = (version.wrapping_mul(7919) % 200_000) as usize;
    let mut contents = version.to_le_bytes().to_vec();
    contents.resize(8 + len, version as u8);
    contents
}

/// How a FUSE driver says that the name it was just asked for is that of another file now.
const MISSING: [ErrorKind; 2] = [ErrorKind::NotFound, ErrorKind::StaleNetworkFileHandle];

/// The version that is there; panics if it is not whole. `None` if there is nothing, which can only
/// be where a file that is open is replaced in two steps.
fn read(target: &Path, way: Way) -> Option<u64> {
    let bytes = match fs::read(target) {
        Err(error) if way == Way::TwoSteps && MISSING.contains(&error.kind()) => return None,
        bytes => bytes.expect("the target never disappears"),
    };
    let version = bytes.first_chunk().expect("never shorter than a version");
    let version = u64::from_le_bytes(*version);
    assert!(bytes == contents(version), "a torn version {version}: {} bytes", bytes.len());
    Some(version)
}

/// How this file system replaces a file that is open.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    OneStep,
    /// It takes the old one away first.
    TwoSteps,
}

fn way() -> Way {
    if lacks(&[Feature::OneStep]) { Way::TwoSteps } else { Way::OneStep }
}

/// Saves at least so often beside a reader, and until that has seen a fifth as many versions.
#[track_caller]
fn check(builder: &wholefile::Builder, saves: u64) {
    let versions_seen = saves / 5;
    let (dir, way) = (Dir::new(), way());
    let target = dir.write("target", contents(0));
    let done = AtomicBool::new(false);
    let seen = AtomicU64::new(0);
    thread::scope(|scope| {
        let stop = Stop(&done);
        let reader = scope.spawn(|| {
            let mut versions = BTreeSet::new();
            let (mut reads, mut last) = (0, 0);
            // Bounded by the writer, which has a deadline.
            while !done.load(Ordering::Relaxed) {
                let Some(version) = read(&target, way) else { continue };
                assert!(version >= last, "version {version} came back after {last}");
                last = version;
                versions.insert(version);
                seen.store(versions.len() as u64, Ordering::Relaxed);
                reads += 1;
                if cfg!(windows) {
                    // Where it cannot replace an open file (FAT, Wine) a save needs a moment in
                    // which nobody has it open.
                    thread::sleep(Duration::from_millis(2));
                }
            }
            (reads, versions)
        });
        let mut version = 0;
        wait_until("the reader has seen enough versions", || {
            version += 1;
            builder.write(&target, contents(version)).unwrap();
            let enough = seen.load(Ordering::Relaxed) >= versions_seen;
            enough && version >= saves || reader.is_finished()
        });
        drop(stop);
        let (reads, versions) = reader.join().unwrap();
        assert!(reads >= versions.len() && versions.len() as u64 >= versions_seen);
        assert_eq!(read(&target, way), Some(version));
    });
    dir.assert_only(&["target"]);
}

#[test]
fn every_read_is_whole_and_none_misses_the_target() {
    check(AtomicWriter::builder().durability(Durability::None), 200);
}

#[test]
fn every_read_is_whole_when_saves_are_durable() {
    // Each waits for the disk, however slow that is.
    check(&AtomicWriter::builder(), 40);
}

#[test]
fn every_read_is_whole_when_only_an_existing_file_may_be_replaced() {
    check(AtomicWriter::builder().durability(Durability::None).publish(Publish::Existing), 200);
}

#[test]
fn every_read_is_whole_when_the_staging_has_no_name() {
    let mut builder = AtomicWriter::builder();
    check(builder.durability(Durability::None).staging(Staging::Unnamed).buffer_size(100), 200);
}
