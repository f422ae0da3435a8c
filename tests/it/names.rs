//! Names, paths and directories that change under the writer.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{CWD, Mode, OFlags, openat};
use wholefile::{
    AtomicWriter, Builder, Durability, ErrorKind, Outcome, Publish, Staging, Step, TargetState,
};

use crate::child::{self, Child};
use crate::dir::Dir;
use crate::place::{Feature, lacks};

/// Small contents, that are staged at commit, and ones that are staged at once, under each kind of
/// staging and by each way to publish.
fn each_way(existing: bool, mut f: impl FnMut(&Builder, usize)) {
    let mut ways = 0;
    for staging in [Staging::Named, Staging::Unnamed] {
        for publish in [Publish::Replace, Publish::CreateNew, Publish::Existing] {
            let suits = publish == Publish::Replace || (publish == Publish::Existing) == existing;
            for len in [3, 100_000].into_iter().filter(|_| suits) {
                f(AtomicWriter::builder().staging(staging).publish(publish), len);
                ways += 1;
            }
        }
    }
    assert_eq!(ways, 8);
}

fn new(len: usize) -> Vec<u8> {
    vec![b'n'; len]
}

#[test]
fn a_name_of_255_bytes_is_fine_and_one_of_256_is_not() {
    if lacks(&[Feature::LongNames, Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    let long = "n".repeat(255);
    let commit = AtomicWriter::builder().write(dir.path(&long), "new").unwrap();
    assert_eq!(commit.outcome(), Outcome::Created);
    assert_eq!(AtomicWriter::builder().write(dir.path(&long), "n").unwrap().len(), 1);
    dir.assert_only(&[&long]);
    let too_long = dir.path("n".repeat(256));
    let error = AtomicWriter::builder().open(&too_long).unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::InvalidPath, Step::Resolve));
    assert_eq!(error.target_state(), TargetState::Untouched);
    assert_eq!(error.path(), too_long);
    dir.assert_only(&[&long]);
    check_invalid("n".repeat(256), ErrorKind::InvalidPath);
}

#[test]
fn a_name_that_is_not_utf8_is_fine() {
    let dir = Dir::new();
    for name in [&b"\xff"[..], b"a\xc3\x28b", b"-rf", b"new\nline", b" ", b"...", b"*"] {
        let target = dir.path(OsStr::from_bytes(name));
        if fs::write(&target, "old").is_err() {
            crate::system::skipped("names", "this file system does not take every name");
            continue;
        }
        fs::remove_file(&target).unwrap();
        for outcome in [Outcome::Created, Outcome::Replaced] {
            let commit = AtomicWriter::builder().write(&target, "new").unwrap();
            assert_eq!((commit.outcome(), commit.path()), (outcome, &*target));
        }
        let mut writer = AtomicWriter::builder().open(&target).unwrap();
        assert_eq!(fs::read(writer.staging_path().unwrap()).unwrap(), b"");
        drop(writer);
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(dir.names().len(), 1);
        fs::remove_file(&target).unwrap();
    }
}

#[track_caller]
fn check_invalid(path: impl AsRef<Path>, kind: ErrorKind) {
    for create_parents in [false, true] {
        let dir = Dir::new();
        dir.make("directory");
        symlink("directory", dir.path("link")).unwrap();
        dir.write("file", "old");
        // An absolute path goes as it is; a relative one counts from the directory of the test.
        let path = match path.as_ref().as_os_str() {
            empty if empty.is_empty() => PathBuf::new(),
            relative => [dir.root().as_os_str(), relative].join(OsStr::new("/")).into(),
        };
        let mut builder = AtomicWriter::builder();
        let error = builder.create_parents(create_parents).open(&path).unwrap_err();
        assert_eq!(error.kind(), kind, "{}", path.display());
        assert_eq!(error.step(), Step::Resolve);
        assert_eq!(error.target_state(), TargetState::Untouched);
        let followed = if path.ends_with("link") && kind == ErrorKind::IsADirectory {
            dir.path("directory")
        } else {
            path
        };
        assert_eq!((error.path(), error.leftover()), (&*followed, None));
        assert_eq!(dir.read("file"), "old");
        dir.assert_only(&["directory", "file", "link"]);
    }
}

