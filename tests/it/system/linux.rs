//! What the tests ask of Linux: ACLs, extended attributes and mounts.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};
use rustix::io::Errno;

use super::run;

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
