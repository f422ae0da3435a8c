//! What the tests ask of Linux: ACLs, extended attributes and mounts.

use std::ffi::{CString, OsStr};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};

use super::output;

/// Runs a program that must succeed, and gives its output.
#[track_caller]
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> String {
    let output = output(Command::new(program).args(arguments));
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Sets entries of an ACL.
#[track_caller]
pub(crate) fn set_acl(path: &Path, entries: &str) {
    run("setfacl", &["-m".as_ref(), entries.as_ref(), path.as_os_str()]);
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
        let options = CString::new(options).unwrap();
        mount("tmpfs", on, "tmpfs", MountFlags::empty(), &*options).unwrap();
        Mount(on.to_path_buf())
    }

    #[track_caller]
    pub(crate) fn bind(what: &Path, on: &Path) -> Mount {
        mount_bind(what, on).unwrap();
        Mount(on.to_path_buf())
    }

    /// Of what it has, nothing may be open for writing, in a process that is starting neither.
    #[track_caller]
    pub(crate) fn make_read_only(&self) {
        mount_remount(&self.0, MountFlags::RDONLY, "").unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: another test's process that is just starting may hold a file of it.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
