//! Systems without an arm of their own: what std offers everywhere, and an error for the rest.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;

use super::portable::{kind_of, mode_of, open_or_create, times_of};
use super::{Creation, Entry, Existing, FileId, FileKind, Info, Origin, Replacing, Through};
use crate::options::Durability;

pub(crate) use super::not_windows::{
    Security, is_negative_seek, may_name_file, security_of, set_access_of, set_owner_of,
};
pub(crate) use super::portable::{
    HAS_EXCHANGE, Handle, Mount, can_be_opened_again, can_be_synced, clone_contents, close,
    create_unnamed, exchange, file_of, file_system_of, get_xattr_of, id_at, inspect_held,
    lacks_clones, leads_to_descriptor, link_unnamed, list, make_accessible, make_symlink,
    may_be_planted, mount_below, mount_of, move_directory, open_inside, open_orphan,
    open_subdirectory, remove_xattr, set_directory_mode, set_flags, set_owner, set_owner_of_link,
    set_times, set_xattr, start_writeback, touch_directory, write_out,
};

/// Nobody knows.
pub(crate) const LOCKS_ARE_ADVISORY: bool = false;
/// Nobody knows.
pub(crate) const MODIFIED_IS_SET_AT_CLOSE: bool = true;
/// Nobody knows.
pub(crate) const READ_ONLY_BINDS_NAMES: bool = true;

/// Nothing can.
pub(crate) const DIRECTORIES_CAN_BE_LOCKED: bool = false;

/// Stands for fd-lock's lock, which is to be had on Unix and Windows only.
pub(crate) struct RwLock<T>(PhantomData<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(_: T) -> Self {
        RwLock(PhantomData)
    }

    pub(crate) fn try_write(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn write(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A directory, by its path.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(super) fn join(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }
}

pub(crate) fn open_directory(base: Option<&Directory>, path: &Path) -> io::Result<Directory> {
    let path = match base {
        Some(base) => base.path.join(path),
        None => path.to_path_buf(),
    };
    // A system without a current directory takes the path as it is.
    let path = std::path::absolute(&path).unwrap_or(path);
    if fs::metadata(&path)?.is_dir() {
        Ok(Directory { path })
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

pub(crate) fn path_of(directory: &Directory) -> Option<PathBuf> {
    directory.path.is_absolute().then(|| directory.path.clone())
}

pub(crate) fn inspect_directory(directory: &Directory) -> io::Result<Info> {
    Ok(info_of(&fs::metadata(&directory.path)?))
}

pub(crate) fn make_directory(directory: &Directory, name: &OsStr, _: u32) -> io::Result<()> {
    fs::create_dir(directory.join(name))
}

pub(crate) fn remove_directory(directory: &Directory, name: &OsStr) -> io::Result<()> {
    fs::remove_dir(directory.join(name))
}

pub(crate) fn look(directory: &Directory, name: &OsStr) -> io::Result<Existing> {
    let metadata = fs::symlink_metadata(directory.join(name))?;
    Ok(Existing { info: info_of(&metadata), handle: Handle })
}

pub(crate) fn read_link(_: &Existing, directory: &Directory, name: &OsStr) -> io::Result<PathBuf> {
    fs::read_link(directory.join(name))
}

pub(crate) fn open_target(_: &Existing, directory: &Directory, name: &OsStr) -> io::Result<File> {
    let path = directory.join(name);
    // The name may stand for something else by now, and opening a FIFO might block.
    if kind_of(&fs::symlink_metadata(&path)?) == FileKind::File {
        Ok(fs::File::open(path)?.into_parts().0)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// It could not be told from any other.
pub(crate) fn hold(_: &mut Existing, _: &Directory, _: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn open_through(directory: &Directory, name: &OsStr, _: Through) -> io::Result<File> {
    let file = fs::OpenOptions::new().write(true).open(directory.join(name))?;
    Ok(file.into_parts().0)
}

pub(crate) fn create_temp(
    directory: &Directory,
    name: &OsStr,
    _: Creation<'_>,
) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true);
    Ok(options.open(directory.join(name))?.into_parts().0)
}

/// It is not known.
pub(crate) const CASE_MAY_NOT_MATTER: bool = true;

pub(crate) fn open_side_file(directory: &Directory, name: &OsStr) -> io::Result<(File, Origin)> {
    open_or_create(&directory.join(name))
}

pub(crate) fn inspect(file: &File) -> io::Result<Info> {
    Ok(info_of(&file.metadata()?))
}

fn info_of(metadata: &std::fs::Metadata) -> Info {
    // Nothing tells one file from another here, so that no two answers are about the same file:
    // what became of a target after a failed rename is unknown then, not guessed.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Info {
        kind: kind_of(metadata),
        id: FileId { device: 0, file: NEXT.fetch_add(1, Ordering::Relaxed) },
        len: metadata.len(),
        links: 1,
        read_only: metadata.permissions().readonly(),
        mode: mode_of(metadata),
        uid: 0,
        gid: 0,
        flags: 0,
        times: times_of(metadata),
        changed: times_of(metadata).modified,
    }
}

pub(crate) fn list_xattrs_of(_: &Existing, _: &Directory, _: &OsStr) -> io::Result<Vec<OsString>> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn list_xattrs(_: &File) -> io::Result<Vec<OsString>> {
    Ok(Vec::new())
}

/// Sets the one bit that there is.
pub(crate) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(mode & 0o222 == 0);
    file.set_permissions(permissions)
}

pub(crate) fn reserve(_: &File, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn sync_file(file: &File, durability: Durability) -> io::Result<Durability> {
    file.sync_all().map(|()| durability)
}

pub(crate) fn sync_directory(_: &Directory) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn rename(
    from: Entry<'_>,
    _: Option<&mut File>,
    to: Entry<'_>,
    _: Replacing,
) -> io::Result<()> {
    fs::rename(from.path(), to.path())
}

pub(crate) fn rename_no_replace(_: Entry<'_>, _: Entry<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn link(from: Entry<'_>, to: Entry<'_>) -> io::Result<()> {
    fs::hard_link(from.path(), to.path())
}

pub(crate) fn remove_file(directory: &Directory, name: &OsStr) -> io::Result<()> {
    fs::remove_file(directory.join(name))
}

pub(crate) fn remove_entry(directory: &Directory, name: &OsStr) -> io::Result<()> {
    fs::remove_file(directory.join(name))
}

// The numbers of the errors are not known here, but std's kinds are.

pub(crate) fn is_loop(_: &io::Error) -> bool {
    false
}

pub(crate) fn is_mount_point(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ResourceBusy
}

pub(crate) fn is_too_long(_: &io::Error) -> bool {
    false
}

pub(crate) fn lacks_directory_sync(error: &io::Error) -> bool {
    is_unsupported(error)
}

pub(crate) fn lacks_locks(error: &io::Error) -> bool {
    is_unsupported(error)
}

pub(crate) fn lacks_links(error: &io::Error) -> bool {
    is_unsupported(error)
}

pub(crate) fn lacks_rename_flags(error: &io::Error) -> bool {
    is_unsupported(error)
}

pub(crate) fn lacks_unnamed(error: &io::Error) -> bool {
    is_unsupported(error)
}

pub(crate) fn cannot_be_kept(error: &io::Error) -> bool {
    is_unsupported(error) || error.kind() == io::ErrorKind::PermissionDenied
}

fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

/// To be synced it must be open for writing.
pub(crate) fn open_staged(directory: &Directory, name: &OsStr) -> io::Result<File> {
    File::options().write(true).open(directory.join(name))
}
