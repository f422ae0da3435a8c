//! The operations on the metadata of a file, each behind its fault point.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;

use super::{Directory, Existing, Times, arm, run};
use crate::fault::Op;

/// The names of the extended attributes of a file that was looked at, none where the file system
/// has no such thing.
pub(crate) fn list_xattrs_of(
    existing: &Existing,
    directory: &Directory,
    name: &OsStr,
) -> io::Result<Vec<OsString>> {
    run(Op::ListXattrs, || arm::list_xattrs_of(existing, directory, name))
}

/// The value of an extended attribute of a file that was looked at, `None` if it is gone.
pub(crate) fn get_xattr_of(
    existing: &Existing,
    directory: &Directory,
    name: &OsStr,
    xattr: &OsStr,
) -> io::Result<Option<Vec<u8>>> {
    run(Op::GetXattr, || arm::get_xattr_of(existing, directory, name, xattr))
}

/// The names of the extended attributes of an open file.
pub(crate) fn list_xattrs(file: &File) -> io::Result<Vec<OsString>> {
    run(Op::ListXattrs, || arm::list_xattrs(file))
}

/// Sets an extended attribute.
pub(crate) fn set_xattr(file: &File, xattr: &OsStr, value: &[u8]) -> io::Result<()> {
    run(Op::SetXattr, || arm::set_xattr(file, xattr, value))
}

/// Removes an extended attribute.
pub(crate) fn remove_xattr(file: &File, xattr: &OsStr) -> io::Result<()> {
    run(Op::RemoveXattr, || arm::remove_xattr(file, xattr))
}

/// Sets the owner and the group, each if given.
pub(crate) fn set_owner(file: &File, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    run(Op::SetOwner, || arm::set_owner(file, uid, gid))
}

/// Sets the permission bits.
pub(crate) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    run(Op::SetMode, || arm::set_mode(file, mode))
}

/// Sets the flags that [`Info::flags`] has.
pub(crate) fn set_flags(file: &File, flags: u32) -> io::Result<()> {
    run(Op::SetMode, || arm::set_flags(file, flags))
}

/// Sets the times of last access and modification.
pub(crate) fn set_times(file: &File, times: Times) -> io::Result<()> {
    run(Op::SetTimes, || arm::set_times(file, times))
}
