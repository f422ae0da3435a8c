//! The permissions of a file that replaces none, after it was staged for one that is gone.

use std::path::Path;

use crate::error::{Error, Result, Step};
use crate::options::Options;
use crate::protocol::temp::Temp;
use crate::sys::{self, Creation};

/// Gives a temp file the permissions that it would be created with now, if it was with others. What
/// the umask and the directory make of them shows in another file.
pub(crate) fn permit_as_created(
    temp: &Temp,
    creation: Creation<'_>,
    target: &Path,
    options: &Options,
) -> Result<()> {
    if temp.mode == creation.mode {
        return Ok(());
    }
    let failed = |error| Error::failed(Step::Metadata, target, error);
    let (sample, name) = temp.sample(options, creation).map_err(failed)?;
    let wanted = sys::inspect(&sample);
    drop(sample);
    let path = name.beside(target);
    name.remove().map_err(|error| failed(error).with_leftover(Some(path)))?;
    let (wanted, now) = (wanted.map_err(failed)?, sys::inspect(&temp.file).map_err(failed)?);
    if now.mode != wanted.mode {
        sys::set_mode(&temp.file, wanted.mode).map_err(failed)?;
    }
    Ok(())
}
