//! The mark in a staging directory: for which journal it is needed.
//!
//! It is complete before the journal is written, and the journal is removed only when nothing is to
//! be recovered. So a staging directory without an owner is an orphan if its mark is incomplete, or
//! if the journal is not there: not yet, or not any more. That must be certain, though. A path that
//! leads nowhere today may lead there tomorrow, when a file system is mounted again; so the mark
//! has the identity of the journal's directory, and only that very directory can say that it has no
//! journal. Its number alone does not tell it from that of another file system that is mounted
//! there meanwhile: all roots of ext4 have the number 2. So the mark has the time, too, at which
//! the directory was made; and where there is none, no root is believed.
//!
//! It is also what tells a staging directory from any other that a forged journal may name: without
//! the mark of that journal, a recovery publishes nothing from it and removes nothing in it. So it
//! is the last that is removed before the directory itself.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::sys::{self, Directory};

/// Far more than a path takes.
pub(in crate::many) const MAX_LEN: usize = 64 << 10;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    directory: Utf8PathBuf,
    directory_id: u64,
    /// In seconds and nanoseconds since 1970.
    directory_born: Option<(u64, u32)>,
    journal: String,
}

fn born(directory: &Directory) -> Option<(u64, u32)> {
    sys::birth_of(directory).map(|it| (it.as_secs(), it.subsec_nanos()))
}

/// The mark of a journal of that name in the directory `found`, whose path and number are given.
/// The end of the line says that it is complete.
pub(super) fn text(
    found: &Directory,
    directory: &Utf8PathBuf,
    directory_id: u64,
    journal: &str,
) -> String {
    let (directory, journal) = (directory.clone(), journal.to_owned());
    let mark = Mark { directory, directory_id, directory_born: born(found), journal };
    // A struct of texts and numbers can be written.
    let mut text = serde_json::to_string(&mark).unwrap_or_default();
    text.push('\n');
    text
}

/// Whether `text` is the mark of the journal of that name. The path of its directory may be another
/// by now.
pub(super) fn is_of(text: &[u8], directory_id: u64, journal: &str) -> bool {
    let mark = text.strip_suffix(b"\n").map(serde_json::from_slice::<Mark>);
    let Some(Ok(mark)) = mark else { return false };
    let key = |name: &str| sys::lock_key(OsStr::new(name));
    mark.directory_id == directory_id && key(&mark.journal) == key(journal)
}

/// Whether the journal that `text` names may be there.
pub(in crate::many) fn needs(text: &[u8]) -> io::Result<bool> {
    let Some(line) = text.strip_suffix(b"\n") else { return Ok(text.len() == MAX_LEN) };
    // What this version cannot read may be another's.
    let Ok(mark) = serde_json::from_slice::<Mark>(line) else { return Ok(true) };
    let Ok(directory) = sys::open_directory(None, Path::new(&mark.directory)) else {
        return Ok(true); // nobody can tell
    };
    if sys::inspect_directory(&directory)?.id.file != mark.directory_id {
        return Ok(true);
    }
    let is_another = match (born(&directory), mark.directory_born) {
        (Some(now), Some(then)) => now != then,
        // Who made the mark or who reads it may have no such call, or the file system no such time.
        _ => may_be_root(&directory)?,
    };
    if is_another {
        return Ok(true);
    }
    Ok(sys::look(&directory, OsStr::new(&mark.journal))?.is_some())
}

/// Whether it may be the root of a file system.
fn may_be_root(directory: &Directory) -> io::Result<bool> {
    let Ok(parent) = sys::open_directory(Some(directory), Path::new("..")) else {
        return Ok(true);
    };
    let (own, above) = (sys::inspect_directory(directory)?.id, sys::inspect_directory(&parent)?.id);
    Ok(own == above || own.device != above.device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, Op, Plan, with_plan};

    type Born = Option<(u64, u32)>;

    /// Whether a mark that was made in that directory, at that time by the clock of the file
    /// system, is needed by a journal that is not there.
    fn needs_if_born(path: &Path, change: fn(Born) -> Born) -> bool {
        let found = sys::open_directory(None, path).unwrap();
        let id = sys::inspect_directory(&found).unwrap().id.file;
        let directory = Utf8PathBuf::from_path_buf(path.to_path_buf()).unwrap();
        let text = text(&found, &directory, id, "no such journal");
        assert!(is_of(text.as_bytes(), id, "no such journal"));
        let mut mark: Mark = serde_json::from_str(&text).unwrap();
        assert_eq!(mark.directory_born, born(&found));
        assert_eq!(mark.directory_born.is_some(), sys::birth_of(&found).is_some());
        mark.directory_born = change(mark.directory_born);
        needs((serde_json::to_string(&mark).unwrap() + "\n").as_bytes()).unwrap()
    }

    /// Another file system may be mounted in its place, whose root has the same number.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat(2)")]
    fn only_the_very_directory_can_say_that_it_has_no_journal() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!needs_if_born(dir.path(), |born| born));
        assert!(!needs_if_born(dir.path(), |_| None), "it is no root");
        let later = |born: Born| born.map(|(seconds, nanos)| (seconds + 1, nanos));
        let is_told = sys::birth_of(&sys::open_directory(None, dir.path()).unwrap()).is_some();
        assert_eq!(needs_if_born(dir.path(), later), is_told);
        if cfg!(unix) {
            assert!(needs_if_born(Path::new("/"), |_| None), "it is a root");
        }
        let ask = |plan| with_plan(plan, || needs_if_born(dir.path(), |_| None));
        let above = ask(Plan::default()).1.log.iter().rposition(|op| *op == Op::OpenDirectory);
        let denied = Fault::Error(13); // EACCES
        let at = Some((above.expect("it looks above"), denied));
        assert!(ask(Plan { at, ..Plan::default() }).0, "nobody can tell");
    }
}
