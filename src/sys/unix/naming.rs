//! Giving, changing and removing the names of files.

use std::ffi::OsStr;
use std::fs::File;
use std::io;

use rustix::fs::{self, AtFlags};

use super::Directory;
use crate::sys::Replacing;

pub(crate) fn rename(
    directory: &Directory,
    _: &mut File,
    from: &OsStr,
    to: &OsStr,
    _: Replacing,
) -> io::Result<()> {
    Ok(fs::renameat(directory.fd(), from, directory.fd(), to)?)
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(crate) fn rename_no_replace(directory: &Directory, from: &OsStr, to: &OsStr) -> io::Result<()> {
    let flags = fs::RenameFlags::NOREPLACE;
    Ok(fs::renameat_with(directory.fd(), from, directory.fd(), to, flags)?)
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(crate) fn exchange(directory: &Directory, one: &OsStr, other: &OsStr) -> io::Result<()> {
    let flags = fs::RenameFlags::EXCHANGE;
    Ok(fs::renameat_with(directory.fd(), one, directory.fd(), other, flags)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn rename_no_replace(_: &Directory, _: &OsStr, _: &OsStr) -> io::Result<()> {
    Err(rustix::io::Errno::NOSYS.into())
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn exchange(_: &Directory, _: &OsStr, _: &OsStr) -> io::Result<()> {
    Err(rustix::io::Errno::NOSYS.into())
}

pub(crate) fn link(directory: &Directory, from: &OsStr, to: &OsStr) -> io::Result<()> {
    Ok(fs::linkat(directory.fd(), from, directory.fd(), to, AtFlags::empty())?)
}

pub(crate) fn remove_file(directory: &Directory, name: &OsStr) -> io::Result<()> {
    Ok(fs::unlinkat(directory.fd(), name, AtFlags::empty())?)
}
