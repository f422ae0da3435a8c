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
    let codes = [ERROR_ACCESS_DENIED, ERROR_INVALID_PARAMETER, ERROR_PRIVILEGE_NOT_HELD];
    is_unsupported(error) || is_one_of(error, &codes)
}

/// The errors that an operation can give, for the tests that inject each of them.
#[cfg(test)]
pub(crate) fn errors_of(op: crate::fault::Op) -> Vec<i32> {
    use crate::fault::Op;
    let mut codes = vec![ERROR_GEN_FAILURE, ERROR_NOT_ENOUGH_MEMORY];
    codes.extend_from_slice(match op {
        Op::OpenDirectory | Op::OpenTarget | Op::OpenThrough => &[
            ERROR_ACCESS_DENIED,
            ERROR_SHARING_VIOLATION,
            ERROR_FILE_NOT_FOUND,
            ERROR_PATH_NOT_FOUND,
            ERROR_DIRECTORY,
            ERROR_CANT_RESOLVE_FILENAME,
            ERROR_TOO_MANY_OPEN_FILES,
        ],
        Op::MakeDirectory | Op::RemoveDirectory => &[
            ERROR_ACCESS_DENIED,
            ERROR_SHARING_VIOLATION,
            ERROR_DISK_FULL,
            ERROR_WRITE_PROTECT,
            ERROR_ALREADY_EXISTS,
            ERROR_DIR_NOT_EMPTY,
        ],
        Op::Look | Op::ReadLink | Op::Inspect => {
            &[ERROR_ACCESS_DENIED, ERROR_TOO_MANY_OPEN_FILES, ERROR_INVALID_NAME]
        }
        Op::CreateTemp => &[
            ERROR_ACCESS_DENIED,
            ERROR_WRITE_PROTECT,
            ERROR_DISK_FULL,
            ERROR_TOO_MANY_OPEN_FILES,
            ERROR_PATH_NOT_FOUND,
            ERROR_FILE_EXISTS,
        ],
        Op::CreateUnnamed | Op::LinkUnnamed | Op::Exchange => &[ERROR_NOT_SUPPORTED],
        Op::Lock => &[ERROR_NOT_SUPPORTED, ERROR_INVALID_FUNCTION, ERROR_LOCK_VIOLATION],
        Op::Reserve | Op::Write | Op::SetLen | Op::WriteThrough => &[
            ERROR_DISK_FULL,
            ERROR_DISK_QUOTA_EXCEEDED,
            ERROR_FILE_TOO_LARGE,
            ERROR_LOCK_VIOLATION,
            ERROR_WRITE_PROTECT,
        ],
        Op::Seek | Op::ReadTemp | Op::ReadTarget => {
            &[ERROR_INVALID_PARAMETER, ERROR_LOCK_VIOLATION]
        }
        Op::ListXattrs | Op::GetXattr | Op::SetXattr | Op::RemoveXattr | Op::SetOwner => {
            &[ERROR_NOT_SUPPORTED]
        }
        Op::SetMode | Op::SetTimes => {
            &[ERROR_ACCESS_DENIED, ERROR_INVALID_PARAMETER, ERROR_WRITE_PROTECT]
        }
        Op::SyncFile => &[ERROR_DISK_FULL, ERROR_DISK_QUOTA_EXCEEDED, ERROR_WRITE_PROTECT],
        Op::SyncDirectory => {
            &[ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_INVALID_FUNCTION, ERROR_DISK_FULL]
        }
        Op::Rename | Op::RenameNoReplace | Op::Link => &[
            ERROR_ACCESS_DENIED,
            ERROR_SHARING_VIOLATION,
            ERROR_NOT_SAME_DEVICE,
            ERROR_DISK_FULL,
            ERROR_WRITE_PROTECT,
            ERROR_FILE_NOT_FOUND,
            ERROR_ALREADY_EXISTS,
            ERROR_NOT_SUPPORTED,
            ERROR_BUSY,
        ],
        Op::RemoveTemp => &[ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_WRITE_PROTECT],
    });
    codes.iter().map(|code| *code as i32).collect()
}
