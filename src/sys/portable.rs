//! What the arms of the systems that are not Unix have in common: the operations that none of them
//! has, and the conversions between the crate's types and those of std.

use std::ffi::{OsStr, OsString};
use std::fs::{File, FileTimes, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Directory, Entry, Existing, FileId, FileKind, FileSystem, Info, Origin, Times};

/// Nothing holds an existing file: it is opened anew, and checked to be the same where the system
/// can tell.
#[derive(Debug)]
pub(crate) struct Handle;

impl Entry<'_> {
    pub(super) fn path(self) -> PathBuf {
        self.directory.join(self.name)
    }
}

/// Opens the file for writing, and creates it if it is missing.
pub(super) fn open_or_create(path: &Path) -> io::Result<(File, Origin)> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => Ok((file, Origin::Created)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok((OpenOptions::new().write(true).open(path)?, Origin::Found))
        }
        Err(error) => Err(error),
    }
}

/// The permission bits that stand for a file's one bit, as the C library of Windows has them.
pub(super) fn mode_of(metadata: &Metadata) -> u32 {
    if metadata.permissions().readonly() { 0o444 } else { 0o666 }
}

pub(super) fn kind_of(metadata: &Metadata) -> FileKind {
    match metadata.file_type() {
        kind if kind.is_symlink() => FileKind::Symlink,
        kind if kind.is_dir() => FileKind::Directory,
        kind if kind.is_file() => FileKind::File,
        _ => FileKind::Special,
    }
}

/// The time of a file on a system without times: setting it fails.
const UNKNOWN: (i64, i64) = (i64::MIN, 0);

pub(super) fn times_of(metadata: &Metadata) -> Times {
    Times {
        accessed: metadata.accessed().map_or(UNKNOWN, since_epoch),
        modified: metadata.modified().map_or(UNKNOWN, since_epoch),
    }
}

pub(crate) fn set_times(file: &File, times: Times) -> io::Result<()> {
    let time = |time| system_time(time).ok_or(io::ErrorKind::Unsupported);
    let accessed = time(times.accessed)?;
    file.set_times(FileTimes::new().set_accessed(accessed).set_modified(time(times.modified)?))
}

fn since_epoch(time: SystemTime) -> (i64, i64) {
    let parts = |duration: Duration| {
        let seconds = i64::try_from(duration.as_secs()).ok()?;
        Some((seconds, i64::from(duration.subsec_nanos())))
    };
    let parts = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => parts(after),
        // The nanoseconds count forwards, before 1970 too.
        Err(error) => parts(error.duration()).map(|before| match before {
            (seconds, 0) => (-seconds, 0),
            (seconds, nanoseconds) => (-seconds - 1, 1_000_000_000 - nanoseconds),
        }),
    };
    parts.unwrap_or(UNKNOWN)
}

