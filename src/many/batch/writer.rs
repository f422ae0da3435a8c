//! [`BatchWriter`]: one file of a batch in the making.

use std::fs::File;
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use super::AtomicBatch;
use super::members::{Key, Kind, Member, Staging, Waiting};
use crate::error::{self, Error, ErrorKind, Result, Step};
use crate::options::{Backup, Lock, Options, Tracking};
use crate::protocol::staging::Staged;
use crate::protocol::target::Target;
use crate::protocol::temp::TempName;
use crate::protocol::{sync, temp};
use crate::sys;
use crate::writer::{AtomicWriter, LookedAt, Prepared, Readiness};

/// Takes the new contents of one file of an [`AtomicBatch`], and adds it at
/// [`finish`](BatchWriter::finish).
///
/// Like an [`AtomicWriter`] it is buffered, poisoned by a call that fails, and dropping it discards
/// what was written.
#[derive(Debug)]
#[must_use = "dropping a BatchWriter leaves its file out of the batch; call `finish`"]
pub struct BatchWriter<'a> {
    writer: AtomicWriter,
    /// After `writer`, so that the name is free once nothing is staged for it.
    slot: Slot<'a>,
    options: Arc<Options>,
}

/// A target that the batch keeps free. Dropped, it may be taken by another.
#[derive(Debug)]
struct Slot<'a> {
    batch: &'a AtomicBatch,
    /// `None` once it is taken for good.
    key: Option<Key>,
    number: u64,
}

impl Slot<'_> {
    fn free(&mut self) -> Staging {
        self.key.take().map_or(Staging::Kept, |key| self.batch.members().free(&key))
    }

    /// Leaves the batch because of `error`. What stayed of the file may have gone with its staging
    /// directory.
    fn leave(mut self, error: Error) -> Error {
        match self.free() {
            Staging::Removed => error.without_leftover(),
            Staging::Kept => error,
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.free();
    }
}

impl<'a> BatchWriter<'a> {
    pub(super) fn open(batch: &'a AtomicBatch, path: &Path) -> Result<Self> {
        let options = &batch.options;
        temp::check_affixes(options, path)?;
        if options.lock != Lock::None {
            return Err(Error::refused(ErrorKind::Unsupported, Step::Lock, path));
        }
        if batch.is_versioned || options.tracking != Tracking::None {
            return Err(Error::refused(ErrorKind::Unsupported, Step::Resolve, path));
        }
        if options.backup != Backup::None {
            return Err(Error::refused(ErrorKind::Unsupported, Step::Backup, path));
        }
        let (target, slot) = BatchWriter::admit(batch, path)?;
        let writer = match AtomicWriter::start(target, options.clone(), None) {
            Ok(writer) => writer,
            Err(error) => return Err(slot.leave(error)),
        };
        let options = batch.members().share(options);
        Ok(BatchWriter { writer, slot, options })
    }

    fn admit(batch: &'a AtomicBatch, path: &Path) -> Result<(Target, Slot<'a>)> {
        let (options, journal) = (&batch.options, batch.journal.as_ref());
        // Where directories are created on the way, no other thread's file may leave meanwhile: it
        // would take those along that it had created.
        let alone = options.create_parents.then(|| batch.members());
        let mut target = Target::resolve(None, path, options, None)?;
        let mut members = alone.unwrap_or_else(|| batch.members());
        match members.admit(&mut target, journal, options) {
            Ok((key, number)) => Ok((target, Slot { batch, key: Some(key), number })),
            Err(error) => {
                drop(target); // and what was created for it, before anybody else comes
                Err(error)
            }
        }
    }

    /// The file that will be replaced: the path given to [`AtomicBatch::open`] with its symlinks
    /// followed.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.writer.path()
    }

    /// As [`AtomicWriter::set_len`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_len(&mut self, len: u64) -> Result<()> {
        self.writer.set_len(len)
    }

    /// As [`AtomicWriter::as_file`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn as_file(&mut self) -> Result<&File> {
        self.writer.as_file()
    }

    /// Adds the file to the batch: with all that was written, and with its metadata.
    ///
    /// # Errors
    ///
    /// As for [`AtomicBatch::write`]. [`ErrorKind::Poisoned`] if an earlier call on the writer
    /// failed. The batch is as if the file had never been opened.
    pub fn finish(self) -> Result<()> {
        self.finish_looked_at(LookedAt::Before)
    }

    pub(super) fn finish_looked_at(self, looked_at: LookedAt) -> Result<()> {
        let BatchWriter { writer, mut slot, options } = self;
        let Some(key) = &slot.key else { return Ok(()) };
        let (folder, name) = (key.folder, writer.name().to_owned());
        match complete(writer, looked_at, slot.number, &options) {
            Ok((kind, len)) => {
                slot.batch.members().add(Member { folder, name, options, len, kind });
                slot.key = None;
                Ok(())
            }
            Err(error) => Err(slot.leave(error)),
        }
    }

    pub(super) fn abandon(self, kind: ErrorKind, step: Step, error: io::Error) -> Error {
        let BatchWriter { writer, slot, .. } = self;
        let error = writer.abandon(kind, step, error);
        slot.leave(error)
    }
}

/// All that is to be done with a file before the batch has it. Gives its length, too.
fn complete(
    writer: AtomicWriter,
    looked_at: LookedAt,
    number: u64,
    options: &Options,
) -> Result<(Kind, u64)> {
    match writer.prepare(looked_at)? {
        Readiness::Unchanged(commit) => Ok((Kind::Unchanged(commit.durability), commit.len)),
        Readiness::Prepared(prepared, target) => {
            let len = prepared.staged.len;
            Ok((Kind::Staged(park(prepared, number, &target, options)?), len))
        }
    }
}

/// Closes the staged file, and keeps what is to be known about it.
fn park(prepared: Prepared, number: u64, target: &Target, options: &Options) -> Result<Waiting> {
    let Prepared { staged: Staged { temp, len }, snapshot, not_preserved } = prepared;
    let info = match sys::inspect(&temp.file) {
        Ok(info) if info.len == len => info,
        Ok(_) => {
            let error = Error::failed(Step::Write, &target.path, error::not_whole());
            return Err(temp.abandon(&target.path, error));
        }
        Err(error) => {
            let error = Error::failed(Step::CreateTemp, &target.path, error);
            return Err(temp.abandon(&target.path, error));
        }
    };
    let mut synced = None;
    if !sys::can_be_opened_again(&info) {
        // Now or never, since a sync needs it open.
        match sync::sync_contents(&temp.file, target, options) {
            Ok(sync) => synced = Some(sync),
            Err(error) => return Err(temp.abandon(&target.path, error)),
        }
    }
    let before = target.existing.as_ref().map(|existing| (&existing.info).into());
    let (name, file) = temp.into_parts();
    match (sys::close(file), name) {
        (Ok(()), name) => name.map_or((), TempName::keep), // in the staging directory
        (Err(error), name) => {
            let error = Error::failed(Step::Write, &target.path, error);
            return Err(match name {
                Some(name) => name.abandon(&target.path, error),
                None => error,
            });
        }
    }
    let xattrs = snapshot.xattr_names();
    Ok(Waiting { number, id: info.id, before, xattrs, not_preserved, synced })
}

impl Write for BatchWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writer.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Read for BatchWriter<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.writer.read(bytes)
    }
}

impl Seek for BatchWriter<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.writer.seek(to)
    }
}
