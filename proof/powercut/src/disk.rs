//! The disk: a FUSE file system with one file, `disk`, for a loop device to stand on, and one more,
//! `control`, that the writer speaks through.
//!
//! `disk` is opened with `FOPEN_DIRECT_IO`, so every write of the loop device arrives here, in
//! order and before the loop device completes it, and nothing of it stays in a page cache. A flush
//! of the loop device arrives as `fsync`. The loop device offers no FUA: the kernel makes a write
//! and a flush of it. One thread answers, so the log has one order, and what is written to
//! `control` has an exact place in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use rustix::mount::UnmountFlags;

use crate::image::{Image, SECTOR};
use crate::log::{Payload, Record, Write};

const DISK: INodeNo = INodeNo(2);
const CONTROL: INodeNo = INodeNo(3);
/// Nothing changes that the kernel could have remembered.
const FOREVER: Duration = Duration::from_secs(1 << 30);
/// FALLOC_FL_PUNCH_HOLE and FALLOC_FL_ZERO_RANGE: what a loop device makes of a discard and of a
/// write of zeroes (drivers/block/loop.c, `lo_req_fallocate`).
const PUNCH_HOLE: i32 = 0x02;
const ZERO_RANGE: i32 = 0x10;

/// What happened since the writer said `begin`.
#[derive(Clone)]
pub(crate) struct Recording {
    /// The disk as it was then; all of it durable.
    pub(crate) base: Image,
    pub(crate) records: Vec<Record>,
    ended: bool,
}

struct State {
    image: Image,
    recording: Option<Recording>,
}

/// The disk's server. Dropped, the disk is gone.
pub(crate) struct Disk {
    folder: PathBuf,
    state: Arc<Mutex<State>>,
    _session: BackgroundSession,
}

impl Disk {
    /// Serves an empty disk of `size` bytes in `folder`.
    pub(crate) fn serve(folder: &Path, size: u64) -> Result<Disk> {
        fs_err::create_dir_all(folder)?;
        let state = State { image: Image::new(size), recording: None };
        let state = Arc::new(Mutex::new(state));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("powercut".to_owned())];
        let server = Server { state: Arc::clone(&state), size };
        let session = fuser::spawn_mount(server, folder, &config)
            .with_context(|| format!("failed to mount the disk at {}", folder.display()))?;
        Ok(Disk { folder: folder.to_owned(), state, _session: session })
    }

    pub(crate) fn file(folder: &Path) -> PathBuf {
        folder.join("disk")
    }

    pub(crate) fn control(folder: &Path) -> PathBuf {
        folder.join("control")
    }

    /// What was recorded from `begin` to `end`.
    pub(crate) fn recording(&self) -> Result<Recording> {
        match &lock(&self.state).recording {
            Some(recording) if recording.ended => Ok(recording.clone()),
            _ => bail!("the recording was not ended"),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A loop device may not have let go of its file yet.
        let _ = rustix::mount::unmount(&self.folder, UnmountFlags::DETACH);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn record(&mut self, record: Record) {
        if let Some(recording) = self.recording.as_mut().filter(|recording| !recording.ended) {
            recording.records.push(record);
        }
    }

    fn write(&mut self, offset: u64, payload: Payload) -> Result<(), Errno> {
        let write = Write { offset, payload };
        let end = offset.checked_add(write.len()).ok_or(Errno::EFBIG)?;
        if end > self.image.size() {
            return Err(Errno::ENOSPC);
        }
        if offset % SECTOR as u64 != 0 || write.len() % SECTOR as u64 != 0 {
            return Err(Errno::EINVAL); // no disk writes half a sector
        }
        write.apply(&mut self.image);
        self.record(Record::Write(write));
        Ok(())
    }

    fn control(&mut self, message: &[u8]) -> Result<(), Errno> {
        let message = std::str::from_utf8(message).map_err(|_| Errno::EINVAL)?;
        match message.split_once(' ') {
            None if message == "begin" => {
                let base = self.image.clone();
                self.recording = Some(Recording { base, records: Vec::new(), ended: false });
            }
            None if message == "end" => {
                self.recording.as_mut().ok_or(Errno::EINVAL)?.ended = true;
            }
            Some(("acknowledged", commit)) => {
                let commit = commit.parse().map_err(|_| Errno::EINVAL)?;
                self.record(Record::Acknowledged(commit));
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }
}

struct Server {
    state: Arc<Mutex<State>>,
    size: u64,
}

impl Server {
    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, size, perm) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0, 0o700),
            DISK => (FileType::RegularFile, self.size, 0o600),
            CONTROL => (FileType::RegularFile, 0, 0o200),
            _ => return None,
        };
        let then = SystemTime::UNIX_EPOCH;
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: then,
            mtime: then,
            ctime: then,
            crtime: then,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for Server {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let inode = match name.to_str() {
            Some("disk") => DISK,
            Some("control") => CONTROL,
            _ => return reply.error(Errno::ENOENT),
        };
        let attributes = self.attributes(inode).expect("it is one of ours");
        reply.entry(&FOREVER, &attributes, Generation(0));
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&FOREVER, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let flags = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_NOFLUSH;
        reply.opened(FileHandle(0), flags);
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if inode != DISK {
            return reply.error(Errno::EINVAL);
        }
        let state = lock(&self.state);
        let available = self.size.saturating_sub(offset).min(u64::from(size));
        let mut bytes = vec![0; available as usize];
        state.image.read(offset, &mut bytes);
        drop(state);
        reply.data(&bytes);
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = lock(&self.state);
        let result = match inode {
            DISK => state.write(offset, Payload::Bytes(data.into())),
            _ => state.control(data),
        };
        drop(state);
        match result {
            Ok(()) => reply.written(data.len() as u32),
            Err(errno) => reply.error(errno),
        }
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        lock(&self.state).record(Record::Flush);
        reply.ok();
    }

    fn fallocate(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if inode != DISK || mode & (PUNCH_HOLE | ZERO_RANGE) == 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let result = lock(&self.state).write(offset, Payload::Zeroes(length));
        match result {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }
}
