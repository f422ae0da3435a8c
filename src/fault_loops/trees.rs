//! Fails every operation of publishing a tree once, with each error that it can give, and lets the
//! process die before every operation. After each: is the old tree or the new one there, whole, and
//! is what was said true?

mod cases;
mod copies;
mod exchanges;
mod intruders;
mod losses;
mod switches;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use self::cases::{Before, CASES, Case, Start};
use super::faults_of;
use super::place::sweep_when_free;
use super::steps::check_told;
use crate::fault::{Fault, Op, Plan, with_plan};
use crate::{AtomicDir, DirCommit, ErrorKind, Outcome, Publish, Result, TargetState, sys};

/// What is in a tree: for each path the contents of the file or the text of the link.
type Tree = BTreeMap<String, Option<String>>;

struct Place {
    root: tempfile::TempDir,
    before: Before,
}

const GENERATION: &str = ".wholefile-abcDEF012345.tree";

impl Place {
    fn new(before: Before) -> Place {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
        let place = Place { root: tempfile::tempdir_in(parent).unwrap(), before };
        let old = match before {
            Before::Nothing | Before::NoParents => return place,
            Before::Tree => place.target(),
            Before::Link => {
                rustix::fs::symlink(GENERATION, place.target()).unwrap();
                place.root.path().join(GENERATION)
            }
        };
        fs_err::create_dir_all(old.join("a/b")).unwrap();
        fs_err::write(old.join("index"), "old").unwrap();
        fs_err::write(old.join("a/b/asset"), "shared by both").unwrap();
        fs_err::write(old.join("a/holes"), [0; 100_000]).unwrap();
        rustix::fs::symlink("b/asset", old.join("a/link")).unwrap();
        let folder = fs_err::File::open(&old).unwrap().into_parts().0;
        let _ = sys::set_xattr(&folder, OsStr::new("user.wholefile-test"), b"kept");
        place
    }

    fn target(&self) -> PathBuf {
        match self.before {
            Before::NoParents => self.root.path().join("x/y/target"),
            _ => self.root.path().join("target"),
        }
    }

    /// The tree that the target's path leads to.
    fn tree(&self) -> Option<Tree> {
        let target = self.target();
        target.exists().then(|| tree_at(&target))
    }

    /// All in the target's folder, and in the place, but the target and what leads to it, or what
    /// it leads to if it is a link.
    fn others(&self) -> Vec<PathBuf> {
        let target = self.target();
        let generation = fs_err::read_link(&target).map(|text| target.with_file_name(text)).ok();
        let folders = [self.root.path(), target.parent().unwrap()];
        let entries = folders.into_iter().filter_map(|folder| fs_err::read_dir(folder).ok());
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| !target.starts_with(path) && generation.as_ref() != Some(path));
        paths.sort();
        paths.dedup();
        paths
    }
}

fn summary(contents: &[u8]) -> String {
    match contents.iter().all(|byte| *byte == 0) {
        true => format!("{} zeros", contents.len()),
        false => String::from_utf8(contents.to_vec()).unwrap(),
    }
}

fn tree_at(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let contents = match fs_err::symlink_metadata(&path).unwrap().file_type() {
                kind if kind.is_dir() => None,
                kind if kind.is_symlink() => {
                    Some(fs_err::read_link(&path).unwrap().to_str().unwrap().to_owned())
                }
                _ => Some(summary(&fs_err::read(&path).unwrap())),
            };
            if contents.is_none() {
                folders.push(path.clone());
            }
            tree.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), contents);
        }
    }
    tree
}

/// What every case does to the staged tree.
fn change(staged: &AtomicDir) -> Result<()> {
    staged.create_dir_all("a/c")?;
    staged.write("index", "new")?;
    staged.write("a/c/page", "new too")?;
    if staged.path().join("a/holes").exists() {
        staged.remove_all("a/holes")?;
    }
    Ok(())
}

fn publish(case: &Case, path: &Path) -> Result<DirCommit> {
    let mut builder = AtomicDir::builder();
    (case.set)(&mut builder);
    let staged = match case.start {
        Start::Open => builder.open(path)?,
        Start::Edit => builder.edit(path)?,
    };
    if let Err(error) = change(&staged) {
        // Whoever goes on regardless cannot publish what is incomplete.
        if !matches!(error.step(), crate::Step::Resolve) {
            assert_eq!(staged.commit().unwrap_err().kind(), ErrorKind::Poisoned);
        }
        return Err(error);
    }
    staged.commit()
}

fn run(case: &'static Case, at: Option<(usize, Fault)>) -> (Place, Result<DirCommit>, Plan) {
    let lacking = case.lacking.iter().map(|op| (*op, sys::lacking_error(*op))).collect();
    let pretending = case.pretending.to_vec();
    let plan = Plan { at, lacking, pretending, ..Plan::default() };
    let place = Place::new(case.before);
    let path = place.target();
    let (result, plan) = thread::spawn(move || with_plan(plan, || publish(case, &path)))
        .join()
        .unwrap_or_else(|_| panic!("{}: {at:?} panicked", case.name));
    (place, result, plan)
}

