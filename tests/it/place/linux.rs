//! Features for which Linux has calls of its own.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use rustix::fs::{
    CWD, FallocateFlags, Mode, OFlags, RenameFlags, XattrFlags, fallocate, lsetxattr, openat,
    renameat_with,
};

use crate::dir::Dir;
use crate::system::{output, xattr, xattrs};

fn setfacl(path: &Path, entries: &str) -> bool {
    let output = output(Command::new("setfacl").args(["-m", entries]).arg(path));
    output.expect("setfacl is installed").status.success()
}

pub(super) fn has_acls(dir: &Dir) -> bool {
    let file = dir.write("file", "");
    setfacl(&file, "u:12345:r") && xattr_is_listed(dir, "system.posix_acl_access")
}

pub(super) fn has_default_acls(dir: &Dir) -> bool {
    if !setfacl(dir.root(), "d:u:12345:rwx,d:g::rwx,d:o::rwx") {
        return false;
    }
    let inherits = dir.write("inherits", "");
    xattr(&inherits, "system.posix_acl_access").is_some() && dir.mode("inherits") == 0o666
}

fn has_xattr(dir: &Dir, name: &str, value: &[u8]) -> bool {
    let flags = XattrFlags::empty();
    lsetxattr(dir.write("file", ""), name, value, flags).is_ok() && xattr_is_listed(dir, name)
}

fn xattr_is_listed(dir: &Dir, name: &str) -> bool {
    xattrs(&dir.path("file")).iter().any(|(listed, _)| listed == name)
}

pub(super) fn has_user_xattrs(dir: &Dir) -> bool {
    has_xattr(dir, "user.test", b"value")
}

pub(super) fn has_system_xattrs(dir: &Dir) -> bool {
    let mut capability = [0; 20];
    capability[..4].copy_from_slice(&0x0200_0001_u32.to_le_bytes());
    has_xattr(dir, "trusted.test", b"value") && has_xattr(dir, "security.capability", &capability)
}

pub(super) fn has_exchange(dir: &Dir) -> bool {
    renames(dir, "file", RenameFlags::EXCHANGE)
}

pub(super) fn has_rename_without_replacing(dir: &Dir) -> bool {
    renames(dir, "free", RenameFlags::NOREPLACE)
}

fn renames(dir: &Dir, to: &str, flags: RenameFlags) -> bool {
    dir.write("file", "");
    renameat_with(CWD, dir.write("from", ""), CWD, dir.path(to), flags).is_ok()
}

pub(super) fn has_held_numbers(dir: &Dir) -> bool {
    let path = dir.path("file");
    (0..50).all(|_| {
        fs::write(&path, "").unwrap();
        let held = openat(CWD, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let number = fs::metadata(&path).unwrap().ino();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        drop(held);
        fs::metadata(&path).unwrap().ino() != number
    })
}

pub(super) fn has_unnamed(dir: &Dir) -> bool {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    openat(CWD, dir.root(), flags, Mode::RUSR | Mode::WUSR).is_ok()
}

pub(super) fn has_reservation(dir: &Dir) -> bool {
    let opened = fs::OpenOptions::new().write(true).open(dir.write("file", "")).unwrap();
    fallocate(opened.file(), FallocateFlags::KEEP_SIZE, 0, 1 << 20).is_ok()
}
