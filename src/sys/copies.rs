//! The operations that copying, syncing and publishing whole trees need besides, each behind its
//! fault point.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{Directory, Entry, arm, run};
use crate::fault::Op;

/// Makes a symlink, failing with `AlreadyExists` where something bears its name.
pub(crate) fn make_symlink(at: Entry<'_>, text: &Path) -> io::Result<()> {
    run(Op::MakeSymlink, || arm::make_symlink(at, text))
}

/// Sets the owner and the group of a symlink itself.
pub(crate) fn set_owner_of_link(at: Entry<'_>, uid: u32, gid: u32) -> io::Result<()> {
    run(Op::SetOwner, || arm::set_owner_of_link(at, uid, gid))
}

/// Lets the empty file `to` share the contents of `from` until either is written to.
pub(crate) fn clone_contents(from: &File, to: &File) -> io::Result<()> {
    run(Op::CloneContents, || arm::clone_contents(from, to))
}

/// An open directory as a file, for the operations on the metadata of files. It has the lock that
/// the directory has.
pub(crate) fn file_of(directory: &Directory) -> io::Result<File> {
    run(Op::OpenDirectory, || arm::file_of(directory))
}

/// Something that is mounted below the directory, where the system tells.
pub(crate) fn mount_below(directory: &Directory) -> io::Result<Option<PathBuf>> {
    run(Op::ListMounts, || arm::mount_below(directory))
}