#[test]
fn a_path_that_names_no_file_is_an_error_before_anything_is_made() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    for path in ["", ".", "..", "a/", "a//", "a/.", "a/..", "/", "directory/", "link/", "file/"] {
        check_invalid(path, ErrorKind::InvalidPath);
    }
    for path in ["nul\0", "\0", "nul\0/file", "a\0b/c"] {
        check_invalid(path, ErrorKind::InvalidPath);
    }
    check_invalid("directory", ErrorKind::IsADirectory);
    check_invalid("directory/../directory", ErrorKind::IsADirectory);
    check_invalid("link", ErrorKind::IsADirectory);
    for path in ["/", "//", ".", "..", "/.", "/.."] {
        let error = AtomicWriter::builder().open(path).unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::InvalidPath, Step::Resolve));
    }
    let error = AtomicWriter::builder().open("/proc").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IsADirectory);
    let mut endless = PathBuf::from("/");
    (0..3000).for_each(|_| endless.push("tmp/.."));
    let error = AtomicWriter::builder().open(endless.join("target")).unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::InvalidPath, Step::Resolve));
}

#[test]
fn a_name_in_an_open_directory_is_one_component() {
    let dir = Dir::new();
    dir.make("directory");
    let open = fs::File::open(dir.root()).unwrap();
    for name in ["", ".", "..", "a/b", "./a", "/a", "/", "directory/", "../a", "nul\0"] {
        let error = AtomicWriter::builder().open_at(&open, name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPath, "{name}");
        assert_eq!((error.step(), error.target_state()), (Step::Resolve, TargetState::Untouched));
    }
    let error = AtomicWriter::builder().open_at(&open, "directory").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IsADirectory);
    let file = dir.write("file", "old");
    let error = AtomicWriter::builder().open_at(fs::File::open(file).unwrap(), "a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    dir.assert_only(&["directory", "file"]);
}

#[test]
fn a_file_is_saved_in_an_open_directory_wherever_that_is_moved() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    // A directory that is only held, where there is such a thing.
    #[cfg(target_os = "linux")]
    let ways = [OFlags::RDONLY, OFlags::PATH];
    #[cfg(not(target_os = "linux"))]
    let ways = [OFlags::RDONLY];
    for flags in ways.map(|flags| flags | OFlags::DIRECTORY) {
        let dir = Dir::new();
        let before = dir.make("before");
        let open = openat(CWD, &before, flags | OFlags::CLOEXEC, Mode::empty()).unwrap();
        symlink("new", dir.path("before/link")).unwrap();
        fs::rename(&before, dir.path("after")).unwrap();
        let mut writer = AtomicWriter::builder().open_at(&open, "link").unwrap();
        drop(open);
        writer.write_all(b"contents").unwrap();
        let commit = writer.commit().unwrap();
        assert_eq!((commit.path(), commit.durability()), (Path::new("new"), Durability::Full));
        assert_eq!(dir.read("after/new"), "contents");
        dir.assert_only(&["after", "after/link", "after/new"]);
    }
}

#[test]
fn a_relative_path_means_what_it_meant_at_open() {
    if let Some(child::Given { dir, .. }) = child::given() {
        for existing in [false, true] {
            each_way(existing, |builder, len| {
                std::env::set_current_dir(dir.root()).unwrap();
                if existing {
                    dir.write("sub/target", "old");
                }
                let mut writer = builder.open("sub/target").unwrap();
                writer.write_all(&new(len)).unwrap();
                std::env::set_current_dir(dir.path("elsewhere")).unwrap();
                let staging = writer.staging_path().unwrap();
                assert_eq!(staging.parent(), Some(&*dir.path("sub")));
                let commit = writer.commit().unwrap();
                assert_eq!(commit.path(), Path::new("sub/target"), "as the caller gave it");
                assert_eq!(fs::read(dir.path("sub/target")).unwrap(), new(len));
                dir.assert_only(&["elsewhere", "elsewhere/sub", "sub", "sub/target"]);
                fs::remove_file(dir.path("sub/target")).unwrap();
            });
        }
        std::env::set_current_dir(dir.root()).unwrap();
        let mut writer = AtomicWriter::builder().create_parents(true).open("a/b/target").unwrap();
        writer.write_all(b"contents").unwrap();
        std::env::set_current_dir(dir.path("elsewhere")).unwrap();
        drop(writer);
        dir.assert_only(&["elsewhere", "elsewhere/sub", "sub"]);
        return;
    }
    if lacks(&[Feature::NoReplace]) {
        return;
    }
    let dir = Dir::new();
    dir.make("sub");
    dir.make("elsewhere/sub");
    Child::of("names::a_relative_path_means_what_it_meant_at_open").run(&dir, "");
}

