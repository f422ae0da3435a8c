//! The calls of Apple's systems.

use std::ffi::{OsStr, OsString, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, fstat};
use rustix::io::Errno;

use super::super::growing::{has_entries, is_no_acl, names_with_ends, read_growing, whole_acl};

/// The flags (chflags(2)) that say something about a file's use. The others say how it is stored,
/// or forbid to replace it.
pub(crate) const KEPT_FLAGS: u32 = libc::UF_NODUMP | libc::UF_HIDDEN;

/// `ACL_TYPE_EXTENDED` of sys/acl.h.
const ACL_TYPE: c_int = 0x100;

#[allow(unsafe_code, reason = "libc has no calls for ACLs")]
mod external {
    use std::ffi::{c_int, c_void};

    // SAFETY: these are the declarations of sys/acl.h, where `acl_t` is a pointer and `acl_type_t`
    // an enum of the size of an int. All are in libSystem.
    unsafe extern "C" {
        pub(super) fn acl_get_fd_np(fd: c_int, kind: c_int) -> *mut c_void;
        pub(super) fn acl_set_fd_np(fd: c_int, acl: *mut c_void, kind: c_int) -> c_int;
        pub(super) fn acl_init(count: c_int) -> *mut c_void;
        pub(super) fn acl_free(acl: *mut c_void) -> c_int;
        pub(super) fn acl_size(acl: *mut c_void) -> isize;
        pub(super) fn acl_copy_ext_native(
            bytes: *mut c_void,
            acl: *mut c_void,
            len: isize,
        ) -> isize;
        pub(super) fn acl_copy_int_native(bytes: *const c_void) -> *mut c_void;
    }
}

/// An ACL in the system's memory.
struct Acl(NonNull<c_void>);

impl Acl {
    /// Takes what a call of acl(3) gave, which is null after an error.
    fn new(acl: *mut c_void) -> io::Result<Acl> {
        NonNull::new(acl).map(Acl).ok_or_else(io::Error::last_os_error)
    }

    #[allow(unsafe_code, reason = "rustix has no calls for ACLs")]
    fn of(file: &File) -> io::Result<Option<Acl>> {
        // SAFETY: the call takes a descriptor, which is open for as long as `file` is borrowed, and
        // gives memory of its own or null.
        match Acl::new(unsafe { external::acl_get_fd_np(file.as_raw_fd(), ACL_TYPE) }) {
            Err(error) if is_no_acl(&error) => Ok(None),
            acl => acl.map(Some),
        }
    }

    #[allow(unsafe_code, reason = "rustix has no calls for ACLs")]
    fn to_bytes(&self) -> io::Result<Vec<u8>> {
        // SAFETY: the ACL lives until `self` is dropped.
        let len = unsafe { external::acl_size(self.0.as_ptr()) };
        let room = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
        let mut words = vec![0_u32; room.div_ceil(size_of::<u32>())];
        // SAFETY: as above, and `words` are aligned for what is written, at most `len` bytes.
        let written = unsafe {
            external::acl_copy_ext_native(words.as_mut_ptr().cast(), self.0.as_ptr(), len)
        };
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        bytes.truncate(usize::try_from(written).map_err(|_| io::Error::last_os_error())?);
        Ok(bytes)
    }

    #[allow(unsafe_code, reason = "rustix has no calls for ACLs")]
    fn give_to(&self, file: &File) -> io::Result<()> {
        // SAFETY: the ACL lives until `self` is dropped, the descriptor is open as long as `file`.
        match unsafe { external::acl_set_fd_np(file.as_raw_fd(), self.0.as_ptr(), ACL_TYPE) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Acl {
    #[allow(unsafe_code, reason = "rustix has no calls for ACLs")]
    fn drop(&mut self) {
        // SAFETY: the ACL is from acl(3), which says to free it so, and nobody else has it.
        unsafe { external::acl_free(self.0.as_ptr()) };
    }
}

/// In the form of acl_copy_ext(3).
pub(super) fn get_acl(file: &File) -> io::Result<Option<Vec<u8>>> {
    let Some(acl) = Acl::of(file)? else { return Ok(None) };
    let bytes = acl.to_bytes()?;
    Ok(has_entries(&bytes).then_some(bytes))
}

/// `bytes` are those of [`get_acl`].
#[allow(unsafe_code, reason = "rustix has no calls for ACLs")]
pub(super) fn set_acl(file: &File, bytes: &[u8]) -> io::Result<()> {
    let words = whole_acl(bytes).ok_or(Errno::INVAL)?;
    // SAFETY: the call reads as many entries as the header says; all are there, and aligned.
    let acl = unsafe { external::acl_copy_int_native(words.as_ptr().cast()) };
    Acl::new(acl)?.give_to(file)
}

/// Gives the file an ACL without entries, which allows and denies nothing.
#[allow(unsafe_code, reason = "rustix has no calls for ACLs")]
pub(super) fn remove_acl(file: &File) -> io::Result<()> {
    // SAFETY: the call takes a number and gives memory of its own or null.
    Acl::new(unsafe { external::acl_init(1) })?.give_to(file)
}

pub(super) fn list_xattrs(file: &File) -> io::Result<Vec<OsString>> {
    match read_growing(
        |bytes| if bytes.is_empty() { list_len(file) } else { flistxattr(file, bytes) },
    ) {
        Err(error) if error.raw_os_error() == Some(Errno::NOTSUP.raw_os_error()) => Ok(Vec::new()),
        list => list.map(|list| names_with_ends(&list)),
    }
}

/// rustix hands on the address of an empty slice, of which listxattr(2) does not speak.
#[allow(unsafe_code, reason = "rustix cannot ask for the length alone")]
fn list_len(file: &File) -> rustix::io::Result<usize> {
    // SAFETY: null with no length asks for the length alone; the descriptor is open for as long as
    // `file` is borrowed.
    let len = unsafe { libc::flistxattr(file.as_raw_fd(), std::ptr::null_mut(), 0, 0) };
    let error = || Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO);
    usize::try_from(len).map_err(|_| error())
}

pub(super) fn get_xattr(file: &File, xattr: &OsStr) -> io::Result<Option<Vec<u8>>> {
    match read_growing(|bytes| fgetxattr(file, xattr, bytes)) {
        Err(error) if error.raw_os_error() == Some(Errno::NOATTR.raw_os_error()) => Ok(None),
        value => value.map(Some),
    }
}

pub(super) fn set_xattr(file: &File, xattr: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(fsetxattr(file, xattr, value, XattrFlags::empty())?)
}

pub(super) fn remove_xattr(file: &File, xattr: &OsStr) -> io::Result<()> {
    Ok(fremovexattr(file, xattr)?)
}

#[allow(unsafe_code, reason = "rustix has no fchflags")]
pub(crate) fn set_flags(file: &File, flags: u32) -> io::Result<()> {
    let flags = fstat(file)?.st_flags & !KEPT_FLAGS | flags & KEPT_FLAGS;
    // SAFETY: the call takes a descriptor, which is open for as long as `file` is borrowed, and a
    // number; it touches no memory of this process.
    match unsafe { libc::fchflags(file.as_raw_fd(), flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
