//! Setting the owner, the mode, the flags and the times of an open file.

use std::fs::File;
use std::io;

use rustix::fs::{self, Timespec, Timestamps};

#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
pub(crate) use super::bsd::set_flags;
use super::raw_mode;
use crate::sys::Times;

pub(crate) fn set_owner(file: &File, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let uid = uid.map(fs::Uid::from_raw);
    let gid = gid.map(fs::Gid::from_raw);
    Ok(fs::fchown(file, uid, gid)?)
}

pub(crate) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    Ok(fs::fchmod(file, raw_mode(mode))?)
}

#[cfg(not(any(target_vendor = "apple", target_os = "freebsd")))]
pub(crate) fn set_flags(_: &File, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
pub(crate) fn set_times(file: &File, times: Times) -> io::Result<()> {
    let timespec = |(seconds, nanoseconds): (i64, i64)| Timespec {
        tv_sec: seconds as _,
        tv_nsec: nanoseconds as _,
    };
    let times = Timestamps {
        last_access: timespec(times.accessed),
        last_modification: timespec(times.modified),
    };
    Ok(fs::futimens(file, &times)?)
}
