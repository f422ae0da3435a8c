//! Linux, macOS, the BSDs: every step is relative to an open directory.

#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
mod bsd;
mod copies;
#[cfg_attr(target_os = "linux", path = "file_system.rs")]
#[cfg_attr(not(target_os = "linux"), path = "file_system_unknown.rs")]
mod file_system;
#[cfg(any(target_vendor = "apple", target_os = "freebsd", test))]
mod growing;
mod held;
#[cfg(test)]
mod injected;
mod look;
mod metadata;
mod naming;
mod reserve;
mod sync;
mod tree;
mod verdicts;
mod xattr;

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::path::DecInt;
use rustix::process::geteuid;

use super::{Creation, Entry, Existing, FileId, FileKind, Info, Origin, Through, Times};

pub(crate) use super::not_windows::{
    Security, is_negative_seek, may_name_file, security_of, set_access_of, set_owner_of,
};
pub(crate) use copies::{clone_contents, file_of, make_symlink, mount_below, set_owner_of_link};
pub(crate) use fd_lock::RwLock;
pub(crate) use file_system::{Mount, file_system_of, mount_of, write_out};
pub(crate) use held::{hold, inspect_held, open_target};
#[cfg(test)]
pub(crate) use injected::{errors_of, lacking_error, make_fifo};
pub(crate) use look::look;
pub(crate) use metadata::{set_flags, set_mode, set_owner, set_times};
pub(crate) use naming::{exchange, link, remove_file, rename, rename_no_replace};
pub(crate) use reserve::reserve;
pub(crate) use sync::{can_be_synced, close, sync_directory, sync_file};
pub(crate) use tree::{
    inspect_directory, list, make_accessible, make_directory, move_directory, open_inside,
    open_orphan, open_subdirectory, remove_directory, remove_entry, set_directory_mode,
    touch_directory,
};
pub(crate) use verdicts::{
    cannot_be_kept, is_loop, is_mount_point, is_too_long, lacks_clones, lacks_directory_sync,
    lacks_links, lacks_locks, lacks_rename_flags, lacks_unnamed,
};
pub(crate) use xattr::{get_xattr_of, list_xattrs, list_xattrs_of, remove_xattr, set_xattr};

/// No lock keeps another process from reading or writing (flock(2)).
pub(crate) const LOCKS_ARE_ADVISORY: bool = true;
/// A write sets it when it is made.
pub(crate) const MODIFIED_IS_SET_AT_CLOSE: bool = false;
/// Whether a file that is marked read-only cannot be synced, nor lose one of several names.
pub(crate) const READ_ONLY_BINDS_NAMES: bool = false;
/// Whether [`exchange`] is worth a try.
pub(crate) const HAS_EXCHANGE: bool =
    cfg!(any(target_os = "linux", target_os = "android", target_vendor = "apple"));

/// flock(2) takes any open file, a directory too.
pub(crate) const DIRECTORIES_CAN_BE_LOCKED: bool = true;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Opened for reading, so that it can be synced.
    Read,
    /// Held without the right to read it.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    PathOnly,
}

