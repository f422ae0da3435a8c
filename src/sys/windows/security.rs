//! Security descriptors: the owner, the group and the access control list (DACL) of a file.
//!
//! Read and set as they are. The calls that know about inheritance (SetSecurityInfo) would work out
//! anew what the file inherits, and so give the new file another list than the old one had.

use std::ffi::{OsStr, c_void};
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::path::Path;
use std::{ptr, slice};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INSUFFICIENT_BUFFER, GENERIC_READ, GENERIC_WRITE,
    INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Security::{
    ACL, DACL_SECURITY_INFORMATION, EqualSid, GROUP_SECURITY_INFORMATION, GetKernelObjectSecurity,
    GetSecurityDescriptorControl, GetSecurityDescriptorDacl, GetSecurityDescriptorGroup,
    GetSecurityDescriptorOwner, InitializeSecurityDescriptor, OWNER_SECURITY_INFORMATION,
    PSECURITY_DESCRIPTOR, PSID, SE_DACL_AUTO_INHERIT_REQ, SE_DACL_AUTO_INHERITED,
    SE_DACL_PROTECTED, SECURITY_ATTRIBUTES, SECURITY_DESCRIPTOR, SetKernelObjectSecurity,
    SetSecurityDescriptorControl, SetSecurityDescriptorDacl, SetSecurityDescriptorGroup,
    SetSecurityDescriptorOwner,
};
use windows_sys::Win32::Storage::FileSystem::{
    CREATE_NEW, CreateFileW, FILE_ATTRIBUTE_NORMAL, FILE_SHARE_DELETE, FILE_SHARE_READ,
    FILE_SHARE_WRITE, READ_CONTROL, WRITE_DAC, WRITE_OWNER,
};

use super::rename::open_with;
use super::verdicts::{cannot_be_kept, is_one_of};
use super::{Directory, check, inspect, wide};
use crate::sys::{Creation, Existing};

const ALL: u32 =
    OWNER_SECURITY_INFORMATION | GROUP_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
/// In SECURITY_DESCRIPTOR.
const REVISION: u32 = 1;

/// A security descriptor in one piece, aligned.
#[derive(Debug)]
pub(crate) struct Security(Vec<u64>);

/// What a descriptor says. The pointers lead into the [`Security`] that it was taken from.
#[derive(Clone, Copy)]
struct Parts<'a> {
    owner: PSID,
    group: PSID,
    /// Null if everybody may do everything.
    dacl: *mut ACL,
    control: u16,
    of: PhantomData<&'a Security>,
}

/// A descriptor that points into the [`Security`] that it was made of.
struct Pointing<'a> {
    descriptor: SECURITY_DESCRIPTOR,
    of: PhantomData<&'a Security>,
}

/// Which of its parts a descriptor is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Creation { owner: bool, access: bool },
    Access,
    Owner,
}

pub(crate) fn security_of(
    existing: &Existing,
    directory: &Directory,
    name: &OsStr,
) -> io::Result<Option<Security>> {
    let file = open_with(&directory.join(name), READ_CONTROL)?;
    // Not held since the look, since an open file cannot be replaced everywhere. Another that has
    // been saved in its place is what will be replaced, so that its security is the right one.
    if inspect(&file)?.kind != existing.info.kind {
        return Err(io::ErrorKind::NotFound.into());
    }
    Security::read(&file).map(Some)
}

pub(crate) fn set_access_of(file: &File, security: &Security) -> io::Result<()> {
    let now = Security::read(file)?;
    if now.has_access_of(security)? {
        return Ok(());
    }
    security.set(file, For::Access, DACL_SECURITY_INFORMATION)
}

pub(crate) fn set_owner_of(file: &File, security: &Security) -> io::Result<()> {
    let now = Security::read(file)?;
    if now.has_owner_of(security)? {
        return Ok(());
    }
    security.set(file, For::Owner, OWNER_SECURITY_INFORMATION | GROUP_SECURITY_INFORMATION)
}

