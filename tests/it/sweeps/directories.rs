//! Staging directories that nobody looks after are removed with all that is in them, and nothing
//! else is.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};
use wholefile::{Sweep, Sweeper, sweep};

use crate::child::{self, Child};
use crate::dir::Dir;
use crate::place::{Feature, lacks};
use crate::system::{Mount, NOBODY, chmod, chown, is_root, make_fifo, nobody_forks};

const STAGE: &str = ".wholefile-abcDEF012345.tmp";

#[track_caller]
fn check(swept: &Sweep, list: &[PathBuf]) {
    assert_eq!(list.len(), 1, "{swept:?}");
    assert!(list[0].ends_with(STAGE), "{swept:?}");
    let lists = [swept.removed(), swept.alive(), swept.young(), swept.unknown(), swept.kept()];
    assert_eq!(lists.iter().map(|list| list.len()).sum::<usize>(), 1, "{swept:?}");
    assert!(swept.errors().is_empty(), "{swept:?}");
}

/// Everything that stands in the way of a removal: depth, missing permissions, links that lead out.
fn fill(stage: &Path, outside: &Path) {
    let mut deep = stage.to_path_buf();
    for level in 0..200 {
        deep.push(format!("level {level}"));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("deepest"), "contents").unwrap();
    fs::write(stage.join("0"), "contents").unwrap();
    fs::hard_link(outside.join("file"), stage.join("hard link")).unwrap();
    symlink(outside, stage.join("to directory")).unwrap();
    symlink(outside.join("file"), stage.join("to file")).unwrap();
    make_fifo(&stage.join("fifo"));
    for (index, mode) in [0o000, 0o100, 0o200, 0o400, 0o500, 0o300].into_iter().enumerate() {
        let closed = stage.join(format!("closed {index}"));
        fs::create_dir_all(closed.join("inside")).unwrap();
        fs::write(closed.join("inside/file"), "contents").unwrap();
        chmod(closed.join("inside/file"), 0o000);
        chmod(closed.join("inside"), mode);
        chmod(closed, mode);
    }
    // One that is so deep that it is moved, and may not be written to.
    chmod(stage.join((0..33).map(|level| format!("level {level}")).collect::<PathBuf>()), 0o500);
}

#[test]
fn it_is_removed_whatever_is_in_it() {
    const TEST: &str = "sweeps::directories::it_is_removed_whatever_is_in_it";
    const NEEDED: &[Feature] =
        &[Feature::Symlinks, Feature::HardLinks, Feature::Fifos, Feature::Modes];
    let check_in = |dir: &Dir| {
        dir.make("outside");
        dir.write("outside/file", "precious");
        let stage = dir.make(STAGE);
        fill(&stage, &dir.path("outside"));
        let swept = sweep(dir.root()).unwrap();
        check(&swept, swept.removed());
        assert!(!stage.exists());
        assert_eq!(fs::read(dir.path("outside/file")).unwrap(), b"precious");
    };
    match child::given() {
        Some(given) => check_in(&given.dir),
        None if lacks(NEEDED) => {}
        None => {
            check_in(&Dir::new());
            if is_root(TEST) {
                // Permissions mean something to others than root only.
                let dir = Dir::new();
                chmod(dir.root(), 0o777);
                Child::of(TEST).nobody().run(&dir, "");
            }
        }
    }
}

#[test]
fn one_that_is_in_use_is_left_alone_with_all_that_is_in_it() {
    let dir = Dir::new();
    let stage = dir.make(STAGE);
    dir.write(&format!("{STAGE}/.wholefile-abcDEF012345.tmp"), "staged");
    let _alone = nobody_forks();
    let held = fs::File::open(&stage).unwrap();
    flock(held.file(), FlockOperation::NonBlockingLockExclusive).unwrap();
    for recursive in [false, true] {
        let swept = Sweeper::new().recursive(recursive).run(dir.root()).unwrap();
        check(&swept, swept.alive());
    }
    assert!(stage.join(".wholefile-abcDEF012345.tmp").exists());
    drop(held);
    let dry = Sweeper::new().dry_run(true).run(dir.root()).unwrap();
    check(&dry, dry.removed());
    let young = Sweeper::new().min_age(Duration::from_secs(3600)).run(dir.root()).unwrap();
    check(&young, young.young());
    assert!(stage.join(".wholefile-abcDEF012345.tmp").exists());
    let swept = sweep(dir.root()).unwrap();
    check(&swept, swept.removed());
    dir.assert_only(&[]);
}

