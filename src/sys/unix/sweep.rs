//! What a sweep asks of a directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, FileType, Mode, OFlags};

use super::super::FileKind;
use super::{Access, DIRECTORY, Directory, kind_of};

pub(crate) fn list(
    directory: &Directory,
    is_wanted: &dyn Fn(&OsStr, Option<FileKind>) -> bool,
) -> io::Result<Vec<(OsString, Option<FileKind>)>> {
    let mut found = Vec::new();
    for entry in fs::Dir::read_from(directory.fd())? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        let kind = match entry.file_type() {
            FileType::Unknown => None,
            file_type => Some(kind_of(file_type)),
        };
        if name != "." && name != ".." && is_wanted(name, kind) {
            found.push((name.to_owned(), kind));
        }
    }
    Ok(found)
}

pub(crate) fn open_subdirectory(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    let flags = DIRECTORY | OFlags::NOFOLLOW;
    let fd = fs::openat(directory.fd(), name, flags, Mode::empty())?;
    Ok(Directory { fd, access: Access::Read })
}

pub(crate) fn open_orphan(directory: &Directory, name: &OsStr) -> io::Result<File> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(fs::openat(directory.fd(), name, flags, Mode::empty())?))
}
