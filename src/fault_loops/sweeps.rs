//! Sweeps where the file system does not tell all that it tells elsewhere.

use std::io;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Interruption, Op, Plan, When, with_plan};
use crate::many::stage::JOURNAL;
use crate::{ErrorKind, Step, Sweep, Sweeper, sys};

/// What dead processes have left: a temp file, one that was to be exchanged, a staging directory, a
/// generation. Each holds a file, or is one.
const ORPHANS: [&str; 4] = [
    ".wholefile-0123456789abcdef.swap",
    ".wholefile-abcDEF012345.tmp",
    ".wholefile-abcDEF012345.tree",
    ".wholefile-abcDEF543210.tmp",
];
const DIRECTORIES: [usize; 2] = [2, 3];

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        let folder = place.0.path().join("folder");
        for (index, name) in ORPHANS.iter().enumerate() {
            let mut path = folder.join(name);
            if DIRECTORIES.contains(&index) {
                path.push("file");
            }
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "staged").unwrap();
        }
        fs_err::write(folder.join("file"), "no orphan").unwrap();
        place
    }

    fn sweep(&self, plan: Plan) -> Sweep {
        let sweep = || Sweeper::new().recursive(true).run(self.0.path()).unwrap();
        let (sweep, _) = with_plan(plan, sweep);
        assert!(sweep.errors().is_empty(), "{sweep:?}");
        sweep
    }

    fn orphans(&self) -> Vec<PathBuf> {
        ORPHANS.iter().map(|name| self.0.path().join("folder").join(name)).collect()
    }

    fn names(&self) -> Vec<PathBuf> {
        let entries = fs_err::read_dir(self.0.path().join("folder")).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert_eq!(paths.pop(), Some(self.0.path().join("folder/file")));
        paths
    }
}

fn sorted(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths = paths.to_vec();
    paths.sort();
    paths
}

/// Without locks nobody can tell an orphan from what a living process has staged.
#[test]
fn where_there_are_no_locks_everything_stays_and_is_named() {
    let place = Place::new();
    let lacking = vec![(Op::Lock, sys::lacking_error(Op::Lock))];
    let sweep = place.sweep(Plan { lacking, ..Plan::default() });
    assert_eq!(sorted(sweep.unknown()), place.orphans());
    assert!(sweep.removed().is_empty() && sweep.alive().is_empty(), "{sweep:?}");
    assert_eq!(place.names(), place.orphans());
}

/// Some file systems list names alone (readdir(3), DT_UNKNOWN).
#[test]
fn where_names_have_no_kind_each_is_looked_at() {
    let place = Place::new();
    let sweep = place.sweep(Plan { pretending: vec![Op::List], ..Plan::default() });
    assert_eq!(sorted(sweep.removed()), place.orphans());
    assert_eq!(place.names(), Vec::<PathBuf>::new());
}

/// A sweep holds open each directory on the way.
#[test]
fn a_tree_that_is_too_deep_is_swept_as_far_as_it_goes() {
    const LEVELS: usize = 130;
    let root = tempfile::tempdir().unwrap();
    let mut path = root.path().to_path_buf();
    let mut orphans = Vec::new();
    for _ in 0..LEVELS {
        path.push("d");
        fs_err::create_dir(&path).unwrap();
        let orphan = path.join(ORPHANS[1]);
        fs_err::write(&orphan, "staged").unwrap();
        orphans.push(orphan);
    }
    let sweep = Sweeper::new().recursive(true).run(root.path()).unwrap();
    let [error] = sweep.errors() else { panic!("{sweep:?}") };
    assert_eq!((error.kind(), error.step()), (ErrorKind::Io, Step::Sweep));
    let swept = error.path().strip_prefix(root.path()).unwrap().components().count() - 1;
    assert_eq!(swept, 128, "as `Sweeper::recursive` says");
    assert_eq!(sorted(sweep.removed()), sorted(&orphans[..swept]));
    assert!(orphans[swept..].iter().all(|orphan| orphan.exists()));
}

