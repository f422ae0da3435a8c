//! The traits of `std::io`. A call that fails poisons the writer.

use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};

use super::AtomicWriter;

impl Write for AtomicWriter {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = match self.poison.is_none() && self.contents.append(bytes) {
            true => bytes.len(),
            false => self.write_on(bytes)?,
        };
        self.bytes_written += len as u64;
        Ok(len)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = self.run(|contents, plan| contents.write_vectored(plan, slices))?;
        self.bytes_written += len as u64;
        Ok(len)
    }

    /// Hands what is buffered to the system, if the contents have outgrown the buffer. Nothing is
    /// synced and nothing is visible before [`commit`](AtomicWriter::commit).
    fn flush(&mut self) -> io::Result<()> {
        Ok(self.run(|contents, plan| contents.flush(plan))?)
    }
}

impl AtomicWriter {
    /// A write that needs more than the buffer, or must be refused.
    #[inline(never)]
    fn write_on(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.run(|contents, plan| contents.write(plan, bytes))?)
    }
}

impl Read for AtomicWriter {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        Ok(self.run(|contents, plan| contents.read(plan, bytes))?)
    }
}

impl Seek for AtomicWriter {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        Ok(self.run(|contents, plan| contents.seek(plan, to))?)
    }
}
