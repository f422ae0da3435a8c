//! Reading what an update starts from.

use crate::error::{Error, ErrorKind, Result, Step};
use crate::fault::Op;
use crate::protocol::target::Target;
use crate::sys;

/// The contents of the target, `None` where there is no file.
pub(crate) fn contents_of(target: &Target) -> Result<Option<Vec<u8>>> {
    if target.through.is_some() {
        return Err(Error::refused(ErrorKind::SpecialFile, Step::Read, &target.path));
    }
    let Some(existing) = target.existing_file() else { return Ok(None) };
    let failed = |error| Error::failed(Step::Read, &target.path, error);
    let file = sys::open_target(existing, &target.directory, &target.name).map_err(failed)?;
    sys::read_to_end(Op::ReadTarget, &file, existing.info.len).map(Some).map_err(failed)
}
