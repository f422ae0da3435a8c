//! The calls of FreeBSD.
//!
//! Of the attributes those of the user namespace are handed on (extattr(2)); the system namespace
//! is root's, and what is of interest in it, the ACL, has calls of its own (acl(3)).

use std::ffi::{CStr, CString, OsStr, OsString, c_char, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::ptr::{self, NonNull};

use rustix::fs::fstat;
use rustix::io::Errno;

use super::super::growing::{is_no_acl, names_with_lengths, read_growing};

/// The flags (chflags(2)) that say something about a file's use. The others say how it is stored,
/// or forbid to replace it.
pub(crate) const KEPT_FLAGS: u32 =
    (libc::UF_NODUMP | libc::UF_HIDDEN | libc::UF_SYSTEM | libc::UF_READONLY) as u32;

const USER: c_int = libc::EXTATTR_NAMESPACE_USER;
/// How the attributes of the user namespace are called where there is one list of all.
const PREFIX: &str = "user.";

// sys/acl.h
const ACL_TYPE_ACCESS: c_int = 2;
const ACL_TYPE_NFS4: c_int = 4;
const ACL_TEXT_NUMERIC_IDS: c_int = 2;

#[allow(unsafe_code, reason = "libc has no calls for ACLs")]
mod external {
    use std::ffi::{c_char, c_int, c_void};

    // SAFETY: these are the declarations of sys/acl.h, where `acl_t` is a pointer and `acl_type_t`
    // of the size of an int. All are in libc.
    unsafe extern "C" {
        pub(super) fn acl_get_fd_np(fd: c_int, kind: c_int) -> *mut c_void;
        pub(super) fn acl_set_fd_np(fd: c_int, acl: *mut c_void, kind: c_int) -> c_int;
        pub(super) fn acl_free(object: *mut c_void) -> c_int;
        pub(super) fn acl_is_trivial_np(acl: *mut c_void, trivial: *mut c_int) -> c_int;
        pub(super) fn acl_strip_np(acl: *mut c_void, recalculate_mask: c_int) -> *mut c_void;
        pub(super) fn acl_to_text_np(
            acl: *mut c_void,
            len: *mut isize,
            flags: c_int,
        ) -> *mut c_char;
        pub(super) fn acl_from_text(text: *const c_char) -> *mut c_void;
    }
}

/// What acl(3) allocates: an ACL or a text.
struct Allocated(NonNull<c_void>);

impl Allocated {
    /// Takes what a call of acl(3) gave, which is null after an error.
    fn new(object: *mut c_void) -> io::Result<Allocated> {
        NonNull::new(object).map(Allocated).ok_or_else(io::Error::last_os_error)
    }

    fn as_ptr(&self) -> *mut c_void {
        self.0.as_ptr()
    }
}

impl Drop for Allocated {
    #[allow(unsafe_code, reason = "rustix has no calls for ACLs")]
    fn drop(&mut self) {
        // SAFETY: the object is from acl(3), which says to free it so, and nobody else has it.
        unsafe { external::acl_free(self.as_ptr()) };
    }
}

/// The ACL and its kind: a file system has one of the two, or none.
#[allow(unsafe_code, reason = "rustix has no calls for ACLs")]
fn acl_of(file: &File) -> io::Result<Option<(Allocated, c_int)>> {
    for kind in [ACL_TYPE_NFS4, ACL_TYPE_ACCESS] {
        // SAFETY: the call takes a descriptor, which is open for as long as `file` is borrowed, and
        // gives memory of its own or null.
        match Allocated::new(unsafe { external::acl_get_fd_np(file.as_raw_fd(), kind) }) {
            Err(error) if is_no_acl(&error) => {}
            acl => return acl.map(|acl| Some((acl, kind))),
        }
    }
    Ok(None)
}

#[allow(unsafe_code, reason = "rustix has no calls for ACLs")]
fn give(file: &File, acl: &Allocated, kind: c_int) -> io::Result<()> {
    // SAFETY: the ACL lives as long as it is borrowed, the descriptor is open as long as `file`.
    check(unsafe { external::acl_set_fd_np(file.as_raw_fd(), acl.as_ptr(), kind) })
}

/// One byte for the kind, then the text of acl_to_text(3) with numbers for users and groups. `None`
/// if it says no more than the mode.
#[allow(unsafe_code, reason = "rustix has no calls for ACLs")]
pub(super) fn get_acl(file: &File) -> io::Result<Option<Vec<u8>>> {
    let Some((acl, kind)) = acl_of(file)? else { return Ok(None) };
    let mut trivial = 0;
    // SAFETY: the ACL lives until the end of this function, and so does the number.
    check(unsafe { external::acl_is_trivial_np(acl.as_ptr(), &raw mut trivial) })?;
    if trivial != 0 {
        return Ok(None);
    }
    // SAFETY: the ACL lives until the end of this function; no length is asked for.
    let text = Allocated::new(unsafe {
        external::acl_to_text_np(acl.as_ptr(), ptr::null_mut(), ACL_TEXT_NUMERIC_IDS).cast()
    })?;
    // SAFETY: the call gives a string that ends in a zero, and `text` lives until it is copied.
    let bytes = unsafe { CStr::from_ptr(text.as_ptr().cast::<c_char>()) }.to_bytes();
    Ok(Some([&[if kind == ACL_TYPE_NFS4 { b'n' } else { b'p' }], bytes].concat()))
}

/// `bytes` are those of [`get_acl`].
#[allow(unsafe_code, reason = "rustix has no calls for ACLs")]
pub(super) fn set_acl(file: &File, bytes: &[u8]) -> io::Result<()> {
    let (kind, text) = match bytes {
        [b'n', text @ ..] => (ACL_TYPE_NFS4, text),
        [_, text @ ..] => (ACL_TYPE_ACCESS, text),
        [] => return Err(Errno::INVAL.into()),
    };
    let text = CString::new(text)?;
    // SAFETY: the text ends in a zero and outlives the call.
    let acl = Allocated::new(unsafe { external::acl_from_text(text.as_ptr()) })?;
    give(file, &acl, kind)
}

/// Leaves of the ACL what the mode says.
#[allow(unsafe_code, reason = "rustix has no calls for ACLs")]
pub(super) fn remove_acl(file: &File) -> io::Result<()> {
    let Some((acl, kind)) = acl_of(file)? else { return Ok(()) };
    // SAFETY: the ACL lives until the end of this function.
    let stripped = Allocated::new(unsafe { external::acl_strip_np(acl.as_ptr(), 0) })?;
    give(file, &stripped, kind)
}

#[allow(unsafe_code, reason = "rustix has no extattr_list_fd")]
pub(super) fn list_xattrs(file: &File) -> io::Result<Vec<OsString>> {
    let list = read_growing(|bytes| {
        let (pointer, len) = place(bytes);
        // SAFETY: `bytes` has room for `len` bytes; null asks for the length alone.
        len_or_error(unsafe { libc::extattr_list_fd(file.as_raw_fd(), USER, pointer, len) })
    });
    match list {
        Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
            Ok(Vec::new())
        }
        list => list.map(|list| names_with_lengths(PREFIX, &list)),
    }
}

