//! Somebody else changes what is there before each operation of publishing a tree.

use std::path::Path;
use std::thread;

use super::cases::{Before, CASES, Case, Start};
use super::{Place, Tree, change, tree_at};
use crate::fault::{Interruption, Op, Plan, When, with_plan};
use crate::{AtomicDir, DirCommit, ErrorKind, Result, Swap, TargetState};

pub(super) const PRECIOUS: &str = "precious";

fn plan(index: usize, action: fn(&Path), path: &Path) -> Plan {
    let when = When::At(index);
    let interruptions = vec![Interruption { when, action, path: path.to_path_buf() }];
    Plan { interruptions, ..Plan::default() }
}

fn nothing(_: &Path) {}

/// As [`with_plan`], on a thread of its own, so that nothing is remembered between runs.
pub(super) fn run<T: Send>(plan: Plan, scenario: impl FnOnce() -> T + Send) -> (T, Plan) {
    thread::scope(|scope| scope.spawn(|| with_plan(plan, scenario)).join()).unwrap()
}

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).unwrap()
}

/// Puts a file where the target is, which gets another name.
pub(super) fn take_place(target: &Path) {
    fs_err::rename(target, target.with_file_name("moved")).unwrap();
    fs_err::write(target, PRECIOUS).unwrap();
}

fn run_case(case: &'static Case, index: usize, action: fn(&Path)) -> Attempt {
    let place = Place::new(case.before);
    let target = place.target();
    let plan = plan(index, action, &target);
    let (result, plan) = run(plan, || super::publish(case, &target));
    (place, result, plan)
}

/// Where the target was looked at last: nothing that takes long comes after it.
#[track_caller]
fn last_look_before(step: usize, clean: &Plan) -> usize {
    let look = clean.log[..step].iter().rposition(|op| *op == Op::OpenDirectory).unwrap();
    assert!(!clean.log[look..step].contains(&Op::SyncDirectory), "{:?}", clean.log);
    look
}

type Attempt = (Place, Result<DirCommit>, Plan);

/// A file that took the target's name while a large tree was synced was exchanged for the tree,
/// unseen, and removed as if it were the old one: whoever had put it there lost it, and nobody said
/// so. The policies were applied at the beginning of the commit alone.
#[test]
fn a_file_that_takes_the_place_of_a_tree_is_not_lost() {
    for name in ["replace", "edit", "replace existing"] {
        let case = case(name);
        let (_, result, clean) = run_case(case, usize::MAX, nothing);
        result.unwrap();
        let exchange = clean.log.iter().position(|op| *op == Op::Exchange).unwrap();
        last_look_before(exchange, &clean);
        let mut put_back = 0;
        for index in 0..clean.log.len() {
            let (place, result, plan) = run_case(case, index, take_place);
            let name = format!("{name}: before {index}, {:?}: {result:?}", clean.log[index]);
            let contents = fs_err::read_to_string(place.target());
            assert_eq!(contents.ok().as_deref(), Some(PRECIOUS), "{name}");
            assert_eq!(place.others(), [place.root.path().join("moved")], "{name}");
            assert_eq!(result.is_ok(), index > exchange, "{name}");
            if let Err(error) = result {
                assert_eq!(error.kind(), ErrorKind::NotADirectory, "{name}");
                assert_eq!(error.target_state(), TargetState::Untouched, "{name}");
            }
            put_back += usize::from(plan.log.iter().filter(|op| **op == Op::Exchange).count() == 2);
        }
        assert!(put_back > 0, "{name}: nothing came between the last look and the exchange");
    }
}

/// As a file that is there from the beginning: a directory that somebody else made in a directory
/// of everybody's is put back, though it came after the last look.
#[test]
fn a_directory_that_was_planted_right_before_the_exchange_is_put_back() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED: only root can plant a directory");
    }
    let plant = |target: &Path| {
        fs_err::rename(target, target.with_file_name("moved")).unwrap();
        fs_err::create_dir(target).unwrap();
        std::os::unix::fs::chown(target, Some(65534), Some(65534)).unwrap();
    };
    let case = case("replace");
    let (_, result, clean) = run_case(case, usize::MAX, nothing);
    result.unwrap();
    let exchange = clean.log.iter().position(|op| *op == Op::Exchange).unwrap();
    let place = Place::new(case.before);
    let shared = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    fs_err::set_permissions(place.root.path(), shared).unwrap();
    let target = place.target();
    let (result, plan) = run(plan(exchange, plant, &target), || super::publish(case, &target));
    let error = result.unwrap_err();
    assert_eq!(
        (error.kind(), error.target_state()),
        (ErrorKind::PermissionDenied, TargetState::Untouched)
    );
    assert_eq!(plan.log.iter().filter(|op| **op == Op::Exchange).count(), 2);
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs_err::metadata(&target).unwrap()), 65534);
    assert_eq!(place.others(), [place.root.path().join("moved")]);
}

/// The same of a link that is switched: whatever took its name was replaced by the next link. Where
/// that is done by a rename, what comes right before it still is, as for files.
#[test]
fn a_file_that_takes_the_place_of_a_link_is_not_lost() {
    let case = case("switch a link");
    let (_, result, clean) = run_case(case, usize::MAX, nothing);
    result.unwrap();
    let switch = clean.log.iter().rposition(|op| *op == Op::Rename).unwrap();
    let look = last_look_before(switch, &clean);
    for index in 0..=look {
        let (place, result, _) = run_case(case, index, take_place);
        let name = format!("before {index}, {:?}: {result:?}", clean.log[index]);
        let contents = fs_err::read_to_string(place.target());
        assert_eq!(contents.ok().as_deref(), Some(PRECIOUS), "{name}");
        let error = result.expect_err(&name);
        assert_eq!(error.kind(), ErrorKind::NotADirectory, "{name}");
        assert_eq!(error.target_state(), TargetState::Untouched, "{name}");
    }
}

