//! Of the file systems of these systems nothing is known that would spare a sync.

use std::fs::File;
use std::io;

use super::Directory;
use crate::sys::FileSystem;

/// None is told from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mount;

pub(crate) fn mount_of(_: &Directory) -> io::Result<Mount> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn file_system_of(_: &Directory) -> io::Result<FileSystem> {
    Ok(FileSystem::Unknown)
}

pub(crate) fn write_out(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
