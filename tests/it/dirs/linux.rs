//! What a tree keeps.

use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use fs_err as fs;
use wholefile::{AtomicDir, Copying, ErrorKind, Metadata, Preserve, Step, Symlinks};

use crate::child::{self, Child};
use crate::dir::Dir;
use crate::place::{Feature, lacks};
use crate::system::{chmod, chown, is_root, run, set_acl, set_xattr, xattrs};

/// All that can be seen of a file.
#[derive(Debug, PartialEq)]
struct Seen {
    mode: u32,
    owner: (u32, u32),
    xattrs: Vec<(String, Vec<u8>)>,
    modified: Option<(i64, i64)>,
    contents: Vec<u8>,
}

fn see(path: &Path) -> Seen {
    let stat = fs::symlink_metadata(path).unwrap();
    let (modified, contents) = match stat.file_type() {
        kind if kind.is_dir() => (None, Vec::new()),
        kind if kind.is_symlink() => {
            (None, fs::read_link(path).unwrap().into_os_string().into_encoded_bytes())
        }
        _ => (Some((stat.mtime(), stat.mtime_nsec())), fs::read(path).unwrap()),
    };
    let (mode, owner) = (stat.mode(), (stat.uid(), stat.gid()));
    Seen { mode, owner, xattrs: xattrs(path), modified, contents }
}

/// A tree with something of everything that is to be kept.
fn rich(dir: &Dir) -> Vec<String> {
    dir.make("site/a/b");
    for (name, contents) in [("site/index", "index"), ("site/a/page", "page"), ("site/a/b/x", "")] {
        dir.write(name, contents);
    }
    fs::write(dir.path("site/a/holes"), [0; 200_000]).unwrap();
    symlink("../nowhere", dir.path("site/a/link")).unwrap();
    for (name, mode) in [("site/index", 0o640), ("site/a/page", 0o6755), ("site/a/b", 0o2751)] {
        chmod(dir.path(name), mode);
    }
    for name in ["site", "site/a/b", "site/a/page"] {
        set_xattr(&dir.path(name), "user.test", name.as_bytes());
    }
    set_acl(&dir.path("site"), "u:12345:rwx,d:u:12345:rx");
    set_acl(&dir.path("site/a"), "d:g:23456:rwx");
    set_acl(&dir.path("site/index"), "u:12345:r,g::-");
    let old = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 500 };
    let times = rustix::fs::Timestamps { last_access: old, last_modification: old };
    let page = fs::File::open(dir.path("site/a/page")).unwrap();
    rustix::fs::futimens(page.file(), &times).unwrap();
    dir.names()
}

const RICH: &[Feature] =
    &[Feature::Exchange, Feature::Modes, Feature::Acls, Feature::UserXattrs, Feature::Symlinks];

#[test]
fn an_edited_tree_keeps_all_that_was_not_changed() {
    const TEST: &str = "dirs::linux::an_edited_tree_keeps_all_that_was_not_changed";
    if lacks(RICH) {
        return;
    }
    for copying in [Copying::Separate, Copying::HardLinks] {
        let dir = Dir::new();
        let names = rich(&dir);
        if is_root(TEST) {
            for (index, name) in names.iter().enumerate() {
                let id = 30_000 + index as u32;
                let mode = dir.mode(name);
                std::os::unix::fs::lchown(dir.path(name), Some(id), Some(id)).unwrap();
                if !dir.path(name).is_symlink() {
                    chmod(dir.path(name), mode); // the change of owner took setuid away
                }
            }
        }
        let all = || names.iter().map(|name| see(&dir.path(name))).collect::<Vec<_>>();
        let before = all();
        let inode = |name: &str| fs::metadata(dir.path(name)).unwrap().ino();
        let (page, index, a) = (inode("site/a/page"), inode("site/index"), inode("site/a"));
        let staged = AtomicDir::builder().copying(copying).edit(dir.path("site")).unwrap();
        staged.write("index", "changed").unwrap();
        assert_eq!(all(), before, "{copying:?}: the old tree is as it was");
        let commit = staged.commit().unwrap();
        assert!(commit.not_preserved().is_empty(), "{commit:?}");
        assert_eq!(commit.leftover(), None);
        assert_ne!((inode("site/index"), inode("site/a")), (index, a));
        assert_eq!(inode("site/a/page") == page, copying == Copying::HardLinks);
        assert_eq!(dir.read("site/index"), "changed");
        dir.write("site/index", "index");
        let mut after = all();
        for (before, after) in before.iter().zip(&mut after) {
            if before.contents == b"index" {
                assert_ne!(after.modified, before.modified);
                after.modified = before.modified;
            }
        }
        assert_eq!(after, before, "{copying:?}");
        assert_eq!(dir.names(), names);
    }
}

