//! What a tree loses where something cannot be done, and whether that is said.

use std::io::ErrorKind as IoErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;

use rustix::io::Errno;

use super::{Before, Place};
use crate::fault::{Fault, Interruption, Op, Plan, When, with_plan};
use crate::{
    AtomicDir, Durability, ErrorKind, Metadata, NotPreserved, Preserve, Result, Step, Swap,
    TargetState,
};

fn without(op: Op) -> Plan {
    Plan { lacking: vec![(op, Errno::INVAL.raw_os_error())], ..Plan::default() }
}

/// Where the disk was gone once a staging directory had been made, opening a tree failed and the
/// directory stayed without being named: it was dropped, and what a drop cannot remove it cannot
/// tell. Nobody knew of it but a sweep.
#[test]
fn a_staging_directory_that_stays_is_named_by_the_error_of_opening() {
    let error = Fault::Error(Errno::IO.raw_os_error());
    let mut named = 0;
    for index in 0.. {
        let place = Place::new(Before::Nothing);
        let plan = Plan { at: Some((index, error)), ..without(Op::RemoveDirectory) };
        let path = place.target();
        let (result, plan) = with_plan(plan, || AtomicDir::builder().open(path).map(drop));
        if plan.log.len() <= index {
            break; // nothing was left to fail
        }
        let Err(error) = result else { continue };
        let leftover: Vec<PathBuf> = error.leftover().map(PathBuf::from).into_iter().collect();
        assert_eq!(place.others(), leftover, "{:?} at {index}: {error:?}", plan.log[index]);
        named += leftover.len();
    }
    assert!(named > 5, "only {named} were named");
}

/// A network file system may switch a link and say that it has not. Where the link could not be
/// read either, that was believed: the new generation was taken back, and the target, which led
/// there by then, led nowhere.
#[test]
fn a_generation_stays_where_nobody_can_tell_whether_the_link_leads_there() {
    let publish = |plan| {
        let place = Place::new(Before::Nothing);
        let path = place.target();
        let publish = move || {
            let staged = AtomicDir::builder().swap(Swap::Link).open(path)?;
            staged.write("index", "new")?;
            staged.commit()
        };
        let (result, plan) = with_plan(plan, publish);
        (place, result, plan)
    };
    let (_, clean, plan) = publish(without(Op::ReadLink));
    clean.unwrap();
    let switch = plan.log.iter().rposition(|op| *op == Op::Rename).unwrap();
    let at = Some((switch, Fault::DoneThenError(Errno::STALE.raw_os_error())));
    let (place, result, _) = publish(Plan { at, ..without(Op::ReadLink) });
    let error = result.unwrap_err();
    assert_eq!((error.step(), error.target_state()), (Step::Publish, TargetState::Unknown));
    assert_eq!(fs_err::read(place.target().join("index")).unwrap(), b"new");
    // What may be in use is nothing that was left behind.
    assert_eq!(error.leftovers().count(), 0, "{error:?}");
    assert_eq!(place.others(), Vec::<PathBuf>::new());
}

fn set_mode(path: PathBuf, mode: u32) {
    fs_err::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// The new tree's directory was made as any new one and then given the old one's mode. Where that
/// failed, the receipt said so, but the tree of a private directory was open to everybody.
#[test]
fn where_no_mode_can_be_set_a_private_tree_stays_private() {
    for old in [0o700, 0o755] {
        let place = Place::new(Before::Tree);
        let new = place.root.path().join("new");
        fs_err::create_dir(&new).unwrap();
        set_mode(place.target(), old);
        let (commit, _) = with_plan(without(Op::SetMode), || {
            AtomicDir::builder().open(place.target()).and_then(AtomicDir::commit)
        });
        commit.unwrap();
        let mode = |path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(place.target()), mode(new) & old, "{old:o}");
    }
}

/// The tree's own directory is given its metadata when it is staged, and its times once more right
/// before it is published.
#[test]
fn what_the_directory_of_a_tree_loses_is_on_the_receipt_once() {
    let place = Place::new(Before::Tree);
    set_mode(place.target(), 0o2755); // which no directory is made with
    let lacking = [Op::SetMode, Op::SetTimes].map(|op| (op, Errno::INVAL.raw_os_error()));
    let (commit, _) = with_plan(Plan { lacking: lacking.into(), ..Plan::default() }, || {
        let mut builder = AtomicDir::builder();
        builder.preserve(Metadata::Times, Preserve::Try).open(place.target())?.commit()
    });
    let commit = commit.unwrap();
    let lost: Vec<_> = commit.not_preserved().iter().map(NotPreserved::metadata).collect();
    let count = |wanted| lost.iter().filter(|it| **it == wanted).count();
    assert_eq!((count(Metadata::Mode), count(Metadata::Times)), (1, 1), "{commit:?}");
}

