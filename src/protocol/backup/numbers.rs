//! Backups with numbers: `NAME.~1~`, `NAME.~2~` and so on, as GNU's programs name them.

use std::ffi::{OsStr, OsString};
use std::io;

use super::place::{Name, Place};
use crate::error::{Error, Result, Step, TargetState};
use crate::protocol::target::Target;
use crate::sys::{self, FileKind};

/// With more digits a number might not be one that can be counted on from.
const MAX_DIGITS: usize = 18;

/// A backup, or what has the name of one.
#[derive(Debug)]
pub(super) struct Numbered {
    pub(super) number: u64,
    name: OsString,
    /// As far as the system tells.
    kind: Option<FileKind>,
}

pub(super) fn name_with(name: &OsStr, number: u64) -> OsString {
    let mut numbered = name.to_owned();
    numbered.push(format!(".~{number}~"));
    numbered
}

/// The number in `numbered`, if that is just what [`name_with`] makes of `name`.
fn number_in(numbered: &OsStr, name: &OsStr) -> Option<u64> {
    let rest = numbered.as_encoded_bytes().strip_prefix(name.as_encoded_bytes())?;
    let digits = rest.strip_prefix(b".~")?.strip_suffix(b"~")?;
    let is_number = digits.iter().all(u8::is_ascii_digit) && !digits.starts_with(b"0");
    if !is_number || digits.len() > MAX_DIGITS {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What has the name of a numbered backup, the highest number last.
pub(super) fn list(place: &Place) -> io::Result<Vec<Numbered>> {
    let Name::Numbered(base, _) = &place.name else { return Ok(Vec::new()) };
    let found = sys::list(&place.directory, |name, _| number_in(name, base).is_some());
    let found = found.map_err(|error| match sys::can_be_synced(&place.directory) {
        true => error,
        // It is held without the right to read it.
        false => io::ErrorKind::PermissionDenied.into(),
    })?;
    let numbered = found
        .into_iter()
        .filter_map(|(name, kind)| Some(Numbered { number: number_in(&name, base)?, name, kind }));
    let mut numbered = Vec::from_iter(numbered);
    numbered.sort_by_key(|it| it.number);
    Ok(numbered)
}

/// Those of `numbered` that are too many once there is `new`, which may be one of them. Only files
/// and symlinks count.
pub(super) fn surplus(
    numbered: Vec<Numbered>,
    new: &OsStr,
    place: &Place,
) -> io::Result<Vec<OsString>> {
    let Name::Numbered(_, keep) = &place.name else { return Ok(Vec::new()) };
    let mut backups = Vec::new();
    for Numbered { name, kind, .. } in numbered.into_iter().filter(|it| it.name != new) {
        let kind = match kind {
            Some(kind) => Some(kind),
            None => sys::look(&place.directory, &name)?.map(|found| found.info.kind),
        };
        if matches!(kind, Some(FileKind::File | FileKind::Symlink)) {
            backups.push(name);
        }
    }
    backups.truncate((backups.len() + 1).saturating_sub(*keep));
    Ok(backups)
}

/// Removes those that are too many. What goes wrong with one does not keep the others.
pub(super) fn prune(surplus: &[OsString], place: &Place, target: &Target) -> Result<()> {
    let mut failure: Option<Error> = None;
    for name in surplus {
        match sys::remove_entry(&place.directory, name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let error = failure.take().unwrap_or_else(|| {
                    let error = Error::failed(Step::Backup, &target.path, error);
                    error.with_state(TargetState::Replaced)
                });
                failure = Some(error.with_backup(Some(place.path_of(name))));
            }
            _ => {}
        }
    }
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_number_counts() {
        for (numbered, number) in [
            ("a.~1~", Some(1)),
            ("a.~10~", Some(10)),
            ("a.~999999999999999999~", Some(999_999_999_999_999_999)),
            ("a.~1000000000000000000~", None),
            ("a.~01~", None),
            ("a.~0~", None),
            ("a.~+1~", None),
            ("a.~~", None),
            ("a.~1", None),
            ("a.~1~~", None),
            ("a.~1~.bak", None),
            ("b.~1~", None),
            ("ba.~1~", None),
            ("a", None),
        ] {
            assert_eq!(number_in(numbered.as_ref(), "a".as_ref()), number, "{numbered}");
        }
        assert_eq!(number_in(&name_with("a".as_ref(), 7), "a".as_ref()), Some(7));
    }
}
