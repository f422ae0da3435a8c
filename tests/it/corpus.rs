//! What fuzzing has found worth keeping, each input once more: `fuzz/seeds` has a folder for each
//! target, and `ci/fuzz.sh` starts from them too.

mod operations;
#[cfg(unix)]
mod paths;
#[cfg(unix)]
mod sweeper;

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;

#[cfg(unix)]
use crate::child::{self, Child};
use crate::dir::Dir;
use crate::journal::forged;
#[cfg(unix)]
use crate::place::{Feature, lacks};

/// Runs each input that is kept for `target`, in a folder of its own. `check` gives the outcome, or
/// `None` of an input that stands for nothing. Gives all outcomes.
#[track_caller]
fn replay(target: &str, check: impl Fn(&Path, &[u8]) -> Option<String>) -> Vec<String> {
    let mut outcomes = BTreeMap::<String, usize>::new();
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    for seed in fs::read_dir(seeds).unwrap() {
        let seed = seed.unwrap().path();
        let dir = Dir::new();
        println!("{}", seed.display()); // of a failure, the last one
        let outcome = check(dir.root(), &fs::read(&seed).unwrap());
        *outcomes.entry(outcome.expect("an input that stands for nothing")).or_default() += 1;
    }
    println!("{target}: {} inputs, {outcomes:?}", outcomes.values().sum::<usize>());
    outcomes.into_keys().collect()
}

/// Each of `wanted` must be a part of some outcome.
#[track_caller]
fn check_met(outcomes: &[String], wanted: &[&str]) {
    for wanted in wanted {
        let met = outcomes.iter().any(|outcome| outcome.contains(wanted));
        assert!(met, "no input comes to {wanted}: {outcomes:?}");
    }
}

#[test]
fn scripts_of_operations() {
    const WANTED: [&str; 4] =
        ["Commit, sound", "Commit, poisoned", "Drop, sound", "Drop, poisoned"];
    check_met(&replay("operations", operations::check), &WANTED);
}

#[test]
#[cfg(unix)]
fn paths_of_targets() {
    if lacks(&[Feature::Symlinks, Feature::LongNames]) {
        return;
    }
    let wanted = ["created", "replaced", "InvalidPath", "AlreadyExists"];
    check_met(&replay("paths", paths::check), &wanted);
}

#[test]
fn texts_of_journals() {
    let check = |root: &Path, input: &[u8]| Some(format!("{:?}", forged::check(root, input)));
    let outcomes = replay("journal", check);
    assert_eq!(outcomes, ["None", "Some(InvalidJournal)", "Some(Unrecoverable)"]);
}

#[test]
#[cfg(unix)]
fn names_of_what_is_swept() {
    if lacks(&[Feature::Symlinks, Feature::LongNames]) {
        return;
    }
    // A process that another test starts has the locks of a sweep in it too, for a moment.
    if child::given().is_none() {
        return Child::of("corpus::names_of_what_is_swept").run(&Dir::new(), "");
    }
    let wanted = ["orphans", "alive", "kept", "failed", "refused"];
    check_met(&replay("sweeper", sweeper::check), &wanted);
}