/// What holds an existing file: on Linux a descriptor that neither reads nor writes.
#[derive(Debug)]
pub(crate) struct Handle {
    fd: Option<OwnedFd>,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const NEW_FILE_MODE: u32 = 0o666;

impl Directory {
    /// The caller's own directory, for `open_at`.
    pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> io::Result<Self> {
        // Opened anew rather than duplicated: the caller's may be one that only holds the place.
        open_from(fd, Path::new("."))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// For its lock.
impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

pub(crate) fn open_directory(base: Option<&Directory>, path: &Path) -> io::Result<Directory> {
    open_from(base.map_or(CWD, Directory::fd), path)
}

fn open_from(base: BorrowedFd<'_>, path: &Path) -> io::Result<Directory> {
    match fs::openat(base, path, DIRECTORY, Mode::empty()) {
        Ok(fd) => Ok(Directory { fd, access: Access::Read }),
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
        Err(rustix::io::Errno::ACCESS) => {
            let fd = fs::openat(base, path, DIRECTORY | OFlags::PATH, Mode::empty())?;
            Ok(Directory { fd, access: Access::PathOnly })
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn path_of(directory: &Directory) -> Option<PathBuf> {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return None;
    }
    let path = fs::readlinkat(CWD, descriptor_path(&directory.fd).as_c_str(), Vec::new()).ok()?;
    let path = PathBuf::from(OsString::from_vec(path.into_bytes()));
    path.is_absolute().then_some(path)
}

/// The name that /proc gives to a descriptor.
struct DescriptorPath([u8; 32]);

impl DescriptorPath {
    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

fn descriptor_path(fd: &impl AsFd) -> DescriptorPath {
    const FOLDER: &[u8] = b"/proc/self/fd/";
    let number = DecInt::from_fd(fd);
    let mut path = [0; 32];
    path[..FOLDER.len()].copy_from_slice(FOLDER);
    path[FOLDER.len()..][..number.as_bytes().len()].copy_from_slice(number.as_bytes());
    DescriptorPath(path)
}

pub(crate) fn id_at(entry: Entry<'_>) -> io::Result<FileId> {
    let stat = fs::statat(entry.directory.fd(), entry.name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(info_of(&stat).id)
}

pub(crate) fn read_link(
    existing: &Existing,
    directory: &Directory,
    name: &OsStr,
) -> io::Result<PathBuf> {
    let text = match &existing.handle.fd {
        // Of the link that was looked at, whatever has its name by now (readlink(2), Linux 2.6.39).
        Some(fd) => fs::readlinkat(fd, "", Vec::new())?,
        None => fs::readlinkat(directory.fd(), name, Vec::new())?,
    };
    Ok(PathBuf::from(OsString::from_vec(text.into_bytes())))
}

pub(crate) fn may_be_planted(directory: &Directory, info: &Info) -> io::Result<bool> {
    const STICKY_AND_WORLD_WRITABLE: u32 = 0o1002;
    // Whose file it is does not tell who made a hard link (unless fs.protected_hardlinks is set).
    // A directory's other links are those of what is in it.
    let is_hard_link = info.links > 1 && info.kind != FileKind::Directory;
    // Root needs no traps, and its files are so common that they should not cost a call.
    if !is_hard_link && (info.uid == 0 || info.uid == geteuid().as_raw()) {
        return Ok(false);
    }
    let directory = info_of(&fs::fstat(directory.fd())?);
    let is_everybodys = directory.mode & STICKY_AND_WORLD_WRITABLE == STICKY_AND_WORLD_WRITABLE;
    Ok(is_everybodys && (is_hard_link || directory.uid != info.uid))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn leads_to_descriptor(directory: &Directory, _: &OsStr) -> io::Result<bool> {
    // proc_pid_fd(5): the text of these links need not be a path ("pipe:[1234]"), and even where it
    // is one, following it opens the file that the descriptor has, whatever its name is by now.
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    #[allow(clippy::unnecessary_cast, reason = "the type differs between architectures")]
    let magic = fs::fstatfs(directory.fd())?.f_type as u64;
    let on_proc = magic == PROC_SUPER_MAGIC;
    Ok(on_proc && path_of(directory).is_some_and(|path| path.ends_with("fd")))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn leads_to_descriptor(_: &Directory, _: &OsStr) -> io::Result<bool> {
    Ok(false)
}

pub(crate) fn open_through(
    directory: &Directory,
    name: &OsStr,
    through: Through,
) -> io::Result<File> {
    let mut flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
    match through {
        Through::File => flags |= OFlags::NOFOLLOW,
        // What is in a file that it was redirected to stays, and what others append meanwhile.
        Through::Descriptor => flags |= OFlags::APPEND,
    }
    Ok(File::from(fs::openat(directory.fd(), name, flags, Mode::empty())?))
}

pub(crate) fn create_temp(
    directory: &Directory,
    name: &OsStr,
    creation: Creation<'_>,
) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(fs::openat(directory.fd(), name, flags, creation_mode(creation.mode))?))
}

pub(crate) fn open_staged(directory: &Directory, name: &OsStr) -> io::Result<File> {
    let open = |access: OFlags| {
        // In a tree that others fill, a FIFO might have taken the name.
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        fs::openat(directory.fd(), name, flags, Mode::empty()).map(File::from)
    };
    // A program that is running cannot be opened for writing.
    match open(OFlags::RDONLY) {
        // Its owner may not read it, which is no hindrance to a sync.
        Err(rustix::io::Errno::ACCESS) => Ok(open(OFlags::WRONLY)?),
        result => Ok(result?),
    }
}

/// Whether its owner may open such a file, for whatever purpose.
pub(crate) fn can_be_opened_again(info: &Info) -> bool {
    info.mode & 0o600 != 0
}

fn creation_mode(mode: Option<u32>) -> Mode {
    raw_mode(mode.unwrap_or(NEW_FILE_MODE))
}

/// macOS file systems overlook it by default.
pub(crate) const CASE_MAY_NOT_MATTER: bool = cfg!(target_vendor = "apple");

pub(crate) fn open_side_file(directory: &Directory, name: &OsStr) -> io::Result<(File, Origin)> {
    // Without O_NONBLOCK, a FIFO that somebody put here would block.
    let flags =
        OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // For the group to write and not to read: a umask that lets the group share files lets it share
    // locks, any other does not.
    let exclusively = flags | OFlags::CREATE | OFlags::EXCL;
    match fs::openat(directory.fd(), name, exclusively, raw_mode(0o620)) {
        Ok(fd) => Ok((File::from(fd), Origin::Created)),
        Err(rustix::io::Errno::EXIST) => {
            let fd = fs::openat(directory.fd(), name, flags, Mode::empty())?;
            Ok((File::from(fd), Origin::Found))
        }
        Err(error) => Err(error.into()),
    }
}

/// The kernel takes as much of `mode` as its type holds, which is less on some systems.
#[allow(clippy::unnecessary_cast, reason = "the type differs between systems")]
fn raw_mode(mode: u32) -> Mode {
    Mode::from_raw_mode((mode & 0o7777) as rustix::fs::RawMode)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn create_unnamed(directory: &Directory, mode: Option<u32>) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = File::from(fs::openat(directory.fd(), ".", flags, creation_mode(mode))?);
    // Without /proc it could never get a name: better to learn that before the data is written.
    let stat = fs::statat(CWD, descriptor_path(&file).as_c_str(), AtFlags::empty())?;
    // Without ACLs, no umask was applied to such a file before Linux 6.0 (fs/namei.c, vfs_tmpfile).
    // If there is none, a file with a name does as well.
    if mode.is_none() && info_of(&stat).mode == NEW_FILE_MODE {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(file)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn create_unnamed(_: &Directory, _: Option<u32>) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn link_unnamed(file: &File, directory: &Directory, name: &OsStr) -> io::Result<()> {
    // AT_EMPTY_PATH would need CAP_DAC_READ_SEARCH; the way through /proc does not (open(2)).
    let path = descriptor_path(file);
    Ok(fs::linkat(CWD, path.as_c_str(), directory.fd(), name, AtFlags::SYMLINK_FOLLOW)?)
}

pub(crate) fn inspect(file: &File) -> io::Result<Info> {
    Ok(info_of(&fs::fstat(file)?))
}

fn kind_of(file_type: FileType) -> FileKind {
    match file_type {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        _ => FileKind::Special,
    }
}

#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "types differ by system")]
fn info_of(stat: &Stat) -> Info {
    let mode = u32::from(stat.st_mode);
    Info {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        id: FileId { device: stat.st_dev as u64, file: stat.st_ino as u64 },
        len: u64::try_from(stat.st_size).unwrap_or(0),
        links: stat.st_nlink as u64,
        read_only: mode & 0o222 == 0,
        mode: mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
        flags: stat.st_flags & bsd::KEPT_FLAGS,
        #[cfg(not(any(target_vendor = "apple", target_os = "freebsd")))]
        flags: 0,
        times: Times {
            accessed: (stat.st_atime as i64, stat.st_atime_nsec as i64),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        },
        changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
    }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "rustix has no sync_file_range")]
pub(crate) fn start_writeback(file: &File, offset: u64, len: u64) {
    use std::os::fd::AsRawFd;
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else { return };
    // SAFETY: the call takes a descriptor, which is open for as long as `file` is borrowed, and
    // numbers; it touches no memory of this process.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE) };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn start_writeback(_: &File, _: u64, _: u64) {}
