//! What the published file has of the old one, and what a new file gets.

mod attributes;
mod modes;
mod new_files;
mod owners;

use std::ops::{Deref, DerefMut};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;
use wholefile::{AtomicBatch, AtomicWriter, Builder, Commit, ReadOnly, Staging};

use crate::system::xattrs;

/// All that a file hands on, except its times.
#[derive(Clone, Debug, PartialEq)]
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

/// A way to make a save: with options, alone or in a batch.
#[derive(Clone)]
struct Way {
    builder: Builder,
    in_batch: bool,
}

impl Way {
    fn write(&self, path: impl AsRef<Path>, contents: &[u8]) -> wholefile::Result<Commit> {
        if !self.in_batch {
            return self.builder.write(path, contents);
        }
        let mut batch = AtomicBatch::new();
        batch.options(&self.builder);
        batch.write(path, contents)?;
        Ok(batch.commit()?.into_commits().remove(0))
    }
}

impl Deref for Way {
    type Target = Builder;

    fn deref(&self) -> &Builder {
        &self.builder
    }
}

impl DerefMut for Way {
    fn deref_mut(&mut self) -> &mut Builder {
        &mut self.builder
    }
}

/// Saves of small contents and of ones that are staged before the commit, each under both kinds of
/// staging and in a batch.
fn each_way(mut f: impl FnMut(&Way, &[u8])) {
    for (staging, in_batch) in
        [(Staging::Named, false), (Staging::Unnamed, false), (Staging::Named, true)]
    {
        for len in [3, 100_000] {
            let mut builder = AtomicWriter::builder();
            let builder = builder.staging(staging).read_only(ReadOnly::Replace).clone();
            f(&Way { builder, in_batch }, &vec![b'n'; len]);
        }
    }
}
