//! The operations on the contents of an open file, each behind its fault point.

use std::fs::File;
use std::io::{self, IoSlice, SeekFrom};

use super::{arm, run};
use crate::fault::{self, Op};

/// Reserves space for `len` bytes without changing the file's length. Where the file system cannot,
/// checks that so much is free.
pub(crate) fn reserve(file: &File, len: u64) -> io::Result<()> {
    run(Op::Reserve, || arm::reserve(file, len))
}

/// Writes some of `bytes` at the file's cursor.
pub(crate) fn write(op: Op, file: &File, bytes: &[u8]) -> io::Result<usize> {
    let allowed = fault::allowance(op, bytes.len());
    run(op, || io::Write::write(&mut &*file, &bytes[..allowed]))
}

/// Writes all of `bytes` at the file's cursor.
pub(crate) fn write_all(op: Op, file: &File, mut bytes: &[u8]) -> io::Result<()> {
    // Bounded: every turn but the last moves at least one byte.
    while !bytes.is_empty() {
        match write(op, file, bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => bytes = &bytes[n..],
        }
    }
    Ok(())
}

/// Writes some of `slices` at the file's cursor.
pub(crate) fn write_vectored(file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    run(Op::Write, || io::Write::write_vectored(&mut &*file, slices))
}

/// Reads at the file's cursor.
pub(crate) fn read(op: Op, file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let allowed = fault::allowance(op, bytes.len());
    run(op, || io::Read::read(&mut &*file, &mut bytes[..allowed]))
}

/// Moves the file's cursor.
pub(crate) fn seek(file: &File, position: SeekFrom) -> io::Result<u64> {
    run(Op::Seek, || io::Seek::seek(&mut &*file, position)).map_err(|error| {
        if arm::is_negative_seek(&error) {
            return io::Error::new(io::ErrorKind::InvalidInput, error);
        }
        error
    })
}

/// Sets the file's length.
pub(crate) fn set_len(file: &File, len: u64) -> io::Result<()> {
    run(Op::SetLen, || file.set_len(len))
}

/// Starts to write the given part of the file to its device, without waiting. A hint: nothing
/// depends on it, so that its failure is no failure of the save.
pub(crate) fn start_writeback(file: &File, offset: u64, len: u64) {
    arm::start_writeback(file, offset, len);
}
