//! The mark in a staging directory: for which journal it is needed.
//!
//! It is complete before the journal is written, and the journal is removed only when nothing is to
//! be recovered. So a staging directory without an owner is an orphan if its mark is incomplete, or
//! if the journal is not there: not yet, or not any more. That must be certain, though. A path that
//! leads nowhere today may lead there tomorrow, when a file system is mounted again; so the mark
//! has the identity of the journal's directory, and only that very directory can say that it has no
//! journal.
//!
//! It is also what tells a staging directory from any other that a forged journal may name: without
//! the mark of that journal, a recovery publishes nothing from it and removes nothing in it. So it
//! is the last that is removed before the directory itself.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::sys;

/// Far more than a path takes.
pub(in crate::many) const MAX_LEN: usize = 64 << 10;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    directory: Utf8PathBuf,
    directory_id: u64,
    journal: String,
}

/// The mark of a journal of that name. The end of the line says that it is complete.
pub(super) fn text(directory: &Utf8PathBuf, directory_id: u64, journal: &str) -> String {
    let (directory, journal) = (directory.clone(), journal.to_owned());
    let mark = Mark { directory, directory_id, journal };
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
    Ok(sys::look(&directory, OsStr::new(&mark.journal))?.is_some())
}
