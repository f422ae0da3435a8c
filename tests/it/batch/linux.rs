//! What only Linux shows: descriptors, mounts, flushes, limits.

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use fs_err as fs;
use wholefile::{
    AtomicBatch, AtomicWriter, Durability, ErrorKind, Outcome, ReadOnly, Step, Symlinks, SyncPlan,
    TargetState, sweep,
};

use super::{check, states};
use crate::child::{self, Child};
use crate::dir::Dir;
use crate::images::{Image, Recipe};
use crate::place::{Feature, lacks};
use crate::system::{
    Mount, NOBODY, chmod, chown, is_root, set_acl, set_xattr, spawn, xattr, xattrs,
};

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn what_it_holds_open_does_not_grow_with_the_files() {
    const TEST: &str = "batch::linux::what_it_holds_open_does_not_grow_with_the_files";
    let Some(child::Given { dir, .. }) = child::given() else {
        // In a process of its own, since others open files too.
        return Child::of(TEST).run(&Dir::new(), "");
    };
    let mut batch = AtomicBatch::new();
    batch.options(AtomicWriter::builder().create_parents(true));
    let before = open_files();
    for index in 0..2000 {
        batch.write(dir.path(format!("{}/{index}", index % 2)), "contents").unwrap();
    }
    // Two for each directory, and the one that holds both.
    assert_eq!(open_files() - before, 5);
    let mut most = 0;
    let count = |_: &wholefile::Progress| {
        most = most.max(open_files());
        ControlFlow::Continue(())
    };
    batch.commit_with(count).unwrap();
    assert!(most - before <= 25, "{most} while it was committed");
    assert_eq!(open_files(), before);
}

#[test]
fn a_limit_of_open_files_is_an_error_and_no_loss() {
    const TEST: &str = "batch::linux::a_limit_of_open_files_is_an_error_and_no_loss";
    let Some(child::Given { dir, .. }) = child::given() else {
        return Child::of(TEST).after("ulimit -n 40").run(&Dir::new(), "");
    };
    let mut batch = AtomicBatch::new();
    batch.options(AtomicWriter::builder().create_parents(true));
    let written = (0..100).take_while(|index| {
        let result = batch.write(dir.path(format!("{index}/file")), "contents");
        let is_limit = |error: &wholefile::Error| {
            error.io_error().and_then(|error| error.raw_os_error()) == Some(24) // EMFILE
        };
        assert!(result.as_ref().err().is_none_or(is_limit), "{result:?}");
        result.is_ok()
    });
    let written = written.count();
    assert!((5..30).contains(&written), "{written}");
    batch.rollback().unwrap();
    dir.assert_only(&[]);
    // Few directories need few descriptors, however many files there are.
    let batch = AtomicBatch::new();
    for index in 0..500 {
        batch.write(dir.path(index.to_string()), "contents").unwrap();
    }
    assert_eq!(batch.commit().unwrap().commits().len(), 500);
}

#[test]
fn nobody_else_can_look_at_what_is_staged() {
    if lacks(&[Feature::Modes]) {
        return;
    }
    let dir = Dir::new();
    let secret = dir.write("secret", "old");
    chmod(&secret, 0o600);
    let batch = AtomicBatch::new();
    batch.write(&secret, "new").unwrap();
    batch.write(dir.path("public"), "new").unwrap();
    let names = dir.temps();
    let [stage] = &names[..] else { panic!("{names:?}") };
    assert_eq!(dir.mode(stage), 0o700);
    assert_eq!(dir.mode(&format!("{stage}/0")), 0o600);
    assert!(!sweep(dir.root()).unwrap().alive().is_empty());
    batch.commit().unwrap();
    assert_eq!(dir.mode("secret"), 0o600);
}

