//! What the tests ask of a Unix system.

#[cfg(target_os = "linux")]
mod linux;

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use fs_err as fs;

#[cfg(target_os = "linux")]
pub(crate) use linux::{Mount, set_acl, set_xattr, xattr, xattrs};

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

/// Runs a program that must succeed, and gives its output.
#[track_caller]
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
pub(crate) fn make_fifo(path: &Path) {
    run("mkfifo", &[path]);
}
