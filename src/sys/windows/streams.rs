//! Alternate data streams of a file ("File Streams"): what Windows has for extended attributes.
//!
//! They are not copied: one can be as long as a file. Those that a save loses are on its receipt.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::io::AsRawHandle;

use windows_sys::Win32::Foundation::{
    ERROR_HANDLE_EOF, ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_PARAMETER, ERROR_MORE_DATA,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_READ_ATTRIBUTES, FILE_STREAM_INFO, FileStreamInfo, GetFileInformationByHandleEx,
};

use super::rename::open_with;
use super::verdicts::{is_one_of, is_unsupported};
use super::{Directory, Existing, check};

/// The contents of the file, which are a stream too.
const CONTENTS: &str = "::$DATA";
/// Names of this many bytes are more than a file can have streams for on NTFS.
const MAX_LEN: usize = 16 << 20;

pub(crate) fn list_xattrs_of(
    _: &Existing,
    directory: &Directory,
    name: &OsStr,
) -> io::Result<Vec<OsString>> {
    list_xattrs(&open_with(&directory.join(name), FILE_READ_ATTRIBUTES)?)
}

#[allow(unsafe_code, reason = "std has no alternate streams")]
pub(crate) fn list_xattrs(file: &File) -> io::Result<Vec<OsString>> {
    let mut words = vec![0_u64; 128];
    // Bounded by MAX_LEN.
    loop {
        let len = size_of_val(&words[..]);
        // SAFETY: the handle is open for as long as `file` is borrowed, and the call writes no more
        // bytes than there are, which it is told.
        let read = check(unsafe {
            let (handle, start) = (file.as_raw_handle(), words.as_mut_ptr().cast());
            GetFileInformationByHandleEx(handle, FileStreamInfo, start, len as u32)
        });
        let no_streams = [ERROR_HANDLE_EOF, ERROR_INVALID_PARAMETER];
        match read {
            Ok(()) => {
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
                return Ok(names_in(&bytes));
            }
            Err(error) if is_one_of(&error, &[ERROR_MORE_DATA, ERROR_INSUFFICIENT_BUFFER]) => {
                if len >= MAX_LEN {
                    return Err(error);
                }
                words.resize(words.len() * 4, 0);
            }
            // A file system without streams.
            Err(error) if is_one_of(&error, &no_streams) || is_unsupported(&error) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        }
    }
}

/// The names of the streams in a list of `FILE_STREAM_INFO`, each of which says where the next is.
fn names_in(list: &[u8]) -> Vec<OsString> {
    const NAME: usize = offset_of!(FILE_STREAM_INFO, StreamName);
    let number = |at: usize| {
        let bytes = list.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes)) as usize
    };
    let mut names = Vec::new();
    let mut at = 0;
    // Bounded by the length of the list: every turn but the last moves on in it.
    loop {
        let len = number(at + offset_of!(FILE_STREAM_INFO, StreamNameLength));
        let name = list.get(at + NAME..at + NAME + len).unwrap_or_default();
        let units: Vec<u16> =
            name.chunks_exact(2).map(|unit| u16::from_ne_bytes([unit[0], unit[1]])).collect();
        let name = OsString::from_wide(&units);
        if !name.is_empty() && name != CONTENTS {
            names.push(name);
        }
        match number(at + offset_of!(FILE_STREAM_INFO, NextEntryOffset)) {
            0 => return names,
            next => at += next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_but_the_contents_is_found_in_the_list() {
        let mut list = Vec::new();
        let names = [CONTENTS, ":Zone.Identifier:$DATA", ":a:$DATA"];
        for (index, name) in names.iter().enumerate() {
            let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_ne_bytes).collect();
            let len = (offset_of!(FILE_STREAM_INFO, StreamName) + units.len()).next_multiple_of(8);
            let next = if index + 1 == names.len() { 0 } else { len as u32 };
            let mut entry = next.to_ne_bytes().to_vec();
            entry.extend((units.len() as u32).to_ne_bytes());
            entry.resize(offset_of!(FILE_STREAM_INFO, StreamName), 0);
            entry.extend(units);
            entry.resize(len, 0);
            list.extend(entry);
        }
        assert_eq!(names_in(&list), names[1..]);
        assert_eq!(names_in(&[]), [""; 0]);
        assert_eq!(names_in(&list[..60]), [""; 0], "cut off");
    }
}