/// A file that was written over one of the copied tree could lose its mode, ACL or xattrs without a
/// word on the receipt: the receipt of the file itself was thrown away.
#[test]
fn what_a_file_written_into_a_tree_loses_is_on_the_receipt() {
    let place = Place::new(Before::Tree);
    set_mode(place.target().join("index"), 0o640);
    let staged = AtomicDir::builder().edit(place.target()).unwrap();
    with_plan(without(Op::SetMode), || staged.write("index", "new").unwrap());
    let mode = fs_err::metadata(staged.path().join("index")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it was to be lost");
    let commit = staged.commit().unwrap();
    let mut lost = commit.not_preserved().iter().map(NotPreserved::metadata);
    assert!(lost.any(|it| it == Metadata::Mode), "{commit:?}");
}

/// A network file system says when a file is closed that there was no room for what was written to
/// it. Of a copied tree that was published without durability nobody listened: the edit succeeded,
/// and a file that nobody had touched was short.
#[test]
fn what_a_copied_file_says_when_it_is_closed_is_told() {
    let place = Place::new(Before::Tree);
    let edit = || AtomicDir::builder().durability(Durability::None).edit(place.target()).map(drop);
    let (clean, plan) = with_plan(Plan::default(), edit);
    clean.unwrap();
    let close = plan.log.iter().position(|op| *op == Op::Close).expect("it is closed");
    let full = Fault::DoneThenError(Errno::DQUOT.raw_os_error());
    let (result, _) = with_plan(Plan { at: Some((close, full)), ..Plan::default() }, edit);
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::StorageFull, Step::Write), "{error}");
    assert_eq!(error.target_state(), TargetState::Untouched);
}

#[test]
fn a_file_that_cannot_be_written_into_a_tree_leaves_nothing_there() {
    let place = Place::new(Before::Nothing);
    let staged = AtomicDir::builder().open(place.target()).unwrap();
    let full = Plan { lacking: vec![(Op::Write, Errno::NOSPC.raw_os_error())], ..Plan::default() };
    // More than the buffer takes, so that it fails before the commit does.
    let (error, _) = with_plan(full, || staged.write("file", [1; 100_000]).unwrap_err());
    assert_eq!((error.kind(), error.step()), (ErrorKind::StorageFull, Step::Write), "{error}");
    assert_eq!(fs_err::read_dir(staged.path()).unwrap().count(), 0);
    let error = staged.commit().unwrap_err();
    assert_eq!((error.kind(), place.others()), (ErrorKind::Poisoned, Vec::<PathBuf>::new()));
}

#[test]
fn a_copied_link_without_its_owner_is_on_the_receipt_once_or_an_error() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED: only root can give a link away");
    }
    let place = Place::new(Before::Tree);
    let give_away = || {
        for link in ["a/link", "a/another"] {
            let path = place.target().join(link);
            let _ = rustix::fs::symlink("b/asset", &path);
            std::os::unix::fs::lchown(path, Some(65534), Some(65534)).unwrap();
        }
    };
    give_away();
    let edit = |preserve| {
        let path = place.target();
        let edit =
            move || AtomicDir::builder().preserve(Metadata::Owner, preserve).edit(path)?.commit();
        with_plan(without(Op::SetOwner), edit).0
    };
    let error = edit(Preserve::Require).unwrap_err();
    let expected = (ErrorKind::NotPreserved, Step::Metadata, TargetState::Untouched);
    assert_eq!((error.kind(), error.step(), error.target_state()), expected, "{error}");
    assert!(error.path().starts_with(place.target().join("a")), "{error}");
    let commit = edit(Preserve::Try).unwrap();
    let [lost] = commit.not_preserved() else { panic!("{commit:?}") };
    assert_eq!((lost.metadata(), lost.xattr()), (Metadata::Owner, None));
    assert_eq!(lost.cause(), IoErrorKind::InvalidInput);
    // Now they are the caller's, as copies are.
    assert!(edit(Preserve::Try).unwrap().not_preserved().is_empty());
    give_away();
    assert!(edit(Preserve::Skip).unwrap().not_preserved().is_empty());
    assert_eq!(place.others(), Vec::<PathBuf>::new());
}

