//! Readers and kills in the middle.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use fs_err as fs;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use wholefile::{AtomicDir, Durability, Swap, sweep};

use crate::child::{self, Child};
use crate::dir::{Dir, Stop, wait_until};
use crate::place::{Feature, lacks};
use crate::system::spawn;

const FILES: usize = 8;

fn publish(target: &Path, swap: Swap, version: usize) {
    let mut builder = AtomicDir::builder();
    let staged = builder.durability(Durability::None).swap(swap).open(target).unwrap();
    for file in 0..FILES {
        staged.create_dir_all(format!("{file}")).unwrap();
        staged.write(format!("{file}/page"), format!("{version}")).unwrap();
    }
    staged.commit().unwrap();
}

fn read_at(directory: &OwnedFd, name: &str) -> Result<usize, Errno> {
    let file = openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = [0; 20];
    let len = rustix::io::read(file, &mut text)?;
    Ok(std::str::from_utf8(&text[..len]).unwrap().parse().unwrap())
}

/// All files through one descriptor of the directory. `None` if the tree was removed meanwhile.
fn read_through(target: &Path, swap: Swap) -> Option<usize> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = match openat(CWD, target, flags, Mode::empty()) {
        // The link's text was read just before it was switched, and what it named is gone.
        Err(Errno::NOENT) if swap == Swap::Link => return None,
        directory => directory.expect("the target is always there"),
    };
    let mut versions = BTreeSet::new();
    for file in 0..FILES {
        match read_at(&directory, &format!("{file}/page")) {
            Ok(version) => versions.insert(version),
            Err(Errno::NOENT) => return None,
            Err(error) => panic!("{error}"),
        };
    }
    assert_eq!(versions.len(), 1, "two generations through one directory: {versions:?}");
    versions.pop_first()
}

#[track_caller]
fn check(swap: Swap) {
    let dir = Dir::new();
    let target = dir.path("site");
    publish(&target, swap, 0);
    let (done, seen) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let stop = Stop(&done);
        let reader = scope.spawn(|| {
            let (mut last, mut whole) = (0, 0);
            // Bounded by the writer, which has a deadline.
            while !done.load(Ordering::Relaxed) {
                // By the path, there is always a whole file.
                let version: usize = fs::read_to_string(target.join("3/page"))
                    .map_or(last, |it| it.parse().unwrap());
                assert!(version >= last, "version {version} came back after {last}");
                last = version;
                if let Some(version) = read_through(&target, swap) {
                    assert!(version >= last);
                    whole += usize::from(version > last || whole == 0);
                    last = version;
                    seen.store(whole, Ordering::Relaxed);
                }
            }
        });
        let watcher = scope.spawn(|| {
            // Bounded by the writer.
            while !done.load(Ordering::Relaxed) {
                fs::symlink_metadata(&target).expect("the target never disappears");
            }
        });
        let mut version = 0;
        wait_until("the reader has seen enough versions", || {
            version += 1;
            publish(&target, swap, version);
            let is_enough = seen.load(Ordering::Relaxed) >= 20 && version >= 200;
            is_enough || reader.is_finished() || watcher.is_finished()
        });
        drop(stop);
        reader.join().unwrap();
        watcher.join().unwrap();
        assert_eq!(read_through(&target, swap), Some(version));
    });
    assert_eq!(dir.temps(), [""; 0]);
}

#[test]
fn readers_see_whole_trees_that_are_exchanged() {
    if !lacks(&[Feature::Exchange, Feature::OneStep]) {
        check(Swap::Exchange);
    }
}

#[test]
fn readers_see_whole_trees_that_are_switched() {
    if !lacks(&[Feature::Symlinks, Feature::OneStep]) {
        check(Swap::Link);
    }
}

/// A sweeper that takes what is being published for an orphan would remove it.
#[track_caller]
fn check_sweeps(swap: Swap) {
    let dir = Dir::new();
    let target = dir.path("site");
    let done = AtomicBool::new(false);
    let (sweeps, alive) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let stop = Stop(&done);
        let sweeper = scope.spawn(|| {
            // Bounded by the writer, which has a deadline.
            while !done.load(Ordering::Relaxed) {
                let sweep = sweep(dir.root()).unwrap();
                assert!(sweep.errors().is_empty(), "{sweep:?}");
                alive.fetch_add(sweep.alive().len(), Ordering::Relaxed);
                sweeps.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut version = 0;
        wait_until("enough sweeps have met what was in use", || {
            version += 1;
            publish(&target, swap, version);
            assert_eq!(read_through(&target, Swap::Exchange), Some(version));
            let (sweeps, alive) = (sweeps.load(Ordering::Relaxed), alive.load(Ordering::Relaxed));
            (version >= 300 && sweeps > 100 && alive > 20) || sweeper.is_finished()
        });
        drop(stop);
        sweeper.join().unwrap();
    });
}

#[test]
fn sweeps_do_not_disturb_an_exchange() {
    if !lacks(&[Feature::Exchange, Feature::OneStep]) {
        check_sweeps(Swap::Exchange);
    }
}

#[test]
fn sweeps_do_not_disturb_a_switch() {
    if !lacks(&[Feature::Symlinks, Feature::OneStep]) {
        check_sweeps(Swap::Link);
    }
}

fn check_kills(test: &'static str, swap: Swap) {
    if let Some(child::Given { dir, .. }) = child::given() {
        // Bounded by the parent, which kills it.
        for version in 1.. {
            publish(&dir.path("site"), swap, version);
        }
    }
    let dir = Dir::new();
    let target = dir.path("site");
    publish(&target, swap, 0);
    let (mut swept, mut advanced) = (0, 0);
    // Bounded: most kills come in the middle of something.
    for turn in 0..200 {
        if advanced > 6 && swept > 3 {
            break;
        }
        let before = read_through(&target, Swap::Exchange);
        let mut child = spawn(Child::of(test).command(&dir, "").stdout(Stdio::null())).unwrap();
        wait_until("it has published", || read_through(&target, swap) != before);
        thread::sleep(std::time::Duration::from_millis(turn % 12 * 3));
        child.kill().unwrap();
        child.wait().unwrap();
        let after = read_through(&target, Swap::Exchange).expect("nobody removes it");
        advanced += usize::from(Some(after) != before);
        let sweep = sweep(dir.root()).unwrap();
        assert!(sweep.errors().is_empty(), "{sweep:?}");
        swept += sweep.removed().len();
        assert_eq!(read_through(&target, Swap::Exchange), Some(after));
        assert_eq!(dir.temps(), [""; 0]);
    }
    assert!(advanced > 6 && swept > 3, "{advanced} times something new, {swept} orphans");
}

#[test]
fn a_process_that_is_killed_leaves_a_whole_tree_that_is_exchanged() {
    if !lacks(&[Feature::Exchange, Feature::OneStep]) {
        let test = "dirs::races::a_process_that_is_killed_leaves_a_whole_tree_that_is_exchanged";
        check_kills(test, Swap::Exchange);
    }
}

#[test]
fn a_process_that_is_killed_leaves_a_whole_tree_that_is_switched() {
    if !lacks(&[Feature::Symlinks, Feature::OneStep]) {
        let test = "dirs::races::a_process_that_is_killed_leaves_a_whole_tree_that_is_switched";
        check_kills(test, Swap::Link);
    }
}
