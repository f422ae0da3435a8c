//! The traits of `std::io`. A call that fails poisons the writer.

use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};

use super::AtomicWriter;

impl Write for AtomicWriter {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.append(bytes) {
            true => Ok(bytes.len()),
            false => self.write_on(bytes),
        }
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.append(bytes) {
            true => Ok(()),
            false => self.write_all_on(bytes),
        }
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
    /// A write that needs only the buffer. Whether this was one.
    #[inline]
    fn append(&mut self, bytes: &[u8]) -> bool {
        let appended = self.poison.is_none() && self.contents.append(bytes);
        self.bytes_written += if appended { bytes.len() as u64 } else { 0 };
        appended
    }

    /// A write that needs more than the buffer, or must be refused.
    #[inline(never)]
    fn write_on(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.run(|contents, plan| contents.write(plan, bytes))?;
        self.bytes_written += len as u64;
        Ok(len)
    }

    #[inline(never)]
    fn write_all_on(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        // Bounded: every turn moves at least one byte.
        while !bytes.is_empty() {
            let len = self.write_on(bytes)?;
            bytes = &bytes[len..];
        }
        Ok(())
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