fn system_time(time: (i64, i64)) -> Option<SystemTime> {
    if time == UNKNOWN {
        return None;
    }
    let (seconds, nanoseconds) = time;
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time =
        if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    time?.checked_add(Duration::from_nanos(u64::try_from(nanoseconds).ok()?))
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There is no sticky bit, by which a directory is known to be everybody's.
pub(crate) fn may_be_planted(_: &Directory, _: &Info) -> io::Result<bool> {
    Ok(false)
}

pub(crate) fn leads_to_descriptor(_: &Directory, _: &OsStr) -> io::Result<bool> {
    Ok(false)
}

pub(crate) fn inspect_held(_: &Existing, directory: &Directory, name: &OsStr) -> io::Result<Info> {
    Ok(super::arm::look(directory, name)?.info)
}

pub(crate) fn id_at(entry: Entry<'_>) -> io::Result<FileId> {
    Ok(super::arm::look(entry.directory, entry.name)?.info.id)
}

pub(crate) fn create_unnamed(_: &Directory, _: Option<u32>) -> io::Result<File> {
    unsupported()
}

pub(crate) fn link_unnamed(_: &File, _: &Directory, _: &OsStr) -> io::Result<()> {
    unsupported()
}

pub(crate) fn start_writeback(_: &File, _: u64, _: u64) {}

/// None is listed, or for the receipt alone: no value is read or set.
pub(crate) fn get_xattr_of(
    _: &Existing,
    _: &Directory,
    _: &OsStr,
    _: &OsStr,
) -> io::Result<Option<Vec<u8>>> {
    unsupported()
}

pub(crate) fn set_xattr(_: &File, _: &OsStr, _: &[u8]) -> io::Result<()> {
    unsupported()
}

pub(crate) fn remove_xattr(_: &File, _: &OsStr) -> io::Result<()> {
    unsupported()
}

pub(crate) fn set_owner(_: &File, _: Option<u32>, _: Option<u32>) -> io::Result<()> {
    unsupported()
}

pub(crate) fn set_flags(_: &File, _: u32) -> io::Result<()> {
    unsupported()
}

/// [`exchange`] is never worth a try.
pub(crate) const HAS_EXCHANGE: bool = false;

pub(crate) fn exchange(_: Entry<'_>, _: Entry<'_>) -> io::Result<()> {
    unsupported()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_way_there_and_back() {
        for time in [(0, 0), (1, 999_999_900), (-1, 100), (-2, 0), (1_700_000_000, 500)] {
            let there = system_time(time).expect("a time that every system has");
            assert_eq!(since_epoch(there), time);
        }
        assert_eq!(system_time(UNKNOWN), None);
    }
}

pub(crate) fn list(
    directory: &Directory,
    is_wanted: &dyn Fn(&OsStr, Option<FileKind>) -> bool,
) -> io::Result<Vec<(OsString, Option<FileKind>)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory.join("".as_ref()))? {
        let entry = entry?;
        let file_type = entry.file_type()?;
        let kind = match () {
            () if file_type.is_symlink() => FileKind::Symlink,
            () if file_type.is_dir() => FileKind::Directory,
            () if file_type.is_file() => FileKind::File,
            () => FileKind::Special,
        };
        let name = entry.file_name();
        if is_wanted(&name, Some(kind)) {
            found.push((name, Some(kind)));
        }
    }
    Ok(found)
}

pub(crate) fn open_subdirectory(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    if std::fs::symlink_metadata(directory.join(name))?.is_dir() {
        super::open_directory(Some(directory), name.as_ref())
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

/// What is mounted inside a directory is a link to its place.
pub(crate) fn open_inside(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    open_subdirectory(directory, name)
}

/// There are no permission bits.
pub(crate) fn make_accessible(_: &Directory, _: &OsStr) -> io::Result<()> {
    unsupported()
}

pub(crate) fn set_directory_mode(_: &Directory, _: u32) -> io::Result<()> {
    unsupported()
}

pub(crate) fn move_directory(from: Entry<'_>, to: Entry<'_>) -> io::Result<()> {
    std::fs::rename(from.path(), to.path())
}

/// None is told from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mount;

pub(crate) fn mount_of(_: &Directory) -> io::Result<Mount> {
    unsupported()
}

pub(crate) fn file_system_of(_: &Directory) -> io::Result<FileSystem> {
    Ok(FileSystem::Unknown)
}

pub(crate) fn touch_directory(_: &Directory) -> io::Result<()> {
    unsupported()
}

pub(crate) fn write_out(_: &File) -> io::Result<()> {
    unsupported()
}

/// Whether it can be shows only when it is tried.
pub(crate) fn can_be_synced(_: &Directory) -> bool {
    true
}

/// That it failed is nothing that std or the system would tell of contents.
pub(crate) fn close(file: File) -> io::Result<()> {
    drop(file);
    Ok(())
}

/// One with the read-only attribute cannot be opened for writing.
pub(crate) fn can_be_opened_again(info: &Info) -> bool {
    !info.read_only
}

pub(crate) fn open_orphan(directory: &Directory, name: &OsStr) -> io::Result<File> {
    File::open(directory.join(name))
}

pub(crate) fn make_symlink(_: Entry<'_>, _: &Path) -> io::Result<()> {
    unsupported()
}

pub(crate) fn set_owner_of_link(_: Entry<'_>, _: u32, _: u32) -> io::Result<()> {
    unsupported()
}

pub(crate) fn clone_contents(_: &File, _: &File) -> io::Result<()> {
    unsupported()
}

/// There is no directory that could hand anything on: none is replaced.
pub(crate) fn file_of(_: &Directory) -> io::Result<File> {
    unsupported()
}

/// What is mounted in a directory is a link to its place.
pub(crate) fn mount_below(_: &Directory) -> io::Result<Option<PathBuf>> {
    Ok(None)
}

pub(crate) fn lacks_clones(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}