/// The cases that meet all errors; the others differ from them in a few steps.
const THOROUGH: [&str; 3] = ["create", "edit", "switch a link"];

/// The tree before and the one that is published.
fn expected(case: &Case) -> (Option<Tree>, Tree) {
    let old = Place::new(case.before).tree();
    let mut new = match (&old, case.start) {
        (Some(old), Start::Edit) => old.clone(),
        _ => Tree::from([("a".to_owned(), None)]),
    };
    new.remove("a/holes");
    new.insert("a/c".into(), None);
    new.insert("index".into(), Some("new".into()));
    new.insert("a/c/page".into(), Some("new too".into()));
    (old, new)
}

/// The file of a lock that nobody holds does not count.
fn without_locks(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.retain(|path| path.extension() != Some(OsStr::new("lock")));
    paths
}

#[track_caller]
fn check(
    case: &Case,
    (old, new): &(Option<Tree>, Tree),
    place: &Place,
    result: &Result<DirCommit>,
    name: &str,
) {
    let now = place.tree();
    let (is_old, is_new) = (now == *old, now.as_ref() == Some(new));
    let mut leftovers: Vec<_> = match result {
        Ok(commit) => {
            assert!(is_new, "{name}: {now:?}");
            let is_there = [Before::Tree, Before::Link].contains(&case.before);
            let outcome = if is_there { Outcome::Replaced } else { Outcome::Created };
            assert_eq!(commit.outcome(), outcome, "{name}");
            commit.leftovers().map(Path::to_path_buf).collect()
        }
        Err(error) => {
            match error.target_state() {
                TargetState::Untouched => assert!(is_old, "{name}: {now:?}"),
                TargetState::Replaced => assert!(is_new, "{name}: {now:?}"),
                state => assert!(is_old || is_new, "{name}: {state:?} {now:?}"),
            }
            error.leftovers().map(Path::to_path_buf).collect()
        }
    };
    let others = without_locks(place.others());
    leftovers.sort();
    assert_eq!(others, leftovers, "{name}: left behind");
}

/// Whatever stayed, the next sweep removes, and nothing else.
#[track_caller]
fn check_sweep(case: &Case, place: &Place, name: &str) {
    let now = place.tree();
    let sweep = sweep_when_free(place.root.path());
    assert!(sweep.errors().is_empty(), "{name}: {sweep:?}");
    assert!(place.others().is_empty(), "{name}: {:?} {sweep:?}", place.others());
    assert_eq!(place.tree(), now, "{name}: {sweep:?}");
    assert!(case.before != Before::Link || now.is_some(), "{name}");
}

/// One error of each kind is enough here, and of what only one kind of publishing has, a few: the
/// steps are those of a file, and many more of each.
fn faults(op: Op, case: &Case) -> Vec<Fault> {
    let kind_of = |code: i32| io::Error::from_raw_os_error(code).kind();
    let mut faults = faults_of(op);
    if op == Op::Exchange {
        // As a network file system may, but none says that it was interrupted then, or that it has
        // no such thing.
        let may_be_done = |code: &i32| {
            let error = io::Error::from_raw_os_error(*code);
            error.kind() != io::ErrorKind::Interrupted && !sys::lacks_rename_flags(&error)
        };
        let codes = sys::errors_of(op).into_iter().filter(may_be_done);
        faults.extend(codes.map(Fault::DoneThenError));
    }
    let mut seen = HashSet::new();
    faults.retain(|fault| {
        seen.insert(match fault {
            Fault::Error(code) => (0, Some(kind_of(*code))),
            Fault::DoneThenError(code) => (1, Some(kind_of(*code))),
            Fault::Nothing => (2, None),
            Fault::Short | Fault::Die | Fault::Meanwhile(_) => (3, None),
        })
    });
    let is_of_publishing = [Op::Exchange, Op::Rename, Op::RenameNoReplace, Op::MoveDirectory];
    if !THOROUGH.contains(&case.name) && !is_of_publishing.contains(&op) {
        faults.truncate(2);
    }
    faults
}

#[test]
fn every_operation_of_a_tree_failed_once_with_each_of_its_errors() {
    let mut seen = HashSet::new();
    let (mut runs, mut survived) = (0, 0);
    for case in CASES {
        let (place, clean, plan) = run(case, None);
        let trees = expected(case);
        check(case, &trees, &place, &clean, case.name);
        let clean_error = clean.as_ref().err().map(|error| (error.kind(), error.step()));
        if case.lacking.is_empty() && !case.name.contains("no link") {
            assert_eq!(clean_error, None, "{}: {clean:?}", case.name);
        }
        for (index, op) in plan.log.iter().copied().enumerate() {
            seen.insert(op);
            for fault in faults(op, case) {
                let (place, result, plan) = run(case, Some((index, fault)));
                let name = format!("{}: {op:?} {fault:?} at {index}: {result:?}", case.name);
                assert_eq!(plan.log.get(index), Some(&op), "{name}: not the same run twice");
                check(case, &trees, &place, &result, &name);
                check_cause(&result, clean_error, fault, &name);
                if clean_error.is_none() {
                    let survived = op == Op::Identify || is_published(&plan.log[..index]);
                    check_told(&result, fault, survived, &name);
                }
                check_sweep(case, &place, &name);
                runs += 1;
                survived += usize::from(result.is_ok());
            }
        }
    }
    eprintln!("{runs} runs, {survived} of them survived");
    for op in [
        Op::WriteOut,
        Op::MakeSymlink,
        Op::OpenStaged,
        Op::ListMounts,
        Op::Exchange,
        Op::MoveDirectory,
    ] {
        assert!(seen.contains(&op), "no case reaches {op:?}");
    }
    assert!(seen.contains(&Op::CloneContents) && seen.contains(&Op::Link));
    assert!(runs > 5000 && survived > 1000, "{runs} runs, {survived} survived");
}

