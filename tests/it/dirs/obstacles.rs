//! What stands in the way of a tree, its depth and its size.

use std::os::unix::fs::FileTypeExt;

use fs_err as fs;
use wholefile::{
    AtomicDir, Copying, Durability, ErrorKind, HardLinks, Metadata, Outcome, Preserve, ReadOnly,
    Step, Swap, TargetState,
};

use crate::child::{self, Child};
use crate::dir::{Dir, wait_until};
use crate::place::{Feature, lacks};
use crate::system::{Mount, chmod, chown, is_root, make_fifo, nobody_forks, run, spawn};

#[test]
fn what_cannot_be_copied_is_an_error_that_names_it() {
    #[track_caller]
    fn check(dir: &Dir, builder: &wholefile::AtomicDirBuilder, kind: ErrorKind, name: &str) {
        let error = builder.edit(dir.path("site")).unwrap_err();
        assert_eq!((error.kind(), error.step()), (kind, Step::Read), "{error}");
        assert_eq!(error.path(), dir.path(name));
        assert_eq!(error.target_state(), TargetState::Untouched);
        assert_eq!(fs::read_dir(dir.root()).unwrap().count(), 1);
    }
    const TEST: &str = "dirs::obstacles::what_cannot_be_copied_is_an_error_that_names_it";
    if let Some(child::Given { dir, .. }) = child::given() {
        for name in ["site/closed file", "site/closed folder"] {
            match name {
                "site/closed file" => drop(dir.write(name, "")),
                _ => drop(dir.make(name)),
            }
            chmod(dir.path(name), 0o000);
            check(&dir, &AtomicDir::builder(), ErrorKind::PermissionDenied, name);
            chmod(dir.path(name), 0o700);
        }
        return;
    }
    if lacks(&[Feature::Fifos, Feature::HardLinks]) {
        return;
    }
    let dir = Dir::new();
    dir.make("site/a");
    dir.write("site/one", "");
    fs::hard_link(dir.path("site/one"), dir.path("site/two")).unwrap();
    let error = AtomicDir::builder().hard_links(HardLinks::Refuse).edit(dir.path("site"));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::HardLinked);
    make_fifo(&dir.path("site/a/fifo"));
    check(&dir, &AtomicDir::builder(), ErrorKind::SpecialFile, "site/a/fifo");
    // One in the staged tree is no hindrance: it was asked for.
    let staged = AtomicDir::builder().open(dir.path("new")).unwrap();
    make_fifo(&staged.path().join("fifo"));
    staged.commit().unwrap();
    assert!(fs::metadata(dir.path("new/fifo")).unwrap().file_type().is_fifo());
    if !lacks(&[Feature::Modes, Feature::Owners]) && is_root(TEST) {
        let dir = Dir::new();
        dir.make("site");
        for name in ["", "site"] {
            chown(dir.path(name), 65534, 65534);
        }
        Child::of(TEST).nobody().run(&dir, "");
    }
}

#[test]
fn what_is_mounted_in_the_way_is_an_error() {
    const TEST: &str = "dirs::obstacles::what_is_mounted_in_the_way_is_an_error";
    if !is_root(TEST) {
        return;
    }
    let dir = Dir::new();
    dir.make("site/up loads/deep");
    dir.make("elsewhere");
    dir.write("elsewhere/file", "precious");
    dir.write("site/file", "old");
    let site = dir.path("site");
    let check = |error: wholefile::Error| {
        assert_eq!(error.kind(), ErrorKind::MountPoint, "{error}");
        assert_eq!(error.target_state(), TargetState::Untouched);
        assert_eq!(dir.read("site/file"), "old");
    };
    // Of another device, and of the same one; a directory, and a file.
    let mounts: [fn(&Dir) -> Mount; 3] = [
        |dir| Mount::tmpfs(&dir.path("site/up loads/deep"), "size=1m"),
        |dir| Mount::bind(&dir.path("elsewhere"), &dir.path("site/up loads")),
        |dir| Mount::bind(&dir.path("elsewhere/file"), &dir.path("elsewhere/file")),
    ];
    for mount in &mounts[..2] {
        let staged = AtomicDir::builder().open(&site).unwrap();
        let mounted = mount(&dir);
        check(AtomicDir::builder().open(&site).unwrap_err());
        check(AtomicDir::builder().edit(&site).unwrap_err());
        check(staged.commit().unwrap_err());
        assert_eq!(dir.temps(), [""; 0]);
        drop(mounted);
    }
    let mounted = mounts[2](&dir);
    let error = AtomicDir::builder().open(dir.path("elsewhere")).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::MountPoint, &*dir.path("elsewhere/file")));
    drop(mounted);
    // In the staged tree, and the target itself.
    let alone = nobody_forks();
    let staged = AtomicDir::builder().open(&site).unwrap();
    staged.create_dir_all("a/b").unwrap();
    let mounted = Mount::bind(&dir.path("elsewhere"), &staged.path().join("a/b"));
    let error = staged.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MountPoint, "{error}");
    assert_eq!(dir.read("elsewhere/file"), "precious");
    drop(mounted);
    wholefile::sweep(dir.root()).unwrap();
    drop(alone);
    let mounted = Mount::bind(&dir.path("elsewhere"), &site);
    let error = AtomicDir::builder().open(&site).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MountPoint, "{error}");
    drop(mounted);
    assert_eq!(dir.read("site/file"), "old");
    if lacks(&[Feature::Exchange]) {
        return;
    }
    AtomicDir::builder().open(&site).unwrap().commit().unwrap();
    dir.assert_only(&["elsewhere", "elsewhere/file", "site"]);
}

