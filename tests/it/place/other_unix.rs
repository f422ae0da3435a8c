//! What the tests ask by calls of Linux, elsewhere: the tests that need it are skipped.

use crate::dir::Dir;

pub(super) use no as has_acls;
pub(super) use no as has_default_acls;
pub(super) use no as has_exchange;
pub(super) use no as has_held_numbers;
pub(super) use no as has_rename_without_replacing;
pub(super) use no as has_reservation;
pub(super) use no as has_system_xattrs;
pub(super) use no as has_unnamed;
pub(super) use no as has_user_xattrs;

pub(super) fn no(_: &Dir) -> bool {
    false
}
