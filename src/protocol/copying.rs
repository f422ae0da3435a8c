//! The contents of one file for another: of a tree that is edited, or of a backup.

use std::fs::File;
use std::io::SeekFrom;
use std::path::Path;

use crate::error::{Error, Result, Step};
use crate::fault::Op;
use crate::sys;

const CHUNK_LEN: usize = 64 << 10;

/// Gives the empty file `to` the contents of `from`, whose path is given: by a clone that shares
/// its blocks until one of the two is written to, where the file system has such a thing.
pub(crate) fn copy_contents(from: &File, to: &File, path: &Path) -> Result<()> {
    match sys::clone_contents(from, to) {
        Err(error) if sys::lacks_clones(&error) => copy_bytes(from, to, path),
        result => result.map_err(|error| Error::failed(Step::Write, path, error)),
    }
}

/// Copies bytes. Where there are only zeros, nothing is written, so that what was a hole is one.
fn copy_bytes(from: &File, to: &File, path: &Path) -> Result<()> {
    let read_failed = |error| Error::failed(Step::Read, path, error);
    let write_failed = |error| Error::failed(Step::Write, path, error);
    let mut chunk = vec![0; CHUNK_LEN];
    let (mut len, mut ends_in_a_hole) = (0, false);
    // Bounded by the length of the file.
    loop {
        let read = sys::read(Op::ReadTarget, from, &mut chunk).map_err(read_failed)?;
        if read == 0 {
            break;
        }
        len += read as u64;
        ends_in_a_hole = chunk[..read].iter().all(|byte| *byte == 0);
        match ends_in_a_hole {
            true => sys::seek(to, SeekFrom::Start(len)).map(drop).map_err(write_failed)?,
            false => sys::write_all(Op::Write, to, &chunk[..read]).map_err(write_failed)?,
        }
    }
    if ends_in_a_hole { sys::set_len(to, len).map_err(write_failed) } else { Ok(()) }
}
