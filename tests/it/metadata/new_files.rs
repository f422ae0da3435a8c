//! A new file gets what `File::create` would give it.

use std::io::Write;

use fs_err as fs;
use wholefile::{AtomicWriter, Outcome};

use super::{each_way, metadata};
use crate::child::{self, Child};
use crate::dir::Dir;
use crate::place::{Feature, lacks};
use crate::system::{chmod, is_root, run, set_acl, set_xattr, xattr};

/// Compares with a file that was created the plain way.
fn compare(dir: &Dir) -> super::Metadata {
    let mut all = Vec::new();
    each_way(|builder, new| {
        fs::File::create(dir.path("plain")).unwrap();
        let commit = builder.write(dir.path("new"), new).unwrap();
        assert_eq!(commit.outcome(), Outcome::Created);
        assert!(commit.not_preserved().is_empty());
        let (expected, is) = (metadata(&dir.path("plain")), metadata(&dir.path("new")));
        assert_eq!(is, expected);
        fs::remove_file(dir.path("new")).unwrap();
        if !builder.in_batch {
            check_removed_meanwhile(builder, new, dir, &expected);
        }
        fs::remove_file(dir.path("plain")).unwrap();
        all.push(is);
    });
    all.pop().unwrap()
}

/// What had been staged while there was an old file had got its mode, and kept that although the
/// file was new by the time it was published: whoever was shut out by the umask could read it.
#[track_caller]
fn check_removed_meanwhile(
    builder: &wholefile::Builder,
    new: &[u8],
    dir: &Dir,
    expected: &super::Metadata,
) {
    for mode in [0o604, 0o777, 0o400] {
        let target = dir.write("new", "old");
        chmod(&target, mode);
        let mut writer = builder.open(&target).unwrap();
        writer.write_all(new).unwrap();
        fs::remove_file(&target).unwrap();
        let commit = writer.commit().unwrap();
        assert_eq!(commit.outcome(), Outcome::Created);
        assert_eq!(&metadata(&target), expected, "was {mode:o}");
        fs::remove_file(&target).unwrap();
        dir.assert_only(&["plain"]);
    }
}

#[test]
fn the_umask_applies() {
    if let Some(child::Given { dir, case }) = child::given() {
        assert_eq!(format!("{:o}", compare(&dir).mode), case);
        return;
    }
    if lacks(&[Feature::Modes]) {
        return;
    }
    for (umask, mode) in
        [(0o000, "666"), (0o002, "664"), (0o022, "644"), (0o027, "640"), (0o077, "600")]
    {
        let child = Child::of("metadata::new_files::the_umask_applies").umask(umask);
        child.run(&Dir::new(), mode);
    }
}

/// Before Linux 6.0 no umask was applied to a file without a name on a file system without ACLs:
/// what had been staged, and the published file after it, could be written by everybody. Only where
/// there is no umask does such a file have that mode elsewhere.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_no_umask_was_applied_to_is_not_used() {
    const TEST: &str = "metadata::new_files::a_file_that_no_umask_was_applied_to_is_not_used";
    if let Some(child::Given { dir, case }) = child::given() {
        let mut builder = wholefile::AtomicWriter::builder();
        let mut writer =
            builder.staging(wholefile::Staging::Unnamed).open(dir.path("new")).unwrap();
        writer.write_all(&[0; 100_000]).unwrap();
        let named = dir.temps().len();
        writer.commit().unwrap();
        match case.as_str() {
            "no umask" => assert_eq!((named, dir.mode("new")), (1, 0o666)),
            _ => assert_eq!(dir.mode("new"), 0o644),
        }
        return;
    }
    if lacks(&[Feature::Unnamed, Feature::Modes]) {
        return;
    }
    Child::of(TEST).umask(0o022).run(&Dir::new(), "a umask");
    Child::of(TEST).umask(0o000).run(&Dir::new(), "no umask");
}

#[test]
fn the_directorys_default_acl_applies_instead_of_the_umask() {
    if let Some(child::Given { dir, case }) = child::given() {
        let metadata = compare(&dir);
        let has_acl = metadata.xattrs.iter().any(|(name, _)| name == "system.posix_acl_access");
        assert_eq!(format!("{:o}{}", metadata.mode, if has_acl { "+" } else { "" }), case);
        return;
    }
    if lacks(&[Feature::DefaultAcls]) {
        return;
    }
    for (acl, mode) in [
        ("d:u::rwx,d:g::r-x,d:o::r-x,d:u:12345:rw", "664+"),
        ("d:u::rw,d:g::-,d:o::-,d:u:12345:r", "640+"),
        ("d:u::rwx,d:g::r,d:o::-", "640"),
    ] {
        let dir = Dir::new();
        set_acl(dir.root(), acl);
        let child = Child::of(
            "metadata::new_files::the_directorys_default_acl_applies_instead_of_the_umask",
        );
        child.umask(0o077).run(&dir, mode);
    }
}

/// The directory gave its ACL to the temp file, and it was not the old file's.
#[test]
fn the_directorys_default_acl_is_not_for_a_file_that_had_none() {
    if lacks(&[Feature::DefaultAcls, Feature::UserXattrs, Feature::Modes]) {
        return;
    }
    for has_xattr in [false, true] {
        let dir = Dir::new();
        let target = dir.write("target", "old");
        chmod(&target, 0o640);
        if has_xattr {
            set_xattr(&target, "user.test", b"kept");
        }
        set_acl(dir.root(), "d:u::rwx,d:g::rwx,d:o::rwx,d:u:12345:rwx");
        let commit = AtomicWriter::builder().write(&target, "new").unwrap();
        assert!(commit.not_preserved().is_empty(), "{commit:?}");
        assert_eq!(dir.mode("target"), 0o640);
        assert_eq!(xattr(&target, "system.posix_acl_access"), None);
        assert_eq!(xattr(&target, "user.test").is_some(), has_xattr);
    }
}

#[test]
fn a_directory_that_hands_its_group_on_does_so() {
    if !is_root("metadata::new_files::a_directory_that_hands_its_group_on_does_so") {
        return;
    }
    if lacks(&[Feature::Owners]) {
        return;
    }
    let dir = Dir::new();
    run("chgrp", &["12345".as_ref(), dir.root().as_os_str()]);
    chmod(dir.root(), 0o2755);
    assert_eq!(compare(&dir).gid, 12345);
}

#[test]
fn a_link_that_is_replaced_hands_nothing_on() {
    if let Some(child::Given { dir, .. }) = child::given() {
        let target = dir.write("target", "old");
        chmod(&target, 0o600);
        each_way(|builder, new| {
            std::os::unix::fs::symlink("target", dir.path("link")).unwrap();
            let mut builder = builder.clone();
            builder.symlinks(wholefile::Symlinks::Replace).write(dir.path("link"), new).unwrap();
            assert_eq!(dir.mode("link"), 0o640);
            fs::remove_file(dir.path("link")).unwrap();
        });
        return;
    }
    if lacks(&[Feature::Symlinks, Feature::Modes]) {
        return;
    }
    let child = Child::of("metadata::new_files::a_link_that_is_replaced_hands_nothing_on");
    child.umask(0o027).run(&Dir::new(), "");
}