#[test]
fn an_old_tree_that_cannot_be_removed_is_on_the_receipt() {
    const TEST: &str = "dirs::obstacles::an_old_tree_that_cannot_be_removed_is_on_the_receipt";
    if let Some(child::Given { dir, .. }) = child::given() {
        let staged = AtomicDir::builder().open(dir.path("site")).unwrap();
        staged.write("file", "new").unwrap();
        let commit = staged.commit().unwrap();
        assert!(commit.leftover().unwrap().join("tree/roots/file").exists());
        assert_eq!(dir.read("site/file"), "new");
        return;
    }
    if lacks(&[Feature::Exchange, Feature::Owners]) || !is_root(TEST) {
        return;
    }
    let dir = Dir::new();
    dir.make("site/roots");
    dir.write("site/roots/file", "");
    for name in ["", "site"] {
        chown(dir.path(name), 65534, 65534);
    }
    Child::of(TEST).nobody().run(&dir, "");
    assert_eq!(dir.temps().len(), 1);
    assert_eq!(wholefile::sweep(dir.root()).unwrap().removed().len(), 1);
    dir.assert_only(&["site", "site/file"]);
}

/// Where the target's directory cannot be synced, the receipt said `Ordered`, and the old tree was
/// removed all the same: nothing kept a power cut from undoing the exchange and not the removal,
/// which leaves half of the old tree, and `Ordered` promises the whole of one of the two.
#[test]
fn where_names_cannot_be_synced_a_replaced_tree_has_no_durability() {
    const TEST: &str =
        "dirs::obstacles::where_names_cannot_be_synced_a_replaced_tree_has_no_durability";
    if let Some(child::Given { dir, .. }) = child::given() {
        let publish_as = |swap: Swap, name: &str, durability| {
            let mut builder = AtomicDir::builder();
            let staged = builder.durability(durability).swap(swap).open(dir.path(name)).unwrap();
            staged.write("file", "new").unwrap();
            let commit = staged.commit().unwrap();
            (commit.outcome(), commit.durability())
        };
        let publish = |swap, name| publish_as(swap, name, Durability::Full);
        let site = "closed/site";
        assert_eq!(publish(Swap::Exchange, site), (Outcome::Created, Durability::Ordered));
        assert_eq!(publish(Swap::Exchange, site), (Outcome::Replaced, Durability::None));
        assert_eq!(publish(Swap::Link, "closed/link"), (Outcome::Created, Durability::None));
        let ordered = publish_as(Swap::Link, "closed/other", Durability::Ordered);
        assert_eq!(ordered, (Outcome::Created, Durability::None));
        // Whoever insists on either learns it before anything is replaced.
        for durability in [Durability::Ordered, Durability::Full] {
            let mut builder = AtomicDir::builder();
            builder.durability(durability).require_durability(true);
            let error = builder.open(dir.path(site)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DurabilityUnavailable, "{error}");
            assert_eq!(error.target_state(), TargetState::Untouched);
            let staged = builder.swap(Swap::Link).open(dir.path("closed/new"));
            let error = staged.and_then(AtomicDir::commit).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DurabilityUnavailable, "{error}");
            assert_eq!(error.target_state(), TargetState::Untouched);
            assert!(!dir.path("closed/new").is_symlink());
        }
        return;
    }
    if lacks(&[Feature::Exchange, Feature::Owners, Feature::Modes, Feature::Symlinks])
        || !is_root(TEST)
    {
        return;
    }
    let dir = Dir::new();
    let closed = dir.make("closed");
    chown(&closed, 65534, 65534);
    chmod(&closed, 0o300);
    Child::of(TEST).nobody().run(&dir, "");
    assert_eq!(dir.temps(), [""; 0]);
}

