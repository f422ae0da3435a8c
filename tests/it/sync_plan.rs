//! The plan with the fewest syncs is taken where it is known to be enough, and nowhere else.

use wholefile::{AtomicBatch, AtomicWriter, Durability, Staging, SyncPlan};

use crate::child::{self, Child};
use crate::dir::Dir;
use crate::images::{Image, Recipe};
use crate::system::chmod;

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

/// What is known of a file system was remembered for all its directories, one included that is held
/// without the right to read it, which cannot be synced: the save went by the plan that leaves
/// everything to the sync of that directory, so that nothing was synced at all, and the receipt
/// spoke of a durability that nothing had made. A batch did the same, since it asked about its own
/// staging directory.
#[test]
fn a_directory_that_cannot_be_synced_gets_no_plan_that_relies_on_it() {
    const TEST: &str =
        "sync_plan::a_directory_that_cannot_be_synced_gets_no_plan_that_relies_on_it";
    let mut builder = AtomicWriter::builder();
    builder.sync_plan(SyncPlan::Fewest);
    if let Some(child::Given { dir, .. }) = child::given() {
        let of = |name: &str| builder.write(dir.path(name), "contents").unwrap();
        of("first");
        assert_eq!(of("second").sync_plan(), SyncPlan::Fewest, "it is known by now");
        assert_eq!(of("closed/file").sync_plan(), SyncPlan::Portable);
        assert_eq!(of("closed/file").durability(), Durability::Ordered);
        for files in [1, 20] {
            let mut batch = AtomicBatch::new();
            batch.options(&builder);
            for index in 0..files {
                batch.write(dir.path(format!("closed/{index}")), "contents").unwrap();
                batch.write(dir.path(format!("open {index}")), "contents").unwrap();
            }
            for commit in batch.commit().unwrap().commits() {
                let is_closed = commit.path().starts_with(dir.path("closed"));
                let expected = if is_closed { SyncPlan::Portable } else { SyncPlan::Fewest };
                assert_eq!(commit.sync_plan(), expected, "{commit:?}");
                assert_eq!(commit.durability(), Durability::Ordered, "of the names on the device");
            }
        }
        return;
    }
    let recipe = Recipe { make: "mkfs.ext4 -q -F", options: "data=writeback" };
    let Some(image) = Image::new(TEST, &recipe) else { return };
    let open = image.root().parent().unwrap();
    let dir = Dir::of_parent(image.root().to_path_buf());
    chmod(open, 0o755);
    chmod(dir.root(), 0o777);
    chmod(dir.make("closed"), 0o333);
    Child::of(TEST).nobody().run(&dir, "");
}
