//! Orphans are removed, and only orphans.

#[cfg(target_os = "linux")] // it mounts
mod directories;

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use wholefile::{
    AtomicDir, AtomicWriter, Durability, ErrorKind, Lock, Step, Swap, Sweeper, Version, sweep,
};

use crate::child::{self, Child};
use crate::dir::{Dir, LIMIT, sweep_when_free};
use crate::place::{Feature, lacks};
use crate::system::{make_fifo, nobody_forks};

const TEMP: &str = ".wholefile-abcDEF012345.tmp";
const LOCK: &str = ".wholefile-0123456789abcdef.lock";
const SWAP: &str = ".wholefile-fedcba9876543210.swap";

fn names(paths: &[std::path::PathBuf]) -> Vec<&str> {
    let mut names: Vec<_> =
        paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn what_a_killed_writer_left_is_removed() {
    if let Some(given) = child::given() {
        let mut builder = AtomicWriter::builder();
        let mut writer = builder.lock(Lock::Try).open(given.dir.path("target")).unwrap();
        writer.write_all(b"half").unwrap();
        writer.as_file().unwrap();
        return child::wait_to_be_killed();
    }
    let dir = Dir::new();
    dir.write("target", "old");
    let child = Child::of("sweeps::what_a_killed_writer_left_is_removed");
    let child = child.run_until_it_is_here(&dir, "");
    let living = sweep(dir.root()).unwrap();
    assert_eq!((living.alive().len(), living.removed().len()), (2, 0));
    assert_eq!(dir.names().len(), 3);
    drop(child);
    let dead = sweep(dir.root()).unwrap();
    assert_eq!((dead.alive().len(), dead.removed().len()), (0, 2));
    dir.assert_only(&["target"]);
    assert_eq!(fs::read(dir.path("target")).unwrap(), b"old");
}

#[test]
fn only_what_has_exactly_the_pattern_is_touched() {
    if lacks(&[Feature::Symlinks, Feature::Fifos]) {
        return;
    }
    let dir = Dir::new();
    let others = [
        ".wholefile-abcDEF01234.tmp",
        ".wholefile-abcDEF0123456.tmp",
        ".wholefile-abcDEF01234_.tmp",
        ".wholefile-abcDEF01234é.tmp",
        "wholefile-abcDEF012345.tmp",
        ".wholefile-abcDEF012345.tmp~",
        "..wholefile-abcDEF012345.tmp",
        ".wholefile-abcDEF012345.TMP",
        ".wholefile-0123456789ABCDEF.lock",
        ".wholefile-0123456789abcde.lock",
        ".wholefile-0123456789ABCDEF.swap",
        ".wholefile-0123456789abcdef.swap.old",
        ".wholefile-.tmp",
    ];
    for name in others {
        dir.write(name, "");
    }
    dir.write("victim", "precious");
    // What has the name and is no file of ours.
    for (index, make) in
        [&(|path: &Path| symlink("victim", path).unwrap()) as &dyn Fn(&Path), &|path: &Path| {
            make_fifo(path);
        }]
        .iter()
        .enumerate()
    {
        make(&dir.path(format!(".wholefile-abcDEF01234{index}.tmp")));
    }
    dir.make(".wholefile-0123456789abcdee.lock");
    let before = dir.names();
    for name in [TEMP, LOCK, SWAP] {
        dir.write(name, "orphan");
    }
    let swept = sweep(dir.root()).unwrap();
    assert_eq!(names(swept.removed()), [LOCK, TEMP, SWAP]);
    assert!(swept.errors().is_empty(), "{:?}", swept.errors());
    assert_eq!(dir.names(), before);
    assert_eq!(fs::read(dir.path("victim")).unwrap(), b"precious");
}

/// What a save has displaced and is about to put back is nobody's temp file: it has no lock of its
/// own, and a sweep that took it for an orphan destroyed what somebody else had just saved.
#[test]
fn what_is_being_exchanged_is_kept_for_as_long_as_the_targets_lock_is_held() {
    let dir = Dir::new();
    let target = dir.path("target");
    let _alone = nobody_forks();
    let writer = AtomicWriter::builder().lock(Lock::Try).open(&target).unwrap();
    let lock = dir.names().concat();
    let exchanged = lock.replace(".lock", ".swap");
    dir.write(&exchanged, "displaced");
    let living = sweep(dir.root()).unwrap();
    assert_eq!(names(living.alive()), [&*lock, &*exchanged]);
    dir.assert_only(&[&lock, &exchanged]);
    drop(writer);
    assert_eq!(Sweeper::new().dry_run(true).run(dir.root()).unwrap().removed().len(), 1);
    dir.assert_only(&[&exchanged]);
    assert_eq!(names(sweep(dir.root()).unwrap().removed()), [&*exchanged]);
    dir.assert_only(&[]);
    // Nor does one that a killed process left stand in the way of the next save.
    fs::write(&target, "old").unwrap();
    dir.write(&exchanged, "displaced");
    let version = Version::of(&target).unwrap();
    AtomicWriter::builder().expect(&version).write(&target, "new").unwrap();
    dir.assert_only(&["target"]);
}

/// A dry run removed the file of a lock, and a minimum age did not keep it; nor was it reported
/// where it came later in the list. To see whether a save that expects a version is under way, the
/// sweep took the lock of its target, and let go of it as a writer does, who removes the file.
#[test]
fn the_lock_of_what_is_exchanged_is_swept_by_its_own_name() {
    if lacks(&[Feature::OneStep, Feature::ExactTimes]) {
        return; // the time of a directory shows whether anything was made in it
    }
    const HOUR: Duration = Duration::from_secs(3600);
    let dir = Dir::new();
    // In which order they are listed is by chance.
    let pairs: Vec<String> = (0..32)
        .flat_map(|hash| ["lock", "swap"].map(|end| format!(".wholefile-{hash:016x}.{end}")))
        .collect();
    for name in &pairs {
        dir.write(name, "");
    }
    let _alone = nobody_forks();
    let dry = Sweeper::new().dry_run(true).run(dir.root()).unwrap();
    assert_eq!(
        (names(dry.removed()), dir.names()),
        (pairs.iter().map(|it| &**it).collect(), pairs.clone())
    );
    let young = Sweeper::new().min_age(HOUR).run(dir.root()).unwrap();
    assert_eq!((young.young().len(), dir.names()), (pairs.len(), pairs.clone()));
    assert_eq!(names(sweep(dir.root()).unwrap().removed()), pairs);
    dir.assert_only(&[]);
    // A lock that is missing is not made for a dry run.
    dir.write(SWAP, "");
    let folder = fs::File::open(dir.root()).unwrap();
    folder.file().set_modified(std::time::SystemTime::now() - HOUR).unwrap();
    let modified = || fs::metadata(dir.root()).unwrap().modified().unwrap();
    let before = modified();
    assert_eq!(names(Sweeper::new().dry_run(true).run(dir.root()).unwrap().removed()), [SWAP]);
    assert_eq!(modified(), before);
}

/// A sweeper who was told that temp files end with `.tree` removed the directory that a link named,
/// and with it all that a site served: a staging directory without a lock is an orphan, and a
/// generation that is in use has none.
#[test]
fn no_temp_file_is_named_as_a_generation_is() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    let site = dir.path("site");
    let new = AtomicDir::builder().swap(Swap::Link).open(&site).unwrap();
    fs::write(new.path().join("page"), "contents").unwrap();
    new.commit().unwrap();
    let refused = [
        Sweeper::new().staging_suffix(".tree").run(dir.root()).unwrap_err(),
        AtomicWriter::builder().staging_suffix(".tree").open(dir.path("file")).unwrap_err(),
        AtomicDir::builder().staging_suffix(".tree").open(&site).unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
    }
    assert_eq!(fs::read(site.join("page")).unwrap(), b"contents");
}

