//! The POSIX ACL of a file, as far as it must be understood: acl(5) and, for the bytes,
//! `struct posix_acl_xattr_header` of the Linux kernel.

/// The xattr that holds it.
pub(super) use crate::sys::ACL_XATTR as NAME;

/// The ACL of the file that is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Acl {
    /// There is none: the mode says all.
    #[default]
    Absent,
    /// It is to be kept.
    Present(Vec<u8>),
    /// The new file will not have it. Beside an ACL the group's bits of the mode are only an upper
    /// bound, so that without it they would mean more than they did.
    Lost {
        /// The rights that it left to everybody but the owner.
        shared: u32,
    },
}

impl Acl {
    /// What is left of an ACL with these bytes if it cannot be kept.
    pub(super) fn lost(bytes: &[u8]) -> Acl {
        Acl::Lost { shared: shared_rights(bytes) }
    }

    /// An ACL that may be there and cannot be read.
    pub(super) const UNKNOWN: Acl = Acl::Lost { shared: 0o7 };
}

const HEADER: &[u8] = &[2, 0, 0, 0];
const HEADER_LEN: usize = HEADER.len();
const ENTRY_LEN: usize = 8;
const USER_OBJ: u16 = 0x01;
const GROUP_OBJ: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The same entries without any rights but the owner's. An ACL of another system is left as it is.
pub(super) fn for_the_owner_alone(bytes: &[u8]) -> Vec<u8> {
    with_at_most(bytes, |tag| if tag == USER_OBJ { 0o7 } else { 0 })
}

/// The same entries, but nobody may more than once the permissions are `mode`: as chmod(2) does,
/// the group's bits go to the mask, and where there is none to the owning group. An ACL of another
/// system is left as it is.
pub(super) fn narrowed(bytes: &[u8], mode: u32) -> Vec<u8> {
    let group = if entries(bytes).any(|(tag, _)| tag == MASK) { MASK } else { GROUP_OBJ };
    with_at_most(bytes, |tag| match tag {
        USER_OBJ => mode >> 6,
        OTHER => mode,
        tag if tag == group => mode >> 3,
        _ => 0o7,
    })
}

/// The same entries, each with no more rights than `most` leaves to its tag.
fn with_at_most(bytes: &[u8], most: impl Fn(u16) -> u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if !bytes.starts_with(HEADER) {
        return bytes;
    }
    for entry in bytes.get_mut(HEADER_LEN..).unwrap_or_default().chunks_exact_mut(ENTRY_LEN) {
        let most = most(u16::from_le_bytes([entry[0], entry[1]])) & 0o7;
        entry[2] &= most as u8;
        entry[3] = 0;
    }
    bytes
}

/// The tag and the rights of each entry.
fn entries(bytes: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    bytes.get(HEADER_LEN..).unwrap_or_default().chunks_exact(ENTRY_LEN).map(|entry| {
        let number = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        (number(0), u32::from(number(2)))
    })
}

/// The rights that every entry but the owner's gives: nobody gains by getting just these. Of an ACL
/// of another system, whose entries may deny as well, it is not known: none.
fn shared_rights(bytes: &[u8]) -> u32 {
    if !bytes.starts_with(HEADER) {
        return 0;
    }
    let mask = entries(bytes).find(|(tag, _)| *tag == MASK).map_or(0o7, |(_, rights)| rights);
    let others = entries(bytes).filter(|(tag, _)| ![USER_OBJ, MASK].contains(tag));
    // What the mask takes from one of them is not shared by all.
    let rights = others.map(|(_, rights)| rights & mask);
    rights.reduce(|all, rights| all & rights).unwrap_or(0) & 0o7
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: u16 = 0x02;

    fn encode(entries: &[(u16, u16)]) -> Vec<u8> {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, rights) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(rights.to_le_bytes());
            bytes.extend(u32::MAX.to_le_bytes());
        }
        bytes
    }

    #[track_caller]
    fn check(entries: &[(u16, u16)], expected: u32) {
        assert_eq!(shared_rights(&encode(entries)), expected, "{entries:?}");
    }

    #[test]
    fn only_the_owners_entry_is_left_its_rights() {
        let before = encode(&[(USER_OBJ, 6), (USER, 6), (GROUP_OBJ, 4), (MASK, 6), (OTHER, 4)]);
        let after = encode(&[(USER_OBJ, 6), (USER, 0), (GROUP_OBJ, 0), (MASK, 0), (OTHER, 0)]);
        assert_eq!(for_the_owner_alone(&before), after);
        assert_eq!(for_the_owner_alone(b"\x02"), b"\x02");
    }

    #[test]
    fn nobody_may_more_than_under_the_mode_that_follows() {
        for (mode, entries, expected) in [
            // With a mask that is what gives way, and a named user's entry stays as it was.
            (0o640, [6, 6, 4, 6, 4], [6, 6, 4, 4, 0]),
            (0o600, [6, 6, 7, 7, 7], [6, 6, 7, 0, 0]),
            (0o466, [6, 6, 4, 6, 4], [4, 6, 4, 6, 4]),
            // Nobody gains anything.
            (0o777, [6, 4, 0, 4, 0], [6, 4, 0, 4, 0]),
        ] {
            let acl = |rights: [u16; 5]| {
                let tags = [USER_OBJ, USER, GROUP_OBJ, MASK, OTHER];
                encode(&tags.into_iter().zip(rights).collect::<Vec<_>>())
            };
            assert_eq!(narrowed(&acl(entries), mode), acl(expected), "{mode:o}: {entries:?}");
        }
        let without_mask = encode(&[(USER_OBJ, 6), (GROUP_OBJ, 6), (OTHER, 4)]);
        let expected = encode(&[(USER_OBJ, 6), (GROUP_OBJ, 4), (OTHER, 0)]);
        assert_eq!(narrowed(&without_mask, 0o640), expected);
        assert_eq!(narrowed(b"\x02", 0o600), b"\x02");
    }

    #[test]
    fn only_what_every_entry_gives_is_shared() {
        let owner = (USER_OBJ, 6);
        check(&[owner, (GROUP_OBJ, 4), (OTHER, 4)], 4);
        // A named user may more than the group.
        check(&[owner, (USER, 6), (GROUP_OBJ, 0), (MASK, 6), (OTHER, 0)], 0);
        check(&[owner, (USER, 6), (GROUP_OBJ, 4), (MASK, 6), (OTHER, 4)], 4);
        // A named user is shut out of a file that everybody else may read.
        check(&[owner, (USER, 0), (GROUP_OBJ, 4), (MASK, 4), (OTHER, 4)], 0);
        // The mask takes from the group, not from the others.
        check(&[owner, (USER, 4), (GROUP_OBJ, 7), (MASK, 1), (OTHER, 7)], 0);
        check(&[owner, (GROUP_OBJ, 7), (MASK, 5), (OTHER, 7)], 5);
        check(&[], 0);
        assert_eq!(shared_rights(b"\x02"), 0);
        // One of macOS, by its magic number.
        let foreign = [&0x012c_c16d_u32.to_le_bytes()[..], &[0xff; 80]].concat();
        assert_eq!(shared_rights(&foreign), 0);
        assert_eq!(for_the_owner_alone(&foreign), foreign);
        assert_eq!(narrowed(&foreign, 0o600), foreign);
    }
}
