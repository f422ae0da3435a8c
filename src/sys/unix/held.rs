//! What is asked of a file that was looked at: that one, whatever has its name by now.

use std::ffi::OsStr;
use std::fs::File;
use std::io;

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::fs::CWD;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::{Directory, Existing, Info, info_of, inspect, look};
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::{FileKind, descriptor_path};

pub(crate) fn open_target(
    existing: &Existing,
    directory: &Directory,
    name: &OsStr,
) -> io::Result<File> {
    // Without O_NONBLOCK, a FIFO that has taken the name meanwhile would block here.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match fs::openat(directory.fd(), name, flags, Mode::empty()) {
        Err(Errno::WOULDBLOCK) => open_leased(existing)?,
        result => File::from(result?),
    };
    if inspect(&file)?.id == existing.info.id {
        Ok(file)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// A file server has a lease of what its clients have open, and gives it back when somebody else
/// opens the file. That is waited for, as every open without O_NONBLOCK does, and no longer than
/// /proc/sys/fs/lease-break-time says (fcntl(2), F_SETLEASE). What is held here is no FIFO.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_leased(existing: &Existing) -> io::Result<File> {
    match &existing.handle.fd {
        Some(held) if existing.info.kind == FileKind::File => {
            let path = descriptor_path(held);
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            match fs::openat(CWD, path.as_c_str(), flags, Mode::empty()) {
                Err(Errno::NOENT) => Err(Errno::WOULDBLOCK.into()), // no /proc
                file => Ok(File::from(file?)),
            }
        }
        _ => Err(Errno::WOULDBLOCK.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open_leased(_: &Existing) -> io::Result<File> {
    Err(Errno::WOULDBLOCK.into())
}

pub(crate) fn hold(existing: &mut Existing, directory: &Directory, name: &OsStr) -> io::Result<()> {
    if existing.handle.fd.is_none() {
        existing.handle.fd = Some(open_target(existing, directory, name)?.into());
    }
    Ok(())
}

pub(crate) fn inspect_held(
    held: &Existing,
    directory: &Directory,
    name: &OsStr,
) -> io::Result<Info> {
    match &held.handle.fd {
        Some(fd) => Ok(info_of(&fs::fstat(fd)?)),
        None => Ok(look(directory, name)?.info),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::Path;
    use std::thread;

    use crate::{AtomicWriter, Result, Version};

    /// asm-generic/fcntl.h.
    const F_SETSIG: i32 = 10;

    /// Takes a lease of `file`, or gives it back, or asks which there is.
    #[allow(unsafe_code, reason = "rustix has no leases")]
    fn lease(file: &impl AsRawFd, command: i32, kind: i32) -> i32 {
        // SAFETY: these commands take a descriptor, which is open, and a number.
        unsafe { libc::fcntl(file.as_raw_fd(), command, kind) }
    }

    /// While a file server had a lease of the target (fcntl(2), F_SETLEASE), as Samba has of what
    /// its clients write, `update` failed with "resource temporarily unavailable", where every
    /// other program waits until the server has been told and gives it back.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    fn who_has_a_lease_is_waited_for() {
        let update =
            |path: &Path| AtomicWriter::builder().update(path, |old| Ok(old.unwrap_or_default()));
        let see = |path: &Path| Version::with_contents_of(path).map(drop);
        check("update", |path| update(path).map(drop));
        check("see", see);
    }

    /// Only of a file: a FIFO might never be opened by anybody else. And no program that is started
    /// meanwhile has it open too.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    fn what_is_waited_for_is_a_file_and_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("file"), "old").unwrap();
        fs_err::create_dir(folder.path().join("directory")).unwrap();
        let directory = crate::sys::open_directory(None, folder.path()).unwrap();
        let open =
            |name: &str| super::open_leased(&super::look(&directory, name.as_ref()).unwrap());
        let flags = rustix::io::fcntl_getfd(open("file").unwrap()).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        assert_eq!(open("directory").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[track_caller]
    fn check(name: &str, open: impl Fn(&Path) -> Result<()> + Sync) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("target");
        fs_err::write(&path, "old").unwrap();
        let file = fs_err::OpenOptions::new().write(true).open(&path).unwrap().into_parts().0;
        // Not SIGIO, which would end the process, but one that is ignored unless it is asked for.
        assert_eq!(lease(&file, F_SETSIG, libc::SIGURG), 0, "{name}");
        if lease(&file, libc::F_SETLEASE, libc::F_WRLCK) != 0 {
            assert!(std::env::var_os("CI").is_none(), "no leases here");
            return eprintln!("SKIPPED: no leases here");
        }
        thread::scope(|scope| {
            let open = scope.spawn(|| open(&path));
            while lease(&file, libc::F_GETLEASE, 0) == libc::F_WRLCK {
                assert!(!open.is_finished(), "{name}: it did not ask for the lease");
                thread::yield_now();
            }
            lease(&file, libc::F_SETLEASE, libc::F_UNLCK);
            open.join().unwrap().unwrap();
        });
    }
}
