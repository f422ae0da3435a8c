//! Directory trees, published whole or not at all.

#[cfg(target_os = "linux")]
mod links;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod obstacles;
#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod races;

use std::io::ErrorKind as IoErrorKind;
use std::path::Path;

use fs_err as fs;
use wholefile::{
    AtomicDir, AtomicDirBuilder, Durability, ErrorKind, Lock, Outcome, Publish, Step, TargetState,
};
#[cfg(unix)]
use wholefile::{ReadOnly, Swap, Symlinks};

use crate::dir::{Dir, wait_until};
#[cfg(unix)]
use crate::place::{Feature, lacks};

/// A tree with something at each level.
fn fill(path: &Path, version: &str) {
    fs::create_dir_all(path.join("a/b")).unwrap();
    for name in ["index.html", "a/one", "a/b/two"] {
        fs::write(path.join(name), format!("{version} {name}")).unwrap();
    }
}

#[track_caller]
fn assert_is(path: &Path, version: &str) {
    for name in ["index.html", "a/one", "a/b/two"] {
        let contents = fs::read_to_string(path.join(name)).unwrap();
        assert_eq!(contents, format!("{version} {name}"));
    }
}

#[cfg(target_os = "linux")]
fn can_exchange() -> bool {
    !crate::place::lacks(&[crate::place::Feature::Exchange])
}

#[cfg(not(target_os = "linux"))]
fn can_exchange() -> bool {
    cfg!(target_vendor = "apple")
}

#[test]
fn a_new_tree_is_created_and_replaced() {
    let dir = Dir::new();
    let site = dir.path("site");
    let staged = AtomicDir::builder().open(&site).unwrap();
    assert_eq!(staged.target(), site);
    assert!(staged.path().is_absolute());
    fill(staged.path(), "first");
    assert!(!site.exists());
    let commit = staged.commit().unwrap();
    assert_eq!((commit.outcome(), commit.path()), (Outcome::Created, &*site));
    assert_is(&site, "first");
    assert_eq!(dir.temps(), [""; 0]);
    if !can_exchange() {
        return;
    }
    fs::write(site.join("old only"), "").unwrap();
    let staged = AtomicDir::builder().open(&site).unwrap();
    fill(staged.path(), "second");
    assert_is(&site, "first");
    let commit = staged.commit().unwrap();
    assert_eq!(commit.outcome(), Outcome::Replaced);
    assert_eq!(commit.leftover(), None);
    assert_is(&site, "second");
    assert!(!site.join("old only").exists());
    dir.assert_only(&[
        "site",
        "site/a",
        "site/a/b",
        "site/a/b/two",
        "site/a/one",
        "site/index.html",
    ]);
}

#[test]
fn what_is_not_committed_leaves_nothing() {
    let dir = Dir::new();
    let builder = AtomicDir::builder();
    for end in [drop::<AtomicDir>, |staged: AtomicDir| staged.rollback().unwrap()] {
        let staged = builder.open(dir.path("site")).unwrap();
        fill(staged.path(), "never");
        assert_eq!(dir.temps().len(), 1);
        end(staged);
        dir.assert_only(&[]);
        let staged = builder.clone().create_parents(true).open(dir.path("x/y/site")).unwrap();
        fill(staged.path(), "never");
        end(staged);
        dir.assert_only(&[]);
    }
}

/// With `create_parents` and a lock, a rollback left the directories that it had created: the lock
/// is a file in the last of them and was removed after them, so that they were not empty.
#[test]
fn the_directories_that_were_created_for_a_lock_go_with_a_rollback() {
    // Where what is removed while it is open only gets another name, they are not empty yet.
    if crate::place::lacks(&[crate::place::Feature::OneStep]) {
        return;
    }
    let dir = Dir::new();
    let path = dir.path("x/y/site");
    let mut builder = AtomicDir::builder();
    builder.create_parents(true).lock(Lock::Try);
    builder.open(&path).unwrap().rollback().unwrap();
    dir.assert_only(&[]);
    drop(builder.open(&path).unwrap());
    dir.assert_only(&[]);
    let staged = builder.open(&path).unwrap();
    staged.write("file", "").unwrap();
    staged.create_dir_all("file/below").unwrap_err();
    assert_eq!(staged.commit().unwrap_err().kind(), ErrorKind::Poisoned);
    dir.assert_only(&[]);
    // The same of a file.
    let mut builder = wholefile::AtomicWriter::builder();
    builder.create_parents(true).lock(Lock::Try);
    builder.open(&path).unwrap().rollback().unwrap();
    dir.assert_only(&[]);
    drop(builder.open(&path).unwrap());
    dir.assert_only(&[]);
    let update = builder.update(&path, |_| Err(std::io::Error::other("on second thoughts")));
    assert_eq!(update.unwrap_err().kind(), ErrorKind::Closure);
    dir.assert_only(&[]);
}