#[test]
fn a_tree_of_any_depth_is_copied_published_and_removed() {
    if lacks(&[Feature::Exchange]) {
        return;
    }
    let dir = Dir::new();
    // Deeper than what is held open, and than a path may be long.
    let mut deep = dir.make("site");
    for level in 0..90 {
        deep.push(format!("{level:0>40}"));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("deepest"), "contents").unwrap();
    let staged = AtomicDir::builder().edit(dir.path("site")).unwrap();
    staged.write("file", "new").unwrap();
    assert_eq!(staged.commit().unwrap().leftover(), None);
    assert_eq!(fs::read_to_string(deep.join("deepest")).unwrap(), "contents");
    assert_eq!(dir.temps(), [""; 0]);
}

#[test]
fn many_files_need_few_descriptors() {
    const TEST: &str = "dirs::obstacles::many_files_need_few_descriptors";
    const FILES: usize = 10_000;
    let Some(child::Given { dir, .. }) = child::given() else {
        if lacks(&[Feature::Exchange]) {
            return;
        }
        return Child::of(TEST).after("ulimit -n 120").run(&Dir::new(), "");
    };
    let site = dir.path("site");
    let staged = AtomicDir::builder().open(&site).unwrap();
    for index in 0..FILES {
        let folder = staged.path().join(format!("{}", index % 100));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{index}")), "contents").unwrap();
    }
    staged.commit().unwrap();
    let staged = AtomicDir::builder().copying(Copying::HardLinks).edit(&site).unwrap();
    staged.remove_all("99").unwrap();
    assert_eq!(staged.commit().unwrap().leftover(), None);
    assert_eq!(dir.names().len(), 1 + 99 + FILES * 99 / 100);
}

#[test]
fn metadata_that_must_be_kept_and_cannot_be_leaves_the_target_untouched() {
    const TEST: &str =
        "dirs::obstacles::metadata_that_must_be_kept_and_cannot_be_leaves_the_target_untouched";
    if let Some(child::Given { dir, .. }) = child::given() {
        let mut builder = AtomicDir::builder();
        let staged = builder.open(dir.path("site")).unwrap();
        assert!(!staged.commit().unwrap_err().to_string().is_empty()); // it is root's: not movable
        let error = builder.preserve(Metadata::Owner, Preserve::Require).open(dir.path("site"));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NotPreserved);
        return;
    }
    if lacks(&[Feature::Exchange, Feature::Owners, Feature::Modes]) || !is_root(TEST) {
        return;
    }
    let dir = Dir::new();
    dir.make("site");
    dir.write("site/file", "old");
    chown(dir.root(), 65534, 65534);
    Child::of(TEST).nobody().run(&dir, "");
    dir.assert_only(&["site", "site/file"]);
}

#[test]
fn a_directory_that_a_neighbour_may_have_planted_is_no_model() {
    const TEST: &str = "dirs::obstacles::a_directory_that_a_neighbour_may_have_planted_is_no_model";
    if lacks(&[Feature::Modes, Feature::Owners]) || !is_root(TEST) {
        return;
    }
    let dir = Dir::new();
    dir.make("shared/site");
    chmod(dir.path("shared"), 0o1777);
    chown(dir.path("shared/site"), 12345, 12345);
    let error = AtomicDir::builder().open(dir.path("shared/site")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    if lacks(&[Feature::Exchange]) {
        return;
    }
    // One's own is, however many directories are in it.
    dir.make("shared/own/a/b");
    AtomicDir::builder().edit(dir.path("shared/own")).unwrap().commit().unwrap();
    let mode = dir.mode("shared/own");
    let staged = AtomicDir::builder().read_only(ReadOnly::Replace).open(dir.path("shared/own"));
    staged.unwrap().commit().unwrap();
    assert_eq!(dir.mode("shared/own"), mode);
}

#[test]
fn files_that_are_open_stay_as_they_were() {
    use std::io::Read;

    if lacks(&[Feature::Exchange, Feature::OneStep]) {
        return;
    }
    let dir = Dir::new();
    dir.make("site");
    dir.write("site/file", "old");
    let mut open = fs::File::open(dir.path("site/file")).unwrap();
    let running = dir.path("site/program");
    fs::copy("/bin/sleep", &running).unwrap();
    // It is busy while another test starts a program, whose process has the copy open until then.
    let mut child = None;
    wait_until("the program runs", || {
        child = spawn(std::process::Command::new(&running).arg("60")).ok();
        child.is_some()
    });
    let mut child = child.unwrap();
    let staged = AtomicDir::builder().edit(dir.path("site")).unwrap();
    staged.write("file", "new").unwrap();
    let commit = staged.commit();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(commit.unwrap().leftover(), None);
    let mut contents = String::new();
    open.read_to_string(&mut contents).unwrap();
    assert_eq!((contents, dir.read("site/file")), ("old".into(), "new".into()));
    run("test", &["-x".as_ref(), running.as_os_str()]);
}
