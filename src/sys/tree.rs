//! The operations on directories and what is in them, each behind its fault point.

use std::ffi::{OsStr, OsString};
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use super::{Directory, Entry, FileKind, Info, arm, run};
use crate::fault::{self, Op};

/// What the system says about an open directory.
pub(crate) fn inspect_directory(directory: &Directory) -> io::Result<Info> {
    run(Op::Inspect, || arm::inspect_directory(directory))
}

/// When an open directory was made, as the time since 1970, where the file system tells.
pub(crate) fn birth_of(directory: &Directory) -> Option<Duration> {
    let born = run(Op::Inspect, || arm::file_of(directory)?.metadata()?.created()).ok()?;
    // 0 is what one has that was made with its file system by a tool that knows no time.
    born.duration_since(UNIX_EPOCH).ok().filter(|born| !born.is_zero())
}

/// Sets the permission bits of an open directory.
pub(crate) fn set_directory_mode(directory: &Directory, mode: u32) -> io::Result<()> {
    run(Op::SetMode, || arm::set_directory_mode(directory, mode))
}

/// Gives an open directory the present time, so that something about it changes.
pub(crate) fn touch_directory(directory: &Directory) -> io::Result<()> {
    run(Op::SetTimes, || arm::touch_directory(directory))
}

/// The names in `directory` that `is_wanted`, each with its kind where the system tells.
pub(crate) fn list(
    directory: &Directory,
    is_wanted: impl Fn(&OsStr, Option<FileKind>) -> bool,
) -> io::Result<Vec<(OsString, Option<FileKind>)>> {
    if fault::pretends(Op::List) {
        let list = || arm::list(directory, &|name, _| is_wanted(name, None));
        let names = run(Op::List, list)?;
        return Ok(names.into_iter().map(|(name, _)| (name, None)).collect());
    }
    run(Op::List, || arm::list(directory, &is_wanted))
}

/// Opens the directory `name` in `directory`, which must not be a link.
pub(crate) fn open_subdirectory(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    run(Op::OpenDirectory, || arm::open_subdirectory(directory, name))
}

/// As [`open_subdirectory`], unless something is mounted there.
pub(crate) fn open_inside(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    run(Op::OpenDirectory, || arm::open_inside(directory, name))
}

/// Gives the owner all rights to the directory `name` in `directory`, which must not be a link.
pub(crate) fn make_accessible(directory: &Directory, name: &OsStr) -> io::Result<()> {
    run(Op::SetMode, || arm::make_accessible(directory, name))
}

/// Removes what bears the `name` in `directory`, unless that is a directory.
pub(crate) fn remove_entry(directory: &Directory, name: &OsStr) -> io::Result<()> {
    run(Op::RemoveEntry, || arm::remove_entry(directory, name))
}

/// Moves a directory to where nothing is, or an empty one.
pub(crate) fn move_directory(from: Entry<'_>, to: Entry<'_>) -> io::Result<()> {
    run(Op::MoveDirectory, || arm::move_directory(from, to))
}