#[test]
fn a_tree_that_is_kept_is_in_use_until_its_file_is_closed() {
    let dir = Dir::new();
    let staged = AtomicDir::builder().open(dir.path("site")).unwrap();
    fill(staged.path(), "kept");
    let (in_use, path) = staged.keep().unwrap();
    assert!(wholefile::sweep(dir.root()).unwrap().removed().is_empty());
    assert_is(&path, "kept");
    drop(in_use);
    if cfg!(unix) {
        // A test that starts a process at this moment has the lock in it too, for a while.
        let is_swept = || wholefile::sweep(dir.root()).unwrap().removed().len() == 1;
        wait_until("nobody holds it", is_swept);
        dir.assert_only(&[]);
    }
}

#[test]
fn a_scratch_directory_goes_with_its_owner() {
    let dir = Dir::new();
    let scratch = AtomicDir::builder().scratch_in(dir.root()).unwrap();
    fill(scratch.path(), "scratch");
    scratch.close().unwrap();
    dir.assert_only(&[]);
    let scratch = AtomicDir::builder().scratch_in(dir.root()).unwrap();
    fill(scratch.path(), "scratch");
    drop(scratch);
    dir.assert_only(&[]);
    let (in_use, path) = AtomicDir::builder().scratch_in(dir.root()).unwrap().keep().unwrap();
    drop(in_use);
    assert!(path.is_dir());
}

#[test]
fn the_helpers_stay_in_the_tree() {
    let dir = Dir::new();
    dir.write("outside", "precious");
    let staged = AtomicDir::builder().open(dir.path("site")).unwrap();
    staged.create_dir_all("a/./b").unwrap();
    staged.create_dir_all("a/b").unwrap();
    staged.write("a/b/file", "one").unwrap();
    staged.write("a/b/file", "two").unwrap();
    staged.write("./top", "top").unwrap();
    let absolute = dir.path("outside");
    for path in [
        Path::new(""),
        ".".as_ref(),
        "..".as_ref(),
        "../x".as_ref(),
        "a/../../x".as_ref(),
        &absolute,
    ] {
        for error in [
            staged.write(path, "").unwrap_err(),
            staged.create_dir_all(path).unwrap_err(),
            staged.remove_all(path).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidPath, "{error}");
        }
    }
    assert_eq!(staged.remove_all("none").unwrap_err().kind(), ErrorKind::NotFound);
    staged.create_dir_all("gone/deep/down").unwrap();
    staged.write("gone/deep/file", "").unwrap();
    staged.remove_all("gone").unwrap();
    staged.write("file", "").unwrap();
    staged.remove_all("file").unwrap();
    staged.commit().unwrap();
    dir.assert_only(&["outside", "site", "site/a", "site/a/b", "site/a/b/file", "site/top"]);
    assert_eq!(dir.read("site/a/b/file"), "two");
    assert_eq!(dir.read("outside"), "precious");
}