#[test]
fn metadata_that_changed_meanwhile_is_the_one_that_is_kept() {
    if lacks(&[Feature::Modes, Feature::UserXattrs]) {
        return;
    }
    let dir = Dir::new();
    for name in ["changed", "replaced", "closed"] {
        chmod(dir.write(name, "old"), 0o644);
    }
    let mut batch = AtomicBatch::new();
    batch.options(AtomicWriter::builder().read_only(ReadOnly::Replace));
    for name in ["changed", "replaced", "closed", "created"] {
        batch.write(dir.path(name), "new").unwrap();
    }
    chmod(dir.path("changed"), 0o600);
    crate::system::set_xattr(&dir.path("changed"), "user.test", b"value");
    chmod(dir.write("other", "other"), 0o604);
    fs::rename(dir.path("other"), dir.path("replaced")).unwrap();
    chmod(dir.path("closed"), 0o000);
    chmod(dir.write("created", "created meanwhile"), 0o640);
    batch.commit().unwrap();
    let modes = ["changed", "replaced", "closed", "created"].map(|name| dir.mode(name));
    assert_eq!(modes, [0o600, 0o604, 0o000, 0o640]);
    assert_eq!(xattr(&dir.path("changed"), "user.test").as_deref(), Some(&b"value"[..]));
    chmod(dir.path("closed"), 0o600);
    assert_eq!(dir.read("closed"), "new");
}

/// A staged file was given the metadata of a target that was changed later on top of what it had
/// from before: an xattr that had been removed meanwhile, such as a file capability, was published
/// again, and a file whose target had been removed had the owner, the mode and the xattrs of that.
#[test]
fn metadata_that_was_revoked_meanwhile_is_not_published() {
    if lacks(&[Feature::Modes, Feature::Symlinks, Feature::UserXattrs]) {
        return;
    }
    let dir = Dir::new();
    let names = ["revoked", "replaced", "removed", "a link"];
    for name in names {
        chmod(dir.write(name, "old"), 0o640);
        set_xattr(&dir.path(name), "user.revoked", b"value");
        set_xattr(&dir.path(name), "user.kept", b"value");
    }
    let is_root = rustix::process::geteuid().is_root() && !lacks(&[Feature::Owners]);
    if is_root {
        chown(dir.path("removed"), NOBODY, NOBODY);
    }
    if !lacks(&[Feature::Acls, Feature::DefaultAcls]) {
        set_acl(dir.root(), "d:u::rw,d:u:12345:r,d:g::-,d:m::r,d:o::-");
    }
    let mut batch = AtomicBatch::new();
    batch.options(AtomicWriter::builder().symlinks(Symlinks::Replace));
    for name in names {
        batch.write(dir.path(name), "new").unwrap();
    }
    rustix::fs::removexattr(dir.path("revoked"), "user.revoked").unwrap();
    chmod(dir.path("revoked"), 0o600);
    chmod(dir.write("other", "other"), 0o604);
    fs::rename(dir.path("other"), dir.path("replaced")).unwrap();
    fs::remove_file(dir.path("removed")).unwrap();
    fs::remove_file(dir.path("a link")).unwrap();
    std::os::unix::fs::symlink("elsewhere", dir.path("a link")).unwrap();
    let commit = batch.commit().unwrap();
    assert!(commit.commits().iter().all(|commit| commit.not_preserved().is_empty()), "{commit:?}");
    assert_eq!(commit.commits()[2].outcome(), Outcome::Created);
    let new = dir.write("new", "as any new file");
    let owner = |name: &str| fs::metadata(dir.path(name)).map(|it| (it.uid(), it.gid())).unwrap();
    for name in ["removed", "a link"] {
        assert_eq!((dir.mode(name), owner(name)), (dir.mode("new"), owner("new")), "{name}");
        assert_eq!(xattrs(&dir.path(name)), xattrs(&dir.path("new")), "{name}");
    }
    assert_eq!((dir.mode("revoked"), dir.mode("replaced")), (0o600, 0o604));
    for name in names {
        assert_eq!((dir.read(name), xattr(&dir.path(name), "user.revoked")), ("new".into(), None));
        let is_kept = xattr(&dir.path(name), "user.kept").is_some();
        assert_eq!(is_kept, name == "revoked", "{name}");
    }
    fs::remove_file(new).unwrap();
    dir.assert_only(&["a link", "removed", "replaced", "revoked"]);
}