/// XFS counts the new parent of an exchanged directory as a change of its contents: the published
/// tree had the time of the commit, although its times were to be kept.
#[test]
fn the_times_of_a_tree_are_those_that_it_was_given_whatever_publishing_does_to_them() {
    let now = |path: &std::path::Path| {
        let staged = fs_err::read_dir(path.parent().unwrap()).unwrap();
        let staged = staged.map(|entry| entry.unwrap().path().join("tree"));
        for tree in staged.filter(|tree| tree.is_dir()) {
            fs_err::File::open(tree).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
        }
    };
    for (durability, syncs) in [(Durability::Full, 1), (Durability::None, 0)] {
        let place = Place::new(Before::Tree);
        let folder = fs_err::File::open(place.target()).unwrap();
        folder.set_modified(std::time::UNIX_EPOCH).unwrap();
        let save = |interruptions| {
            let path = place.target();
            let save = move || {
                let mut builder = AtomicDir::builder();
                builder.preserve(Metadata::Times, Preserve::Require).durability(durability);
                builder.edit(path)?.commit()
            };
            with_plan(Plan { interruptions, ..Plan::default() }, save)
        };
        let syncs_in = |plan: &Plan| plan.log.iter().filter(|op| **op == Op::SyncFile).count();
        let (clean, plan) = save(Vec::new());
        clean.unwrap();
        let when = When::BeforeEach(Op::Exchange);
        let meddling = Interruption { when, action: now, path: place.target() };
        let (commit, meddled) = save(vec![meddling]);
        assert!(commit.unwrap().not_preserved().is_empty());
        let modified = fs_err::metadata(place.target()).unwrap().modified().unwrap();
        assert_eq!(modified, std::time::UNIX_EPOCH, "{durability}");
        assert_eq!(syncs_in(&meddled) - syncs_in(&plan), syncs, "{durability}");
    }
}

#[test]
fn a_staging_directory_that_stays_is_named_by_the_error_of_a_rollback() {
    let roll_back: fn(&Place) -> Result<()> =
        |place| AtomicDir::builder().open(place.target())?.rollback();
    let close: fn(&Place) -> Result<()> =
        |place| AtomicDir::builder().scratch_in(place.root.path())?.close();
    for end in [roll_back, close] {
        let place = Place::new(Before::Nothing);
        let (error, _) = with_plan(without(Op::RemoveDirectory), || end(&place).unwrap_err());
        let expected = (Step::RemoveTemp, TargetState::Untouched);
        assert_eq!((error.step(), error.target_state()), expected);
        let named: Vec<PathBuf> = error.leftovers().map(PathBuf::from).collect();
        assert_eq!((named.len(), named), (1, place.others()));
    }
}

/// A power cut must not bring back a half of the old tree, so that the name of what replaces it is
/// synced before that is removed, even if the new one may be lost again. A new tree needs no such
/// thing, and is not refused where it cannot be had.
#[test]
fn the_name_of_a_tree_is_synced_where_it_must_be_and_only_that_is_asked_for() {
    for (before, durability, syncs) in [
        (Before::Nothing, Durability::None, 0),
        (Before::Nothing, Durability::Ordered, 0),
        (Before::Nothing, Durability::Full, 1),
        (Before::Tree, Durability::None, 0),
        (Before::Tree, Durability::Ordered, 1),
        (Before::Tree, Durability::Full, 1),
    ] {
        let name = format!("{before:?}, {durability}");
        let place = Place::new(before);
        let mut builder = AtomicDir::builder();
        builder.durability(durability);
        let publish = || builder.open(place.target()).and_then(AtomicDir::commit);
        let (commit, plan) = with_plan(Plan::default(), publish);
        assert_eq!(commit.unwrap().durability(), durability, "{name}");
        let is_publish = |op: &Op| [Op::Exchange, Op::RenameNoReplace, Op::Rename].contains(op);
        let published = plan.log.iter().rposition(is_publish).unwrap();
        let after = plan.log[published..].iter().filter(|op| **op == Op::SyncDirectory);
        assert_eq!(after.count(), syncs, "{name}: {plan:?}");

        let place = Place::new(before);
        builder.require_durability(true);
        let open = || builder.open(place.target()).map(drop);
        let (opened, _) = with_plan(without(Op::SyncDirectory), open);
        let refused = opened.map_err(|error| error.kind());
        let expected = if syncs > 0 { Err(ErrorKind::DurabilityUnavailable) } else { Ok(()) };
        assert_eq!(refused, expected, "{name}");
    }
}