#[test]
fn a_copy_can_be_written_to_without_changing_the_original() {
    let dir = Dir::new();
    dir.make("site");
    dir.write("site/file", "the original");
    let staged = AtomicDir::builder().edit(dir.path("site")).unwrap();
    fs::OpenOptions::new()
        .append(true)
        .open(staged.path().join("file"))
        .unwrap()
        .set_len(3)
        .unwrap();
    assert_eq!(dir.read("site/file"), "the original");
    staged.rollback().unwrap();
    dir.assert_only(&["site", "site/file"]);
}

#[test]
fn the_topmost_directory_keeps_its_metadata_though_it_starts_empty() {
    if lacks(RICH) {
        return;
    }
    let dir = Dir::new();
    rich(&dir);
    chmod(dir.path("site"), 0o2751);
    let before = see(&dir.path("site"));
    let staged = AtomicDir::builder().open(dir.path("site")).unwrap();
    // What is made in it inherits as it would in the old tree.
    fs::write(staged.path().join("made"), "").unwrap();
    dir.write("site/made", "");
    let inherits = |path: &Path| (see(path).mode, see(path).xattrs);
    assert_eq!(inherits(&staged.path().join("made")), inherits(&dir.path("site/made")));
    assert!(!inherits(&dir.path("site/made")).1.is_empty());
    let commit = staged.commit().unwrap();
    assert!(commit.not_preserved().is_empty(), "{commit:?}");
    assert_eq!(see(&dir.path("site")), before);
    dir.assert_only(&["site", "site/made"]);
}

/// The topmost directory was given the metadata that the old one had when the staged tree was
/// opened: what was changed until the commit was undone by it. An access that had been taken away
/// in the meantime, by chmod or setfacl, was there again.
#[test]
fn the_topmost_directory_has_the_metadata_of_the_moment_of_the_commit() {
    const TEST: &str =
        "dirs::linux::the_topmost_directory_has_the_metadata_of_the_moment_of_the_commit";
    if lacks(RICH) || lacks(&[Feature::Owners]) {
        return;
    }
    for is_copy in [false, true] {
        let dir = Dir::new();
        rich(&dir);
        let site = dir.path("site");
        let builder = AtomicDir::builder();
        let staged = if is_copy { builder.edit(&site) } else { builder.open(&site) }.unwrap();
        staged.write("file", "new").unwrap();
        run("setfacl", &["-b".as_ref(), site.as_os_str()]);
        set_acl(&site, "u:23456:rx");
        run("setfattr", &["-x".as_ref(), "user.test".as_ref(), site.as_os_str()]);
        set_xattr(&site, "user.later", b"kept");
        if is_root(TEST) {
            chown(&site, 12345, 23456);
        }
        chmod(&site, 0o2710);
        let before = see(&site);
        let commit = staged.commit().unwrap();
        assert!(commit.not_preserved().is_empty(), "{commit:?}");
        assert_eq!(see(&site), before);
    }
    // What the user has given to the staged one stays, if the old one is as it was.
    let dir = Dir::new();
    let site = dir.make("site");
    let staged = AtomicDir::builder().open(&site).unwrap();
    chmod(staged.path(), 0o750);
    set_xattr(staged.path(), "user.test", b"the user's");
    let given = see(staged.path());
    staged.commit().unwrap();
    assert_eq!(see(&site), given);
}

