//! Looking at what bears a name.

use std::ffi::OsStr;
use std::io;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use rustix::fs::{self, AtFlags};
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::fs::{self, Mode, OFlags};
#[cfg(any(target_os = "linux", target_os = "android", test))]
use rustix::io::Errno;

use super::{Directory, Existing, Handle, info_of};

/// As often, somebody may replace a file between the two steps of a look at it.
#[cfg(any(target_os = "linux", target_os = "android", test))]
const MAX_LOOKS: usize = 100;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn look(directory: &Directory, name: &OsStr) -> io::Result<Existing> {
    // O_PATH has no side effects on a device or a FIFO, needs no permission on the file, and pins
    // it, so that its mode, ACL and xattrs are those of one file.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (fd, stat) = unless_replaced(|| {
        let fd = fs::openat(directory.fd(), name, flags, Mode::empty())?;
        // That the file is gone does not say that nothing has the name.
        let stat = fs::fstat(&fd).map_err(|errno| match errno {
            Errno::NOENT => Errno::STALE,
            errno => errno,
        })?;
        Ok((fd, stat))
    })?;
    Ok(Existing { info: info_of(&stat), handle: Handle { fd: Some(fd) } })
}

/// Looks again where what was just opened is known no more: a file system that works by paths
/// (libfuse's high-level interface) or by requests of its own (NFS) says ESTALE of a file that
/// somebody has replaced since.
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn unless_replaced<T>(mut look: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 1..MAX_LOOKS {
        match look() {
            Err(Errno::STALE) => {}
            result => return result,
        }
    }
    look()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn look(directory: &Directory, name: &OsStr) -> io::Result<Existing> {
    let info = info_of(&fs::statat(directory.fd(), name, AtFlags::SYMLINK_NOFOLLOW)?);
    Ok(Existing { info, handle: Handle { fd: None } })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On sshfs a save failed with "stale file handle" while others replaced the target, or took
    /// it for a new one: between the steps of the look the file that had been opened was replaced,
    /// and libfuse knows files by their path.
    #[test]
    fn what_is_replaced_during_the_look_is_looked_at_again() {
        #[track_caller]
        fn check(stale: usize, then: Result<(), Errno>, expected: Result<(), Errno>, looks: usize) {
            let mut count = 0;
            let result = unless_replaced(|| {
                count += 1;
                if count > stale { then } else { Err(Errno::STALE) }
            });
            assert_eq!((result, count), (expected, looks));
        }
        check(0, Ok(()), Ok(()), 1);
        check(0, Err(Errno::NOENT), Err(Errno::NOENT), 1);
        check(2, Ok(()), Ok(()), 3);
        check(2, Err(Errno::NOENT), Err(Errno::NOENT), 3);
        check(MAX_LOOKS - 1, Ok(()), Ok(()), MAX_LOOKS);
        check(MAX_LOOKS, Ok(()), Err(Errno::STALE), MAX_LOOKS);
    }
}
