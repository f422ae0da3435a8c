//! Extended attributes, ACLs and flags of Apple's systems and FreeBSD.
//!
//! Nothing holds a file there without opening it, so that each question about the old file opens it
//! by its name and checks that it is still the one that was looked at. A file that may not be read
//! has attributes that nobody learns; the receipt says so.
//!
//! An ACL has calls of its own there. To the rest of the crate it is one more attribute,
//! [`ACL_XATTR`], as it is on Linux.

#[cfg(target_vendor = "apple")]
#[path = "apple.rs"]
mod raw;
#[cfg(target_os = "freebsd")]
#[path = "freebsd.rs"]
mod raw;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;

use super::super::ACL_XATTR;
use super::{Directory, Existing, open_target};

pub(crate) use raw::{KEPT_FLAGS, set_flags};

pub(crate) fn list_xattrs_of(
    existing: &Existing,
    directory: &Directory,
    name: &OsStr,
) -> io::Result<Vec<OsString>> {
    list_xattrs(&open_target(existing, directory, name)?)
}

pub(crate) fn get_xattr_of(
    existing: &Existing,
    directory: &Directory,
    name: &OsStr,
    xattr: &OsStr,
) -> io::Result<Option<Vec<u8>>> {
    let file = open_target(existing, directory, name)?;
    if xattr == ACL_XATTR { raw::get_acl(&file) } else { raw::get_xattr(&file, xattr) }
}

pub(crate) fn list_xattrs(file: &File) -> io::Result<Vec<OsString>> {
    let mut names = raw::list_xattrs(file)?;
    if raw::get_acl(file)?.is_some() {
        names.push(ACL_XATTR.into());
    }
    Ok(names)
}

pub(crate) fn set_xattr(file: &File, xattr: &OsStr, value: &[u8]) -> io::Result<()> {
    if xattr == ACL_XATTR { raw::set_acl(file, value) } else { raw::set_xattr(file, xattr, value) }
}

pub(crate) fn remove_xattr(file: &File, xattr: &OsStr) -> io::Result<()> {
    if xattr == ACL_XATTR { raw::remove_acl(file) } else { raw::remove_xattr(file, xattr) }
}