#[test]
fn the_file_lands_in_its_directory_wherever_that_is_moved() {
    if lacks(&[Feature::NoReplace]) {
        return;
    }
    for existing in [false, true] {
        each_way(existing, |builder, len| {
            let dir = Dir::new();
            dir.make("before");
            if existing {
                dir.write("before/target", "old");
            }
            let mut writer = builder.open(dir.path("before/target")).unwrap();
            writer.write_all(&new(len)).unwrap();
            fs::rename(dir.path("before"), dir.path("after")).unwrap();
            assert_eq!(writer.commit().unwrap().durability(), Durability::Full);
            assert_eq!(fs::read(dir.path("after/target")).unwrap(), new(len));
            dir.assert_only(&["after", "after/target"]);
        });
    }
}

#[test]
fn a_directory_swapped_for_another_does_not_get_the_file() {
    if lacks(&[Feature::Symlinks, Feature::NoReplace]) {
        return;
    }
    for (existing, link) in [(false, true), (true, true), (false, false), (true, false)] {
        each_way(existing, |builder, len| {
            let dir = Dir::new();
            dir.make("parent");
            dir.make("elsewhere");
            dir.write("elsewhere/target", "theirs");
            if existing {
                dir.write("parent/target", "old");
            }
            let mut writer = builder.open(dir.path("parent/target")).unwrap();
            writer.write_all(&new(len)).unwrap();
            fs::rename(dir.path("parent"), dir.path("original")).unwrap();
            if link {
                symlink("elsewhere", dir.path("parent")).unwrap();
            } else {
                fs::rename(dir.path("elsewhere"), dir.path("parent")).unwrap();
            }
            writer.commit().unwrap();
            assert_eq!(fs::read(dir.path("original/target")).unwrap(), new(len));
            assert_eq!(dir.read("parent/target"), "theirs");
            assert!(dir.temps().is_empty());
        });
    }
}

#[test]
fn a_rollback_cleans_up_in_the_directory_that_was_moved() {
    let dir = Dir::new();
    dir.make("before");
    let mut writer = AtomicWriter::builder().open(dir.path("before/target")).unwrap();
    writer.as_file().unwrap();
    fs::rename(dir.path("before"), dir.path("after")).unwrap();
    assert_eq!(dir.temps().len(), 1);
    writer.rollback().unwrap();
    dir.assert_only(&["after"]);
}

#[test]
fn a_link_planted_at_the_name_is_replaced_and_its_destination_untouched() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    for publish in [Publish::Replace, Publish::Existing] {
        for (existing, len) in [(true, 3), (true, 100_000), (false, 3), (false, 100_000)] {
            let dir = Dir::new();
            dir.write("victim", "theirs");
            let mut builder = AtomicWriter::builder();
            if existing {
                dir.write("target", "old");
                builder.publish(publish);
            }
            let mut writer = builder.open(dir.path("target")).unwrap();
            writer.write_all(&new(len)).unwrap();
            let _ = fs::remove_file(dir.path("target"));
            symlink("victim", dir.path("target")).unwrap();
            writer.commit().unwrap();
            assert!(fs::symlink_metadata(dir.path("target")).unwrap().is_file());
            assert_eq!(fs::read(dir.path("target")).unwrap(), new(len));
            assert_eq!(dir.read("victim"), "theirs");
            dir.assert_only(&["target", "victim"]);
        }
    }
}

/// Where somebody had removed the temp file, the error said `Unknown` although the target was still
/// the very file that had been looked at: without the temp file there was nothing to prove that it
/// had not been renamed. A caller that takes `Unknown` seriously then checks or restores in vain.
#[test]
fn a_temp_file_that_somebody_removed_is_an_error_and_the_target_untouched() {
    for existing in [false, true] {
        each_way(existing, |builder, len| {
            let dir = Dir::new();
            if existing {
                dir.write("target", "old");
            }
            let mut writer = builder.open(dir.path("target")).unwrap();
            writer.write_all(&new(len)).unwrap();
            fs::remove_file(writer.staging_path().unwrap()).unwrap();
            let error = writer.commit().unwrap_err();
            assert_eq!((error.kind(), error.step()), (ErrorKind::NotFound, Step::Publish));
            assert_eq!((error.target_state(), error.leftover()), (TargetState::Untouched, None));
            dir.assert_only(if existing { &["target"] } else { &[] });
        });
    }
}

#[test]
fn a_directory_that_is_removed_meanwhile_is_an_error() {
    let dir = Dir::new();
    dir.make("parent");
    let mut writer = AtomicWriter::builder().open(dir.path("parent/target")).unwrap();
    writer.write_all(b"contents").unwrap();
    fs::remove_dir(dir.path("parent")).unwrap();
    let error = writer.commit().unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::NotFound, Step::CreateTemp));
    assert_eq!(error.target_state(), TargetState::Untouched);
    dir.assert_only(&[]);
}
