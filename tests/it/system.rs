//! What the tests ask of a Unix system.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};
use rustix::io::Errno;

/// A user without any rights.
pub(crate) const NOBODY: u32 = 65534;

/// Whether the test can go on. Where it must run, that it cannot is a failure.
#[must_use]
pub(crate) fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{test} needs root");
        eprintln!("SKIPPED {test}: needs root");
    }
    is_root
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

/// Sets entries of an ACL.
#[track_caller]
pub(crate) fn set_acl(path: &Path, entries: &str) {
    run("setfacl", &["-m".as_ref(), entries.as_ref(), path.as_os_str()]);
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

#[track_caller]
pub(crate) fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

#[track_caller]
pub(crate) fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 64 << 10];
    match lgetxattr(path, name, &mut value[..]) {
        Ok(len) => Some(value[..len].to_vec()),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => None,
        Err(error) => panic!("{}: {name}: {error}", path.display()),
    }
}

/// What XFS shows root of an ACL a second time, as it is on disk.
const XFS_ACLS: [&str; 2] = ["trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT"];

/// The extended attributes, sorted by name.
#[track_caller]
pub(crate) fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut list = vec![0; 64 << 10];
    let len = llistxattr(path, &mut list[..]).unwrap_or(0);
    let names = list[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let names = names.map(|name| String::from_utf8(name.to_vec()).unwrap());
    let names = names.filter(|name| !XFS_ACLS.contains(&name.as_str()));
    let mut xattrs: Vec<_> =
        names.filter_map(|name| xattr(path, &name).map(|value| (name, value))).collect();
    xattrs.sort();
    xattrs
}

/// Something mounted, for root. Dropped, it is unmounted.
pub(crate) struct Mount(PathBuf);

impl Mount {
    #[track_caller]
    pub(crate) fn tmpfs(on: &Path, options: &str) -> Mount {
        run(
            "mount",
            &[
                "-t".as_ref(),
                "tmpfs".as_ref(),
                "-o".as_ref(),
                options.as_ref(),
                "t".as_ref(),
                on.as_os_str(),
            ],
        );
        Mount(on.to_path_buf())
    }

    #[track_caller]
    pub(crate) fn bind(what: &Path, on: &Path) -> Mount {
        run("mount", &["--bind".as_ref(), what.as_os_str(), on.as_os_str()]);
        Mount(on.to_path_buf())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: another test's process that is just starting may hold a file of it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