/// That the times are to be kept was accepted and did nothing for the topmost directory: whatever
/// was put into it changed them again, and on XFS so did the exchange itself.
#[test]
fn the_topmost_directory_keeps_its_times_if_asked() {
    if lacks(&[Feature::Exchange, Feature::ExactTimes]) {
        return;
    }
    let modified = |path: &Path| {
        let stat = fs::metadata(path).unwrap();
        (stat.mtime(), stat.mtime_nsec())
    };
    for preserve in [Preserve::Skip, Preserve::Try, Preserve::Require] {
        let dir = Dir::new();
        let site = dir.make("site");
        let staged = AtomicDir::builder().preserve(Metadata::Times, preserve).open(&site).unwrap();
        staged.write("file", "new").unwrap();
        let old = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 500 };
        let times = rustix::fs::Timestamps { last_access: old, last_modification: old };
        rustix::fs::futimens(fs::File::open(&site).unwrap().file(), &times).unwrap();
        let commit = staged.commit().unwrap();
        assert!(commit.not_preserved().is_empty(), "{commit:?}");
        let is_kept = modified(&site) == (1_000_000_000, 500);
        assert_eq!(is_kept, preserve != Preserve::Skip, "{preserve:?}");
    }
}

/// A link that took the target's name while the tree was staged was replaced, though links were to
/// be refused: the policy was applied at `open` alone.
#[test]
fn a_link_that_takes_the_place_of_a_tree_is_refused_if_asked() {
    if lacks(&[Feature::Exchange, Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    let site = dir.make("site");
    let staged = AtomicDir::builder().symlinks(Symlinks::Refuse).open(&site).unwrap();
    fs::rename(&site, dir.path("moved")).unwrap();
    symlink("moved", &site).unwrap();
    assert_eq!(staged.commit().unwrap_err().kind(), ErrorKind::Symlink);
    assert_eq!(fs::read_link(&site).unwrap(), Path::new("moved"));
    dir.assert_only(&["moved", "site"]);
}

#[test]
fn a_default_acl_that_the_old_tree_had_not_is_not_inherited_from_its_folder() {
    if lacks(RICH) {
        return;
    }
    let dir = Dir::new();
    dir.make("site");
    let before = see(&dir.path("site"));
    set_acl(dir.root(), "d:u:12345:rwx");
    AtomicDir::builder().open(dir.path("site")).unwrap().commit().unwrap();
    assert_eq!(see(&dir.path("site")), before);
}

#[test]
fn a_new_tree_gets_what_a_new_directory_gets() {
    const TEST: &str = "dirs::linux::a_new_tree_gets_what_a_new_directory_gets";
    let Some(child::Given { dir, .. }) = child::given() else {
        if lacks(&[Feature::Modes, Feature::DefaultAcls]) {
            return;
        }
        for umask in [0o000, 0o022, 0o077, 0o777] {
            // Only root can move a directory that it may not write to.
            if umask != 0o777 || rustix::process::geteuid().is_root() {
                Child::of(TEST).umask(umask).run(&Dir::new(), "");
            }
        }
        return;
    };
    for (folder, acl, mode) in [
        ("plain", None, 0o777),
        ("setgid", None, 0o2777),
        ("acl", Some("d:u:12345:rwx,d:o::-"), 0o777),
    ] {
        let parent = dir.make(folder);
        chmod(&parent, mode);
        if let Some(acl) = acl {
            set_acl(&parent, acl);
        }
        fs::create_dir(parent.join("made")).unwrap();
        let staged = AtomicDir::builder().open(parent.join("published")).unwrap();
        staged.create_dir_all("a/b").unwrap(); // whatever the umask has left
        staged.write("file", "").unwrap();
        // Nobody else gets to it meanwhile.
        let stage = staged.path().parent().unwrap();
        assert_eq!(fs::metadata(stage).unwrap().mode() & 0o7077, mode & 0o2000);
        staged.commit().unwrap();
        assert_eq!(see(&parent.join("published")), see(&parent.join("made")), "{folder}");
    }
}

/// A descriptor leads to a directory that may have no name, and that nothing can be exchanged for.
#[test]
fn an_open_descriptor_is_no_target_of_a_tree() {
    let dir = Dir::new();
    let site = fs::File::open(dir.make("site")).unwrap();
    let path = format!("/proc/self/fd/{}", site.file().as_raw_fd());
    let error = AtomicDir::builder().open(path).unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Unsupported, Step::Resolve));
    dir.assert_only(&["site"]);
}
