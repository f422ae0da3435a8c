//! Windows: every step goes by an absolute path, and an open handle keeps the directory in place.

mod attributes;
mod ladder;
mod names;
mod rename;
mod security;
mod side_file;
mod streams;
#[cfg(test)]
mod tests;
mod verdicts;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::size_of;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle};
use std::path::{Component, Path, PathBuf, Prefix};
use std::ptr;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_DELETE_PENDING, ERROR_DIRECTORY, ERROR_PATH_NOT_FOUND,
    ERROR_SHARING_VIOLATION, GENERIC_WRITE,
};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_ALLOCATION_INFO, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES, FILE_SHARE_READ, FILE_SHARE_WRITE,
    FILE_TRAVERSE, FILE_TYPE_DISK, FileAllocationInfo, GetDiskFreeSpaceExW,
    GetFileInformationByHandle, GetFileType, GetFinalPathNameByHandleW, SetFileInformationByHandle,
};

use super::portable::{kind_of, times_of};
use super::{Creation, Entry, Existing, FileId, FileKind, Info, Through, Times};
use crate::options::Durability;

use attributes::mode_of;
use verdicts::{is_one_of, is_unsupported};

pub(crate) use super::portable::{
    HAS_EXCHANGE, Handle, Mount, can_be_opened_again, can_be_synced, clone_contents, close,
    create_unnamed, exchange, file_of, file_system_of, get_xattr_of, id_at, inspect_held,
    lacks_clones, leads_to_descriptor, link_unnamed, list, make_accessible, make_symlink,
    may_be_planted, mount_below, mount_of, move_directory, open_inside, open_orphan,
    open_subdirectory, remove_xattr, set_directory_mode, set_flags, set_owner, set_owner_of_link,
    set_times, set_xattr, start_writeback, touch_directory, write_out,
};
pub(crate) use attributes::set_mode;
pub(crate) use fd_lock::RwLock;
pub(crate) use names::may_name_file;
pub(crate) use rename::{open_staged, remove_entry, remove_file, rename, rename_no_replace};
pub(crate) use security::{Security, security_of, set_access_of, set_owner_of};
pub(crate) use side_file::open_side_file;
pub(crate) use streams::{list_xattrs, list_xattrs_of};
pub(crate) use verdicts::{
    cannot_be_kept, is_loop, is_mount_point, is_negative_seek, is_too_long, lacks_directory_sync,
    lacks_links, lacks_locks, lacks_rename_flags, lacks_unnamed,
};

/// A lock on bytes of a file keeps every other handle from reading and writing them (LockFileEx).
pub(crate) const LOCKS_ARE_ADVISORY: bool = false;
/// NTFS sets it when the last handle is closed that may have written (GetFileTime).
pub(crate) const MODIFIED_IS_SET_AT_CLOSE: bool = true;

/// The attribute is the file's, whichever of its names it is set or cleared by.
pub(crate) const READ_ONLY_BINDS_NAMES: bool = true;

/// LockFileEx takes files only.
pub(crate) const DIRECTORIES_CAN_BE_LOCKED: bool = false;

/// A directory, by its absolute path.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Not shared for deletion, if that could be had: then the directory is neither renamed nor
    /// removed while this is open.
    pin: File,
}

impl Directory {
    pub(super) fn join(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// The absolute form of `path`, which is relative to this directory.
    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        // Windows takes ".." off a path by its text alone, but follows a link whose text has it
        // from the directory that really holds the link.
        if path.components().any(|component| component == Component::ParentDir) {
            return std::path::absolute(fs::canonicalize(&self.path)?.join(path));
        }
        std::path::absolute(self.path.join(path))
    }
}

/// For its lock, which is never asked for.
impl AsHandle for Directory {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.pin.as_handle()
    }
}

pub(crate) fn open_directory(base: Option<&Directory>, path: &Path) -> io::Result<Directory> {
    let path = match base {
        Some(base) => base.absolute(path)?,
        None => std::path::absolute(path)?,
    };
    let pin = match open_pin(&path) {
        // The system does not tell a file on the way from nothing there.
        Err(error) if is_one_of(&error, &[ERROR_PATH_NOT_FOUND]) && is_below_a_file(&path) => {
            return Err(io::Error::from_raw_os_error(ERROR_DIRECTORY as i32));
        }
        result => result?,
    };
    if inspect(&pin)?.kind != FileKind::Directory {
        return Err(io::Error::from_raw_os_error(ERROR_DIRECTORY as i32));
    }
    Ok(Directory { path, pin })
}

