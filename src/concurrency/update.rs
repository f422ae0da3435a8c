//! Reading what an update starts from.

use std::io;

use crate::error::{Error, ErrorKind, Result, Step};
use crate::fault::Op;
use crate::options::Options;
use crate::protocol::target::{self, Target};
use crate::sys::{self, FileKind};

/// The contents of the target, `None` where there is no file, whoever replaces it meanwhile without
/// the lock.
pub(crate) fn contents_of(target: &mut Target, options: &Options) -> Result<Option<Vec<u8>>> {
    target::unless_replaced(read(target), || {
        target.look_again(options)?;
        read(target)
    })
}

/// As [`contents_of`], of the file that was looked at.
pub(crate) fn read(target: &Target) -> Result<Option<Vec<u8>>> {
    let refuse = |kind| Err(Error::refused(kind, Step::Read, &target.path));
    if target.through.is_some() {
        return refuse(ErrorKind::SpecialFile);
    }
    let existing = match &target.existing {
        None => return Ok(None),
        // What it leads to may well have contents, and nobody shall take it for empty.
        Some(existing) if existing.info.kind == FileKind::Symlink => {
            return refuse(ErrorKind::Symlink);
        }
        Some(existing) => existing,
    };
    let failed = |error: io::Error| Error::failed(Step::Read, &target.path, error);
    let file = sys::open_target(existing, &target.directory, &target.name).map_err(failed)?;
    sys::read_to_end(Op::ReadTarget, &file, existing.info.len).map(Some).map_err(failed)
}
