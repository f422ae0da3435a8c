//! Updates of one file by several threads: a counter, which must not miss any.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use rustix::fs::{self, CWD, FlockOperation, Mode, OFlags};
use wholefile::{AtomicWriter, Durability};

use super::bare::{DIRECTORY, TEMP, temp_name};
use super::{EVERYTHING, NOTHING, Survives, parent_and_name};

/// One way to update a file.
#[derive(Debug)]
pub(crate) struct Updater {
    pub(crate) name: &'static str,
    pub(crate) survives: Survives,
    pub(crate) keeps: &'static str,
    pub(crate) update: fn(&Path) -> io::Result<()>,
}

pub(crate) const OURS: &str = "wholefile update, None";
pub(crate) const BARE: &str = "bare flock, read, write, rename";

pub(crate) const ALL: &[Updater] = &[
    Updater { name: OURS, survives: Survives::Nothing, keeps: EVERYTHING, update: ours },
    Updater { name: BARE, survives: Survives::Nothing, keeps: NOTHING, update: bare },
];

fn ours(path: &Path) -> io::Result<()> {
    AtomicWriter::builder()
        .durability(Durability::None)
        .update(path, |old| increment(&old.unwrap_or_default()))?;
    Ok(())
}

/// With a lock file that stays.
fn bare(path: &Path) -> io::Result<()> {
    let (parent, name) = parent_and_name(path)?;
    let directory = fs::openat(CWD, parent, DIRECTORY, Mode::empty())?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let lock = fs::openat(&directory, ".bare.lock", flags, Mode::from_raw_mode(0o600))?;
    fs::flock(&lock, FlockOperation::LockExclusive)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let mut old = Vec::new();
    File::from(fs::openat(&directory, name, flags, Mode::empty())?).read_to_end(&mut old)?;
    let temp_name = temp_name();
    let temp = fs::openat(&directory, &temp_name, TEMP, Mode::from_raw_mode(0o666))?;
    File::from(temp).write_all(&increment(&old)?)?;
    Ok(fs::renameat(&directory, &temp_name, &directory, name)?)
}

/// The number in the file, and one more.
pub(crate) fn increment(old: &[u8]) -> io::Result<Vec<u8>> {
    Ok((count(old)? + 1).to_string().into_bytes())
}

pub(crate) fn count(contents: &[u8]) -> io::Result<u64> {
    let text = std::str::from_utf8(contents).map_err(io::Error::other)?;
    text.parse().map_err(io::Error::other)
}
