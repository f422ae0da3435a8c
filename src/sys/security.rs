//! Who may do what with a file, where the system keeps that in one thing apart from the mode.

use std::ffi::OsStr;
use std::fs::File;
use std::io;

use super::{Directory, Existing, arm, run};
use crate::fault::Op;

pub(crate) use arm::Security;

/// How a temp file is created.
#[derive(Clone, Copy, Debug, Default)]
#[allow(dead_code, reason = "no system has all of it")]
pub(crate) struct Creation<'a> {
    /// At most these permissions; `None` asks for those that any new file gets.
    pub(crate) mode: Option<u32>,
    /// With the owner that this file has, if the caller may give files to it.
    pub(crate) owner_of: Option<&'a Security>,
    /// Open to those, and only to those, who may open this file.
    pub(crate) access_of: Option<&'a Security>,
}

/// The security of a file that was looked at. `None` where its owner, mode and xattrs say it all.
pub(crate) fn security_of(
    existing: &Existing,
    directory: &Directory,
    name: &OsStr,
) -> io::Result<Option<Security>> {
    arm::security_of(existing, directory, name)
}

/// Gives the file the owner and the group that `security` has.
pub(crate) fn set_owner_of(file: &File, security: &Security) -> io::Result<()> {
    run(Op::SetOwner, || arm::set_owner_of(file, security))
}

/// Opens the file to those, and only to those, for whom `security` does.
pub(crate) fn set_access_of(file: &File, security: &Security) -> io::Result<()> {
    run(Op::SetXattr, || arm::set_access_of(file, security))
}
