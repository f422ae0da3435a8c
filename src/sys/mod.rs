//! The operations of the system that the crate needs, each behind its fault point.
//!
//! Every arm (`unix`, `windows`, `other`) defines the same functions and types. An operation that a
//! platform does not have returns an error of [`io::ErrorKind::Unsupported`], never panics. What an
//! error *means* is an arm's business too, since error numbers differ: the predicates `is_…`,
//! `lacks_…` and `cannot_be_kept` are the table of verdicts.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::fault::{self, Op};

#[cfg(unix)]
#[path = "unix/mod.rs"]
mod arm;
#[cfg(windows)]
#[path = "windows/mod.rs"]
mod arm;
#[cfg(not(any(unix, windows)))]
#[path = "other.rs"]
mod arm;
mod contents;
mod copies;
mod info;
mod metadata;
#[cfg(not(windows))]
mod not_windows;
#[cfg(not(unix))]
mod portable;
mod replacing;
mod security;
mod syncs;
mod tree;
/// The decisions of the Windows arm, so that every system tests them.
#[cfg(all(test, not(windows)))]
#[path = "windows/decisions.rs"]
mod windows_decisions;

pub(crate) use arm::{
    DIRECTORIES_CAN_BE_LOCKED, Directory, HAS_EXCHANGE, Handle, LOCKS_ARE_ADVISORY,
    MODIFIED_IS_SET_AT_CLOSE, READ_ONLY_BINDS_NAMES, RwLock, can_be_opened_again, cannot_be_kept,
    is_loop, is_mount_point, is_too_long, lacks_clones, lacks_directory_sync, lacks_links,
    lacks_locks, lacks_rename_flags, lacks_unnamed, may_name_file,
};
// The fault loops run on Unix, where the errors that each operation gives are known.
#[cfg(all(test, unix))]
pub(crate) use arm::{errors_of, lacking_error, make_fifo};
pub(crate) use contents::{
    Reader, close, duplicate, fill, read, read_to_end, reserve, seek, set_len, start_writeback,
    write, write_all, write_vectored,
};
pub(crate) use copies::{clone_contents, file_of, make_symlink, mount_below, set_owner_of_link};
pub(crate) use info::{Existing, FileId, FileKind, Info, Origin, Through, Times};
pub(crate) use metadata::{
    get_xattr_of, list_xattrs, list_xattrs_of, remove_xattr, set_flags, set_mode, set_owner,
    set_times, set_xattr,
};
pub(crate) use replacing::{Halfway, Replacing};
pub(crate) use security::{Creation, Security, security_of, set_access_of, set_owner_of};
pub(crate) use syncs::{
    FileSystem, Mount, can_be_synced, file_system_of, mount_of, sync_directory, sync_file,
    write_out,
};
pub(crate) use tree::{
    birth_of, inspect_directory, list, make_accessible, move_directory, open_inside,
    open_subdirectory, remove_entry, set_directory_mode, touch_directory,
};

/// The extended attribute that holds a file's ACL. On macOS it is the one in which the kernel keeps
/// it, though only the calls for ACLs may touch it (sys/kauth.h, `KAUTH_FILESEC_XATTR`).
pub(crate) const ACL_XATTR: &str = if cfg!(target_vendor = "apple") {
    "com.apple.system.Security"
} else if cfg!(target_os = "freebsd") {
    "system.acl"
} else {
    "system.posix_acl_access"
};

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) name: &'a OsStr,
}

/// A signal may interrupt a call again and again; no real program sees this many in a row.
const INTERRUPTIONS: usize = 10_000;