#[test]
fn a_dry_run_and_a_minimum_age_keep_what_they_report() {
    if lacks(&[Feature::OneStep]) {
        return; // what is removed while it is open stays for a moment
    }
    let dir = Dir::new();
    dir.write(TEMP, "orphan");
    let _alone = nobody_forks();
    let dry = Sweeper::new().dry_run(true).run(dir.root()).unwrap();
    assert_eq!(names(dry.removed()), [TEMP]);
    let mut sweeper = Sweeper::new();
    let young = sweeper.min_age(Duration::from_secs(3600)).run(dir.root()).unwrap();
    assert_eq!((names(young.young()), young.removed().len()), (vec![TEMP], 0));
    // One from the future, after the clock was set back, is young as well.
    let file = fs::OpenOptions::new().write(true).open(dir.path(TEMP)).unwrap();
    let set = |file: &fs::File, time| file.file().set_modified(time).unwrap();
    set(&file, std::time::SystemTime::now() + Duration::from_secs(7200));
    assert_eq!(sweeper.run(dir.root()).unwrap().young().len(), 1);
    dir.assert_only(&[TEMP]);
    set(&file, std::time::SystemTime::now() - Duration::from_secs(7200));
    drop(file);
    assert_eq!(sweeper.run(dir.root()).unwrap().removed().len(), 1);
    dir.assert_only(&[]);
}

