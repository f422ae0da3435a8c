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

/// Writes some of `bytes` at the file's cursor, of which there is at least one.
pub(crate) fn write(op: Op, file: &File, bytes: &[u8]) -> io::Result<usize> {
    let allowed = fault::allowance(op, bytes.len());
    some(run(op, || io::Write::write(&mut &*file, &bytes[..allowed]))?)
}

/// A system that writes nothing and reports no error would be asked forever, or be believed.
fn some(written: usize) -> io::Result<usize> {
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}

/// Writes all of `bytes` at the file's cursor.
pub(crate) fn write_all(op: Op, file: &File, mut bytes: &[u8]) -> io::Result<()> {
    // Bounded: every turn moves at least one byte.
    while !bytes.is_empty() {
        bytes = &bytes[write(op, file, bytes)?..];
    }
    Ok(())
}

/// Writes some of `slices` at the file's cursor, in which there is at least one byte.
pub(crate) fn write_vectored(file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    some(run(Op::Write, || io::Write::write_vectored(&mut &*file, slices))?)
}

/// Reads at the file's cursor.
pub(crate) fn read(op: Op, file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let allowed = fault::allowance(op, bytes.len());
    run(op, || io::Read::read(&mut &*file, &mut bytes[..allowed]))
}

/// Reads all from the file's cursor on, which is about `len` bytes.
pub(crate) fn read_to_end(op: Op, file: &File, len: u64) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    contents
        .try_reserve_exact(usize::try_from(len).unwrap_or(usize::MAX))
        .map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
    io::Read::read_to_end(&mut Reader(op, file), &mut contents)?;
    Ok(contents)
}

/// Reads until `chunk` is full or nothing is left.
pub(crate) fn fill(reader: &mut impl io::Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    // Bounded: every turn but the last reads at least one byte.
    while len < chunk.len() {
        match reader.read(&mut chunk[len..])? {
            0 => break,
            n => len += n,
        }
    }
    Ok(len)
}

/// Reads a file through the fault points.
pub(crate) struct Reader<'a>(pub(crate) Op, pub(crate) &'a File);

impl io::Read for Reader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        read(self.0, self.1, bytes)
    }
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

/// Another descriptor of the same file, which has its lock too.
pub(crate) fn duplicate(file: &File) -> io::Result<File> {
    run(Op::Lock, || file.try_clone())
}

/// Closes the file, and tells what could not be told before: a network file system may hold back
/// what was written until then (close(2): "failing to check the return value when closing a file
/// may lead to silent loss of data. This can especially be observed with NFS and with disk
/// quota").
pub(crate) fn close(file: File) -> io::Result<()> {
    match fault::run(Op::Close, || arm::close(file)) {
        // Never repeated: the descriptor is gone whatever the call returns, and may be another
        // thread's by now. What was interrupted is no more than the waiting.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        result => result,
    }
}

/// Starts to write the given part of the file to its device, without waiting. A hint: nothing
/// depends on it, so that its failure is no failure of the save.
pub(crate) fn start_writeback(file: &File, offset: u64, len: u64) {
    arm::start_writeback(file, offset, len);
}
