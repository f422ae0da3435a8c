//! A file in memory, and a run of the same calls on it and on a writer. The fuzz targets run it
//! too.

use std::ffi::OsString;
use std::io::{ErrorKind as IoErrorKind, IoSlice, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use wholefile::{AtomicWriter, Durability, ErrorKind, Staging, TargetState};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Write(Vec<u8>),
    WriteVectored(Vec<Vec<u8>>),
    Seek(SeekFrom),
    Read(usize),
    SetLen(u64),
    Flush,
    /// Forces the contents onto disk.
    ToDisk,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Commit,
    Drop,
}

/// What a file does, in memory.
#[derive(Default)]
struct Model {
    bytes: Vec<u8>,
    cursor: u64,
}

impl Model {
    fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let start = self.cursor as usize;
        self.bytes.resize(self.bytes.len().max(start + bytes.len()), 0);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.cursor += bytes.len() as u64;
    }

    /// What is left from the cursor on.
    fn rest(&self) -> &[u8] {
        &self.bytes[(self.cursor as usize).min(self.bytes.len())..]
    }

    /// Where a seek leads, or `None` before the start.
    fn seek(&mut self, to: SeekFrom) -> Option<u64> {
        self.cursor = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::Current(offset) => self.cursor.checked_add_signed(offset)?,
            SeekFrom::End(offset) => (self.bytes.len() as u64).checked_add_signed(offset)?,
        };
        Some(self.cursor)
    }
}

/// Does `op` to both. `false` once the writer is poisoned.
#[track_caller]
fn apply(op: &Op, writer: &mut AtomicWriter, model: &mut Model) -> bool {
    match op {
        Op::Write(bytes) => {
            let len = writer.write(bytes).unwrap();
            assert!(len > 0 || bytes.is_empty());
            model.write(&bytes[..len]);
        }
        Op::WriteVectored(pieces) => {
            let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let len = writer.write_vectored(&slices).unwrap();
            let bytes = pieces.concat();
            assert!(len > 0 || bytes.is_empty());
            model.write(&bytes[..len]);
        }
        Op::Seek(to) => match model.seek(*to) {
            Some(position) => assert_eq!(writer.seek(*to).unwrap(), position),
            None => {
                assert_eq!(writer.seek(*to).unwrap_err().kind(), IoErrorKind::InvalidInput);
                return false;
            }
        },
        Op::Read(len) => {
            let mut bytes = vec![0; *len];
            let read = writer.read(&mut bytes).unwrap();
            let rest = model.rest();
            assert!(read > 0 || *len == 0 || rest.is_empty());
            assert!(bytes[..read] == rest[..read]);
            model.cursor += read as u64;
        }
        Op::SetLen(len) => {
            writer.set_len(*len).unwrap();
            model.bytes.resize(*len as usize, 0);
        }
        Op::Flush => writer.flush().unwrap(),
        Op::ToDisk => {
            let len = writer.as_file().unwrap().metadata().unwrap().len();
            assert_eq!(len, model.bytes.len() as u64, "the file has all that was written");
        }
    }
    // To ask for the position hands out what is buffered, and writes shall follow one another too.
    if !matches!(op, Op::Write(_) | Op::WriteVectored(_)) {
        assert_eq!(writer.stream_position().unwrap(), model.cursor);
    }
    true
}

/// Replaces a file in the empty folder `folder` by what `ops` make of it, or does not, and checks
/// what is there afterwards. Whether the writer was poisoned on the way.
#[track_caller]
pub(crate) fn check(
    folder: &Path,
    ops: &[Op],
    buffer_size: usize,
    staging: Staging,
    end: End,
) -> bool {
    let target = folder.join("target");
    fs::write(&target, "old").unwrap();
    let mut builder = AtomicWriter::builder();
    builder.durability(Durability::None).buffer_size(buffer_size).staging(staging);
    let mut writer = builder.open(&target).unwrap();
    let mut model = Model::default();
    let sound = ops.iter().all(|op| apply(op, &mut writer, &mut model));
    let mut expected = b"old".to_vec();
    match (end, sound) {
        (End::Drop, _) => drop(writer),
        (End::Commit, true) => {
            assert_eq!(writer.commit().unwrap().len(), model.bytes.len() as u64);
            expected = model.bytes;
        }
        (End::Commit, false) => {
            let error = writer.commit().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Poisoned);
            assert_eq!(error.target_state(), TargetState::Untouched);
        }
    }
    assert!(fs::read(&target).unwrap() == expected, "{ops:?}, {buffer_size}, {staging:?}, {end:?}");
    let names = || fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    // libfuse gives a file that is removed while it is open a hidden name until it is closed, and
    // learns of that a moment later.
    let hidden = |name: &OsString| name.as_encoded_bytes().starts_with(b".fuse_hidden");
    let deadline = Instant::now() + Duration::from_secs(60);
    while names().any(|name| hidden(&name)) && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(names().count(), 1, "something stayed behind");
    !sound
}
