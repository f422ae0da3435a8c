//! Fails every operation of a batch of three files once, with each error that it can give, and lets
//! the process die before every operation.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use super::steps::check_told;
use super::{faults_of, has_the_documented_name};
use crate::fault::{Fault, Op, Plan, with_plan};
use crate::{
    AtomicBatch, AtomicWriter, BatchCommit, Builder, Durability, Publish, Result, Step, SyncPlan,
    TargetState, sys,
};

const OLD: &[u8] = b"old";

struct Case {
    name: &'static str,
    builder: fn() -> Builder,
    /// As on a file system that is known to keep the order.
    pretending: &'static [Op],
    lacking: &'static [Op],
    /// The operations that make the contents durable, in order, without any fault.
    syncs: &'static [Op],
}

pub(super) fn portable() -> Builder {
    AtomicWriter::builder().create_parents(true).clone()
}

fn fewest() -> Builder {
    portable().sync_plan(SyncPlan::Fewest).clone()
}

fn ordered() -> Builder {
    portable().durability(Durability::Ordered).clone()
}

fn not_durable() -> Builder {
    portable().durability(Durability::None).clone()
}

fn required() -> Builder {
    portable().require_durability(true).clone()
}

fn unwritable() -> Builder {
    portable().mode(0).clone()
}

fn skip_unchanged() -> Builder {
    portable().skip_unchanged(true).clone()
}

fn by_publish(publish: Publish) -> Builder {
    portable().publish(publish).clone()
}

const FILE: Op = Op::SyncFile;
const NAMES: Op = Op::SyncDirectory;

/// The first target gets another mode between the write and the commit.
const CHANGED: &str = "a target was changed meanwhile";

const CASES: &[Case] = &[
    Case {
        name: "file by file",
        builder: portable,
        pretending: &[],
        lacking: &[],
        syncs: &[FILE, FILE, FILE, NAMES, NAMES],
    },
    Case {
        name: "one journal",
        builder: portable,
        pretending: &[Op::Identify],
        lacking: &[],
        // The one in between is of the staging directory.
        syncs: &[FILE, Op::WriteOut, Op::WriteOut, NAMES, NAMES, NAMES],
    },
    Case {
        name: "the fewest syncs",
        builder: fewest,
        pretending: &[Op::Identify],
        lacking: &[],
        syncs: &[FILE, Op::WriteOut, Op::WriteOut, NAMES, NAMES],
    },
    Case {
        name: "ordered",
        builder: ordered,
        pretending: &[],
        lacking: &[],
        syncs: &[FILE, FILE, FILE],
    },
    Case { name: "not durable", builder: not_durable, pretending: &[], lacking: &[], syncs: &[] },
    Case {
        name: "required",
        builder: required,
        pretending: &[],
        lacking: &[],
        // Each directory is tried before anything is staged in it.
        syncs: &[NAMES, NAMES, NAMES, FILE, FILE, FILE, NAMES, NAMES],
    },
    Case {
        name: "files that cannot be opened again",
        builder: unwritable,
        pretending: &[],
        lacking: &[],
        syncs: &[FILE, FILE, FILE, NAMES, NAMES],
    },
    Case {
        name: "one file is unchanged",
        builder: skip_unchanged,
        pretending: &[],
        lacking: &[],
        syncs: &[FILE, FILE, FILE, NAMES, NAMES],
    },
    Case {
        name: CHANGED,
        builder: portable,
        pretending: &[],
        lacking: &[],
        syncs: &[FILE, FILE, FILE, NAMES, NAMES],
    },
    Case {
        name: "directories cannot be synced",
        builder: portable,
        pretending: &[],
        lacking: &[Op::SyncDirectory],
        syncs: &[FILE, FILE, FILE, NAMES, NAMES],
    },
    Case {
        name: "existing ones are exchanged",
        builder: || by_publish(Publish::Existing),
        pretending: &[],
        lacking: &[],
        syncs: &[],
    },
    Case {
        name: "new ones without rename flags",
        builder: || by_publish(Publish::CreateNew),
        pretending: &[],
        lacking: &[Op::RenameNoReplace],
        syncs: &[],
    },
];

/// Nothing comes of it that these failed: a comparison is a replacement then, the file system one
/// that nothing is known of, and a directory is removed all the same if nothing is in it.
const SURVIVED: [Op; 5] = [Op::Identify, Op::Inspect, Op::List, Op::OpenTarget, Op::ReadTarget];