/// A tree is staged in a directory in the staging directory, whose own time is that of when it was
/// made: of a tree that had been filled for two hours, and whose writer had died a moment ago, a
/// sweep of what was an hour old removed all.
#[test]
fn a_tree_that_was_written_to_since_is_young() {
    if lacks(&[Feature::ExactTimes]) {
        return;
    }
    let dir = Dir::new();
    let (stage, tree) = (dir.make(STAGE), dir.make(&format!("{STAGE}/tree")));
    let an_hour = Duration::from_secs(3600);
    let set_old = |path: &Path| {
        let folder = fs::File::open(path).unwrap();
        folder.set_modified(SystemTime::now() - 2 * an_hour).unwrap();
    };
    let sweep = || Sweeper::new().min_age(an_hour).run(dir.root()).unwrap();
    set_old(&stage);
    let swept = sweep();
    check(&swept, swept.young());
    assert!(tree.exists());
    // Nor is one that a file was just taken from.
    set_old(&tree);
    fs::write(stage.join("file"), "staged").unwrap();
    fs::remove_file(stage.join("file")).unwrap();
    let swept = sweep();
    check(&swept, swept.young());
    set_old(&stage);
    let swept = sweep();
    check(&swept, swept.removed());
    dir.assert_only(&[]);
}

#[test]
fn one_that_is_needed_for_recovery_is_kept() {
    let dir = Dir::new();
    dir.make(STAGE);
    let journal = dir.write(&format!("{STAGE}/journal"), "of another version\n");
    let _alone = nobody_forks();
    let swept = sweep(dir.root()).unwrap();
    check(&swept, swept.kept());
    fs::remove_file(journal).unwrap();
    let swept = sweep(dir.root()).unwrap();
    check(&swept, swept.removed());
}

#[test]
fn what_is_mounted_in_it_stays() {
    if !is_root("sweeps::directories::what_is_mounted_in_it_stays") {
        return;
    }
    let dir = Dir::new();
    dir.make("elsewhere");
    dir.write("elsewhere/file", "precious");
    dir.make(&format!("{STAGE}/deep/mount"));
    let mount = dir.path(format!("{STAGE}/deep/mount"));
    let _alone = nobody_forks();
    // One of another device, and one that only the mount itself tells apart.
    for mount in [Mount::tmpfs(&mount, "size=1m"), Mount::bind(&dir.path("elsewhere"), &mount)] {
        fs::write(dir.path(format!("{STAGE}/deep/mount/other")), "precious too").unwrap();
        let swept = sweep(dir.root()).unwrap();
        assert_eq!((swept.errors().len(), swept.removed().len()), (1, 0), "{swept:?}");
        assert!(dir.path(format!("{STAGE}/deep/mount/other")).exists());
        drop(mount);
    }
    assert_eq!(fs::read(dir.path("elsewhere/file")).unwrap(), b"precious");
    let swept = sweep(dir.root()).unwrap();
    check(&swept, swept.removed());
}

/// An empty directory of somebody else's stayed, and with it all above it, although whoever may
/// write to the directory that it is in may remove it: it could not be looked into.
#[test]
fn an_empty_directory_of_somebody_elses_is_removed_too() {
    const TEST: &str = "sweeps::directories::an_empty_directory_of_somebody_elses_is_removed_too";
    if let Some(child::Given { dir, .. }) = child::given() {
        let swept = sweep(dir.root()).unwrap();
        return check(&swept, swept.removed());
    }
    if lacks(&[Feature::Owners, Feature::Modes]) || !is_root(TEST) {
        return;
    }
    let dir = Dir::new();
    chown(dir.root(), NOBODY, NOBODY);
    let mut deep = dir.path(STAGE);
    // One is as deep as what is moved up.
    for level in 0..33 {
        fs::create_dir(&deep).unwrap();
        chown(&deep, NOBODY, NOBODY);
        if [0, 5, 32].contains(&level) {
            fs::create_dir(deep.join("foreign")).unwrap();
            chmod(deep.join("foreign"), 0o700);
        }
        deep.push("level");
    }
    Child::of(TEST).nobody().run(&dir, "");
    dir.assert_only(&[]);
}
