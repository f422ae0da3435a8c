//! A sweep removes the orphans that the documents describe, and nothing else.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

#[path = "../../tests/it/snapshot.rs"]
mod snapshot;
#[path = "../../tests/it/corpus/sweeper.rs"]
mod sweeper;

fuzz_target!(|input: &[u8]| -> Corpus {
    let root = tempfile::tempdir().unwrap();
    match sweeper::check(root.path(), input) {
        Some(_) => Corpus::Keep,
        None => Corpus::Reject,
    }
});