#[test]
fn other_directories_are_swept_only_when_asked_and_never_through_links() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let (dir, outside) = (Dir::new(), Dir::new());
    dir.make("a/b");
    for folder in ["", "a/", "a/b/"] {
        dir.write(&format!("{folder}{TEMP}"), "orphan");
    }
    outside.write(TEMP, "somebody else's");
    symlink(outside.root(), dir.path("a/link")).unwrap();
    assert_eq!(sweep(dir.root()).unwrap().removed().len(), 1);
    let swept = Sweeper::new().recursive(true).run(dir.root()).unwrap();
    assert_eq!((swept.removed().len(), swept.errors().len()), (2, 0));
    outside.assert_only(&[TEMP]);
}

#[test]
fn a_prefix_and_a_suffix_of_ones_own_are_swept_by_who_knows_them() {
    let dir = Dir::new();
    let mut builder = AtomicWriter::builder();
    let mut writer = builder.staging_prefix("#").staging_suffix("").open(dir.path("a")).unwrap();
    writer.write_all(b"x").unwrap();
    let (file, path) = writer.keep().unwrap();
    let mut sweeper = Sweeper::new();
    sweeper.staging_prefix("#").staging_suffix("");
    assert_eq!(sweep(dir.root()).unwrap().removed().len(), 0);
    assert_eq!(sweeper.run(dir.root()).unwrap().alive(), std::slice::from_ref(&path));
    drop(file);
    assert_eq!(sweep_when_free(&sweeper, dir.root()).removed(), [path]);
    let error = sweeper.staging_prefix("a/b").run(dir.root()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
}

#[test]
fn what_is_no_directory_cannot_be_swept() {
    let dir = Dir::new();
    let file = dir.write("file", "");
    for (path, kind) in
        [(file, ErrorKind::NotADirectory), (dir.path("missing"), ErrorKind::NotFound)]
    {
        let error = sweep(path).unwrap_err();
        assert_eq!((error.kind(), error.step()), (kind, Step::Sweep));
    }
}

/// Sweepers race with writers for every temp file, also in the moment between its creation and its
/// lock: a writer that loses its file there must make another, and no save may fail.
#[test]
fn no_writer_loses_its_temp_file_to_a_sweeper() {
    const WRITERS: usize = 16;
    const SWEEPERS: usize = 4;
    const SAVES: usize = 150;
    const SWEEPS: usize = 20;
    let dir = Dir::new();
    let end = Instant::now() + LIMIT;
    let (done, swept) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..SWEEPERS {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let sweep = sweep(dir.root()).unwrap();
                    assert!(sweep.errors().is_empty(), "{:?}", sweep.errors());
                    swept.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (dir, swept) = (&dir, &swept);
                scope.spawn(move || {
                    let path = dir.path(format!("target {writer}"));
                    let is_enough = || swept.load(Ordering::Relaxed) >= SWEEPS;
                    // Bounded by the time.
                    for save in (0..)
                        .take_while(|save| *save < SAVES || !is_enough() && Instant::now() < end)
                    {
                        let contents = format!("{writer} {save}");
                        let mut builder = AtomicWriter::builder();
                        builder.durability(Durability::None);
                        // Some are staged at commit, some before, and every third waits for a lock.
                        builder.buffer_size(if save % 2 == 0 { 1 << 16 } else { 0 });
                        builder.lock(if save % 3 == 0 { Lock::Wait } else { Lock::None });
                        builder.write(&path, &contents).unwrap();
                        assert_eq!(fs::read_to_string(&path).unwrap(), contents);
                    }
                })
            })
            .collect();
        let results: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        results.into_iter().for_each(|result| result.unwrap());
    });
    assert!(swept.load(Ordering::Relaxed) >= SWEEPS, "too few sweeps");
    sweep(dir.root()).unwrap();
    assert_eq!(dir.names().len(), WRITERS, "{:?}", dir.names());
}
