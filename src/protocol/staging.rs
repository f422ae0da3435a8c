//! The new contents before they are published: a memory buffer first, a file once they outgrow it.
//!
//! In memory, the buffer is the contents and `position` is the cursor. On disk, the file has the
//! cursor, and the buffer holds what was written but not handed to the system yet; it belongs at
//! the file's cursor, so everything but a write begins by flushing it.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice, SeekFrom};
use std::path::{Path, PathBuf};

use super::metadata::Snapshot;
use super::target::Target;
use super::temp::Temp;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::fault::Op;
use crate::options::{Durability, Options};
use crate::sys;

/// After so many bytes the system is told to start writing them to the device, so that the sync at
/// the end has little left to do.
const WRITE_BEHIND: u64 = 8 << 20;

/// More than this is never held in memory: a seek and a write would else ask for any amount of it.
const MAX_CAPACITY: usize = 1 << 30;

/// The buffer begins with room for so much, since small writes come in numbers.
const FIRST_CAPACITY: usize = 8 << 10;

/// The new contents.
pub(crate) struct Contents {
    buffer: Vec<u8>,
    capacity: usize,
    /// The cursor: within the buffer while in memory, else as far as this process has moved it.
    position: u64,
    /// How far the system was told to write back.
    written_back: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory,
    /// The temp file that will become the target.
    Temp(Temp),
    /// An unnamed file elsewhere, for a target that is written through.
    Spool(File),
}

/// The new contents, complete and in a temp file, but neither with metadata nor synced.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) temp: Temp,
    pub(crate) len: u64,
}

/// What a staged file is made for.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) target: &'a Target,
    pub(crate) options: &'a Options,
}

impl Plan<'_> {
    fn failed(&self, step: Step) -> impl FnOnce(io::Error) -> Error {
        move |error| Error::failed(step, &self.target.path, error)
    }
}

/// Without the bytes, which may be a secret and a log is no place for them.
impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut contents = f.debug_struct("Contents");
        contents.field("buffered", &self.buffer.len()).field("position", &self.position);
        contents.field("place", &self.place).finish_non_exhaustive()
    }
}

