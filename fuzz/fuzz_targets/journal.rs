//! Whatever a journal says, a recovery does not panic, and touches nothing that it has not
//! recognised.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/journal/forged.rs"]
mod forged;
#[path = "../../tests/it/snapshot.rs"]
mod snapshot;

fuzz_target!(|input: &[u8]| {
    let root = tempfile::tempdir().unwrap();
    forged::check(root.path(), input);
});