/// Creates a file, shared for everything, so that it can be renamed and removed while it is open.
/// Without a security to take over it gets the list that the directory hands down.
pub(super) fn create(path: &Path, creation: Creation<'_>) -> io::Result<File> {
    let plain = GENERIC_READ | GENERIC_WRITE;
    let full = plain | READ_CONTROL | WRITE_DAC | WRITE_OWNER;
    let Creation { owner_of, access_of, .. } = creation;
    // Each try asks for less. What it could not give is set later, or on the receipt.
    let mut result = create_with(path, full, access_of, owner_of);
    if owner_of.is_some() && result.as_ref().is_err_and(cannot_be_kept) {
        result = create_with(path, full, access_of, None);
    }
    if access_of.is_some() && result.as_ref().is_err_and(cannot_be_kept) {
        result = create_with(path, full, None, None);
    }
    match result {
        Err(error) if is_one_of(&error, &[ERROR_ACCESS_DENIED]) => {
            create_with(path, plain, None, None)
        }
        result => result,
    }
}

#[allow(unsafe_code, reason = "std cannot create a file with a security descriptor")]
fn create_with(
    path: &Path,
    access: u32,
    access_of: Option<&Security>,
    owner_of: Option<&Security>,
) -> io::Result<File> {
    let parts = For::Creation { owner: owner_of.is_some(), access: access_of.is_some() };
    let mut descriptor = match access_of.or(owner_of) {
        Some(security) => Some(security.pointing(parts)?),
        None => None,
    };
    let attributes = SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: descriptor
            .as_mut()
            .map_or(ptr::null_mut(), |pointing| ptr::from_mut(&mut pointing.descriptor).cast()),
        bInheritHandle: 0,
    };
    let path = wide(path);
    // SAFETY: the path ends in a zero and has no other; it, the attributes, the descriptor and the
    // security that the descriptor points into outlive the call.
    let handle = unsafe {
        CreateFileW(
            path.as_ptr(),
            access,
            FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
            &raw const attributes,
            CREATE_NEW,
            FILE_ATTRIBUTE_NORMAL,
            ptr::null_mut(),
        )
    };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is open, and nobody else has it.
    Ok(unsafe { File::from_raw_handle(handle) })
}

#[allow(unsafe_code, reason = "std has no security descriptors")]
impl Security {
    /// The same without the last of those whom the list lets in.
    #[cfg(test)]
    pub(super) fn without_the_last_entry(mut self) -> Security {
        use windows_sys::Win32::Security::DeleteAce;
        let dacl = self.parts().expect("the system has written it").dacl;
        assert!(!dacl.is_null(), "a list");
        let offset = dacl.addr() - self.0.as_ptr().addr();
        let dacl = self.0.as_mut_ptr().wrapping_byte_add(offset).cast::<ACL>();
        // SAFETY: the list begins there in `self`, aligned, and nothing else borrows it.
        let count = u32::from(unsafe { (*dacl).AceCount });
        // SAFETY: as above; the call writes within the list, and an entry that it has not is an
        // error.
        let deleted = unsafe { DeleteAce(dacl, count.wrapping_sub(1)) };
        check(deleted).expect("it has entries");
        self
    }