pub(super) struct Place {
    pub(super) root: tempfile::TempDir,
    pub(super) targets: Vec<(PathBuf, Option<&'static [u8]>)>,
}

impl Place {
    pub(super) fn new(publish: Publish) -> Place {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
        let root = tempfile::tempdir_in(parent).unwrap();
        let olds: [Option<&[u8]>; 3] = match publish {
            Publish::Existing => [Some(OLD), Some(OLD), Some(OLD)],
            Publish::CreateNew => [None, None, None],
            Publish::Replace => [Some(OLD), None, None],
        };
        let names = ["one", "two", "a/three"];
        let targets: Vec<_> =
            names.into_iter().map(|name| root.path().join(name)).zip(olds).collect();
        for (path, old) in &targets {
            if let Some(old) = old {
                fs_err::create_dir_all(path.parent().unwrap()).unwrap();
                fs_err::write(path, old).unwrap();
            }
        }
        Place { root, targets }
    }

    pub(super) fn check(&self, index: usize, state: TargetState, name: &str) {
        let (path, old) = &self.targets[index];
        let contents = match fs_err::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // Where the mode says so, even its owner may not, other than root.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                fs_err::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
                Some(fs_err::read(path).unwrap())
            }
            contents => Some(contents.unwrap()),
        };
        let is_old = contents.as_deref() == *old;
        let is_new = contents.as_deref() == Some(new_of(index));
        let holds = match state {
            TargetState::Untouched => is_old,
            TargetState::Replaced => is_new,
            TargetState::Unknown => is_old || is_new,
            TargetState::Displaced => false,
        };
        assert!(holds, "{name}: {path:?} is not {state:?} but {contents:?}");
    }

    /// What is neither a target nor a directory on the way to one.
    pub(super) fn others(&self) -> Vec<PathBuf> {
        let entries = fs_err::read_dir(self.root.path()).unwrap();
        let mut others: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        if let Ok(below) = fs_err::read_dir(self.root.path().join("a")) {
            others.extend(below.map(|entry| entry.unwrap().path()));
        }
        others.retain(|path| {
            let is_target = self.targets.iter().any(|(target, _)| target == path);
            !is_target && !path.ends_with("a")
        });
        others
    }
}

/// New contents, the last of which do not fit into the buffer.
pub(super) fn new_of(index: usize) -> &'static [u8] {
    [&b"first, new"[..], b"second, new", &[b'x'; 100]][index]
}

fn publish_of(case: &Case) -> Publish {
    (case.builder)().options.publish
}

fn run(case: &Case, at: Option<(usize, Fault)>) -> (Place, Result<BatchCommit>, Plan) {
    let place = Place::new(publish_of(case));
    if case.name == "one file is unchanged" {
        fs_err::write(&place.targets[0].0, new_of(0)).unwrap();
    }
    let paths: Vec<PathBuf> = place.targets.iter().map(|(path, _)| path.clone()).collect();
    let lacking = case.lacking.iter().map(|op| (*op, sys::lacking_error(*op))).collect();
    let pretending = case.pretending.to_vec();
    let plan = Plan { at, lacking, pretending, ..Plan::default() };
    let builder = (case.builder)();
    let is_changed = case.name == CHANGED;
    let scenario = move || {
        let mut batch = AtomicBatch::new();
        batch.options(builder.clone().buffer_size(64));
        for (index, path) in paths.iter().enumerate() {
            if let Err(error) = batch.write(path, new_of(index)) {
                return Err(batch.rollback().err().unwrap_or(error));
            }
        }
        if is_changed {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
            fs_err::set_permissions(&paths[0], mode).unwrap();
        }
        batch.commit()
    };
    let (result, plan) = thread::spawn(move || with_plan(plan, scenario))
        .join()
        .unwrap_or_else(|_| panic!("{}: {at:?} panicked", case.name));
    (place, result, plan)
}

/// The result and the disk agree.
fn check(case: &Case, place: &Place, result: &Result<BatchCommit>, name: &str) {
    let is_unchanged = case.name == "one file is unchanged";
    let mut leftovers: Vec<PathBuf> = match result {
        Ok(commit) => {
            assert_eq!(commit.commits().len(), 3, "{name}");
            (0..3).for_each(|index| place.check(index, TargetState::Replaced, name));
            Vec::new()
        }
        Err(error) => {
            let states: Vec<_> = error.files().collect();
            let has_begun = states.len() == 3;
            for index in (0..3).filter(|index| !(is_unchanged && *index == 0)) {
                let state = if has_begun { states[index].1 } else { TargetState::Untouched };
                place.check(index, state, name);
            }
            error.leftovers().map(Path::to_path_buf).collect()
        }
    };
    let mut others = place.others();
    others.sort();
    leftovers.sort();
    assert_eq!(others, leftovers, "{name}");
}

