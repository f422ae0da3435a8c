//! What could not be kept.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use crate::commit::NotPreserved;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::options::{Metadata, Options, Preserve};
use crate::sys;

/// Decides what it means that metadata could not be kept, and keeps the list for the receipt.
pub(super) struct Losses<'a> {
    pub(super) options: &'a Options,
    pub(super) path: &'a Path,
    list: &'a mut Vec<NotPreserved>,
}

impl<'a> Losses<'a> {
    pub(super) fn new(
        options: &'a Options,
        path: &'a Path,
        list: &'a mut Vec<NotPreserved>,
    ) -> Self {
        Losses { options, path, list }
    }

    /// `None` if `result` says that this cannot be kept and it need not be.
    pub(super) fn unless_lost<T>(
        &mut self,
        metadata: Metadata,
        xattr: Option<&OsStr>,
        result: io::Result<T>,
    ) -> Result<Option<T>> {
        let error = match result {
            Ok(value) => return Ok(Some(value)),
            Err(error) => error,
        };
        let failed = |error| Error::failed(Step::Metadata, self.path, error);
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        if !denied && !sys::cannot_be_kept(&error) {
            return Err(failed(error));
        }
        if self.options.preserve.get(metadata) == Preserve::Require {
            return Err(failed(error).with_kind(ErrorKind::NotPreserved));
        }
        if self.options.preserve.get(metadata) == Preserve::Skip {
            return Ok(None); // it was looked at for another's sake
        }
        let xattr = xattr.map(OsStr::to_owned);
        self.list.push(NotPreserved { metadata, xattr, cause: error.kind() });
        Ok(None)
    }
}
