//! Whatever the path, a save does not panic, writes nowhere but to the file that the path names,
//! and leaves nothing behind.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

#[path = "../../tests/it/corpus/paths.rs"]
mod paths;
#[path = "../../tests/it/snapshot.rs"]
mod snapshot;

fuzz_target!(|input: &[u8]| -> Corpus {
    let root = tempfile::tempdir().unwrap();
    match paths::check(root.path(), input) {
        Some(_) => Corpus::Keep,
        None => Corpus::Reject,
    }
});