impl Contents {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.min(MAX_CAPACITY);
        let place = Place::Memory;
        Contents { buffer: Vec::new(), capacity, position: 0, written_back: 0, place }
    }

    /// The contents, while they are in memory.
    pub(crate) fn in_memory(&self) -> Option<&[u8]> {
        matches!(self.place, Place::Memory).then_some(&*self.buffer)
    }

    /// Takes `bytes` into the buffer if nothing else is to be done, which makes small writes cheap.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) -> bool {
        let len = self.buffer.len();
        let in_memory = matches!(self.place, Place::Memory);
        // What fills the buffer, or makes it grow, is for `write`.
        let fits = len + bytes.len() < self.capacity.min(self.buffer.capacity());
        let is_next = !in_memory || self.position == len as u64;
        if fits && is_next {
            self.buffer.extend_from_slice(bytes);
            self.position += if in_memory { bytes.len() as u64 } else { 0 };
        }
        fits && is_next
    }

    pub(crate) fn write(&mut self, plan: Plan<'_>, bytes: &[u8]) -> Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.make_room(plan, bytes.len())?;
        if bytes.len() >= self.capacity && !self.takes_in_memory(bytes.len()) {
            self.write_out(plan, |file| sys::write(Op::Write, file, bytes))
        } else {
            self.buffer_write(bytes);
            Ok(bytes.len())
        }
    }

    pub(crate) fn write_vectored(
        &mut self,
        plan: Plan<'_>,
        slices: &[IoSlice<'_>],
    ) -> Result<usize> {
        let len = slices.iter().fold(0_usize, |len, slice| len.saturating_add(slice.len()));
        // The system takes no more than so many at a time, which may all be empty.
        let first = slices.iter().position(|slice| !slice.is_empty());
        let Some(slices) = first.map(|first| &slices[first..]) else { return Ok(0) };
        self.make_room(plan, len)?;
        if len >= self.capacity && !self.takes_in_memory(len) {
            self.write_out(plan, |file| sys::write_vectored(file, slices))
        } else {
            slices.iter().for_each(|slice| self.buffer_write(slice));
            Ok(len)
        }
    }

    pub(crate) fn read(&mut self, plan: Plan<'_>, bytes: &mut [u8]) -> Result<usize> {
        if let Some(contents) = self.in_memory() {
            let start = usize::try_from(self.position).unwrap_or(usize::MAX).min(contents.len());
            let len =
                io::Read::read(&mut &contents[start..], bytes).map_err(plan.failed(Step::Read))?;
            self.position += len as u64;
            return Ok(len);
        }
        self.flush(plan)?;
        let file = self.file(plan)?;
        let len = sys::read(Op::ReadTemp, file, bytes).map_err(plan.failed(Step::Read))?;
        self.position += len as u64;
        Ok(len)
    }

    pub(crate) fn seek(&mut self, plan: Plan<'_>, to: SeekFrom) -> Result<u64> {
        let result = match self.in_memory() {
            Some(contents) => match to {
                SeekFrom::Start(position) => i64::try_from(position).ok().map(|_| position),
                SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
                SeekFrom::End(offset) => (contents.len() as u64).checked_add_signed(offset),
            }
            .ok_or_else(|| io::ErrorKind::InvalidInput.into()),
            None => {
                self.flush(plan)?;
                sys::seek(self.file(plan)?, to)
            }
        };
        self.position = result.map_err(plan.failed(Step::Write))?;
        // Write-behind follows a stream; elsewhere it starts anew.
        self.written_back = self.position;
        Ok(self.position)
    }

    pub(crate) fn set_len(&mut self, plan: Plan<'_>, len: u64) -> Result<()> {
        match usize::try_from(len) {
            Ok(len) if self.in_memory().is_some() && len <= self.capacity => {
                self.buffer.resize(len, 0);
                Ok(())
            }
            _ => {
                self.move_to_disk(plan, None)?;
                self.flush(plan)?;
                sys::set_len(self.file(plan)?, len).map_err(plan.failed(Step::Write))
            }
        }
    }

    /// Hands buffered bytes to the file, if there is one.
    pub(crate) fn flush(&mut self, plan: Plan<'_>) -> Result<()> {
        if self.in_memory().is_some() || self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write_out(plan, |file| {
            sys::write_all(Op::Write, file, &buffer).map(|()| buffer.len())
        });
        self.buffer = buffer;
        self.buffer.clear();
        written.map(drop)
    }

    /// The file, with everything in it that was written so far.
    pub(crate) fn on_disk(&mut self, plan: Plan<'_>) -> Result<&File> {
        self.move_to_disk(plan, None)?;
        self.flush(plan)?;
        self.file(plan)
    }

    /// The path of the temp file, with everything in it that was written so far.
    pub(crate) fn path_on_disk(&mut self, plan: Plan<'_>) -> Result<PathBuf> {
        self.on_disk(plan)?;
        let path = &plan.target.path;
        let Place::Temp(temp) = &mut self.place else {
            return Err(Error::refused(ErrorKind::Unsupported, Step::CreateTemp, path));
        };
        temp.ensure_name(plan.options).map_err(plan.failed(Step::CreateTemp))?;
        temp.show(path).ok_or_else(|| Error::refused(ErrorKind::Io, Step::CreateTemp, path))
    }

    pub(crate) fn reserve(&mut self, plan: Plan<'_>, len: u64) -> Result<()> {
        sys::reserve(self.on_disk(plan)?, len).map_err(plan.failed(Step::Reserve))
    }

    /// Step 1 of a commit: all contents into the temp file.
    pub(crate) fn stage(mut self, plan: Plan<'_>, snapshot: &Snapshot) -> Result<Staged> {
        match self.complete(plan, snapshot) {
            Ok(len) => match self.place {
                Place::Temp(temp) => Ok(Staged { temp, len }),
                Place::Memory | Place::Spool(_) => {
                    let path = &plan.target.path;
                    Err(Error::refused(ErrorKind::Unsupported, Step::CreateTemp, path))
                }
            },
            Err(error) => Err(self.abandon(&plan.target.path, error)),
        }
    }

    fn complete(&mut self, plan: Plan<'_>, snapshot: &Snapshot) -> Result<u64> {
        if let Some(contents) = self.in_memory() {
            let len = contents.len() as u64;
            self.move_to_disk(plan, Some(snapshot))?;
            return Ok(len);
        }
        let file = self.on_disk(plan)?;
        // Asked of the system, since others may have written to it too.
        let len = sys::inspect(file).map_err(plan.failed(Step::Write))?.len;
        if plan.options.reserve > 0 {
            // Gives back what was reserved beyond the end.
            sys::set_len(file, len).map_err(plan.failed(Step::Write))?;
        }
        Ok(len)
    }

    /// The file for reading all of it, rewound, once a target that is written through wants it.
    pub(crate) fn rewind(&mut self, plan: Plan<'_>) -> Result<Option<&File>> {
        if self.in_memory().is_some() {
            return Ok(None);
        }
        self.seek(plan, SeekFrom::Start(0))?;
        self.file(plan).map(Some)
    }

    /// The contents of a temp file that has lost its name.
    pub(crate) fn read_back(file: File, plan: Plan<'_>) -> Result<Contents> {
        let mut lost = Contents::new(0);
        lost.place = Place::Spool(file);
        let mut contents = Contents::new(plan.options.buffer_size);
        let file = lost.rewind(plan)?;
        if let Some(file) = file {
            // It was small enough to be in memory.
            contents.buffer =
                sys::read_to_end(Op::ReadTemp, file, 0).map_err(plan.failed(Step::Read))?;
        }
        contents.position = contents.buffer.len() as u64;
        Ok(contents)
    }

    /// Removes the temp file.
    pub(crate) fn remove(self) -> io::Result<()> {
        match self.place {
            Place::Temp(temp) => temp.remove(),
            Place::Memory | Place::Spool(_) => Ok(()),
        }
    }

    /// Removes the temp file after `error`, which then names it if even that failed.
    pub(crate) fn abandon(self, target: &Path, error: Error) -> Error {
        match self.place {
            Place::Temp(temp) => temp.abandon(target, error),
            Place::Memory | Place::Spool(_) => error,
        }
    }

    /// Where the temp file of `target` is, if it has a name.
    pub(crate) fn temp_path(&self, target: &Path) -> Option<PathBuf> {
        match &self.place {
            Place::Temp(temp) => temp.beside(target),
            Place::Memory | Place::Spool(_) => None,
        }
    }

    /// The temp file, to be left where it is.
    pub(crate) fn into_temp(self) -> Option<Temp> {
        match self.place {
            Place::Temp(temp) => Some(temp),
            Place::Memory | Place::Spool(_) => None,
        }
    }

    fn file(&self, plan: Plan<'_>) -> Result<&File> {
        match &self.place {
            Place::Temp(temp) => Ok(&temp.file),
            Place::Spool(file) => Ok(file),
            Place::Memory => {
                let path = &plan.target.path;
                Err(Error::refused(ErrorKind::Unsupported, Step::CreateTemp, path))
            }
        }
    }

    /// Whether a write of `len` bytes at the cursor stays within the buffer.
    fn takes_in_memory(&self, len: usize) -> bool {
        let end = self.position.saturating_add(len as u64);
        self.in_memory().is_some() && end <= self.capacity as u64
    }

    fn make_room(&mut self, plan: Plan<'_>, len: usize) -> Result<()> {
        if self.takes_in_memory(len) {
            return Ok(());
        }
        self.move_to_disk(plan, None)?;
        if self.buffer.len().saturating_add(len) > self.capacity {
            self.flush(plan)?;
        }
        Ok(())
    }

    /// Puts `bytes`, for which there is room, into the buffer.
    fn buffer_write(&mut self, bytes: &[u8]) {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(FIRST_CAPACITY.min(self.capacity).max(bytes.len()));
        }
        if self.in_memory().is_none() {
            self.buffer.extend_from_slice(bytes);
            return;
        }
        let start = usize::try_from(self.position).unwrap_or(usize::MAX);
        if self.buffer.len() < start {
            self.buffer.resize(start, 0);
        }
        let overwritten = (self.buffer.len() - start).min(bytes.len());
        self.buffer[start..start + overwritten].copy_from_slice(&bytes[..overwritten]);
        self.buffer.extend_from_slice(&bytes[overwritten..]);
        self.position += bytes.len() as u64;
    }

    fn move_to_disk(&mut self, plan: Plan<'_>, snapshot: Option<&Snapshot>) -> Result<()> {
        if self.in_memory().is_none() {
            return Ok(());
        }
        self.place = match plan.target.through {
            Some(_) => {
                let file = tempfile::tempfile().map_err(plan.failed(Step::CreateTemp))?;
                Place::Spool(file)
            }
            None => {
                let (target, options) = (plan.target, plan.options);
                Place::Temp(match snapshot {
                    Some(snapshot) => Temp::create(target, options, snapshot.creation(options))?,
                    // It may be long until it is published, and others may be given its path.
                    None => {
                        let snapshot = Snapshot::take(target, options)?;
                        Temp::create_seen(target, options, snapshot.creation_for_longer(options))?
                    }
                })
            }
        };
        let position = std::mem::take(&mut self.position);
        self.flush(plan)?;
        if self.position != position {
            self.seek(plan, SeekFrom::Start(position))?;
        }
        Ok(())
    }

    fn write_out(
        &mut self,
        plan: Plan<'_>,
        write: impl FnOnce(&File) -> io::Result<usize>,
    ) -> Result<usize> {
        let file = self.file(plan)?;
        let len = write(file).map_err(plan.failed(Step::Write))?;
        let end = self.position + len as u64;
        if end - self.written_back.min(end) >= WRITE_BEHIND
            && plan.options.durability != Durability::None
        {
            sys::start_writeback(file, self.written_back, end - self.written_back);
            self.written_back = end;
        }
        self.position = end;
        Ok(len)
    }
}
