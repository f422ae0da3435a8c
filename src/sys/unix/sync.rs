//! Syncs, and what they prove.
//!
//! On Linux and the BSDs fsync(2) reaches the device. On Apple's systems it does not: "the drive
//! itself may not physically write the data to the platters for quite some time and it may be
//! written in an out-of-order sequence" (fsync(2) of macOS). There fcntl(2) has F_FULLFSYNC, which
//! empties the drive's cache, and F_BARRIERFSYNC, which keeps later writes from overtaking earlier
//! ones. Not every file system has them, and a bare fsync proves neither `Full` nor `Ordered`.

use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;

use super::{Access, Directory};
use crate::options::Durability;

#[cfg(not(target_vendor = "apple"))]
pub(crate) fn sync_file(file: &File, durability: Durability) -> io::Result<Durability> {
    file.sync_all().map(|()| durability)
}

#[cfg(target_vendor = "apple")]
pub(crate) fn sync_file(file: &File, durability: Durability) -> io::Result<Durability> {
    ladder::climb(durability, |flush| apple::flush(file, flush))
}

#[cfg(not(target_vendor = "apple"))]
fn sync_names(directory: &Directory) -> io::Result<()> {
    Ok(rustix::fs::fsync(directory.fd())?)
}

#[cfg(target_vendor = "apple")]
fn sync_names(directory: &Directory) -> io::Result<()> {
    let flush = |flush| apple::flush(directory.fd(), flush);
    match ladder::climb(Durability::Full, flush)? {
        Durability::Full => Ok(()),
        // The names have left this system, but may be in the drive's cache only.
        _ => Err(rustix::io::Errno::NOTSUP.into()),
    }
}

pub(crate) fn can_be_synced(directory: &Directory) -> bool {
    directory.access == Access::Read
}

/// Some file systems write only now what was written to the file, or say only now that they could
/// not (the `flush` of Linux's file operations: NFS, CIFS, FUSE).
#[allow(unsafe_code, reason = "std and rustix drop the error of a close that is safe")]
pub(crate) fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor was the file's own, which has given it up, and is not used again.
    Ok(unsafe { rustix::io::try_close(file.into_raw_fd()) }?)
}

pub(crate) fn sync_directory(directory: &Directory) -> io::Result<()> {
    if can_be_synced(directory) {
        sync_names(directory)
    } else {
        Err(rustix::io::Errno::BADF.into())
    }
}

#[cfg(target_vendor = "apple")]
mod apple {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd};

    use super::ladder::Flush;

    pub(super) fn flush(fd: impl AsFd, flush: Flush) -> io::Result<()> {
        Ok(match flush {
            Flush::Cache => rustix::fs::fcntl_fullfsync(fd),
            Flush::Barrier => return barrier(fd),
            Flush::Host => rustix::fs::fsync(fd),
        }?)
    }

    #[allow(unsafe_code, reason = "rustix has no F_BARRIERFSYNC")]
    fn barrier(fd: impl AsFd) -> io::Result<()> {
        // SAFETY: the command takes a descriptor, which is open for as long as `fd` is borrowed,
        // and no argument; it touches no memory of this process.
        match unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_BARRIERFSYNC) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

/// Which flush is tried after which, and what each proves.
#[cfg(any(target_vendor = "apple", test))]
mod ladder {
    use std::io;

    use super::super::verdicts::lacks_flush;
    use crate::options::Durability;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum Flush {
        /// F_FULLFSYNC: everything, the drive's cache included.
        Cache,
        /// F_BARRIERFSYNC: to the drive, in order.
        Barrier,
        /// fsync: to the drive, in no order.
        Host,
    }

    /// Tries the flush that gives `wanted`, then the next one where the file system has no such
    /// thing. Any other error is final: after a failed sync a further one proves nothing.
    pub(super) fn climb(
        wanted: Durability,
        mut flush: impl FnMut(Flush) -> io::Result<()>,
    ) -> io::Result<Durability> {
        let preferred = match wanted {
            Durability::Full => {
                [(Flush::Cache, Durability::Full), (Flush::Barrier, Durability::Ordered)]
            }
            _ => [(Flush::Barrier, Durability::Ordered), (Flush::Cache, Durability::Ordered)],
        };
        for (kind, achieved) in preferred {
            match flush(kind) {
                Err(error) if lacks_flush(&error) => {}
                result => return result.map(|()| achieved),
            }
        }
        flush(Flush::Host).map(|()| Durability::None)
    }

    #[cfg(test)]
    mod tests {
        use rustix::io::Errno;

        use super::*;
        use Flush::{Barrier, Cache, Host};

        /// Answers the flushes in turn; `None` is success.
        #[track_caller]
        fn check(
            wanted: Durability,
            answers: &[(Flush, Option<Errno>)],
            expected: Result<Durability, Errno>,
        ) {
            let mut left = answers.iter();
            let result = climb(wanted, |flush| {
                let (kind, answer) = left.next().expect("no more flushes than that");
                assert_eq!(flush, *kind, "{wanted:?} {answers:?}");
                answer.map_or(Ok(()), |errno| Err(errno.into()))
            });
            let result = result.map_err(|error| Errno::from_io_error(&error).expect("an errno"));
            assert_eq!(result, expected, "{wanted:?} {answers:?}");
            assert_eq!(left.next(), None, "{wanted:?} {answers:?}: fewer flushes");
        }

        #[test]
        fn a_flush_that_is_missing_costs_durability_and_one_that_fails_the_save() {
            use Durability::{Full, None as Nothing, Ordered};
            check(Full, &[(Cache, None)], Ok(Full));
            check(Ordered, &[(Barrier, None)], Ok(Ordered));
            for lacking in
                [Errno::NOTSUP, Errno::OPNOTSUPP, Errno::INVAL, Errno::NOTTY, Errno::NOSYS]
            {
                let no = Some(lacking);
                check(Full, &[(Cache, no), (Barrier, None)], Ok(Ordered));
                check(Full, &[(Cache, no), (Barrier, no), (Host, None)], Ok(Nothing));
                check(Ordered, &[(Barrier, no), (Cache, None)], Ok(Ordered));
                check(Ordered, &[(Barrier, no), (Cache, no), (Host, None)], Ok(Nothing));
                // What not even fsync can sync is no regular file.
                check(Full, &[(Cache, no), (Barrier, no), (Host, no)], Err(lacking));
            }
            let lacking = Some(Errno::NOTSUP);
            for failed in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::BADF, Errno::INTR] {
                let error = Some(failed);
                check(Full, &[(Cache, error)], Err(failed));
                check(Full, &[(Cache, lacking), (Barrier, error)], Err(failed));
                check(Ordered, &[(Barrier, error)], Err(failed));
                check(Ordered, &[(Barrier, lacking), (Cache, error)], Err(failed));
                let answers = [(Barrier, lacking), (Cache, lacking), (Host, error)];
                check(Ordered, &answers, Err(failed));
            }
        }
    }
}
