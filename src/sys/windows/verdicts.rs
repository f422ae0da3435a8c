//! What an error number means for an operation.

use std::io;

use windows_sys::Win32::Foundation::*;

pub(super) fn is_one_of(error: &io::Error, codes: &[WIN32_ERROR]) -> bool {
    error.raw_os_error().is_some_and(|code| codes.contains(&(code as WIN32_ERROR)))
}

pub(super) fn is_unsupported(error: &io::Error) -> bool {
    let codes = [ERROR_NOT_SUPPORTED, ERROR_INVALID_FUNCTION, ERROR_CALL_NOT_IMPLEMENTED];
    error.kind() == io::ErrorKind::Unsupported || is_one_of(error, &codes)
}

/// Too many links on the way.
pub(crate) fn is_loop(error: &io::Error) -> bool {
    is_one_of(error, &[ERROR_CANT_RESOLVE_FILENAME])
}

/// A position before the start of a file, for which std has no kind.
pub(crate) fn is_negative_seek(error: &io::Error) -> bool {
    is_one_of(error, &[ERROR_NEGATIVE_SEEK])
}

/// A file is never a mount point of its own here; what is busy is in use.
pub(crate) fn is_mount_point(_: &io::Error) -> bool {
    false
}

/// A name or a path is longer than the file system takes. Of a name, Windows says then only that it
/// is none.
pub(crate) fn is_too_long(error: &io::Error) -> bool {
    is_one_of(error, &[ERROR_FILENAME_EXCED_RANGE, ERROR_INVALID_NAME, ERROR_BAD_PATHNAME])
}

/// The file system cannot sync a directory: a lower durability, not an error.
pub(crate) fn lacks_directory_sync(error: &io::Error) -> bool {
    is_unsupported(error) || is_one_of(error, &[ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE])
}

/// The file system has no locks.
pub(crate) fn lacks_locks(error: &io::Error) -> bool {
    is_unsupported(error)
}

/// The file system has no hard links, as FAT.
pub(crate) fn lacks_links(error: &io::Error) -> bool {
    is_unsupported(error)
}

/// The file system, or the system, has no rename that does not replace or that exchanges.
pub(crate) fn lacks_rename_flags(error: &io::Error) -> bool {
    is_unsupported(error)
}

/// There are no unnamed files here, or no way to name one.
pub(crate) fn lacks_unnamed(error: &io::Error) -> bool {
    is_unsupported(error)
}

/// The caller may not set this metadata, or the file system has no such thing.
pub(crate) fn cannot_be_kept(error: &io::Error) -> bool {
    let codes = [
        ERROR_ACCESS_DENIED,
        ERROR_INVALID_PARAMETER,
        ERROR_PRIVILEGE_NOT_HELD,
        // Only with a privilege may a file be given to somebody else.
        ERROR_INVALID_OWNER,
        ERROR_INVALID_PRIMARY_GROUP,
        ERROR_INVALID_SECURITY_DESCR,
        ERROR_INVALID_ACL,
    ];
    is_unsupported(error) || is_one_of(error, &codes)
}
