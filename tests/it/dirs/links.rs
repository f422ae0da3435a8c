//! Trees that are switched by a link.

use std::os::unix::fs::{lchown, symlink};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};
use wholefile::{
    AtomicDir, AtomicDirBuilder, ErrorKind, Outcome, Publish, Step, Swap, Sweeper, TargetState,
    sweep,
};

use crate::dir::{Dir, sweep_when_free};
use crate::place::{Feature, has, lacks};
use crate::system::{chmod, is_root, nobody_forks};

fn builder() -> AtomicDirBuilder {
    AtomicDir::builder().swap(Swap::Link).clone()
}

/// The directories that have the name of a generation.
fn generations(dir: &Dir) -> Vec<PathBuf> {
    let names = fs::read_dir(dir.root()).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|it| it == "tree")).collect()
}

#[track_caller]
fn check(dir: &Dir, contents: &str) {
    assert_eq!(dir.read("site/file"), contents);
    assert!(dir.path("site").is_symlink());
    let generations = generations(dir);
    assert_eq!(generations.len(), 1, "{generations:?}");
    assert_eq!(fs::read_link(dir.path("site")).unwrap(), generations[0].file_name().unwrap());
    let swept = sweep(dir.root()).unwrap();
    assert!(swept.removed().is_empty() && swept.errors().is_empty(), "{swept:?}");
}

#[test]
fn the_link_is_created_and_switched() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    let publish = |builder: &AtomicDirBuilder, contents: &str| {
        let staged = builder.open(dir.path("site")).unwrap();
        staged.write("file", contents).unwrap();
        staged.commit().unwrap()
    };
    assert_eq!(publish(&builder(), "first").outcome(), Outcome::Created);
    check(&dir, "first");
    // Where a file that is open is only hidden when it is removed, its directory would stay.
    let open = has(Feature::OneStep).then(|| fs::File::open(dir.path("site/file")).unwrap());
    let commit = publish(&builder(), "second");
    assert_eq!((commit.outcome(), commit.leftover()), (Outcome::Replaced, None));
    check(&dir, "second");
    drop(open);
    publish(builder().publish(Publish::Existing), "third");
    check(&dir, "third");
    let error = builder().publish(Publish::CreateNew).open(dir.path("site")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let staged = builder().edit(dir.path("site")).unwrap();
    assert_eq!(fs::read(staged.path().join("file")).unwrap(), b"third");
    staged.write("other", "").unwrap();
    staged.commit().unwrap();
    check(&dir, "third");
    assert!(dir.path("site/other").exists());
}

#[test]
fn a_link_to_anywhere_is_switched_and_what_it_led_to_stays() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    dir.make("releases/v1");
    dir.write("releases/v1/file", "v1");
    symlink("releases/v1", dir.path("site")).unwrap();
    if has(Feature::Modes) && rustix::process::geteuid().is_root() {
        // Which is no reason to refuse, since it stays. Others could not move a copy of it.
        chmod(dir.path("releases/v1"), 0o555);
    }
    let staged = builder().edit(dir.path("site")).unwrap();
    assert_eq!(fs::read(staged.path().join("file")).unwrap(), b"v1");
    staged.write("file", "v2").unwrap();
    staged.commit().unwrap();
    check(&dir, "v2");
    assert_eq!(dir.read("releases/v1/file"), "v1");
    // One that dangles is switched too, but is nothing to start from.
    fs::remove_file(dir.path("site")).unwrap();
    assert!(!sweep_when_free(&Sweeper::new(), dir.root()).removed().is_empty());
    symlink("nowhere", dir.path("site")).unwrap();
    assert_eq!(builder().edit(dir.path("site")).unwrap_err().kind(), ErrorKind::NotFound);
    let staged = builder().open(dir.path("site")).unwrap();
    staged.write("file", "v3").unwrap();
    staged.commit().unwrap();
    check(&dir, "v3");
}

/// The generation that a link had led to was removed with the next commit, whoever else used it: a
/// second link beside it, made for a preview or for a way back, led nowhere from then on, and the
/// files of that generation were lost. Later only a link with the bare name counted, and none that
/// was made with the full path of the generation or led to a directory in it.
#[test]
fn a_generation_that_another_link_names_stays() {
    #[track_caller]
    fn check_spelled(spell: fn(&Dir, &Path) -> PathBuf) {
        let dir = Dir::new();
        let _alone = nobody_forks();
        let publish = |contents: &str| {
            let staged = builder().open(dir.path("site")).unwrap();
            staged.create_dir_all("sub").unwrap();
            staged.write("file", contents).unwrap();
            staged.write("sub/file", contents).unwrap();
            staged.commit().unwrap()
        };
        publish("first");
        let first = fs::read_link(dir.path("site")).unwrap();
        symlink(spell(&dir, &first), dir.path("preview")).unwrap();
        for contents in ["second", "third"] {
            assert_eq!(publish(contents).leftover(), None);
            assert_eq!(dir.read("site/file"), contents);
            assert_eq!(dir.read("preview/file"), "first");
            assert_eq!(generations(&dir).len(), 2);
            assert!(sweep(dir.root()).unwrap().removed().is_empty());
        }
        fs::remove_file(dir.path("preview")).unwrap();
        assert_eq!(sweep(dir.root()).unwrap().removed(), [dir.path(first)]);
        check(&dir, "third");
    }
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    check_spelled(|_, first| first.to_path_buf());
    check_spelled(|_, first| Path::new(".").join(first));
    check_spelled(|dir, first| fs::canonicalize(dir.path(first)).unwrap());
    check_spelled(|_, first| first.join("sub"));
}

