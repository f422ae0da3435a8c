//! The same in bare system calls, written by hand: the limit.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{self, AtFlags, CWD, FlockOperation, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Survives, parent_and_name};
use crate::payload::Payload;

pub(super) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
pub(super) const TEMP: OFlags = OFlags::RDWR
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A name that is nobody else's, since the benchmark has its folder for itself.
pub(super) fn temp_name() -> String {
    format!(".bare-{}.tmp", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn full(path: &Path, payload: &Payload) -> io::Result<()> {
    replace(path, payload, Survives::Full)
}

pub(super) fn ordered(path: &Path, payload: &Payload) -> io::Result<()> {
    replace(path, payload, Survives::Ordered)
}

pub(super) fn none(path: &Path, payload: &Payload) -> io::Result<()> {
    replace(path, payload, Survives::Nothing)
}

/// What is kept of the old file.
struct Old {
    _file: OwnedFd,
    stat: fs::Stat,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// All that wholefile guarantees: relative to the directory, old metadata kept, the temp file
/// locked while it is written.
fn replace(path: &Path, payload: &Payload, survives: Survives) -> io::Result<()> {
    let (parent, name) = parent_and_name(path)?;
    let directory = fs::openat(CWD, parent, DIRECTORY, Mode::empty())?;
    let old = look(&directory, name)?;
    let mode = old.as_ref().map_or(0o666, |old| old.stat.st_mode & 0o644);
    let temp_name = temp_name();
    let temp = fs::openat(&directory, &temp_name, TEMP, Mode::from_raw_mode(mode))?;
    let mut temp = File::from(temp);
    fs::flock(&temp, FlockOperation::NonBlockingLockExclusive)?;
    payload.write_to(&mut temp)?;
    if let Some(old) = &old {
        keep(old, &temp)?;
    }
    if survives != Survives::Nothing {
        fs::fsync(&temp)?;
    }
    fs::renameat(&directory, &temp_name, &directory, name)?;
    if survives == Survives::Full {
        fs::fsync(&directory)?;
    }
    Ok(())
}

/// The fewest calls that are atomic and durable. The old file's metadata is lost.
pub(super) fn plain(path: &Path, payload: &Payload) -> io::Result<()> {
    let (parent, _) = parent_and_name(path)?;
    let temp_path = parent.join(temp_name());
    let mut temp = File::from(fs::openat(CWD, &temp_path, TEMP, Mode::from_raw_mode(0o666))?);
    payload.write_to(&mut temp)?;
    fs::fsync(&temp)?;
    fs::rename(&temp_path, path)?;
    let directory = fs::openat(CWD, parent, DIRECTORY, Mode::empty())?;
    Ok(fs::fsync(directory)?)
}

/// As [`plain`], of a file that has no name while it is synced, and is not synced once it has one.
pub(super) fn plain_unnamed(path: &Path, payload: &Payload) -> io::Result<()> {
    let (parent, _) = parent_and_name(path)?;
    let unnamed = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let mut temp = File::from(fs::openat(CWD, parent, unnamed, Mode::from_raw_mode(0o666))?);
    payload.write_to(&mut temp)?;
    fs::fsync(&temp)?;
    let temp_path = parent.join(temp_name());
    fs::linkat(CWD, path_of(&temp), CWD, &temp_path, AtFlags::SYMLINK_FOLLOW)?;
    fs::rename(&temp_path, path)?;
    let directory = fs::openat(CWD, parent, DIRECTORY, Mode::empty())?;
    Ok(fs::fsync(directory)?)
}

/// The name that /proc gives to an open file.
fn path_of(file: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn look(directory: &OwnedFd, name: &OsStr) -> io::Result<Option<Old>> {
    let file = match fs::openat(directory, name, LOOK, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        file => file?,
    };
    let stat = fs::fstat(&file)?;
    // A descriptor that neither reads nor writes is asked by name.
    let path = path_of(&file);
    let mut list = [0; 512];
    let len = fs::listxattr(&path, &mut list)?;
    let mut xattrs = Vec::new();
    for name in list[..len].split_inclusive(|byte| *byte == 0) {
        let mut value = vec![0; 64 << 10];
        let len = fs::getxattr(&path, c_str(name)?, &mut value)?;
        value.truncate(len);
        xattrs.push((name.to_vec(), value));
    }
    Ok(Some(Old { _file: file, stat, xattrs }))
}

fn keep(old: &Old, temp: &File) -> io::Result<()> {
    let now = fs::fstat(temp)?;
    // The directory's default ACL would be in this list.
    let mut list = [0; 512];
    for name in list_of(temp, &mut list)?.split_inclusive(|byte| *byte == 0) {
        fs::fremovexattr(temp, c_str(name)?)?;
    }
    for (name, value) in &old.xattrs {
        fs::fsetxattr(temp, c_str(name)?, value, XattrFlags::empty())?;
    }
    if (old.stat.st_uid, old.stat.st_gid) != (now.st_uid, now.st_gid) {
        let (uid, gid) = (Uid::from_raw(old.stat.st_uid), Gid::from_raw(old.stat.st_gid));
        fs::fchown(temp, Some(uid), Some(gid))?;
    }
    if old.stat.st_mode != now.st_mode {
        fs::fchmod(temp, Mode::from_raw_mode(old.stat.st_mode & 0o7777))?;
    }
    Ok(())
}

fn list_of<'a>(file: &File, list: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let len = fs::flistxattr(file, &mut *list)?;
    Ok(&list[..len])
}

fn c_str(name: &[u8]) -> io::Result<&CStr> {
    CStr::from_bytes_with_nul(name).map_err(io::Error::other)
}

/// Writes the contents into a new temp file and drops it again.
pub(super) fn dropped(path: &Path, payload: &Payload) -> io::Result<()> {
    let (parent, name) = parent_and_name(path)?;
    let directory = fs::openat(CWD, parent, DIRECTORY, Mode::empty())?;
    let _old = look(&directory, name)?;
    let temp_name = temp_name();
    let mut temp =
        File::from(fs::openat(&directory, &temp_name, TEMP, Mode::from_raw_mode(0o600))?);
    payload.write_to(&mut temp)?;
    Ok(fs::unlinkat(&directory, &temp_name, AtFlags::empty())?)
}

/// Reads the file and finds that it is what it should be.
pub(super) fn unchanged(path: &Path, payload: &Payload) -> io::Result<()> {
    let is_same = payload.as_bytes() == Some(&*fs_err::read(path)?);
    if is_same { Ok(()) } else { Err(io::Error::other("the file has changed")) }
}

/// Waits until all that was written to the file system of `path` is on its device.
pub(crate) fn sync_all_of(path: &Path) -> io::Result<()> {
    let directory = fs::openat(CWD, path, DIRECTORY, Mode::empty())?;
    Ok(fs::syncfs(directory.as_fd())?)
}
