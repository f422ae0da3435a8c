//! What the answers of Apple's systems and FreeBSD mean, apart from the calls that give them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

/// A longer value, which only a resource fork is likely to have, is reported as not kept.
const MAX_LEN: usize = 64 << 20;
/// An attribute that grows more often while it is read is not kept.
const ATTEMPTS: usize = 8;

/// Reads something of unknown length. An empty buffer asks for the length. A read may be cut off
/// without an error (extattr(2); getxattr(2) of a resource fork), so that one byte more than there
/// should be is asked for.
pub(super) fn read_growing(
    mut read: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Vec<u8>> {
    for _ in 0..ATTEMPTS {
        let len = read(&mut [])?;
        if len > MAX_LEN {
            break;
        }
        let mut bytes = vec![0; len + 1];
        match read(&mut bytes) {
            Ok(read) if read <= len => {
                bytes.truncate(read);
                return Ok(bytes);
            }
            Ok(_) | Err(Errno::RANGE) => {} // it has grown since
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::RANGE.into())
}

/// The names of a list in which each ends in a zero.
#[cfg(any(target_vendor = "apple", test))]
pub(super) fn names_with_ends(list: &[u8]) -> Vec<OsString> {
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| OsStr::from_bytes(name).to_owned()).collect()
}

/// The names of a list in which each has its length before it, in one byte.
#[cfg(any(target_os = "freebsd", test))]
pub(super) fn names_with_lengths(prefix: &str, mut list: &[u8]) -> Vec<OsString> {
    let mut names = Vec::new();
    // Bounded: every turn takes at least the length.
    while let [len, rest @ ..] = list {
        let (name, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        let mut full = OsString::from(prefix);
        full.push(OsStr::from_bytes(name));
        names.push(full);
        list = rest;
    }
    names
}

/// An ACL cannot be had: the file has none (ENOENT, on macOS), or the file system none of this kind
/// (EINVAL, on FreeBSD) or none at all.
pub(super) fn is_no_acl(error: &io::Error) -> bool {
    let errnos = [Errno::NOENT, Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS];
    Errno::from_io_error(error).is_some_and(|errno| errnos.contains(&errno))
}

/// Where an ACL of macOS has the number of its entries: `struct kauth_filesec` of sys/kauth.h has a
/// magic number and two identifiers before it, and some flags behind it.
#[cfg(any(target_vendor = "apple", test))]
const COUNT_AT: usize = 4 + 16 + 16;
/// An identifier, flags and rights (`struct kauth_ace`).
#[cfg(any(target_vendor = "apple", test))]
const ENTRY_LEN: usize = 16 + 4 + 4;

/// `None` if the header is cut off.
#[cfg(any(target_vendor = "apple", test))]
fn count_in(acl: &[u8]) -> Option<u32> {
    acl.get(COUNT_AT..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

/// Whether an ACL of macOS says anything.
#[cfg(any(target_vendor = "apple", test))]
pub(super) fn has_entries(acl: &[u8]) -> bool {
    const NO_ACL: u32 = u32::MAX;
    count_in(acl).is_some_and(|count| ![0, NO_ACL].contains(&count))
}

/// An ACL of macOS, aligned for its struct. `None` if it is shorter than its entries.
#[cfg(any(target_vendor = "apple", test))]
pub(super) fn whole_acl(acl: &[u8]) -> Option<Vec<u32>> {
    let entries = usize::try_from(count_in(acl)?).ok()?.checked_mul(ENTRY_LEN)?;
    if acl.len() < entries.checked_add(COUNT_AT + 4 + 4)? {
        return None;
    }
    let word = |bytes: &[u8]| {
        let mut word = [0; size_of::<u32>()];
        word[..bytes.len()].copy_from_slice(bytes);
        u32::from_ne_bytes(word)
    };
    Some(acl.chunks(size_of::<u32>()).map(word).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a value whose length is the next of `lens` at every call.
    fn read(lens: &[usize], cuts_off: bool) -> Result<usize, Errno> {
        let mut lens = lens.iter();
        let result = read_growing(|bytes| {
            let len = *lens.next().expect("no more calls than that");
            match bytes.len() {
                0 => Ok(len),
                room if room < len && !cuts_off => Err(Errno::RANGE),
                room => Ok(len.min(room)),
            }
        });
        assert_eq!(lens.next(), None, "fewer calls");
        result
            .map(|bytes| bytes.len())
            .map_err(|error| Errno::from_io_error(&error).expect("an errno"))
    }

    #[test]
    fn a_value_is_read_whole_or_not_at_all() {
        assert_eq!(read(&[0, 0], true), Ok(0));
        assert_eq!(read(&[100_000, 100_000], true), Ok(100_000));
        assert_eq!(read(&[100, 50], true), Ok(50));
        for cuts_off in [true, false] {
            assert_eq!(read(&[10, 12, 12, 12], cuts_off), Ok(12));
            let growing: Vec<usize> = (1..=2 * ATTEMPTS).map(|turn| 10 * turn).collect();
            assert_eq!(read(&growing, cuts_off), Err(Errno::RANGE));
        }
        assert_eq!(read(&[MAX_LEN + 1], true), Err(Errno::RANGE));
        let denied = read_growing(|_| Err(Errno::PERM)).map_err(|error| error.kind());
        assert_eq!(denied, Err(io::ErrorKind::PermissionDenied));
    }

    #[test]
    fn lists_of_names() {
        assert_eq!(names_with_ends(b""), Vec::<OsString>::new());
        assert_eq!(names_with_ends(b"com.apple.quarantine\0a\0"), ["com.apple.quarantine", "a"]);
        assert_eq!(names_with_lengths("user.", b""), Vec::<OsString>::new());
        assert_eq!(names_with_lengths("user.", b"\x03abc\x01d"), ["user.abc", "user.d"]);
        assert_eq!(names_with_lengths("user.", b"\x09cut"), ["user.cut"]);
    }

    #[test]
    fn an_acl_that_says_nothing_is_none() {
        for errno in [Errno::NOENT, Errno::INVAL, Errno::OPNOTSUPP] {
            assert!(is_no_acl(&errno.into()), "{errno}");
        }
        for errno in [Errno::PERM, Errno::ACCESS, Errno::IO, Errno::NOMEM] {
            assert!(!is_no_acl(&errno.into()), "{errno}");
        }
        let acl = |count: u32| [&[7; 36][..], &count.to_ne_bytes(), &[0; 4]].concat();
        assert!(has_entries(&acl(1)));
        assert!(!has_entries(&acl(0)));
        assert!(!has_entries(&acl(u32::MAX)));
        assert!(!has_entries(b"short"));
    }

    /// acl_copy_int_native(3) is not told how long the ACL is and reads as far as the entries go.
    #[test]
    fn an_acl_that_is_cut_off_is_refused() {
        let acl = |count: u32, len: usize| {
            let mut acl = [&[7; COUNT_AT][..], &count.to_ne_bytes()].concat();
            acl.resize(len, 9);
            acl
        };
        for (count, len, whole) in [
            (0, 43, false),
            (0, 44, true),
            (1, 67, false),
            (1, 68, true),
            (1, 69, true),
            (2, 91, false),
            (2, 92, true),
            (u32::MAX, 1000, false),
        ] {
            let bytes = acl(count, len);
            let words = whole_acl(&bytes);
            assert_eq!(words.is_some(), whole, "{count} entries in {len} bytes");
            let again = words.into_iter().flatten().flat_map(u32::to_ne_bytes);
            assert!(!whole || again.take(len).eq(bytes), "{count} entries in {len} bytes");
        }
        assert_eq!(whole_acl(b"short"), None);
    }
}
