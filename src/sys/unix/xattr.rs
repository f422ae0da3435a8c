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
            match read(|bytes| listxattr(path.as_c_str(), bytes), names) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // no /proc
                list => return if_any(list),
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
            value = read(|bytes| getxattr(path.as_c_str(), xattr, bytes), <[u8]>::to_vec);
        }
        if matches!(&value, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            let file = open_target(existing, directory, name)?;
            value = read(|bytes| fgetxattr(&file, xattr, bytes), <[u8]>::to_vec);
        }
        match value {
            Err(error) if error.raw_os_error() == Some(Errno::NODATA.raw_os_error()) => Ok(None),
            value => value.map(Some),
        }
    }

    pub(crate) fn list_xattrs(file: &File) -> io::Result<Vec<OsString>> {
        if_any(read(|bytes| flistxattr(file, bytes), names))
    }

    pub(crate) fn set_xattr(file: &File, xattr: &OsStr, value: &[u8]) -> io::Result<()> {
        Ok(fsetxattr(file, xattr, value, XattrFlags::empty())?)
    }

    pub(crate) fn remove_xattr(file: &File, xattr: &OsStr) -> io::Result<()> {
        Ok(fremovexattr(file, xattr)?)
    }

    /// Reads with a small buffer first and, if that is too small, with the largest.
    fn read<T>(
        mut read: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> io::Result<T> {
        let mut small = [0; FIRST_LEN];
        match read(&mut small) {
            Err(Errno::RANGE) => {
                let mut large = vec![0; MAX_LEN];
                let len = read(&mut large)?;
                Ok(take(&large[..len]))
            }
            len => Ok(take(&small[..len?])),
        }
    }

    fn names(list: &[u8]) -> Vec<OsString> {
        let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        names.map(|name| OsStr::from_bytes(name).to_owned()).collect()
    }

    /// None where the file system has no extended attributes. That a listed one cannot be read is
    /// another matter: it must not pass for an empty one.
    fn if_any(list: io::Result<Vec<OsString>>) -> io::Result<Vec<OsString>> {
        match list {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => Ok(Vec::new()),
            list => list,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::super::super::cannot_be_kept;
        use super::*;

        /// An xattr that was listed and could not be read (EOPNOTSUPP, as of an ACL on a file
        /// system mounted without them) counted as empty, which was then set: the new file had an
        /// empty value, or no ACL and its group the rights of the ACL's mask, and no receipt said
        /// so.
        #[test]
        fn what_cannot_be_read_is_not_empty() {
            let value = read(|_| Err(Errno::OPNOTSUPP), <[u8]>::to_vec);
            assert!(value.is_err_and(|error| cannot_be_kept(&error)));
            let list = if_any(read(|_| Err(Errno::OPNOTSUPP), names));
            assert!(list.is_ok_and(|names| names.is_empty()));
            assert!(if_any(read(|_| Err(Errno::IO), names)).is_err());
        }

        /// That there is no such attribute is the only answer that means that there is none.
        #[test]
        #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
        fn an_attribute_that_is_refused_is_not_missing() {
            let program = std::env::current_exe().expect("the test has a path");
            let (folder, name) = (program.parent(), program.file_name());
            let (folder, name) = folder.zip(name).expect("it is in a folder");
            let directory = crate::sys::open_directory(None, folder).expect("it can be read");
            let existing = super::super::super::look(&directory, name).expect("it is there");
            let get = |xattr| get_xattr_of(&existing, &directory, name, OsStr::new(xattr));
            assert_eq!(get("user.wholefile-test").expect("it is asked for"), None);
            let error = get("of no namespace").expect_err("xattr(7)");
            assert!(cannot_be_kept(&error), "{error}");
        }
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
