//! What only Windows has, for the other arms: a security apart from owner, mode and xattrs, names
//! that are none, a seek that fails in its own way.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;

use super::{Directory, Existing};

/// There is none.
#[derive(Debug)]
pub(crate) enum Security {}

pub(crate) fn security_of(_: &Existing, _: &Directory, _: &OsStr) -> io::Result<Option<Security>> {
    Ok(None)
}

pub(crate) fn set_owner_of(_: &File, security: &Security) -> io::Result<()> {
    match *security {}
}

pub(crate) fn set_access_of(_: &File, security: &Security) -> io::Result<()> {
    match *security {}
}

/// Whether the system takes `name`, in the directory `parent`, for the name of a file.
pub(crate) fn may_name_file(_: &Path, _: &OsStr) -> bool {
    true
}

/// A position before the start of a file, by an error that std has no kind for.
pub(crate) fn is_negative_seek(_: &io::Error) -> bool {
    false
}
