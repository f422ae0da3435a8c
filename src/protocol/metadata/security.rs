//! Windows: one security descriptor has the owner, the group and the access control list (DACL).
//!
//! The temp file is created with it, so that nobody can open the file early who may not read it
//! later. It is set once more before the file is sealed, when what cannot be kept goes on the
//! receipt.

use std::ffi::OsStr;
use std::fs::File;
use std::io;

use super::losses::Losses;
use crate::error::Result;
use crate::options::{Metadata, Options, Preserve};
use crate::sys::{self, Directory, Existing, Security};

/// The name under which the list is on the receipt, among the xattrs as the ACL of other systems.
const ACCESS: &str = "dacl";

pub(super) fn keeps_owner(options: &Options) -> bool {
    options.preserve.owner != Preserve::Skip
}

pub(super) fn keeps_access(options: &Options) -> bool {
    ![options.preserve.mode, options.preserve.xattrs].contains(&Preserve::Skip)
}

/// Reads the descriptor of the file that is replaced.
pub(super) fn take(
    existing: &Existing,
    directory: &Directory,
    name: &OsStr,
    losses: &mut Losses<'_>,
) -> Result<Option<Security>> {
    if !keeps_owner(losses.options) && !keeps_access(losses.options) {
        return Ok(None);
    }
    let error = match sys::security_of(existing, directory, name) {
        Ok(security) => return Ok(security),
        Err(error) => error,
    };
    if keeps_owner(losses.options) {
        let again = io::Error::from(error.kind());
        losses.unless_lost::<()>(Metadata::Owner, None, Err(again))?;
    }
    if keeps_access(losses.options) {
        losses.unless_lost::<()>(Metadata::Xattrs, Some(OsStr::new(ACCESS)), Err(error))?;
    }
    Ok(None)
}

/// Sets it on the temp file, as far as that has not been done.
pub(super) fn apply(security: &Security, file: &File, losses: &mut Losses<'_>) -> Result<()> {
    if keeps_access(losses.options) {
        let set = sys::set_access_of(file, security);
        losses.unless_lost(Metadata::Xattrs, Some(OsStr::new(ACCESS)), set)?;
    }
    if keeps_owner(losses.options) {
        let set = sys::set_owner_of(file, security);
        losses.unless_lost(Metadata::Owner, None, set)?;
    }
    Ok(())
}
