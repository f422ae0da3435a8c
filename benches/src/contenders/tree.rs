//! A directory tree: replaced by a new one, or by a copy in which one file is another.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;
use fs_err as fs;
use wholefile::{AtomicDir, AtomicDirBuilder, Copying, Durability};

use super::bare::sync_all_of;
use super::{NOTHING, Survives, parent_and_name};
use crate::payload::Payload;

/// One way to replace the tree at a path by one of so many files.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) name: &'static str,
    pub(crate) survives: Survives,
    pub(crate) keeps: &'static str,
    pub(crate) replace: fn(&Path, usize, &Payload) -> io::Result<()>,
}

/// So many files are in one directory of a tree.
const FILES_PER_DIRECTORY: usize = 100;
const ROOT: &str = "the directory's metadata";
const ALL_FILES: &str = "all metadata";
const ALL_FILES_SYNCED: &str = "all metadata, and is durable";
const NOTHING_SYNCED: &str = "nothing, and is durable";

pub(crate) const EDIT: &str = "wholefile, edit";
pub(crate) const NEW: &str = "wholefile, new tree";
pub(crate) const COPY_SYNCED: &str = "cp -a, sync, two renames";
pub(crate) const MADE_SYNCED: &str = "mkdir, write, sync, two renames";

/// One file of a copy is changed.
pub(crate) const EDITS: &[Tree] = &[
    Tree { name: EDIT, survives: Survives::Full, keeps: ALL_FILES, replace: edit },
    Tree {
        name: "wholefile, edit by hard links",
        survives: Survives::Full,
        keeps: ALL_FILES,
        replace: edit_by_hard_links,
    },
    Tree {
        name: COPY_SYNCED,
        survives: Survives::NotEvenReaders,
        keeps: ALL_FILES_SYNCED,
        replace: copy_synced,
    },
    Tree {
        name: "wholefile, edit, None",
        survives: Survives::Nothing,
        keeps: ALL_FILES,
        replace: edit_none,
    },
    Tree {
        name: "cp -a, two renames",
        survives: Survives::NotEvenReaders,
        keeps: ALL_FILES,
        replace: copy,
    },
];

/// All files are new.
pub(crate) const NEW_ONES: &[Tree] = &[
    Tree { name: NEW, survives: Survives::Full, keeps: ROOT, replace: new },
    Tree {
        name: MADE_SYNCED,
        survives: Survives::NotEvenReaders,
        keeps: NOTHING_SYNCED,
        replace: made_synced,
    },
    Tree {
        name: "wholefile, new tree, None",
        survives: Survives::Nothing,
        keeps: ROOT,
        replace: new_none,
    },
    Tree {
        name: "mkdir, write, two renames",
        survives: Survives::NotEvenReaders,
        keeps: NOTHING,
        replace: made,
    },
];

fn edit(path: &Path, _: usize, payload: &Payload) -> io::Result<()> {
    edit_with(&AtomicDir::builder(), path, payload)
}

fn edit_by_hard_links(path: &Path, _: usize, payload: &Payload) -> io::Result<()> {
    edit_with(AtomicDir::builder().copying(Copying::HardLinks), path, payload)
}

fn edit_none(path: &Path, _: usize, payload: &Payload) -> io::Result<()> {
    edit_with(AtomicDir::builder().durability(Durability::None), path, payload)
}

fn edit_with(builder: &AtomicDirBuilder, path: &Path, payload: &Payload) -> io::Result<()> {
    let staged = builder.edit(path)?;
    staged.write(file(0), bytes_of(payload)?)?;
    staged.commit()?;
    Ok(())
}

fn new(path: &Path, files: usize, payload: &Payload) -> io::Result<()> {
    new_with(&AtomicDir::builder(), path, files, payload)
}

fn new_none(path: &Path, files: usize, payload: &Payload) -> io::Result<()> {
    new_with(AtomicDir::builder().durability(Durability::None), path, files, payload)
}

fn new_with(
    builder: &AtomicDirBuilder,
    path: &Path,
    files: usize,
    payload: &Payload,
) -> io::Result<()> {
    let staged = builder.open(path)?;
    fill(staged.path(), files, bytes_of(payload)?)?;
    staged.commit()?;
    Ok(())
}

fn copy(path: &Path, _: usize, payload: &Payload) -> io::Result<()> {
    let staged = copied(path, payload)?;
    put_in_place(&staged, path)
}

fn copy_synced(path: &Path, _: usize, payload: &Payload) -> io::Result<()> {
    let staged = copied(path, payload)?;
    sync_all_of(path)?;
    put_in_place(&staged, path)?;
    fs::File::open(parent_and_name(path)?.0)?.sync_all()
}

fn made(path: &Path, files: usize, payload: &Payload) -> io::Result<()> {
    let staged = path.with_extension("staged");
    fill(&staged, files, bytes_of(payload)?)?;
    put_in_place(&staged, path)
}

fn made_synced(path: &Path, files: usize, payload: &Payload) -> io::Result<()> {
    let staged = path.with_extension("staged");
    fill(&staged, files, bytes_of(payload)?)?;
    sync_all_of(path)?;
    put_in_place(&staged, path)?;
    fs::File::open(parent_and_name(path)?.0)?.sync_all()
}

/// A copy as a shell script makes it, with one file changed.
fn copied(path: &Path, payload: &Payload) -> io::Result<PathBuf> {
    let staged = path.with_extension("staged");
    let status = Command::new("cp").arg("-a").arg(path).arg(&staged).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("cp -a: {status}")));
    }
    fs::write(staged.join(file(0)), bytes_of(payload)?)?;
    Ok(staged)
}

/// What two calls of mv and one of rm do. In between there is no tree.
fn put_in_place(staged: &Path, path: &Path) -> io::Result<()> {
    let old = path.with_extension("old");
    fs::rename(path, &old)?;
    fs::rename(staged, path)?;
    fs::remove_dir_all(old)
}

/// Makes a tree of so many files.
pub(crate) fn fill(root: &Path, files: usize, contents: &[u8]) -> io::Result<()> {
    for index in 0..files {
        let path = root.join(file(index));
        if index % FILES_PER_DIRECTORY == 0 {
            fs::create_dir_all(parent_and_name(&path)?.0)?;
        }
        fs::write(path, contents)?;
    }
    Ok(())
}

/// That a tree of so many files is all that there is.
pub(crate) fn check(root: &Path, files: usize) -> anyhow::Result<()> {
    let (folder, name) = parent_and_name(root)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?.file_name();
        ensure!(entry == name, "{} was left over", entry.display());
    }
    for index in 0..files {
        ensure!(root.join(file(index)).exists(), "{} is missing", file(index).display());
    }
    Ok(())
}

fn file(index: usize) -> PathBuf {
    format!("directory-{}/file-{index}", index / FILES_PER_DIRECTORY).into()
}

fn bytes_of(payload: &Payload) -> io::Result<&[u8]> {
    payload.as_bytes().ok_or_else(|| io::ErrorKind::Unsupported.into())
}
