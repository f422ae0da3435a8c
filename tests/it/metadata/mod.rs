//! What the published file has of the old one, and what a new file gets.

mod attributes;
mod modes;
mod new_files;
mod owners;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;
use wholefile::{AtomicWriter, Builder, ReadOnly, Staging};

use crate::system::xattrs;

/// All that a file hands on, except its times.
#[derive(Debug, PartialEq)]
struct Metadata {
    mode: u32,
    uid: u32,
    gid: u32,
    xattrs: Vec<(String, Vec<u8>)>,
}

#[track_caller]
fn metadata(path: &Path) -> Metadata {
    let stat = fs::symlink_metadata(path).unwrap();
    let (mode, uid, gid) = (stat.mode() & 0o7777, stat.uid(), stat.gid());
    Metadata { mode, uid, gid, xattrs: xattrs(path) }
}

/// Saves of small contents and of ones that are staged before the commit, each under both kinds of
/// staging.
fn each_way(mut f: impl FnMut(&Builder, &[u8])) {
    for staging in [Staging::Named, Staging::Unnamed] {
        for len in [3, 100_000] {
            let mut builder = AtomicWriter::builder();
            f(builder.staging(staging).read_only(ReadOnly::Replace), &vec![b'n'; len]);
        }
    }
}