#[test]
fn a_tree_with_a_failed_write_is_not_committed() {
    let dir = Dir::new();
    let staged = AtomicDir::builder().open(dir.path("site")).unwrap();
    staged.create_dir_all("directory").unwrap();
    staged.write("file", "contents").unwrap();
    let error = staged.create_dir_all("file/below").unwrap_err();
    assert_eq!(error.step(), Step::Write, "{error}");
    let error = staged.write("another", "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned);
    let error = staged.commit().unwrap_err();
    assert_eq!((error.kind(), error.target_state()), (ErrorKind::Poisoned, TargetState::Untouched));
    dir.assert_only(&[]);
}

#[test]
fn policies_decide_at_open_and_again_at_commit() {
    #[track_caller]
    fn check(builder: &AtomicDirBuilder, path: &Path, kind: ErrorKind) {
        let error = builder.open(path).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.step(), Step::Resolve, "{error}");
        assert_eq!(error.target_state(), TargetState::Untouched);
    }
    let dir = Dir::new();
    let file = dir.write("file", "contents");
    let there = dir.make("there");
    let builder = AtomicDir::builder();
    check(&builder, &file, ErrorKind::NotADirectory);
    check(&builder, &file.join("below"), ErrorKind::NotADirectory);
    check(&builder, Path::new(""), ErrorKind::InvalidPath);
    check(&builder, Path::new("/"), ErrorKind::InvalidPath);
    check(&builder, Path::new(".."), ErrorKind::InvalidPath);
    check(&builder, &dir.path("no/where"), ErrorKind::NotFound);
    check(builder.clone().publish(Publish::CreateNew), &there, ErrorKind::AlreadyExists);
    check(builder.clone().publish(Publish::Existing), &dir.path("none"), ErrorKind::NotFound);

    let staged = builder.clone().publish(Publish::CreateNew).open(dir.path("new")).unwrap();
    dir.make("new");
    assert_eq!(staged.commit().unwrap_err().kind(), ErrorKind::AlreadyExists);
    if can_exchange() {
        let staged = builder.clone().publish(Publish::Existing).open(&there).unwrap();
        fs::remove_dir(&there).unwrap();
        assert_eq!(staged.commit().unwrap_err().kind(), ErrorKind::NotFound);
    }
    for before in [false, true] {
        if before && !can_exchange() {
            continue;
        }
        if before {
            dir.make("turned");
        }
        let staged = builder.open(dir.path("turned")).unwrap();
        if before {
            fs::remove_dir(dir.path("turned")).unwrap();
        }
        let file = dir.write("turned", "into a file");
        assert_eq!(staged.commit().unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(dir.read("turned"), "into a file");
        fs::remove_file(file).unwrap();
    }
    assert_eq!(dir.temps(), [""; 0]);
}

#[test]
fn a_separator_at_the_end_of_the_path_changes_nothing() {
    let dir = Dir::new();
    let mut path = dir.path("site").into_os_string();
    path.push("//");
    AtomicDir::builder().open(&path).unwrap().commit().unwrap();
    dir.assert_only(&["site"]);
}

#[test]
fn the_lock_keeps_writers_apart() {
    let dir = Dir::new();
    let builder = AtomicDir::builder().lock(Lock::Try).clone();
    let first = builder.open(dir.path("site")).unwrap();
    assert_eq!(builder.open(dir.path("site")).unwrap_err().kind(), ErrorKind::Locked);
    first.rollback().unwrap();
    builder.open(dir.path("site")).unwrap().commit().unwrap();
    dir.assert_only(&["site"]);
}

#[cfg(unix)]
#[test]
fn links_to_the_target_are_followed_replaced_or_refused() {
    use std::os::unix::fs::symlink;

    if !can_exchange() {
        return;
    }
    let dir = Dir::new();
    dir.make("real");
    symlink("real/", dir.path("link")).unwrap();
    let open = |symlinks| AtomicDir::builder().symlinks(symlinks).open(dir.path("link"));
    assert_eq!(open(Symlinks::Refuse).unwrap_err().kind(), ErrorKind::Symlink);
    let staged = open(Symlinks::Follow).unwrap();
    staged.write("file", "followed").unwrap();
    assert_eq!(staged.commit().unwrap().path(), dir.path("real"));
    assert_eq!(dir.read("real/file"), "followed");
    let staged = open(Symlinks::Replace).unwrap();
    staged.write("file", "replaced").unwrap();
    staged.commit().unwrap();
    assert_eq!(
        (dir.read("link/file"), dir.read("real/file")),
        ("replaced".into(), "followed".into())
    );
    assert!(fs::symlink_metadata(dir.path("link")).unwrap().is_dir());
}

/// Of a link only the link itself was looked at, which is never read-only: a read-only tree that it
/// led to was switched away from, and removed.
#[cfg(unix)]
#[test]
fn a_read_only_tree_is_replaced_only_if_asked() {
    #[track_caller]
    fn check(swap: Swap) {
        use std::os::unix::fs::PermissionsExt;

        let dir = Dir::new();
        let site = dir.path("site");
        let builder = AtomicDir::builder().swap(swap).clone();
        builder.open(&site).unwrap().commit().unwrap();
        let early = builder.open(&site).unwrap();
        fs::set_permissions(&site, PermissionsExt::from_mode(0o555)).unwrap();
        if !fs::metadata(&site).unwrap().permissions().readonly() {
            return; // there are no modes here
        }
        let errors = [
            builder.open(&site).unwrap_err(),
            builder.edit(&site).unwrap_err(),
            early.commit().unwrap_err(),
        ];
        assert!(errors.iter().all(|it| it.kind() == ErrorKind::ReadOnly), "{errors:?}");
        let staged = builder.clone().read_only(ReadOnly::Replace).open(&site).unwrap();
        staged.write("file", "new").unwrap(); // though the tree itself is to be read-only
        match staged.commit() {
            Ok(_) => {
                assert_eq!(dir.read("site/file"), "new");
                assert_eq!(fs::metadata(&site).unwrap().permissions().mode() & 0o7777, 0o555);
            }
            // A user other than root cannot move a directory without the right to write to it.
            Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
        }
        fs::set_permissions(&site, PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(dir.temps(), [""; 0]);
    }
    if can_exchange() {
        check(Swap::Exchange);
    }
    if !lacks(&[Feature::Symlinks]) {
        check(Swap::Link);
    }
}

#[test]
fn each_durability_publishes() {
    let dir = Dir::new();
    for durability in [Durability::None, Durability::Ordered, Durability::Full] {
        let turns = if can_exchange() { 2 } else { 1 };
        let site = dir.path(format!("{durability}"));
        for turn in 0..turns {
            let staged = AtomicDir::builder().durability(durability).open(&site).unwrap();
            fill(staged.path(), &format!("{turn}"));
            let commit = staged.commit().unwrap();
            assert!(commit.durability() <= durability);
            assert_is(&site, &format!("{turn}"));
        }
    }
}

#[test]
fn without_an_exchange_a_tree_that_is_there_is_an_error() {
    if can_exchange() {
        return;
    }
    let dir = Dir::new();
    dir.make("site");
    dir.write("site/file", "old");
    let staged = AtomicDir::builder().open(dir.path("site"));
    let error = staged.and_then(AtomicDir::commit).unwrap_err();
    assert_eq!(
        (error.kind(), error.target_state()),
        (ErrorKind::Unsupported, TargetState::Untouched)
    );
    assert_eq!(error.io_error().unwrap().kind(), IoErrorKind::Unsupported);
    dir.assert_only(&["site", "site/file"]);
}