fn is_below_a_file(path: &Path) -> bool {
    let nearest = path.ancestors().skip(1).find_map(|ancestor| fs::metadata(ancestor).ok());
    nearest.is_some_and(|metadata| !metadata.is_dir())
}

fn open_pin(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS); // without it a directory cannot be opened
    // What is shared counts only between handles that may do more than see attributes.
    let pinned = options
        .access_mode(FILE_READ_ATTRIBUTES | FILE_TRAVERSE)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
        .open(path);
    match pinned {
        // The caller may not enter it, or somebody is about to rename it.
        Err(error) if is_one_of(&error, &[ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION]) => {
            options.access_mode(FILE_READ_ATTRIBUTES).open(path)
        }
        result => result,
    }
}

pub(crate) fn path_of(directory: &Directory) -> Option<PathBuf> {
    Some(directory.path.clone())
}

pub(crate) fn inspect_directory(directory: &Directory) -> io::Result<Info> {
    inspect(&directory.pin)
}

pub(crate) fn make_directory(directory: &Directory, name: &OsStr, _: u32) -> io::Result<()> {
    fs::create_dir(directory.join(name))
}

pub(crate) fn remove_directory(directory: &Directory, name: &OsStr) -> io::Result<()> {
    fs::remove_dir(directory.join(name))
}

pub(crate) fn look(directory: &Directory, name: &OsStr) -> io::Result<Existing> {
    // Without a right to the data, so that no other handle stands in the way of this one. It is not
    // kept: an open handle would stand in the way of replacing the file.
    let file = OpenOptions::new()
        .access_mode(FILE_READ_ATTRIBUTES)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
        .open(directory.join(name))?;
    Ok(Existing { info: inspect(&file)?, handle: Handle })
}

pub(crate) fn read_link(_: &Existing, directory: &Directory, name: &OsStr) -> io::Result<PathBuf> {
    fs::read_link(directory.join(name))
}

pub(crate) fn open_target(
    existing: &Existing,
    directory: &Directory,
    name: &OsStr,
) -> io::Result<File> {
    // Not the reparse point: a file that is stored elsewhere is one too. A link that has taken the
    // name meanwhile leads to another file, which shows.
    let file = File::open(directory.join(name))?;
    if inspect(&file)?.id == existing.info.id {
        Ok(file)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Not held: an open handle would stand in the way of whoever replaces the file. Nor need it be on
/// NTFS, whose numbers count how often they were used.
pub(crate) fn hold(_: &mut Existing, _: &Directory, _: &OsStr) -> io::Result<()> {
    Ok(())
}

pub(crate) fn open_through(directory: &Directory, name: &OsStr, _: Through) -> io::Result<File> {
    OpenOptions::new().write(true).open(directory.join(name))
}

pub(crate) fn create_temp(
    directory: &Directory,
    name: &OsStr,
    creation: Creation<'_>,
) -> io::Result<File> {
    match security::create(&directory.join(name), creation) {
        // The name of a file that is about to be deleted is denied like one in a closed directory.
        Err(error) if is_one_of(&error, &[ERROR_ACCESS_DENIED, ERROR_DELETE_PENDING]) => {
            match look(directory, name) {
                Err(look) if look.kind() == io::ErrorKind::NotFound => Err(error),
                _ => Err(io::ErrorKind::AlreadyExists.into()), // so that another name is taken
            }
        }
        result => result,
    }
}

/// NTFS and FAT overlook it by default.
pub(crate) const CASE_MAY_NOT_MATTER: bool = true;

pub(crate) fn inspect(file: &File) -> io::Result<Info> {
    if !is_on_disk(file) {
        return Ok(INFO_OF_SPECIAL);
    }
    let metadata = file.metadata()?;
    let by_handle = information(file)?;
    let file_index = [by_handle.nFileIndexHigh, by_handle.nFileIndexLow];
    Ok(Info {
        kind: kind_of(&metadata),
        id: FileId {
            device: u64::from(by_handle.dwVolumeSerialNumber),
            file: u64::from(file_index[0]) << 32 | u64::from(file_index[1]),
        },
        len: metadata.len(),
        links: u64::from(by_handle.nNumberOfLinks),
        read_only: metadata.permissions().readonly(),
        mode: mode_of(&metadata),
        uid: 0,
        gid: 0,
        flags: 0,
        times: times_of(&metadata),
        changed: attributes::changed(file),
    })
}

/// A device such as `NUL`, or a pipe: the system says nothing more about it.
const INFO_OF_SPECIAL: Info = Info {
    kind: FileKind::Special,
    id: FileId { device: 0, file: 0 },
    len: 0,
    links: 1,
    read_only: false,
    mode: 0,
    uid: 0,
    gid: 0,
    flags: 0,
    times: Times { accessed: (0, 0), modified: (0, 0) },
    changed: (0, 0),
};

#[allow(unsafe_code, reason = "std does not tell files from devices")]
fn is_on_disk(file: &File) -> bool {
    // SAFETY: the call takes a handle, which is open for as long as `file` is borrowed.
    unsafe { GetFileType(file.as_raw_handle()) == FILE_TYPE_DISK }
}

#[allow(unsafe_code, reason = "std's windows_by_handle is unstable")]
fn information(file: &File) -> io::Result<BY_HANDLE_FILE_INFORMATION> {
    let mut information = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open for as long as `file` is borrowed, and the call fills in the
    // struct that it is given, which lives on this stack.
    check(unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut information) })?;
    Ok(information)
}