/// Runs one operation behind its fault point, again if a signal interrupted it.
pub(crate) fn run<T>(op: Op, mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..INTERRUPTIONS {
        match fault::run(op, &mut operation) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

/// Opens the directory `path`, relative to `base` or else to the current directory. A directory
/// that may be entered but not read is opened too; it cannot be synced then.
pub(crate) fn open_directory(base: Option<&Directory>, path: &Path) -> io::Result<Directory> {
    run(Op::OpenDirectory, || arm::open_directory(base, path))
}

/// The path that `directory` has now, if the system can tell.
pub(crate) fn path_of(directory: &Directory) -> Option<PathBuf> {
    arm::path_of(directory)
}

/// Creates the directory `name` in `directory`, with at most the permissions `mode`, where the
/// system has such a thing.
pub(crate) fn make_directory(directory: &Directory, name: &OsStr, mode: u32) -> io::Result<()> {
    run(Op::MakeDirectory, || arm::make_directory(directory, name, mode))
}

/// Removes the directory `name` in `directory`, if it is empty.
pub(crate) fn remove_directory(directory: &Directory, name: &OsStr) -> io::Result<()> {
    run(Op::RemoveDirectory, || arm::remove_directory(directory, name))
}

/// Looks at `name` in `directory` without following a link.
pub(crate) fn look(directory: &Directory, name: &OsStr) -> io::Result<Option<Existing>> {
    run(Op::Look, || match arm::look(directory, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    })
}

/// The identity of what bears a name, which only an open file can be compared with: a number that
/// nobody holds is given to the next file.
pub(crate) fn id_at(entry: Entry<'_>) -> io::Result<Option<FileId>> {
    run(Op::Look, || match arm::id_at(entry) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    })
}

/// What a link that was looked at says.
pub(crate) fn read_link(
    existing: &Existing,
    directory: &Directory,
    name: &OsStr,
) -> io::Result<PathBuf> {
    run(Op::ReadLink, || arm::read_link(existing, directory, name))
}

/// Whether a file in `directory`, where everybody may create files but only a file's owner may
/// remove it, may have been put there as a trap: it belongs neither to the caller nor to the
/// directory's owner nor to root, or it is a hard link to a file from somewhere else.
pub(crate) fn may_be_planted(directory: &Directory, info: &Info) -> io::Result<bool> {
    run(Op::Look, || arm::may_be_planted(directory, info))
}

/// Whether the link `name` in `directory` leads to an open descriptor rather than to a path.
pub(crate) fn leads_to_descriptor(directory: &Directory, name: &OsStr) -> io::Result<bool> {
    run(Op::Look, || arm::leads_to_descriptor(directory, name))
}

/// Opens a regular file that was looked at for reading.
pub(crate) fn open_target(
    existing: &Existing,
    directory: &Directory,
    name: &OsStr,
) -> io::Result<File> {
    run(Op::OpenTarget, || arm::open_target(existing, directory, name))
}

/// Keeps a regular file that was looked at: while it is held, no other file gets its [`FileId`].
pub(crate) fn hold(existing: &mut Existing, directory: &Directory, name: &OsStr) -> io::Result<()> {
    run(Op::OpenTarget, || arm::hold(existing, directory, name))
}

/// What the system says by now about a file that is held, or else about the one that bears `name`.
pub(crate) fn inspect_held(
    held: &Existing,
    directory: &Directory,
    name: &OsStr,
) -> io::Result<Info> {
    run(Op::Inspect, || arm::inspect_held(held, directory, name))
}

/// Opens a special file or an open descriptor for writing into it.
pub(crate) fn open_through(
    directory: &Directory,
    name: &OsStr,
    through: Through,
) -> io::Result<File> {
    run(Op::OpenThrough, || arm::open_through(directory, name, through))
}

/// Creates the temp file `name`.
pub(crate) fn create_temp(
    directory: &Directory,
    name: &OsStr,
    creation: Creation<'_>,
) -> io::Result<File> {
    run(Op::CreateTemp, || arm::create_temp(directory, name, creation))
}

/// Opens a staged file again, to sync it or to change its metadata.
pub(crate) fn open_staged(directory: &Directory, name: &OsStr) -> io::Result<File> {
    run(Op::OpenStaged, || arm::open_staged(directory, name))
}

/// Creates a temp file without a name that [`link_unnamed`] can give one to.
pub(crate) fn create_unnamed(directory: &Directory, mode: Option<u32>) -> io::Result<File> {
    run(Op::CreateUnnamed, || arm::create_unnamed(directory, mode))
}

/// Gives an unnamed temp file a name.
pub(crate) fn link_unnamed(file: &File, directory: &Directory, name: &OsStr) -> io::Result<()> {
    run(Op::LinkUnnamed, || arm::link_unnamed(file, directory, name))
}

/// Opens what may be an orphan, to ask for its lock. Not a link, and without waiting for anything.
pub(crate) fn open_orphan(directory: &Directory, name: &OsStr) -> io::Result<File> {
    run(Op::OpenOrphan, || arm::open_orphan(directory, name))
}

/// Opens the file `name` that stands for a lock, and creates it if it is missing. Who may write to
/// the owner's files may open it; others may not, since they could hold the lock forever. One that
/// was there and goes meanwhile is `NotFound`.
pub(crate) fn open_side_file(directory: &Directory, name: &OsStr) -> io::Result<(File, Origin)> {
    run(Op::OpenSideFile, || arm::open_side_file(directory, name))
}

/// Removes the file that stands for a lock.
pub(crate) fn remove_side_file(directory: &Directory, name: &OsStr) -> io::Result<()> {
    run(Op::RemoveSideFile, || arm::remove_file(directory, name))
}

/// What is the same for all names of a file that differ only in what the system overlooks.
pub(crate) fn lock_key(name: &OsStr) -> Vec<u8> {
    match name.to_str() {
        Some(name) if arm::CASE_MAY_NOT_MATTER => name.to_lowercase().into_bytes(),
        _ => name.as_encoded_bytes().to_vec(),
    }
}

/// Whether an error about an open file says that it was removed. Elsewhere such a file lives on,
/// but a file system that works by paths can no longer find it (FUSE), nor can a server that was
/// not told that it is open (NFS, ESTALE).
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

/// What the system says about an open file.
pub(crate) fn inspect(file: &File) -> io::Result<Info> {
    run(Op::Inspect, || arm::inspect(file))
}

/// Renames a file, replacing what bears the new name. If it is open, it may be opened anew for
/// that. The error may be a [`Halfway`].
pub(crate) fn rename(
    from: Entry<'_>,
    mut file: Option<&mut File>,
    to: Entry<'_>,
    replacing: Replacing,
) -> io::Result<()> {
    run(Op::Rename, || arm::rename(from, file.as_deref_mut(), to, replacing))
}

/// Renames, failing with `AlreadyExists` where something bears the new name.
pub(crate) fn rename_no_replace(from: Entry<'_>, to: Entry<'_>) -> io::Result<()> {
    run(Op::RenameNoReplace, || arm::rename_no_replace(from, to))
}

/// Exchanges two files, failing with `NotFound` where either is missing.
pub(crate) fn exchange(one: Entry<'_>, other: Entry<'_>) -> io::Result<()> {
    run(Op::Exchange, || arm::exchange(one, other))
}

/// Gives a file a second name, failing with `AlreadyExists` where something bears it.
pub(crate) fn link(from: Entry<'_>, to: Entry<'_>) -> io::Result<()> {
    run(Op::Link, || arm::link(from, to))
}

/// Whether this file cannot be given a second name there, however often it is tried: for want of
/// hard links, or of any more of them, or since it is not the same file system. Where the caller
/// has not the right, it may be for want of links too: so say FAT (link(2), EPERM) and Android
/// (EACCES).
pub(crate) fn cannot_be_linked(error: &io::Error) -> bool {
    let is_refused = matches!(
        error.kind(),
        io::ErrorKind::CrossesDevices
            | io::ErrorKind::TooManyLinks
            | io::ErrorKind::PermissionDenied
    );
    is_refused || lacks_links(error)
}

/// Removes a temp file.
pub(crate) fn remove_temp(directory: &Directory, name: &OsStr) -> io::Result<()> {
    run(Op::RemoveTemp, || arm::remove_file(directory, name))
}
