//! Fails every operation of making and removing a staging directory, and lets the process die
//! before each.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::faults_of;
use super::place::sweep_when_free;
use crate::fault::{Fault, Interruption, Op, Plan, When, with_plan};
use crate::many::stage::Stage;
use crate::options::Options;
use crate::sys;

/// A tree deeper than what is removed in one turn, with every kind of entry.
fn fill(root: &Path) {
    let mut deep = root.to_path_buf();
    for level in 0..34 {
        deep.push(level.to_string());
    }
    fs_err::create_dir_all(&deep).unwrap();
    fs_err::write(deep.join("file"), "contents").unwrap();
    rustix::fs::symlink("/", deep.join("link")).unwrap();
    fs_err::write(root.join("0/file"), "contents").unwrap();
}

fn run(folder: &Path, plan: Plan) -> (io::Result<()>, Plan) {
    let path = folder.to_path_buf();
    let scenario = move || {
        let folder = Arc::new(sys::open_directory(None, &path)?);
        let stage = Stage::create(&folder, &Options::default())?;
        fill(&stage.path(&path));
        assert!(sys::look(stage.directory(), OsStr::new("0"))?.is_some());
        stage.remove()
    };
    let (result, plan) = thread::spawn(move || with_plan(plan, scenario)).join().unwrap();
    (result, plan)
}

/// What somebody else does to the folder right before the operation of this index.
fn meanwhile(index: usize, action: fn(&Path), folder: &Path) -> Plan {
    let (when, path) = (When::At(index), folder.to_path_buf());
    let interruptions = vec![Interruption { when, action, path }];
    Plan { interruptions, ..Plan::default() }
}

fn place() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
    tempfile::tempdir_in(parent).unwrap()
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn a_staging_directory_that_stays_is_an_error() {
    let folder = place();
    let (clean, plan) = run(folder.path(), Plan::default());
    clean.unwrap();
    assert!(names(folder.path()).is_empty());
    assert!(plan.log.contains(&Op::MoveDirectory) && plan.log.contains(&Op::RemoveEntry));
    let mut survived = 0;
    for (index, op) in plan.log.iter().copied().enumerate() {
        for fault in faults_of(op) {
            let folder = place();
            let (result, again) =
                run(folder.path(), Plan { at: Some((index, fault)), ..Plan::default() });
            assert_eq!(again.log[index], op, "not the same run twice");
            let left = names(folder.path());
            match &result {
                Ok(()) => assert!(left.is_empty(), "{op:?} {fault:?}: {left:?} and no error"),
                // What is made is taken back, unless taking it back is what failed.
                Err(_) if index < 8 => assert!(left.is_empty(), "{op:?} {fault:?}: {left:?}"),
                Err(_) => assert!(left.len() <= 1, "{op:?} {fault:?}: {left:?}"),
            }
            survived += usize::from(result.is_ok());
            // Whatever stayed, the next sweep removes.
            let sweep = sweep_when_free(folder.path());
            assert_eq!((sweep.removed().len(), sweep.errors().len()), (left.len(), 0));
            assert!(names(folder.path()).is_empty());
        }
    }
    assert!(survived > 100, "{survived}");
}

/// A sweeper may take a fresh staging directory for an orphan, and be done with it, between its
/// creation and its lock: its owner then held the lock of a directory that was gone, and could
/// stage nothing in it.
#[test]
fn one_that_was_swept_before_it_was_locked_is_made_once_more() {
    let (_, clean) = run(place().path(), Plan::default());
    for op in [Op::OpenDirectory, Op::Inspect, Op::Lock] {
        let folder = place();
        let made = clean.log.iter().position(|it| *it == Op::MakeDirectory).unwrap();
        let index = made + clean.log[made..].iter().position(|it| *it == op).unwrap();
        let (result, plan) = run(folder.path(), meanwhile(index, take_away, folder.path()));
        result.unwrap();
        let makes = plan.log.iter().filter(|it| **it == Op::MakeDirectory).count();
        assert_eq!((makes, names(folder.path()).len()), (2, 0), "swept before {op:?}");
    }
}

/// Removes the staging directory, which is empty, as a sweeper would.
fn take_away(folder: &Path) {
    names(folder).into_iter().for_each(|name| fs_err::remove_dir(folder.join(name)).unwrap());
}