#[test]
fn a_file_that_cannot_be_published_ends_the_batch_there() {
    if !is_root("batch::linux::a_file_that_cannot_be_published_ends_the_batch_there") {
        return;
    }
    let dir = Dir::new();
    let mounted = dir.write("mounted", "old");
    let elsewhere = dir.write("elsewhere", "old");
    let batch = AtomicBatch::new();
    for name in ["before", "mounted", "after"] {
        batch.write(dir.path(name), "new").unwrap();
    }
    let mount = Mount::bind(&elsewhere, &mounted);
    let error = batch.commit().unwrap_err();
    check(&error, ErrorKind::MountPoint, Step::Publish, &mounted);
    let expected = [
        (dir.path("before"), TargetState::Replaced),
        (mounted.clone(), TargetState::Untouched),
        (dir.path("after"), TargetState::Untouched),
    ];
    assert_eq!(states(&error), expected);
    assert!(error.to_string().contains("1 of the 3 files"), "{error}");
    drop(mount);
    assert_eq!((dir.read("before"), dir.read("mounted")), ("new".into(), "old".into()));
    dir.assert_only(&["before", "elsewhere", "mounted"]);
}

#[test]
fn a_full_disk_rolls_back_what_was_staged() {
    if !is_root("batch::linux::a_full_disk_rolls_back_what_was_staged") {
        return;
    }
    let dir = Dir::new();
    let _mount = Mount::tmpfs(dir.root(), "size=1m");
    dir.write("0", "old");
    let batch = AtomicBatch::new();
    let failed = (0..100).find_map(|index: u32| {
        let path = dir.path(index.to_string());
        batch.write(&path, vec![b'x'; 50_000]).err().map(|error| (path, error))
    });
    let (path, error) = failed.unwrap();
    check(&error, ErrorKind::StorageFull, Step::Write, &path);
    batch.rollback().unwrap();
    dir.assert_only(&["0"]);
    assert_eq!(dir.read("0"), "old");
}

#[test]
fn a_batch_may_lead_to_several_file_systems() {
    if !is_root("batch::linux::a_batch_may_lead_to_several_file_systems") {
        return;
    }
    let dir = Dir::new();
    let _mount = Mount::tmpfs(&dir.make("memory"), "size=1m");
    let batch = AtomicBatch::new();
    for index in 0..10 {
        batch.write(dir.path(format!("{index}")), "here").unwrap();
        batch.write(dir.path(format!("memory/{index}")), "there").unwrap();
    }
    assert_eq!(batch.commit().unwrap().commits().len(), 20);
    assert_eq!((dir.read("9"), dir.read("memory/9")), ("here".into(), "there".into()));
    assert!(dir.temps().is_empty());
}

#[test]
fn the_files_land_in_the_directory_that_was_opened() {
    const TEST: &str = "batch::linux::the_files_land_in_the_directory_that_was_opened";
    let Some(child::Given { dir, .. }) = child::given() else {
        return Child::of(TEST).run(&Dir::new(), "");
    };
    dir.make("a");
    dir.make("elsewhere");
    std::env::set_current_dir(dir.path("a")).unwrap();
    let batch = AtomicBatch::new();
    batch.write("relative", "1").unwrap();
    std::env::set_current_dir(dir.path("elsewhere")).unwrap();
    batch.write("relative", "2").unwrap();
    fs::rename(dir.path("a"), dir.path("moved")).unwrap();
    dir.make("a");
    std::env::set_current_dir(dir.root()).unwrap();
    batch.commit().unwrap();
    let names = ["a", "elsewhere", "elsewhere/relative", "moved", "moved/relative"];
    dir.assert_only(&names);
    assert_eq!(
        (dir.read("moved/relative"), dir.read("elsewhere/relative")),
        ("1".into(), "2".into())
    );
}

