//! Copies of what is there, what is written into a staged tree, and which of its files is told of.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::exchanges::{count, done, error, failing, last, meddling};
use super::intruders::run;
use super::{Before, Place};
use crate::fault::{Op, Plan, When, with_plan};
use crate::{AtomicDir, Copying, ErrorKind, HardLinks, Result, Step, TargetState};

#[test]
fn only_a_file_with_other_links_is_refused_and_only_if_asked() {
    for (hard_links, is_linked, is_refused) in [
        (HardLinks::Refuse, false, false),
        (HardLinks::Refuse, true, true),
        (HardLinks::Break, true, false),
    ] {
        let place = Place::new(Before::Tree);
        let file = place.target().join("index");
        if is_linked {
            fs_err::hard_link(&file, place.root.path().join("elsewhere")).unwrap();
        }
        let edited = AtomicDir::builder().hard_links(hard_links).edit(place.target()).map(drop);
        let told = edited.map_err(|error| (error.kind(), error.step(), error.path().to_path_buf()));
        let refused = (ErrorKind::HardLinked, Step::Read, file);
        assert_eq!(told, if is_refused { Err(refused) } else { Ok(()) });
    }
}

/// A network file system may have made a link that it says it has not.
#[test]
fn what_is_linked_is_so_whatever_the_system_says_and_all_else_is_copied() {
    let files = ["index", "a/b/asset", "a/holes"];
    let edit = |plan| {
        let place = Place::new(Before::Tree);
        let target = place.target();
        let edit = || AtomicDir::builder().copying(Copying::HardLinks).edit(&target);
        let (staged, plan) = with_plan(plan, edit);
        let staged = staged.unwrap();
        let inode = |path: PathBuf| fs_err::metadata(path).unwrap().ino();
        let is_linked = |file: &&str| inode(target.join(file)) == inode(staged.path().join(file));
        (files.iter().copied().filter(is_linked).count(), plan)
    };
    let (linked, plan) = edit(Plan::default());
    assert_eq!((linked, count(&plan, Op::Link)), (3, 3));
    let link = plan.log.iter().position(|op| *op == Op::Link).unwrap();
    assert_eq!(edit(failing(link, done(Errno::IO))).0, 3);
    assert_eq!(edit(failing(link, error(Errno::IO))).0, 2);
}

/// Puts another file in the place of the target's, as long as there is one.
fn replace(target: &Path) {
    let mut spares = fs_err::read_dir(target.with_file_name("spares")).unwrap();
    if let Some(spare) = spares.next() {
        fs_err::rename(spare.unwrap().path(), target.join("index")).unwrap();
    }
}

#[test]
fn a_file_that_is_replaced_between_a_look_and_its_opening_is_looked_at_again() {
    let edit = |plan: &dyn Fn(PathBuf) -> Plan| -> (Result<String>, Plan, usize) {
        let place = Place::new(Before::Nothing);
        let (target, spares) = (place.target(), place.root.path().join("spares"));
        fs_err::create_dir(&target).unwrap();
        fs_err::write(target.join("index"), "old").unwrap();
        fs_err::create_dir(&spares).unwrap();
        for number in 0..12 {
            fs_err::write(spares.join(number.to_string()), "another").unwrap();
        }
        let edit = || {
            let staged = AtomicDir::builder().edit(&target)?;
            Ok(fs_err::read_to_string(staged.path().join("index")).unwrap())
        };
        let (copy, plan) = run(plan(target.clone()), edit);
        assert_eq!(place.others(), [spares]);
        let opens = count(&plan, Op::OpenTarget);
        (copy, plan, opens)
    };
    let (clean, plan, opens) = edit(&|_| Plan::default());
    assert_eq!((clean.unwrap().as_str(), opens), ("old", 1));
    let open = plan.log.iter().position(|op| *op == Op::OpenTarget).unwrap();
    let (copy, _, opens) = edit(&|_| failing(open, error(Errno::IO)));
    let failed = copy.unwrap_err();
    assert_eq!((failed.kind(), failed.step(), opens), (ErrorKind::Io, Step::Read, 1));
    let (copy, _, opens) = edit(&|target| meddling(When::At(open), replace, target));
    assert_eq!((copy.unwrap().as_str(), opens), ("another", 2));
    let always = When::BeforeEach(Op::OpenTarget);
    let (copy, _, opens) = edit(&|target| meddling(always, replace, target));
    let failed = copy.unwrap_err();
    assert_eq!((failed.kind(), failed.step(), opens), (ErrorKind::NotFound, Step::Read, 8));
    assert!(failed.path().ends_with("target/index"), "{failed:?}");
}

#[test]
fn a_link_in_the_staged_tree_is_replaced_by_what_is_written_there() {
    let place = Place::new(Before::Tree);
    let staged = AtomicDir::builder().edit(place.target()).unwrap();
    staged.write("a/link", "new").unwrap();
    staged.commit().unwrap();
    let read = |path| fs_err::read_to_string(place.target().join(path)).unwrap();
    assert!(fs_err::symlink_metadata(place.target().join("a/link")).unwrap().is_file());
    assert_eq!((read("a/link").as_str(), read("a/b/asset").as_str()), ("new", "shared by both"));
}

#[test]
fn whatever_fails_while_a_directory_is_made_in_a_tree_is_told() {
    let make = |plan| {
        let place = Place::new(Before::Nothing);
        let staged = AtomicDir::builder().open(place.target()).unwrap();
        with_plan(plan, || staged.create_dir_all("a"))
    };
    let (clean, plan) = make(Plan::default());
    clean.unwrap();
    let mut told = Vec::new();
    for (index, op) in plan.log.iter().copied().enumerate() {
        for errno in [Errno::IO, Errno::ACCESS] {
            let failed = make(failing(index, error(errno))).0.expect_err("it has failed");
            assert_eq!(failed.step(), Step::Write, "{failed:?}");
            let cause = failed.io_error().and_then(std::io::Error::raw_os_error);
            assert_eq!(cause, Some(errno.raw_os_error()), "{op:?} at {index}: {failed:?}");
        }
        told.push(op);
    }
    // The root, what is not there, and what was made.
    let open = Op::OpenDirectory;
    assert_eq!(told, [open, open, Op::MakeDirectory, open]);
}

#[test]
fn what_cannot_be_synced_is_named_and_the_target_untouched() {
    let commit = |plan| {
        let place = Place::new(Before::Tree);
        let staged = AtomicDir::builder().edit(place.target()).unwrap();
        let root = staged.path().to_path_buf();
        let (result, plan) = run(plan, || staged.commit());
        let told = result.map(drop).map_err(|error| {
            assert_eq!((error.kind(), error.step()), (ErrorKind::Io, Step::SyncFile));
            assert_eq!(error.target_state(), TargetState::Untouched);
            error.path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned()
        });
        (told, plan)
    };
    let (clean, plan) = commit(Plan::default());
    clean.unwrap();
    // The name of the tree comes after it.
    let exchange = last(&plan, Op::Exchange);
    let is_sync = |index: &usize| [Op::SyncFile, Op::SyncDirectory].contains(&plan.log[*index]);
    let fail = |index| commit(failing(index, error(Errno::IO))).0.unwrap_err();
    let named: Vec<String> = (0..exchange).filter(is_sync).map(fail).collect();
    let expected = ["", "a", "a/b", "a/b/asset", "a/holes", "index"];
    assert_eq!(named.len(), expected.len(), "{named:?}");
    assert_eq!(BTreeSet::from_iter(named), expected.map(str::to_owned).into());
}