#[test]
fn every_operation_of_a_batch_failed_once_with_each_of_its_errors() {
    let (mut runs, mut rolled_back, mut halfway) = (0, 0, 0);
    for case in CASES {
        let (place, clean, plan) = run(case, None);
        clean.as_ref().unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
        check(case, &place, &clean, case.name);
        for (index, op) in plan.log.iter().copied().enumerate() {
            for fault in faults_of(op) {
                let (place, result, again) = run(case, Some((index, fault)));
                let name = format!("{}: {index} {op:?} {fault:?}: {result:?}", case.name);
                assert_eq!(again.log[index], op, "{name}: not the same run twice");
                check(case, &place, &result, &name);
                check_told(&result, fault, SURVIVED.contains(&op), &name);
                if op == NAMES {
                    check_names(case, &place, &result, fault, &name);
                }
                if let Err(error) = &result {
                    let states: Vec<_> = error.files().map(|(_, state)| state).collect();
                    let new = states.iter().filter(|state| **state == TargetState::Replaced);
                    match new.count() {
                        0 => rolled_back += 1,
                        3 => {}
                        _ => halfway += 1,
                    }
                    let is_late = [Step::Publish, Step::SyncDirectory, Step::RemoveTemp];
                    let is_untouched = states.iter().all(|it| *it == TargetState::Untouched);
                    assert!(is_untouched || is_late.contains(&error.step()), "{name}");
                }
                runs += 1;
            }
        }
    }
    eprintln!("{runs} runs, {rolled_back} rolled back, {halfway} ended halfway");
    assert!(runs > 3000 && rolled_back > 1000 && halfway > 50);
}

/// A sync of names is of a directory, and what fails for it is told of a file in that.
#[track_caller]
fn check_names(case: &Case, place: &Place, result: &Result<BatchCommit>, fault: Fault, name: &str) {
    let Err(error) = result else {
        let interrupted = rustix::io::Errno::INTR.raw_os_error();
        let is_retried = matches!(fault, Fault::Error(code) if code == interrupted);
        return assert!(is_retried || case.name != "required", "{name}: not durable");
    };
    let is_file = place.targets.iter().any(|(path, _)| path == error.path());
    assert!(is_file || error.step() != Step::SyncDirectory, "{name}: of which file?");
}

#[test]
fn the_process_dies_before_every_operation_of_a_batch() {
    let (mut deaths, mut left) = (0, 0);
    for case in CASES {
        for index in 0.. {
            let (place, _, plan) = run(case, Some((index, Fault::Die)));
            if plan.log.len() <= index {
                break; // it reached the end alive
            }
            deaths += 1;
            let name = format!("{}: died before {index}, {:?}", case.name, plan.log[index]);
            for file in 0..3 {
                if case.name != "one file is unchanged" || file > 0 {
                    place.check(file, TargetState::Unknown, &name);
                }
            }
            let others = place.others();
            assert!(others.iter().all(|path| has_the_documented_name(path)), "{name}: {others:?}");
            left += others.len();
            let sweep = crate::Sweeper::new().recursive(true).run(place.root.path()).unwrap();
            assert!(sweep.errors().is_empty(), "{name}: {sweep:?}");
            assert_eq!((sweep.removed().len(), place.others().len()), (others.len(), 0), "{name}");
        }
    }
    eprintln!("{deaths} deaths, {left} orphans");
    assert!(deaths > 300 && left > 200);
}

#[test]
fn the_contents_are_synced_before_the_first_is_published_and_the_names_after_the_last() {
    for case in CASES.iter().filter(|case| publish_of(case) == Publish::Replace) {
        let (_, result, plan) = run(case, None);
        let commit = result.unwrap();
        let is_sync = |op: &&Op| [FILE, NAMES, Op::WriteOut].contains(op);
        let mut expected = case.syncs.to_vec();
        if case.name == "one file is unchanged" {
            // It is synced like the others if it is not: with the same contents it never is.
            expected.remove(0);
        }
        let syncs: Vec<Op> = plan.log.iter().filter(is_sync).copied().collect();
        assert_eq!(syncs, expected, "{}", case.name);
        let renames: Vec<usize> =
            (0..plan.log.len()).filter(|index| plan.log[*index] == Op::Rename).collect();
        let (first, last) = (renames[0], renames[renames.len() - 1]);
        let is_data = |op: &Op| [FILE, Op::WriteOut].contains(op);
        assert!(!plan.log[first..].iter().any(is_data), "{}", case.name);
        assert!(!plan.log[first..last].iter().any(|op| is_sync(&op)), "{}", case.name);
        let durability = commit.durability();
        let expected = match case.name {
            "ordered" | "directories cannot be synced" => Durability::Ordered,
            "not durable" => Durability::None,
            _ => Durability::Full,
        };
        assert_eq!(durability, expected, "{}", case.name);
    }
}