/// Then what is left to be done is the removal of the old tree, which the receipt tells of.
fn is_published(log: &[Op]) -> bool {
    let ops = [Op::Exchange, Op::Rename, Op::RenameNoReplace];
    log.iter().any(|op| ops.contains(op))
}

#[track_caller]
fn check_cause(
    result: &Result<DirCommit>,
    clean: Option<(ErrorKind, crate::Step)>,
    fault: Fault,
    name: &str,
) {
    let (Err(error), Fault::Error(code)) = (result, fault) else { return };
    let injected = io::Error::from_raw_os_error(code);
    if clean == Some((error.kind(), error.step())) {
        return;
    }
    assert_ne!(injected.kind(), io::ErrorKind::Interrupted, "{name}: not retried");
    let is_full = |kind| {
        [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge]
            .contains(&kind)
    };
    assert_eq!(error.kind() == ErrorKind::StorageFull, is_full(injected.kind()), "{name}: kind");
}

#[test]
fn a_process_that_publishes_a_tree_dies_before_every_operation() {
    let (mut runs, mut left) = (0, 0);
    for case in CASES {
        let (old, new) = expected(case);
        for index in 0.. {
            let (place, _, plan) = run(case, Some((index, Fault::Die)));
            if plan.log.len() <= index {
                break; // it reached the end alive
            }
            runs += 1;
            let name = format!("{}: died before {index}, {:?}", case.name, plan.log[index]);
            let now = place.tree();
            assert!(now == old || now.as_ref() == Some(&new), "{name}: {now:?}");
            left += place.others().len();
            check_sweep(case, &place, &name);
            // The next writer is not disturbed by what stayed.
            if case.name != "switch what is no link" && !case.lacking.contains(&Op::Exchange) {
                let mut builder = AtomicDir::builder();
                (case.set)(&mut builder);
                builder.publish(Publish::Replace);
                let staged = builder.open(place.target()).unwrap();
                staged.create_dir_all("a").unwrap();
                change(&staged).unwrap();
                staged.commit().unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    }
    eprintln!("{runs} deaths, {left} left behind");
    assert!(runs > 500 && left > 200, "{runs} deaths, {left} left behind");
}

/// What was not synced before the publish could be missing from the new tree after a power cut, and
/// a half of the old one could come back if its removal overtook the publish.
#[test]
fn all_is_synced_before_the_publish_and_the_old_tree_removed_after_its_own_sync() {
    let case = CASES.iter().find(|case| case.name == "edit").unwrap();
    let (place, result, plan) = run(case, None);
    result.unwrap();
    let count = |log: &[Op], op: Op| log.iter().filter(|it| **it == op).count();
    let is_look = |op: &Op| [Op::Look, Op::Inspect, Op::OpenDirectory, Op::ListMounts].contains(op);
    let publish = plan.log.iter().position(|op| *op == Op::Exchange).unwrap();
    let (before, after) = plan.log.split_at(publish);
    let tree = place.tree().unwrap();
    let files = tree.values().flatten().filter(|text| *text != "b/asset").count();
    let directories = 1 + tree.values().filter(|contents| contents.is_none()).count();
    assert_eq!(count(before, Op::SyncFile), files, "{before:?}");
    assert_eq!(count(before, Op::SyncDirectory), directories, "{before:?}");
    let sync = after.iter().position(|op| *op == Op::SyncDirectory).unwrap();
    assert!(after[1..sync].iter().all(is_look), "{after:?}");
    assert_eq!(count(after, Op::SyncDirectory), 1);
    assert!(count(after, Op::RemoveEntry) > 2);

    // Where the journal keeps the order, one sync of the staging directory stands for all.
    let case = CASES.iter().find(|case| !case.pretending.is_empty()).unwrap();
    let (_, result, plan) = run(case, None);
    result.unwrap();
    let publish = plan.log.iter().position(|op| *op == Op::Exchange).unwrap();
    let before = &plan.log[..publish];
    let first = 1; // by which it is found out
    assert_eq!(count(before, Op::SyncFile) + count(before, Op::SyncDirectory), first + 1);
    assert_eq!(count(before, Op::WriteOut), files - first);
    // Nothing comes after it but a look.
    let last = before.iter().rposition(|op| *op == Op::SyncDirectory).unwrap();
    assert!(before[last + 1..].iter().all(is_look), "{before:?}");
}
