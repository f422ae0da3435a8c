//! A recovery from any text, in a folder of its own. The fuzz target runs it too.
//!
//! The first byte of the input says whether the rest is the journal itself or what comes after a
//! header that fits; there, `ROOT` stands for the folder, `ROOT_ID` and `STAGE_ID` for the numbers
//! of the folder and of a directory in it that is named like a staging directory, `STAGED` and
//! `TARGET` for what tells the files there from others.

use std::path::Path;
use std::time::UNIX_EPOCH;

use fs_err as fs;
use wholefile::{ErrorKind, Recovered, recover};

use crate::snapshot::snapshot;

/// The checksum of a journal's second line.
pub(crate) fn fnv_1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// A journal with that second line, and the checksum that belongs to it.
pub(crate) fn journal_of(version: u64, body: &[u8]) -> Vec<u8> {
    let checksum = fnv_1a(body);
    let header =
        format!(r#"{{"format":"wholefile journal","version":{version},"checksum":{checksum}}}"#);
    [header.as_bytes(), b"\n", body, b"\n"].concat()
}

fn filled(text: &str, root: &Path, stage: &Path) -> String {
    let folder = root.to_str().unwrap().replace('\\', "\\\\");
    text.replace("STAGED", &identity_of(&stage.join("0")))
        .replace("TARGET", &identity_of(&root.join("target")))
        .replace("STAGE_ID", &id_of(&fs::metadata(stage).unwrap()).to_string())
        .replace("ROOT_ID", &id_of(&fs::metadata(root).unwrap()).to_string())
        .replace("ROOT", &folder)
}

fn identity_of(path: &Path) -> String {
    let metadata = fs::metadata(path).unwrap();
    let modified = metadata.modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
    let (seconds, nanos) = (modified.as_secs(), modified.subsec_nanos());
    let (id, len) = (id_of(&metadata), metadata.len());
    format!(r#"{{"id":{id},"len":{len},"modified":[{seconds},{nanos}]}}"#)
}

#[cfg(unix)]
fn id_of(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

/// The standard library does not tell.
#[cfg(not(unix))]
fn id_of(_: &std::fs::Metadata) -> u64 {
    0
}

/// Recovers from what `input` says in `root`, which is empty. However much of it is true, nothing
/// is touched: the directory is not marked for it. Gives the kind of the error.
pub(crate) fn check(root: &Path, input: &[u8]) -> Option<ErrorKind> {
    let stage = root.join(".wholefile-abcDEF012345.tmp");
    fs::create_dir(&stage).unwrap();
    fs::write(stage.join("0"), "staged").unwrap();
    fs::write(root.join("target"), "old").unwrap();
    let journal = match input.split_first() {
        Some((first, body)) if first % 2 == 1 => {
            let text = String::from_utf8_lossy(body);
            journal_of(1, filled(&text, root, &stage).as_bytes())
        }
        Some((_, journal)) => journal.to_vec(),
        None => Vec::new(),
    };
    fs::write(root.join("journal"), journal).unwrap();
    let mut before = snapshot(root);
    let result = recover(root.join("journal"));
    match &result {
        Ok(recovery) => {
            // One that is complete: without files, or of files that are what they were to be.
            assert!(recovery.files().all(|(_, how)| how == Recovered::Before));
            before.remove(&root.join("journal"));
        }
        Err(error) => {
            let is_refusal =
                [ErrorKind::InvalidJournal, ErrorKind::Unrecoverable].contains(&error.kind());
            // Paths may lead anywhere, and the system says what it likes.
            assert!(is_refusal || error.io_error().is_some(), "{error}");
        }
    }
    assert_eq!(snapshot(root), before);
    result.err().map(|error| error.kind())
}