#[test]
fn what_goes_wrong_with_a_fresh_one_is_no_reason_for_another() {
    let create = |plan: Plan, path: &Path| {
        let folder = Arc::new(sys::open_directory(None, path).unwrap());
        with_plan(plan, || Stage::create(&folder, &Options::default()))
    };
    let clean = create(Plan::default(), place().path()).1.log;
    for op in [Op::OpenDirectory, Op::Inspect, Op::Lock] {
        let index = clean.iter().position(|it| *it == op).unwrap();
        for is_taken in [false, true] {
            let folder = place();
            let at = Some((index, Fault::Error(rustix::io::Errno::IO.raw_os_error())));
            let mut plan = meanwhile(index, take_away, folder.path());
            plan.interruptions.retain(|_| is_taken);
            let (made, plan) = create(Plan { at, ..plan }, folder.path());
            let makes = plan.log.iter().filter(|it| **it == Op::MakeDirectory).count();
            let left = (made.unwrap_err().leftover, names(folder.path()).len());
            assert_eq!((makes, left), (1, (None, 0)), "{op:?}, {is_taken}");
        }
    }
}

#[test]
fn one_that_somebody_else_removes_at_last_is_removed() {
    let (_, clean) = run(place().path(), Plan::default());
    let last = clean.log.iter().rposition(|op| *op == Op::RemoveDirectory).unwrap();
    let folder = place();
    run(folder.path(), meanwhile(last, take_away, folder.path())).0.unwrap();
    assert_eq!(names(folder.path()).len(), 0);
}

/// On sshfs a commit or a recovery failed to remove a staging directory now and then, although it
/// had removed all that was in it: what had just been closed was only hidden, since the driver had
/// not heard of that yet, and the empty directory was left over.
#[test]
fn what_is_hidden_in_a_staging_directory_is_removed_with_it() {
    let hide = |folder: &Path| {
        let stage = folder.join(&names(folder)[0]);
        fs_err::write(stage.join(".fuse_hidden0000000100000001"), "").unwrap();
    };
    let folder = place();
    let (_, clean) = run(folder.path(), Plan::default());
    let last = clean.log.iter().rposition(|op| *op == Op::RemoveDirectory).unwrap();
    let (result, plan) = run(folder.path(), meanwhile(last, hide, folder.path()));
    result.unwrap();
    assert!(plan.log.len() > clean.log.len());
    assert_eq!(names(folder.path()).len(), 0);
}

/// Each attempt to move up what lies too deep counted as progress, so that what could not be moved,
/// such as a directory of somebody else's, was tried anew 65,536 times, each time with a walk
/// through all 32 levels: a commit or a sweep stood still for more than a minute. And an empty
/// directory, which could have been removed where it was, was to be moved, too.
#[test]
fn what_cannot_be_moved_up_is_tried_once() {
    #[track_caller]
    fn check(levels: usize, moves: usize, expected: Result<(), io::ErrorKind>) {
        let folder = place();
        let denied = rustix::io::Errno::ACCESS.raw_os_error();
        let plan = Plan { lacking: vec![(Op::MoveDirectory, denied)], ..Plan::default() };
        let path = folder.path().to_path_buf();
        let (result, plan) = with_plan(plan, || {
            let folder = Arc::new(sys::open_directory(None, &path)?);
            let stage = Stage::create(&folder, &Options::default())?;
            let root = stage.path(&path);
            fs_err::create_dir_all((0..levels).fold(root, |path, it| path.join(it.to_string())))?;
            stage.remove()
        });
        assert_eq!(result.map_err(|error| error.kind()), expected);
        let count = |op| plan.log.iter().filter(|it| **it == op).count();
        assert_eq!((count(Op::MoveDirectory), names(folder.path()).len()), (moves, moves.min(1)));
        assert_eq!(count(Op::List), levels.min(32) + 1, "one turn");
    }
    check(32, 0, Ok(()));
    check(33, 0, Ok(()));
    // Tried once more with all rights of the owner.
    check(34, 2, Err(io::ErrorKind::PermissionDenied));
}

#[test]
fn a_sweep_removes_what_a_dead_process_has_staged() {
    let mut left = 0;
    for index in 0.. {
        let folder = place();
        let (_, plan) =
            run(folder.path(), Plan { at: Some((index, Fault::Die)), ..Plan::default() });
        if plan.log.len() <= index {
            break; // it reached the end alive
        }
        left += names(folder.path()).len();
        let sweep = sweep_when_free(folder.path());
        assert_eq!(sweep.errors().len(), 0, "died before {index}: {sweep:?}");
        assert!(names(folder.path()).is_empty(), "died before {index}, {:?}", plan.log[index]);
    }
    assert!(left > 100, "{left} orphans");
}