#[test]
fn what_is_no_link_is_refused() {
    let dir = Dir::new();
    dir.make("site");
    let error = builder().open(dir.path("site")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IsADirectory);
    assert!(error.io_error().unwrap().to_string().contains("no link"), "{error}");
    let file = dir.write("file", "");
    assert_eq!(builder().open(&file).unwrap_err().kind(), ErrorKind::NotADirectory);
    let staged = builder().open(dir.path("late")).unwrap();
    dir.make("late");
    let error = staged.commit().unwrap_err();
    assert_eq!(
        (error.kind(), error.target_state()),
        (ErrorKind::IsADirectory, TargetState::Untouched)
    );
    dir.assert_only(&["file", "late", "site"]);
}

#[test]
fn a_generation_that_nothing_names_is_swept_unless_its_writer_is_alive() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    const NAME: &str = ".wholefile-abcDEF012345.tree";
    let dir = Dir::new();
    dir.make(&format!("{NAME}/a"));
    dir.write(&format!("{NAME}/a/file"), "contents");
    let held = fs::File::open(dir.path(NAME)).unwrap();
    flock(held.file(), FlockOperation::NonBlockingLockExclusive).unwrap();
    let swept = sweep(dir.root()).unwrap();
    assert_eq!((swept.alive().len(), swept.removed().len()), (1, 0), "{swept:?}");
    drop(held);
    let sweep_free = |sweeper: &mut Sweeper| sweep_when_free(sweeper, dir.root());
    sweep_free(Sweeper::new().dry_run(true));
    symlink(NAME, dir.path("site")).unwrap();
    assert!(sweep_free(&mut Sweeper::new()).removed().is_empty());
    // What is in one that is in use is swept like what is in any directory.
    dir.write(&format!("{NAME}/.wholefile-abcDEF012345.tmp"), "orphan");
    let swept = sweep_free(Sweeper::new().recursive(true));
    assert_eq!(swept.removed().len(), 1, "{swept:?}");
    assert!(dir.path("site/a/file").exists());
    fs::remove_file(dir.path("site")).unwrap();
    let swept = sweep_free(Sweeper::new().dry_run(true));
    assert_eq!(swept.removed(), [dir.path(NAME)]);
    assert_eq!(sweep_free(&mut Sweeper::new()).removed(), [dir.path(NAME)]);
    dir.assert_only(&[]);
    // Another name is no generation's.
    dir.make(".wholefile-abcDEF0123456.tree");
    assert!(sweep(dir.root()).unwrap().removed().is_empty());
}

/// As a file's: who has planted it chooses what the edited tree starts from.
#[test]
fn a_link_that_another_user_planted_is_not_switched() {
    const TEST: &str = "dirs::links::a_link_that_another_user_planted_is_not_switched";
    // Who has other users' files belong to one has no owners of links either.
    let needed = [Feature::Symlinks, Feature::Owners, Feature::Creators, Feature::Modes];
    if lacks(&needed) || !is_root(TEST) {
        return;
    }
    let dir = Dir::new();
    chmod(dir.root(), 0o1777);
    dir.make("elsewhere");
    let site = dir.path("site");
    symlink("elsewhere", &site).unwrap();
    lchown(&site, Some(12345), Some(12345)).unwrap();
    for staged in [builder().open(&site), builder().edit(&site)] {
        let error = staged.unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::PermissionDenied, Step::Resolve));
    }
    assert_eq!(fs::read_link(&site).unwrap().to_str(), Some("elsewhere"));
    dir.assert_only(&["elsewhere", "site"]);
}

/// A commit that did not get the lock of the new generation, since whoever filled the tree held it,
/// went on without. Once they let go, a sweep took the generation, which no link named yet, for an
/// orphan; then the link was switched to it. The commit returned `Ok`, and the tree was gone.
#[test]
fn a_generation_whose_lock_somebody_else_has_is_not_published() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    let first = builder().open(dir.path("site")).unwrap();
    first.write("file", "first").unwrap();
    first.commit().unwrap();
    let second = builder().open(dir.path("site")).unwrap();
    second.write("file", "second").unwrap();
    let theirs = fs::File::open(second.path()).unwrap();
    flock(theirs.file(), FlockOperation::NonBlockingLockExclusive).unwrap();
    let error = second.commit().unwrap_err();
    let became = (error.step(), error.target_state());
    assert_eq!(became, (Step::Publish, TargetState::Untouched), "{error:?}");
    drop(theirs);
    check(&dir, "first");
}
