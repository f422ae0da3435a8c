//! The plan with the fewest syncs is taken where it is known to be enough, and nowhere else.

use wholefile::{AtomicWriter, Durability, Staging, SyncPlan};

use crate::images::{Image, Recipe};

/// Makes two saves, the first of which finds out what the file system does.
#[track_caller]
fn check(test: &str, make: &'static str, options: &'static str, expected: SyncPlan) {
    let Some(image) = Image::new(test, &Recipe { make, options }) else { return };
    let path = image.root().join("target");
    let mut builder = AtomicWriter::builder();
    builder.sync_plan(SyncPlan::Fewest);
    let first = builder.write(&path, "first").unwrap();
    assert_eq!(first.sync_plan(), SyncPlan::Portable, "{make} {options}: nothing was known yet");
    let before = image.flushes();
    let second = builder.write(&path, "second").unwrap();
    let flushes = image.flushes() - before;
    assert_eq!(second.sync_plan(), expected, "{make} {options}");
    assert_eq!(second.durability(), Durability::Full);
    assert_eq!(std::fs::read(&path).unwrap(), b"second");
    if expected == SyncPlan::Fewest {
        assert!((1..=2).contains(&flushes), "{make} {options}: {flushes} flushes");
        let before = image.flushes();
        let ordered = builder.durability(Durability::Ordered).write(&path, "third").unwrap();
        let flushes = image.flushes() - before;
        // There what was replaced may get other contents before its name is in the journal.
        let plan = if options == "data=writeback" { SyncPlan::Portable } else { expected };
        assert_eq!((ordered.durability(), ordered.sync_plan()), (Durability::Ordered, plan));
        assert_eq!(flushes > 0, plan == SyncPlan::Portable, "{make} {options}: {flushes} flushes");
    }
    // Whoever does not ask for it does not get it.
    let portable = AtomicWriter::builder().write(&path, "fourth").unwrap();
    assert_eq!(portable.sync_plan(), SyncPlan::Portable);
}

#[test]
fn a_journal_on_the_same_device_needs_one_sync() {
    const TEST: &str = "sync_plan::a_journal_on_the_same_device_needs_one_sync";
    for options in ["data=ordered", "data=writeback", "nodelalloc", "nodioread_nolock"] {
        check(TEST, "mkfs.ext4 -q -F", options, SyncPlan::Fewest);
    }
    check(TEST, "mkfs.ext4 -q -F -b 1024", "rw", SyncPlan::Fewest);
    check(TEST, "mkfs.xfs -q -f", "rw", SyncPlan::Fewest);
}

#[test]
fn in_any_doubt_the_plan_is_portable() {
    const TEST: &str = "sync_plan::in_any_doubt_the_plan_is_portable";
    for (make, options) in [
        ("mkfs.ext4 -q -F -O ^has_journal", "rw"),
        ("mkfs.ext2 -q -F", "rw"),
        ("mkfs.ext4 -q -F -O fast_commit", "rw"),
        ("mkfs.ext4 -q -F", "journal_async_commit,data=writeback"),
        ("mkfs.ext4 -q -F", "data=journal"),
        ("mkfs.ext4 -q -F", "nobarrier"),
        ("mkfs.ext4 -q -F -b 4096 -J device=JOURNAL", "rw"),
        ("mkfs.xfs -q -f -l logdev=JOURNAL", "logdev=JOURNAL"),
        ("mkfs.btrfs -q -f", "rw"),
    ] {
        check(TEST, make, options, SyncPlan::Portable);
    }
}

#[test]
fn a_sync_plan_is_of_a_file_system_not_of_the_process() {
    const TEST: &str = "sync_plan::a_sync_plan_is_of_a_file_system_not_of_the_process";
    // One after the other they have the same device, and are told apart all the same.
    for _ in 0..2 {
        check(TEST, "mkfs.ext4 -q -F", "rw", SyncPlan::Fewest);
        check(TEST, "mkfs.ext4 -q -F -O ^has_journal", "rw", SyncPlan::Portable);
    }
}

/// An unnamed file is synced once more when it has a name. Where the first of these syncs was the
/// one that shows what the file system does, the second went by the plan with the fewest, and the
/// receipt told of that one: who counted flushes by the receipts counted too few.
#[test]
fn of_two_plans_the_receipt_tells_of_the_dearer() {
    const TEST: &str = "sync_plan::of_two_plans_the_receipt_tells_of_the_dearer";
    let recipe = Recipe { make: "mkfs.ext4 -q -F", options: "rw" };
    let Some(image) = Image::new(TEST, &recipe) else { return };
    let mut builder = AtomicWriter::builder();
    builder.sync_plan(SyncPlan::Fewest).staging(Staging::Unnamed);
    for expected in [SyncPlan::Portable, SyncPlan::Fewest] {
        let receipt = builder.write(image.root().join("target"), "contents").unwrap();
        assert_eq!((receipt.durability(), receipt.sync_plan()), (Durability::Full, expected));
    }
}
