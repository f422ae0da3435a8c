//! Trees: what is there before, what is to be there then, and the saves that publish them.

use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Result;
use fs_err as fs;
use rustix::fs::{XattrFlags, lsetxattr};
use wholefile::{AtomicDir, AtomicDirBuilder, Durability, Publish};

use crate::place::{
    OLD_LEN, Part, Tree, contents, of_new_directory, of_new_file, own, write_with_metadata,
};
use crate::report::Report;

/// The directory that the link leads to before.
pub(crate) const GENERATION: &str = ".wholefile-abcDEF012345.tree";

/// The only file in the tree that the next writer publishes.
pub(crate) const NEXT: &str = "next";

pub(crate) type Set = fn(&mut AtomicDirBuilder) -> &mut AtomicDirBuilder;

/// What a tree starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Empty,
    Copy,
}

/// The old tree.
pub(crate) fn prepare(root: &Path) -> Result<()> {
    let old = contents('o', OLD_LEN);
    fs::create_dir_all(root.join("a/b"))?;
    write_with_metadata(&root.join("index"), &old)?;
    fs::write(root.join("a/b/asset"), &old)?;
    fs::write(root.join("a/holes"), [0; 5000])?;
    symlink("b/asset", root.join("a/link"))?;
    fs::create_dir(root.join("closed"))?;
    fs::write(root.join("closed/inside"), &old)?;
    own(&root.join("closed"), 0o500)?;
    // Where the file system has none, there are none to be kept.
    let _ = lsetxattr(root, "user.wholefile", b"kept", XattrFlags::empty());
    own(root, 0o750)
}

/// The new tree, whatever it replaces.
pub(crate) fn new_tree(old: &Tree, start: Start, new: &[u8]) -> Tree {
    let directory = || Part { contents: Vec::new(), metadata: of_new_directory() };
    let file = || Part { contents: new.to_vec(), metadata: of_new_file() };
    let mut tree = old.clone();
    if start == Start::Empty {
        tree.retain(|path, _| path.as_os_str().is_empty()); // its own metadata is kept
    }
    tree.remove(Path::new("a/holes"));
    for path in ["", "a", "a/c"] {
        tree.entry(path.into()).or_insert_with(directory);
    }
    for path in ["index", "a/c/page", "by hand"] {
        tree.entry(path.into()).or_insert_with(file).contents = new.to_vec();
    }
    tree
}

pub(crate) fn publish(
    durability: Durability,
    (start, set): (Start, Set),
    path: &Path,
    new: &[u8],
) -> Report {
    let mut builder = AtomicDir::builder();
    let builder = set(builder.durability(durability));
    let staged = match start {
        Start::Empty => builder.open(path),
        Start::Copy => builder.edit(path),
    };
    match staged {
        Err(error) => error.into(),
        Ok(staged) => match fill(&staged, start, new) {
            Ok(()) => staged.commit().into(),
            Err(error) => Report::of_rollback(error, staged.rollback()),
        },
    }
}

fn fill(staged: &AtomicDir, start: Start, new: &[u8]) -> io::Result<()> {
    staged.create_dir_all("a/c")?;
    staged.write("index", new)?;
    staged.write("a/c/page", new)?;
    if start == Start::Copy {
        staged.remove_all("a/holes")?;
    }
    // It may be filled by any means.
    fs::write(staged.path().join("by hand"), new)
}

/// A directory for the time being, beside where a target would be.
pub(crate) fn scratch(path: &Path, new: &[u8]) -> Report {
    let parent = path.parent().unwrap_or(path);
    let scratch = match AtomicDir::builder().scratch_in(parent) {
        Ok(scratch) => scratch,
        Err(error) => return error.into(),
    };
    match fs::write(scratch.path().join("unpacked"), new) {
        Ok(()) => scratch.close().into(),
        Err(error) => Report::of_rollback(error, scratch.close()),
    }
}

/// Publishes another tree: a single file.
pub(crate) fn publish_next(set: Set, path: &Path, next: &[u8]) -> wholefile::Result<()> {
    let mut builder = AtomicDir::builder();
    let staged = set(&mut builder).publish(Publish::Replace).open(path)?;
    staged.write(NEXT, next)?;
    staged.commit().map(drop)
}