#[test]
fn a_batch_that_was_killed_is_swept() {
    const TEST: &str = "batch::linux::a_batch_that_was_killed_is_swept";
    if let Some(given) = child::given() {
        let batch = AtomicBatch::new();
        for index in 0..100 {
            batch.write(given.dir.path(index.to_string()), "new").unwrap();
        }
        println!("staged");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let dir = Dir::new();
    dir.write("0", "old");
    let mut child = Child::of(TEST).command(&dir, "");
    let mut child = spawn(child.stdin(Stdio::piped()).stdout(Stdio::piped())).unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("staged")));
    let living = sweep(dir.root()).unwrap();
    assert_eq!((living.alive().len(), living.removed().len()), (1, 0));
    child.kill().unwrap();
    child.wait().unwrap();
    let dead = sweep(dir.root()).unwrap();
    assert_eq!((dead.alive().len(), dead.removed().len(), dead.errors().len()), (0, 1, 0));
    dir.assert_only(&["0"]);
    assert_eq!(dir.read("0"), "old");
}

/// Files that are synced together ask for few flushes, whatever their number.
#[test]
fn a_flush_is_not_asked_for_for_each_file() {
    const TEST: &str = "batch::linux::a_flush_is_not_asked_for_for_each_file";
    for (make, fewest, most) in [
        ("mkfs.ext4 -q -F", SyncPlan::Fewest, 20),
        ("mkfs.xfs -q -f", SyncPlan::Fewest, 20),
        // File by file; how many share a flush is by chance.
        ("mkfs.btrfs -q -f", SyncPlan::Portable, u64::MAX),
    ] {
        let Some(image) = Image::new(TEST, &Recipe { make, options: "rw" }) else { continue };
        for (wanted, expected) in
            [(SyncPlan::Portable, SyncPlan::Portable), (SyncPlan::Fewest, fewest)]
        {
            let mut builder = AtomicWriter::builder();
            builder.sync_plan(wanted).write(image.root().join("first"), "").unwrap();
            let mut batch = AtomicBatch::new();
            batch.options(&builder);
            for index in 0..1000 {
                batch.write(image.root().join(index.to_string()), [b'x'; 4096]).unwrap();
            }
            let before = image.flushes();
            let commit = batch.commit().unwrap();
            let flushes = image.flushes() - before;
            // 0.02 for each file: three syncs, and what the file system does by itself meanwhile.
            assert!((1..=most).contains(&flushes), "{make} {wanted}: {flushes} flushes");
            assert_eq!(commit.durability(), Durability::Full);
            assert!(commit.commits().iter().all(|it| it.sync_plan() == expected), "{make}");
        }
    }
}

#[test]
fn a_file_that_its_owner_may_write_and_not_read_is_synced_with_the_others() {
    const TEST: &str =
        "batch::linux::a_file_that_its_owner_may_write_and_not_read_is_synced_with_the_others";
    if let Some(child::Given { dir, .. }) = child::given() {
        let batch = AtomicBatch::new();
        for name in ["one", "two"] {
            batch.write(dir.path(name), "new").unwrap();
        }
        let commit = batch.commit().unwrap();
        assert_eq!(commit.durability(), Durability::Full);
        assert!(commit.commits().iter().all(|commit| commit.not_preserved().is_empty()));
        return;
    }
    if lacks(&[Feature::Owners, Feature::Creators, Feature::Modes]) || !is_root(TEST) {
        return;
    }
    let dir = Dir::new();
    chown(dir.root(), NOBODY, NOBODY);
    for name in ["one", "two"] {
        let path = dir.write(name, "old");
        chown(&path, NOBODY, NOBODY);
        chmod(path, 0o200);
    }
    Child::of(TEST).nobody().run(&dir, "");
    for name in ["one", "two"] {
        assert_eq!((dir.read(name), dir.mode(name)), ("new".into(), 0o200));
    }
}
