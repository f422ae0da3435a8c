//! Extended attributes. The ACL, the security label and the file capabilities are among them.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use present::*;

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd"
)))]
pub(crate) use absent::*;

#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
pub(crate) use super::bsd::{get_xattr_of, list_xattrs, list_xattrs_of, remove_xattr, set_xattr};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod present {
    use std::ffi::{OsStr, OsString};
    use std::fs::File;
    use std::io;
    use std::os::unix::ffi::OsStrExt;

    use rustix::buffer::spare_capacity;
    use rustix::fs::{
        XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, getxattr, listxattr,
    };
    use rustix::io::Errno;

    use super::super::{Directory, Existing, descriptor_path, open_target};

    /// Linux gives neither a longer list nor a longer value (XATTR_LIST_MAX, XATTR_SIZE_MAX).
    const MAX_LEN: usize = 64 << 10;
    /// Enough for nearly every file, so that one call is.
    const FIRST_LEN: usize = 512;

    pub(crate) fn list_xattrs_of(
        existing: &Existing,
        directory: &Directory,
        name: &OsStr,
    ) -> io::Result<Vec<OsString>> {
        if let Some(fd) = &existing.handle.fd {
            // flistxattr(2) refuses an O_PATH descriptor, its name in /proc does not.
            let path = descriptor_path(fd);
            match fill(|bytes| listxattr(path.as_str(), spare_capacity(bytes))) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // no /proc
                list => return list.map(|bytes| names(&bytes)),
            }
        }
        list_xattrs(&open_target(existing, directory, name)?)
    }

    pub(crate) fn get_xattr_of(
        existing: &Existing,
        directory: &Directory,
        name: &OsStr,
        xattr: &OsStr,
    ) -> io::Result<Option<Vec<u8>>> {
        let mut value = Err(io::ErrorKind::NotFound.into());
        if let Some(fd) = &existing.handle.fd {
            let path = descriptor_path(fd);
            value = fill(|bytes| getxattr(path.as_str(), xattr, spare_capacity(bytes)));
        }
        if matches!(&value, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            let file = open_target(existing, directory, name)?;
            value = fill(|bytes| fgetxattr(&file, xattr, spare_capacity(bytes)));
        }
        match value {
            Err(error) if error.raw_os_error() == Some(Errno::NODATA.raw_os_error()) => Ok(None),
            value => value.map(Some),
        }
    }

    pub(crate) fn list_xattrs(file: &File) -> io::Result<Vec<OsString>> {
        fill(|bytes| flistxattr(file, spare_capacity(bytes))).map(|bytes| names(&bytes))
    }

    pub(crate) fn set_xattr(file: &File, xattr: &OsStr, value: &[u8]) -> io::Result<()> {
        Ok(fsetxattr(file, xattr, value, XattrFlags::empty())?)
    }

    pub(crate) fn remove_xattr(file: &File, xattr: &OsStr) -> io::Result<()> {
        Ok(fremovexattr(file, xattr)?)
    }

    /// Reads with a small buffer first and, if that is too small, with the largest.
    fn fill(
        mut read: impl FnMut(&mut Vec<u8>) -> rustix::io::Result<usize>,
    ) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(FIRST_LEN);
        match read(&mut bytes) {
            Err(Errno::RANGE) => {
                bytes = Vec::with_capacity(MAX_LEN);
                read(&mut bytes)?;
            }
            Err(Errno::OPNOTSUPP) => {} // the file system has no extended attributes
            result => drop(result?),
        }
        Ok(bytes)
    }

    fn names(list: &[u8]) -> Vec<OsString> {
        let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        names.map(|name| OsStr::from_bytes(name).to_owned()).collect()
    }
}

/// rustix has no calls for the extended attributes of the other BSDs: that they are not looked
/// at is said on the receipt.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd"
)))]
mod absent {
    use std::ffi::{OsStr, OsString};
    use std::fs::File;
    use std::io;

    use super::super::{Directory, Existing};

    pub(crate) fn list_xattrs_of(
        _: &Existing,
        _: &Directory,
        _: &OsStr,
    ) -> io::Result<Vec<OsString>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn get_xattr_of(
        _: &Existing,
        _: &Directory,
        _: &OsStr,
        _: &OsStr,
    ) -> io::Result<Option<Vec<u8>>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn list_xattrs(_: &File) -> io::Result<Vec<OsString>> {
        Ok(Vec::new())
    }

    pub(crate) fn set_xattr(_: &File, _: &OsStr, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn remove_xattr(_: &File, _: &OsStr) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
