//! Directories: making, opening, listing and removing them and what is in them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};

use super::super::{Entry, FileKind, Info};
use super::{Access, DIRECTORY, Directory, info_of, kind_of, raw_mode};

pub(crate) fn inspect_directory(directory: &Directory) -> io::Result<Info> {
    Ok(info_of(&fs::fstat(directory.fd())?))
}

pub(crate) fn set_directory_mode(directory: &Directory, mode: u32) -> io::Result<()> {
    Ok(fs::fchmod(directory.fd(), raw_mode(mode))?)
}

pub(crate) fn touch_directory(directory: &Directory) -> io::Result<()> {
    let now = fs::Timespec { tv_sec: 0, tv_nsec: fs::UTIME_NOW };
    let times = fs::Timestamps { last_access: now, last_modification: now };
    Ok(fs::futimens(directory.fd(), &times)?)
}

pub(crate) fn make_directory(directory: &Directory, name: &OsStr, mode: u32) -> io::Result<()> {
    Ok(fs::mkdirat(directory.fd(), name, raw_mode(mode))?)
}

pub(crate) fn remove_directory(directory: &Directory, name: &OsStr) -> io::Result<()> {
    Ok(fs::unlinkat(directory.fd(), name, AtFlags::REMOVEDIR)?)
}

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

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn open_inside(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    use rustix::fs::ResolveFlags;
    use rustix::io::Errno;

    let flags = DIRECTORY | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    match fs::openat2(directory.fd(), name, flags, Mode::empty(), resolve) {
        // Older than Linux 5.6, or a seccomp filter that is.
        Err(Errno::NOSYS | Errno::PERM) => same_mount(directory, name),
        fd => Ok(Directory { fd: fd?, access: Access::Read }),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn open_inside(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    same_mount(directory, name)
}

fn same_mount(directory: &Directory, name: &OsStr) -> io::Result<Directory> {
    let inside = open_subdirectory(directory, name)?;
    let is_same = match super::copies::mounts_of(&inside, directory) {
        Some((one, other)) => one == other,
        // Older than Linux 3.15, without /proc, or another system. What is mounted a second time is
        // on the same device and not found out; it cannot be removed, at least, since it is busy.
        None => is_same_device(&inside, directory)?,
    };
    if is_same { Ok(inside) } else { Err(rustix::io::Errno::XDEV.into()) }
}

fn is_same_device(one: &Directory, other: &Directory) -> io::Result<bool> {
    Ok(inspect_directory(one)?.id.device == inspect_directory(other)?.id.device)
}

const ALL_OF_THE_OWNER: Mode = Mode::RWXU;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn make_accessible(directory: &Directory, name: &OsStr) -> io::Result<()> {
    // Neither fchmodat(2) nor fchmod(2) takes O_PATH or a promise to follow no link, before Linux
    // 6.6; the way through /proc leads to what was opened.
    let flags = DIRECTORY | OFlags::PATH | OFlags::NOFOLLOW;
    let fd = fs::openat(directory.fd(), name, flags, Mode::empty())?;
    Ok(fs::chmod(super::descriptor_path(&fd).as_c_str(), ALL_OF_THE_OWNER)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn make_accessible(directory: &Directory, name: &OsStr) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(fs::chmodat(directory.fd(), name, ALL_OF_THE_OWNER, flags)?)
}

pub(crate) fn remove_entry(directory: &Directory, name: &OsStr) -> io::Result<()> {
    Ok(fs::unlinkat(directory.fd(), name, AtFlags::empty())?)
}

pub(crate) fn move_directory(from: Entry<'_>, to: Entry<'_>) -> io::Result<()> {
    Ok(fs::renameat(from.directory.fd(), from.name, to.directory.fd(), to.name)?)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::fd::AsFd;

    use rustix::mount::{UnmountFlags, mount_bind, unmount};

    use super::*;

    /// Where openat2(2) is not to be had (before Linux 5.6, or by a seccomp filter that is older),
    /// only devices were compared: what was bind-mounted in a tree from the same device passed for
    /// a part of it, and the removal of the tree removed all that was in the mount.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2), nor mounts")]
    fn what_is_mounted_from_the_same_device_is_not_entered_without_openat2() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("SKIPPED: only root can mount");
        }
        let root = tempfile::tempdir().unwrap();
        let (elsewhere, tree) = (root.path().join("elsewhere"), root.path().join("tree"));
        for path in [&elsewhere, &tree, &tree.join("plain"), &tree.join("mounted")] {
            std::fs::create_dir(path).unwrap();
        }
        let mounted = tree.join("mounted");
        mount_bind(&elsewhere, &mounted).unwrap();
        let directory = super::super::open_directory(None, &tree).unwrap();
        let inside = |name: &str| same_mount(&directory, name.as_ref()).map(drop);
        let (plain, through) = (inside("plain"), inside("mounted"));
        unmount(&mounted, UnmountFlags::DETACH).unwrap();
        plain.unwrap();
        assert_eq!(through.unwrap_err().kind(), io::ErrorKind::CrossesDevices);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    fn a_directory_has_the_times_that_the_system_tells() {
        let root = tempfile::tempdir().unwrap();
        let file = std::fs::File::open(root.path()).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        let directory = super::super::open_directory(None, root.path()).unwrap();
        assert_eq!(inspect_directory(&directory).unwrap().times.modified, (0, 0));
        crate::sys::touch_directory(&directory).unwrap();
        assert!(inspect_directory(&directory).unwrap().times.modified.0 > 0);
        let born = file.metadata().unwrap().created().ok();
        let born = born.and_then(|it| it.duration_since(std::time::UNIX_EPOCH).ok());
        assert_eq!(crate::sys::birth_of(&directory), born.filter(|it| !it.is_zero()));
    }

    /// What another process opens is its own, and a link leads to what nobody has looked at.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    fn what_is_opened_by_its_name_is_no_link_and_is_not_inherited() {
        #[track_caller]
        fn check<T: AsFd>(open: impl Fn(&OsStr) -> io::Result<T>, name: &str) {
            let opened = open(name.as_ref()).unwrap();
            let flags = rustix::io::fcntl_getfd(opened).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "{name}");
            assert!(open(format!("link to {name}").as_ref()).is_err(), "{name}");
        }
        let root = tempfile::tempdir().unwrap();
        fs_err::write(root.path().join("file"), "contents").unwrap();
        std::fs::create_dir(root.path().join("folder")).unwrap();
        for name in ["file", "folder"] {
            std::os::unix::fs::symlink(name, root.path().join(format!("link to {name}"))).unwrap();
        }
        let directory = &super::super::open_directory(None, root.path()).unwrap();
        let file = super::super::look(directory, "file".as_ref()).unwrap();
        check(|name| open_subdirectory(directory, name), "folder");
        check(|name| open_inside(directory, name), "folder");
        check(|name| open_orphan(directory, name), "file");
        check(|name| super::super::open_staged(directory, name), "file");
        check(|name| super::super::open_target(&file, directory, name), "file");
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    fn what_is_on_another_device_is_told_by_that_alone() {
        let open = |path: &str| super::super::open_directory(None, path.as_ref()).unwrap();
        assert!(is_same_device(&open("/"), &open("/")).unwrap());
        assert!(!is_same_device(&open("/"), &open("/proc")).unwrap());
    }
}
