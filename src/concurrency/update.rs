//! Reading what an update starts from.

use std::io;

use crate::error::{Error, ErrorKind, Result, Step};
use crate::fault::Op;
use crate::protocol::target::Target;
use crate::sys;

const CHUNK_LEN: usize = 64 << 10;

/// The contents of the target, `None` where there is no file.
pub(crate) fn contents_of(target: &Target) -> Result<Option<Vec<u8>>> {
    if target.through.is_some() {
        return Err(Error::refused(ErrorKind::SpecialFile, Step::Read, &target.path));
    }
    let Some(existing) = target.existing_file() else { return Ok(None) };
    let failed = |error| Error::failed(Step::Read, &target.path, error);
    let file = sys::open_target(existing, &target.directory, &target.name).map_err(failed)?;
    let mut contents = Vec::new();
    contents
        .try_reserve_exact(usize::try_from(existing.info.len).unwrap_or(usize::MAX))
        .map_err(|error| failed(io::Error::new(io::ErrorKind::OutOfMemory, error)))?;
    // Bounded by the length of the file, which nobody lengthens who asks for the lock.
    loop {
        let len = contents.len();
        contents.resize(len + CHUNK_LEN.min(existing.info.len as usize + 1), 0);
        let read = sys::read(Op::ReadTarget, &file, &mut contents[len..]).map_err(failed)?;
        contents.truncate(len + read);
        if read == 0 {
            return Ok(Some(contents));
        }
    }
}