#[allow(unsafe_code, reason = "rustix has no extattr_get_fd")]
pub(super) fn get_xattr(file: &File, xattr: &OsStr) -> io::Result<Option<Vec<u8>>> {
    let name = name_of(xattr)?;
    let value = read_growing(|bytes| {
        let (pointer, len) = place(bytes);
        let fd = file.as_raw_fd();
        // SAFETY: `bytes` has room for `len` bytes, null asks for the length alone, and the name
        // ends in a zero and outlives the call.
        len_or_error(unsafe { libc::extattr_get_fd(fd, USER, name.as_ptr(), pointer, len) })
    });
    match value {
        Err(error) if error.raw_os_error() == Some(Errno::NOATTR.raw_os_error()) => Ok(None),
        value => value.map(Some),
    }
}

#[allow(unsafe_code, reason = "rustix has no extattr_set_fd")]
pub(super) fn set_xattr(file: &File, xattr: &OsStr, value: &[u8]) -> io::Result<()> {
    let name = name_of(xattr)?;
    let (fd, pointer) = (file.as_raw_fd(), value.as_ptr().cast());
    // SAFETY: the name ends in a zero, and it and the value outlive the call.
    let len = unsafe { libc::extattr_set_fd(fd, USER, name.as_ptr(), pointer, value.len()) };
    Ok(len_or_error(len).map(drop)?)
}

#[allow(unsafe_code, reason = "rustix has no extattr_delete_fd")]
pub(super) fn remove_xattr(file: &File, xattr: &OsStr) -> io::Result<()> {
    let name = name_of(xattr)?;
    // SAFETY: the name ends in a zero and outlives the call.
    check(unsafe { libc::extattr_delete_fd(file.as_raw_fd(), USER, name.as_ptr()) })
}

#[allow(unsafe_code, reason = "rustix has no fchflags")]
pub(crate) fn set_flags(file: &File, flags: u32) -> io::Result<()> {
    let flags = fstat(file)?.st_flags & !KEPT_FLAGS | flags & KEPT_FLAGS;
    // SAFETY: the call takes a descriptor, which is open for as long as `file` is borrowed, and a
    // number; it touches no memory of this process.
    check(unsafe { libc::fchflags(file.as_raw_fd(), flags.into()) })
}

/// The name within the user namespace.
fn name_of(xattr: &OsStr) -> io::Result<CString> {
    let name = xattr.as_bytes().strip_prefix(PREFIX.as_bytes()).ok_or(Errno::OPNOTSUPP)?;
    Ok(CString::new(name)?)
}

fn place(bytes: &mut [u8]) -> (*mut c_void, usize) {
    if bytes.is_empty() { (ptr::null_mut(), 0) } else { (bytes.as_mut_ptr().cast(), bytes.len()) }
}

fn len_or_error(len: isize) -> rustix::io::Result<usize> {
    usize::try_from(len)
        .map_err(|_| Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
}

fn check(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
