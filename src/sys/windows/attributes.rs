//! The attributes of a file, as a mode: the write bits say whether it is read-only, as in the C
//! library of Windows, and the others are above all bits that a mode has there.

use std::fs::{File, Metadata};
use std::io;
use std::os::windows::fs::MetadataExt;
use std::os::windows::io::AsRawHandle;

use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_ENCRYPTED, FILE_ATTRIBUTE_HIDDEN, FILE_ATTRIBUTE_NORMAL,
    FILE_ATTRIBUTE_READONLY, FILE_ATTRIBUTE_SYSTEM, FILE_BASIC_INFO, FileBasicInfo,
    GetFileInformationByHandleEx, SetFileInformationByHandle,
};

use super::check;
use crate::sys::portable;

const SHIFT: u32 = 16;
const SETTABLE: u32 = FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM;
/// A file that is encrypted by itself hands that on to nobody, and its successor would be readable
/// on the disk.
const KEPT: u32 = SETTABLE | FILE_ATTRIBUTE_ENCRYPTED;

pub(super) fn mode_of(metadata: &Metadata) -> u32 {
    portable::mode_of(metadata) | (metadata.file_attributes() & KEPT) << SHIFT
}

#[allow(unsafe_code, reason = "std sets no attribute but read-only")]
pub(crate) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    let now = file.metadata()?.file_attributes();
    let mut attributes = now & !(FILE_ATTRIBUTE_READONLY | SETTABLE) | mode >> SHIFT & SETTABLE;
    if mode & 0o222 == 0 {
        attributes |= FILE_ATTRIBUTE_READONLY;
    }
    if attributes == 0 {
        attributes = FILE_ATTRIBUTE_NORMAL; // 0 would change nothing
    }
    // Times of 0 stay as they are.
    let info = FILE_BASIC_INFO { FileAttributes: attributes, ..FILE_BASIC_INFO::default() };
    // SAFETY: the handle is open for as long as `file` is borrowed, and the call only reads the
    // struct, of the type and size that belong to FileBasicInfo, before it returns.
    check(unsafe {
        SetFileInformationByHandle(
            file.as_raw_handle(),
            FileBasicInfo,
            (&raw const info).cast(),
            size_of::<FILE_BASIC_INFO>() as u32,
        )
    })?;
    let missing = mode >> SHIFT & KEPT & !file.metadata()?.file_attributes();
    if missing == 0 { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
}

/// When the file, or what is known about it, changed last.
#[allow(unsafe_code, reason = "std does not tell this time")]
pub(super) fn changed(file: &File) -> (i64, i64) {
    let mut info = FILE_BASIC_INFO::default();
    // SAFETY: the handle is open for as long as `file` is borrowed, and the call fills in the
    // struct that it is given, of the type and size that belong to FileBasicInfo, on this stack.
    let told = check(unsafe {
        GetFileInformationByHandleEx(
            file.as_raw_handle(),
            FileBasicInfo,
            (&raw mut info).cast(),
            size_of::<FILE_BASIC_INFO>() as u32,
        )
    });
    told.map_or((0, 0), |()| (info.ChangeTime, 0))
}
