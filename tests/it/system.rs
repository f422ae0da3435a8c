//! What the tests ask of a Unix system.

mod forks;
#[cfg(target_os = "linux")]
mod linux;

use std::env;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;

pub(crate) use forks::{nobody_forks, output, spawn, status};
#[cfg(target_os = "linux")]
pub(crate) use linux::{Mount, run, set_acl, set_xattr, xattr, xattrs};

/// A user without any rights.
pub(crate) const NOBODY: u32 = 65534;

/// Whether the test can go on. Where it must run, that it cannot is a failure.
#[must_use]
pub(crate) fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        unequipped(test, "needs root");
    }
    is_root
}

/// Says that something is missing which can be had. In CI it must be there.
#[track_caller]
pub(crate) fn unequipped(test: &str, reason: &str) {
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{test}: {reason}");
    skipped(test, reason);
}

/// Says that the file system or the system cannot show this.
pub(crate) fn skipped(test: &str, reason: &str) {
    eprintln!("SKIPPED {test}: {reason}");
}

#[track_caller]
pub(crate) fn chmod(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path.as_ref(), PermissionsExt::from_mode(mode)).unwrap();
}

#[track_caller]
pub(crate) fn chown(path: impl AsRef<Path>, uid: u32, gid: u32) {
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
}

#[track_caller]
pub(crate) fn make_fifo(path: &Path) {
    try_to_make_fifo(path).unwrap();
}

/// Apple's systems have no mkfifoat(2).
#[cfg(target_vendor = "apple")]
pub(crate) fn try_to_make_fifo(path: &Path) -> io::Result<()> {
    let made = status(std::process::Command::new("mkfifo").arg(path))?;
    if made.success() { Ok(()) } else { Err(io::Error::other("mkfifo failed")) }
}

#[cfg(not(target_vendor = "apple"))]
pub(crate) fn try_to_make_fifo(path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o666), 0)?)
}