/// Without the right to list it, a directory can be replaced all the same.
#[test]
fn a_tree_that_may_not_be_read_can_be_replaced() {
    let place = Place::new(Before::Tree);
    let open = || AtomicDir::builder().open(place.target()).map(drop);
    let (clean, plan) = with_plan(Plan::default(), open);
    clean.unwrap();
    let mut opens = (0..plan.log.len()).filter(|index| plan.log[*index] == Op::OpenDirectory);
    let tree = opens.nth(1).expect("after its folder");
    for (error, is_denied) in [(Errno::ACCESS, true), (Errno::IO, false)] {
        let at = Some((tree, Fault::Error(error.raw_os_error())));
        let (opened, _) = with_plan(Plan { at, ..Plan::default() }, open);
        assert_eq!(opened.is_ok(), is_denied, "{error:?}");
    }
}

#[test]
fn each_directory_that_cannot_be_synced_takes_its_part_of_the_durability() {
    for requires in [false, true] {
        let publish = |at| {
            let place = Place::new(Before::Tree);
            let path = place.target();
            let mut builder = AtomicDir::builder();
            builder.require_durability(requires);
            let publish = move || builder.edit(path)?.commit();
            // What is known of the file systems is known by thread.
            let plan = Plan { at, ..Plan::default() };
            thread::spawn(move || with_plan(plan, publish)).join().unwrap()
        };
        let (clean, plan) = publish(None);
        assert_eq!(clean.unwrap().durability(), Durability::Full);
        let published = plan.log.iter().position(|op| *op == Op::Exchange).unwrap();
        let is_sync = |index: &usize| plan.log[*index] == Op::SyncDirectory;
        for index in (0..plan.log.len()).filter(is_sync) {
            let (result, _) = publish(Some((index, Fault::Error(Errno::INVAL.raw_os_error()))));
            let state = match index < published {
                true => TargetState::Untouched,
                false => TargetState::Replaced,
            };
            let expected = match requires {
                true => Err((ErrorKind::DurabilityUnavailable, state)),
                false => Ok(Durability::None),
            };
            let told = result.map_err(|error| (error.kind(), error.target_state()));
            assert_eq!(told.map(|commit| commit.durability()), expected, "at {index}");
        }
    }
}

/// As whatever is mounted in a tree says when it is to be opened as a part of it.
#[test]
fn what_is_mounted_in_a_tree_is_told_as_such() {
    let edit = |at| {
        let place = Place::new(Before::Tree);
        let edit = || AtomicDir::builder().edit(place.target())?.commit();
        with_plan(Plan { at, ..Plan::default() }, edit)
    };
    let (clean, plan) = edit(None);
    clean.unwrap();
    // What is opened of the tree that is there, and of the one that is staged.
    let (steps, mut told) = ([Step::Read, Step::SyncFile], Vec::new());
    for index in (0..plan.log.len()).filter(|index| plan.log[*index] == Op::OpenDirectory) {
        for code in [Errno::XDEV, Errno::IO] {
            let (result, _) = edit(Some((index, Fault::Error(code.raw_os_error()))));
            let Err(error) = result else { continue };
            let is_below = error.path().ends_with("a") || error.path().ends_with("b");
            if is_below && steps.contains(&error.step()) {
                let is_mount = error.kind() == ErrorKind::MountPoint;
                assert_eq!(is_mount, code == Errno::XDEV, "{error:?}");
                told.push(error.step());
            }
        }
    }
    assert!(steps.iter().all(|step| told.contains(step)), "{told:?}");
}

#[test]
fn a_directory_that_somebody_else_makes_meanwhile_is_no_obstacle() {
    let place = Place::new(Before::Nothing);
    let staged = AtomicDir::builder().open(place.target()).unwrap();
    let make = |path: &std::path::Path| fs_err::create_dir(path).unwrap();
    let (when, path) = (When::BeforeEach(Op::MakeDirectory), staged.path().join("a"));
    let plan =
        Plan { interruptions: vec![Interruption { when, action: make, path }], ..Plan::default() };
    with_plan(plan, || staged.create_dir_all("a")).0.unwrap();
    staged.commit().unwrap();
    assert!(place.target().join("a").is_dir());
}

#[test]
fn a_file_that_is_written_into_a_tree_keeps_the_mode_if_modes_are_kept() {
    for (preserve, is_kept) in [(Preserve::Try, true), (Preserve::Skip, false)] {
        let place = Place::new(Before::Tree);
        let mut builder = AtomicDir::builder();
        let staged = builder.preserve(Metadata::Mode, preserve).edit(place.target()).unwrap();
        let file = staged.path().join("index");
        set_mode(file.clone(), 0o440); // which nobody may write to
        staged.write("index", "new").unwrap();
        let mode = fs_err::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode == 0o440, is_kept, "{mode:o}");
    }
}
