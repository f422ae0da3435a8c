//! Any script of calls on a writer does what the same calls do to a file in memory.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

#[path = "../../tests/it/model.rs"]
mod model;
#[path = "../../tests/it/corpus/operations.rs"]
mod operations;

fuzz_target!(|input: &[u8]| -> Corpus {
    let root = tempfile::tempdir().unwrap();
    match operations::check(root.path(), input) {
        Some(_) => Corpus::Keep,
        None => Corpus::Reject,
    }
});