/// A program that was told to fill the staged directory, and began with `rm -rf $out; mkdir $out`
/// or moved its own result there, had what it left published under the name of the one that was
/// synced: a tree of which nothing was synced, with a receipt that said `Full`. A power cut then
/// left empty files in the place of the old tree.
#[test]
fn a_directory_in_the_place_of_the_staged_one_is_not_published() {
    let removed = |staged: &Path| {
        fs_err::remove_dir_all(staged).unwrap();
        fs_err::create_dir(staged).unwrap();
        fs_err::write(staged.join("index"), "not synced").unwrap();
    };
    let moved = |staged: &Path| {
        fs_err::rename(staged, staged.with_file_name("moved")).unwrap();
        fs_err::create_dir(staged).unwrap();
        fs_err::write(staged.join("index"), "not synced").unwrap();
    };
    let attempt = |case: &Case, index, action| -> Attempt {
        let place = Place::new(case.before);
        let mut builder = AtomicDir::builder();
        let staged = (case.set)(&mut builder).open(place.target()).unwrap();
        staged.create_dir_all("a").unwrap();
        change(&staged).unwrap();
        let plan = plan(index, action, staged.path());
        let (result, plan) = run(plan, || staged.commit());
        (place, result, plan)
    };
    let mut seen = 0;
    for name in ["create", "replace", "edit without durability", "switch a link"] {
        let case = case(name);
        let (_, result, clean) = attempt(case, usize::MAX, nothing);
        result.unwrap();
        let step = [Op::Exchange, Op::RenameNoReplace];
        let step = clean.log.iter().position(|op| step.contains(op)).unwrap();
        for (deed, action) in [("removed", removed as fn(&Path)), ("moved", moved)] {
            for index in 0..step {
                let (place, result, _) = attempt(case, index, action);
                let name = format!("{name}: {deed} before {index}: {result:?}");
                let error = result.expect_err(&name);
                assert_eq!(error.target_state(), TargetState::Untouched, "{name}");
                assert_eq!(place.tree(), Place::new(case.before).tree(), "{name}");
                assert!(place.others().is_empty(), "{name}: {:?}", place.others());
                assert!(index > 0 || error.kind() == ErrorKind::StagingReplaced, "{name}");
                seen += usize::from(error.kind() == ErrorKind::StagingReplaced);
            }
        }
    }
    assert!(seen > 40, "only {seen} were told why");
}

/// `edit` without a lock copied what it had opened. When another writer replaced that tree in the
/// meantime and removed it, the copy had what was left of it: half of the files or none at all, and
/// the next commit made that the target.
#[test]
fn a_copy_of_a_tree_that_is_replaced_meanwhile_is_whole() {
    fn theirs(target: &Path, swap: Swap) {
        let mut builder = AtomicDir::builder();
        let staged = builder.swap(swap).open(target).unwrap();
        staged.write("index", "theirs").unwrap();
        staged.commit().unwrap();
    }
    let attempt = |case: &Case, index, action| -> (Place, Result<Tree>, Plan) {
        let place = Place::new(case.before);
        let mut builder = AtomicDir::builder();
        (case.set)(&mut builder);
        let target = place.target();
        let plan = plan(index, action, &target);
        let copy = || builder.edit(&target).map(|staged| tree_at(staged.path()));
        let (result, plan) = run(plan, copy);
        (place, result, plan)
    };
    let new = Tree::from([("index".to_owned(), Some("theirs".to_owned()))]);
    let exchange: fn(&Path) = |target| theirs(target, Swap::Exchange);
    let switch: fn(&Path) = |target| theirs(target, Swap::Link);
    for (name, action) in
        [("edit", exchange), ("edit by hard links", exchange), ("switch a link", switch)]
    {
        let case = case(name);
        assert!(matches!(case.start, Start::Edit) && case.before != Before::Nothing);
        let (_, old, clean) = attempt(case, usize::MAX, nothing);
        let old = old.unwrap();
        let mut of_theirs = 0;
        for index in 0..clean.log.len() {
            let (place, copy, _) = attempt(case, index, action);
            let name = format!("{name}: before {index}, {:?}: {copy:?}", clean.log[index]);
            let copy = copy.expect(&name);
            assert!(copy == old || copy == new, "{name}");
            assert_eq!(place.tree().as_ref(), Some(&new), "{name}");
            assert!(place.others().is_empty(), "{name}: {:?}", place.others());
            of_theirs += usize::from(copy == new);
        }
        assert!(of_theirs > 20, "{name}: only {of_theirs} came in time");
    }
}

/// One that is replaced each time is not copied for ever.
#[test]
fn a_copy_of_a_tree_that_is_replaced_each_time_is_a_conflict() {
    let place = Place::new(Before::Tree);
    let when = When::BeforeEach(Op::List); // what is removed meanwhile has no names any more
    let action = |target: &Path| {
        let staged = AtomicDir::builder().open(target).unwrap();
        staged.write("index", "theirs").unwrap();
        staged.commit().unwrap();
    };
    let interruptions = vec![Interruption { when, action, path: place.target() }];
    let plan = Plan { interruptions, ..Plan::default() };
    let target = place.target();
    let (result, _) = run(plan, || AtomicDir::builder().edit(&target).map(drop));
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(error.target_state(), TargetState::Untouched);
    assert!(place.others().is_empty(), "{:?}", place.others());
}