    fn read(file: &File) -> io::Result<Security> {
        let mut words = vec![0_u64; 64];
        // Bounded: somebody would have to make the descriptor longer before each turn.
        for _ in 0..8 {
            let mut needed = 0;
            let len = size_of_val(&words[..]) as u32;
            let start: PSECURITY_DESCRIPTOR = words.as_mut_ptr().cast();
            // SAFETY: the handle is open for as long as `file` is borrowed, and the call writes no
            // more bytes than there are, which it is told, and one number.
            let read = check(unsafe {
                GetKernelObjectSecurity(file.as_raw_handle(), ALL, start, len, &raw mut needed)
            });
            match read {
                Err(error) if is_one_of(&error, &[ERROR_INSUFFICIENT_BUFFER]) => {
                    words.resize((needed as usize).div_ceil(size_of::<u64>()).max(1), 0);
                }
                result => return result.map(|()| Security(words)),
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    fn parts(&self) -> io::Result<Parts<'_>> {
        let this: PSECURITY_DESCRIPTOR = self.0.as_ptr().cast::<c_void>().cast_mut();
        let (mut owner, mut group, mut dacl) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let (mut present, mut defaulted, mut revision, mut control) = (0, 0, 0, 0);
        // SAFETY: the system has written the descriptor, which is borrowed; the call only reads it,
        // and writes to places on this stack. What it finds there lies within the descriptor.
        check(unsafe { GetSecurityDescriptorOwner(this, &raw mut owner, &raw mut defaulted) })?;
        // SAFETY: as above.
        check(unsafe { GetSecurityDescriptorGroup(this, &raw mut group, &raw mut defaulted) })?;
        let (list, ignored) = (&raw mut dacl, &raw mut defaulted);
        // SAFETY: as above. Without a list, `dacl` stays null.
        check(unsafe { GetSecurityDescriptorDacl(this, &raw mut present, list, ignored) })?;
        // SAFETY: as above.
        check(unsafe { GetSecurityDescriptorControl(this, &raw mut control, &raw mut revision) })?;
        Ok(Parts { owner, group, dacl, control, of: PhantomData })
    }

    /// A descriptor with some of the parts, which points into this one.
    fn pointing(&self, parts: For) -> io::Result<Pointing<'_>> {
        let Parts { owner, group, dacl, control, of } = self.parts()?;
        let (with_owner, with_access) = match parts {
            For::Creation { owner, access } => (owner, access),
            For::Access => (false, true),
            For::Owner => (true, false),
        };
        // While it is created, the file is to inherit nothing besides.
        let bits = match parts {
            For::Creation { .. } => SE_DACL_PROTECTED,
            // A list is marked as inherited only where this is asked for.
            _ if control & SE_DACL_AUTO_INHERITED != 0 => {
                control & SE_DACL_PROTECTED | SE_DACL_AUTO_INHERITED | SE_DACL_AUTO_INHERIT_REQ
            }
            _ => control & SE_DACL_PROTECTED,
        };
        let mut descriptor = SECURITY_DESCRIPTOR::default();
        let this: PSECURITY_DESCRIPTOR = (&raw mut descriptor).cast();
        // SAFETY: the call writes to the descriptor on this stack, whose type it has.
        check(unsafe { InitializeSecurityDescriptor(this, REVISION) })?;
        if with_access {
            // SAFETY: the descriptor is initialized. The pointer that the call stores in it leads
            // into `self`, which the result borrows.
            check(unsafe { SetSecurityDescriptorDacl(this, 1, dacl, 0) })?;
            let all = SE_DACL_PROTECTED | SE_DACL_AUTO_INHERITED | SE_DACL_AUTO_INHERIT_REQ;
            // SAFETY: the descriptor is initialized, and the call stores numbers in it.
            check(unsafe { SetSecurityDescriptorControl(this, all, bits) })?;
        }
        if with_owner {
            // SAFETY: as for the list.
            check(unsafe { SetSecurityDescriptorOwner(this, owner, 0) })?;
            // SAFETY: as for the list.
            check(unsafe { SetSecurityDescriptorGroup(this, group, 0) })?;
        }
        Ok(Pointing { descriptor, of })
    }

    fn set(&self, file: &File, parts: For, information: u32) -> io::Result<()> {
        let mut pointing = self.pointing(parts)?;
        let descriptor = (&raw mut pointing.descriptor).cast();
        // SAFETY: the handle is open for as long as `file` is borrowed; the descriptor and what it
        // points into outlive the call, which only reads them.
        check(unsafe { SetKernelObjectSecurity(file.as_raw_handle(), information, descriptor) })
    }

    pub(super) fn has_owner_of(&self, other: &Security) -> io::Result<bool> {
        let (one, other) = (self.parts()?, other.parts()?);
        let same = |one: PSID, other: PSID| match (one.is_null(), other.is_null()) {
            // SAFETY: both are identifiers in descriptors that the system has written, borrowed.
            (false, false) => unsafe { EqualSid(one, other) != 0 },
            (one, other) => one == other,
        };
        Ok(same(one.owner, other.owner) && same(one.group, other.group))
    }

    pub(super) fn has_access_of(&self, other: &Security) -> io::Result<bool> {
        let (one, other) = (self.parts()?, other.parts()?);
        let kept = SE_DACL_PROTECTED | SE_DACL_AUTO_INHERITED;
        Ok(one.list() == other.list() && one.control & kept == other.control & kept)
    }
}

impl<'a> Parts<'a> {
    /// The bytes of the access list.
    #[allow(unsafe_code, reason = "std has no security descriptors")]
    fn list(&self) -> Option<&'a [u8]> {
        if self.dacl.is_null() {
            return None;
        }
        // SAFETY: a list that the system has written, aligned, in a security borrowed for `'a`.
        let len = usize::from(unsafe { (*self.dacl).AclSize });
        // SAFETY: as above. It is as long as it says, and nobody writes to it while it is borrowed.
        Some(unsafe { slice::from_raw_parts(self.dacl.cast(), len) })
    }
}
