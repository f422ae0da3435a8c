//! The traits of `std::io`. A call that fails poisons the writer.

use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};

use super::AtomicWriter;

impl Write for AtomicWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.run(|contents, plan| contents.write(plan, bytes))?;
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