#[allow(unsafe_code, reason = "std cannot allocate space without changing the length")]
pub(crate) fn reserve(file: &File, len: u64) -> io::Result<()> {
    if len <= file.metadata()?.len() {
        return Ok(()); // less than the length would cut the file off
    }
    let len = i64::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let info = FILE_ALLOCATION_INFO { AllocationSize: len };
    // SAFETY: the handle is open for as long as `file` is borrowed, and the call only reads the
    // struct, of the type and size that belong to FileAllocationInfo, before it returns.
    let allocated = check(unsafe {
        SetFileInformationByHandle(
            file.as_raw_handle(),
            FileAllocationInfo,
            (&raw const info).cast(),
            size_of::<FILE_ALLOCATION_INFO>() as u32,
        )
    });
    match allocated {
        Err(error) if is_unsupported(&error) => require_free_space(file, len as u64),
        result => result,
    }
}

#[allow(unsafe_code, reason = "std does not tell how much is free")]
fn require_free_space(file: &File, len: u64) -> io::Result<()> {
    let mut path = vec![0; MAX_PATH_LEN];
    // SAFETY: the handle is open for as long as `file` is borrowed, and the call writes no more
    // units than there are, which it is told.
    let path_len = unsafe {
        GetFinalPathNameByHandleW(file.as_raw_handle(), path.as_mut_ptr(), MAX_PATH_LEN as u32, 0)
    } as usize;
    if path_len == 0 {
        return Err(io::Error::last_os_error());
    }
    path.truncate(path_len);
    let is_backslash = |unit: &u16| *unit == u16::from(b'\\');
    path.truncate(path.iter().rposition(is_backslash).map_or(0, |at| at + 1));
    path.push(0);
    let mut free = 0;
    // SAFETY: the path ends in a zero and outlives the call, which writes one number, which lives
    // on this stack; those for which there is no place it leaves out.
    check(unsafe {
        GetDiskFreeSpaceExW(path.as_ptr(), &raw mut free, ptr::null_mut(), ptr::null_mut())
    })?;
    if free < len { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

pub(crate) fn sync_file(file: &File, durability: Durability) -> io::Result<Durability> {
    file.sync_all().map(|()| durability)
}

pub(crate) fn sync_directory(directory: &Directory) -> io::Result<()> {
    let options = &mut OpenOptions::new();
    options.access_mode(GENERIC_WRITE).custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
    rename::open_once_shared(options, &directory.path)?.sync_all()
}

pub(crate) fn link(from: Entry<'_>, to: Entry<'_>) -> io::Result<()> {
    fs::hard_link(from.path(), to.path())
}

/// The longest path that the system takes or gives, with the zero at its end.
const MAX_PATH_LEN: usize = 32 << 10;
/// The longest path that is sure to be taken without the prefix `\\?\` (MAX_PATH, less a short name
/// in a directory).
const MAX_PLAIN_LEN: usize = 247;

/// An absolute path as the system takes it, as std does it for its own calls.
fn wide(path: &Path) -> Vec<u16> {
    let mut components = path.components();
    let mut text = OsString::new();
    if path.as_os_str().len() > MAX_PLAIN_LEN {
        if let Some(Component::Prefix(prefix)) = components.next() {
            match prefix.kind() {
                Prefix::Disk(_) => text.push(r"\\?\"),
                // `\\server\share` becomes `\\?\UNC\server\share`.
                Prefix::UNC(server, share) => {
                    let rest = components.as_path();
                    let parts = [r"\\?\UNC\".as_ref(), server, r"\".as_ref(), share];
                    parts.iter().for_each(|part| text.push(part));
                    text.push(rest);
                    return text.encode_wide().chain([0]).collect();
                }
                _ => {}
            }
        }
    }
    text.push(path);
    text.encode_wide().chain([0]).collect()
}

fn check(result: windows_sys::core::BOOL) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