/// In a directory of everybody's each has temp files that the others may not open.
#[test]
fn what_cannot_be_opened_is_an_error_of_its_own() {
    for (op, at) in [(Op::OpenOrphan, &[0, 1][..]), (Op::OpenSideFile, &[0])] {
        let place = Place::new();
        let lacking = vec![(op, rustix::io::Errno::ACCESS.raw_os_error())];
        let plan = Plan { lacking, ..Plan::default() };
        let sweep = || Sweeper::new().recursive(true).run(place.0.path()).unwrap();
        let (sweep, _) = with_plan(plan, sweep);
        let of: Vec<PathBuf> = sweep.errors().iter().map(|it| it.path().to_path_buf()).collect();
        let expected: Vec<PathBuf> = at.iter().map(|at| place.orphans()[*at].clone()).collect();
        assert_eq!((sorted(&of), place.names()), (expected.clone(), expected));
        assert!(sweep.errors().iter().all(|it| it.kind() == ErrorKind::PermissionDenied));
    }
}

/// What has the name of a temp file by the time that it is opened need not be one.
#[test]
fn what_is_no_file_any_more_stays() {
    let place = Place::new();
    let fifo = |path: &Path| {
        fs_err::remove_file(path).unwrap();
        sys::make_fifo(path);
    };
    let path = place.orphans()[1].clone();
    let when = When::BeforeEach(Op::OpenOrphan);
    let interruptions = vec![Interruption { when, action: fifo, path: path.clone() }];
    fs_err::remove_file(&place.orphans()[0]).unwrap(); // so that one is opened
    let sweep = place.sweep(Plan { interruptions, ..Plan::default() });
    assert!(!sweep.removed().contains(&path), "{sweep:?}");
    assert_eq!(place.names(), [path]);
}

/// A writer that found its file taken for an orphan removes it itself.
#[test]
fn what_somebody_else_removes_meanwhile_is_not_counted() {
    let place = Place::new();
    let gone = rustix::io::Errno::NOENT.raw_os_error();
    let sweep = place.sweep(Plan { lacking: vec![(Op::RemoveTemp, gone)], ..Plan::default() });
    assert_eq!(sorted(sweep.removed()), place.orphans()[2..]);
    assert_eq!(place.names(), place.orphans()[..2]);
}

/// Whatever has the name of the mark, nobody can tell that no journal needs the directory.
#[test]
fn a_staging_directory_with_a_mark_that_is_no_file_is_kept() {
    let place = Place::new();
    let stage = place.orphans().pop().unwrap();
    rustix::fs::symlink("nowhere", stage.join(JOURNAL)).unwrap();
    let sweep = place.sweep(Plan::default());
    assert_eq!((sweep.kept(), place.names()), (&[stage.clone()][..], vec![stage]));
}

/// Fails every operation of a sweep once, with each error that it can give.
#[test]
fn whatever_fails_is_told_or_comes_to_nothing() {
    let run = |place: &Place, at: Option<(usize, Fault)>| {
        let sweep = || Sweeper::new().recursive(true).run(place.0.path());
        with_plan(Plan { at, ..Plan::default() }, sweep)
    };
    let (_, clean) = run(&Place::new(), None);
    let mut runs = 0;
    for (index, op) in clean.log.iter().copied().enumerate() {
        for code in sys::errors_of(op) {
            let place = Place::new();
            let (result, _) = run(&place, Some((index, Fault::Error(code))));
            let name = format!("{op:?} at {index}, {code}: {result:?}");
            let error = io::Error::from_raw_os_error(code);
            runs += 1;
            let sweep = match result {
                Ok(sweep) => sweep,
                Err(_) if index > 1 => panic!("{name}: only the first directory is everything"),
                Err(told) => {
                    let told = told.io_error().and_then(io::Error::raw_os_error);
                    assert_eq!((told, place.names()), (Some(code), place.orphans()), "{name}");
                    continue;
                }
            };
            let told = |it: &crate::Error| it.io_error().and_then(io::Error::raw_os_error);
            assert!(sweep.errors().iter().all(|it| told(it) == Some(code)), "{name}");
            let is_answer = sys::is_gone(&error)
                || op == Op::Lock && sys::lacks_locks(&error)
                || matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock);
            // The lock of what was exchanged may stay, which the next sweep finds.
            let is_nothing = sorted(sweep.removed()) == place.orphans();
            assert!(!sweep.errors().is_empty() || is_answer || is_nothing, "{name}: not told");
            let mut kept = place.orphans();
            kept.retain(|path| !sweep.removed().contains(path));
            let stayed: Vec<PathBuf> = place.names();
            assert!(stayed.iter().all(|path| kept.contains(path) || is_lock(path)), "{name}");
        }
    }
    assert!(runs > 100, "only {runs} runs");
}

fn is_lock(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "lock")
}
