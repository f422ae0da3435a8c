//! Giving, changing and removing the names of files.

use std::ffi::OsStr;
use std::fs::File;
use std::io;

use rustix::fs::{self, AtFlags};

use super::Directory;
use crate::sys::{Entry, Replacing};

pub(crate) fn rename(
    from: Entry<'_>,
    _: Option<&mut File>,
    to: Entry<'_>,
    _: Replacing,
) -> io::Result<()> {
    Ok(fs::renameat(from.directory.fd(), from.name, to.directory.fd(), to.name)?)
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(crate) fn rename_no_replace(from: Entry<'_>, to: Entry<'_>) -> io::Result<()> {
    rename_with(from, to, fs::RenameFlags::NOREPLACE)
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(crate) fn exchange(one: Entry<'_>, other: Entry<'_>) -> io::Result<()> {
    rename_with(one, other, fs::RenameFlags::EXCHANGE)
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_with(from: Entry<'_>, to: Entry<'_>, flags: fs::RenameFlags) -> io::Result<()> {
    let (from_directory, to_directory) = (from.directory.fd(), to.directory.fd());
    Ok(fs::renameat_with(from_directory, from.name, to_directory, to.name, flags)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn rename_no_replace(_: Entry<'_>, _: Entry<'_>) -> io::Result<()> {
    Err(rustix::io::Errno::NOSYS.into())
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn exchange(_: Entry<'_>, _: Entry<'_>) -> io::Result<()> {
    Err(rustix::io::Errno::NOSYS.into())
}

pub(crate) fn link(from: Entry<'_>, to: Entry<'_>) -> io::Result<()> {
    let (from_directory, to_directory) = (from.directory.fd(), to.directory.fd());
    Ok(fs::linkat(from_directory, from.name, to_directory, to.name, AtFlags::empty())?)
}

pub(crate) fn remove_file(directory: &Directory, name: &OsStr) -> io::Result<()> {
    Ok(fs::unlinkat(directory.fd(), name, AtFlags::empty())?)
}
