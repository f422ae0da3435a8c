//! Links that the path names, and links on the way.

use std::io;
use std::os::unix::fs::{lchown, symlink};

use fs_err as fs;
use wholefile::{AtomicWriter, ErrorKind, Outcome, Publish, Step, Symlinks, TargetState};

use crate::child::{self, Child};
use crate::dir::Dir;
use crate::place::{Feature, lacks};
use crate::system::{NOBODY, chmod, chown, is_root};

/// What following the links comes to.
#[derive(Clone, Copy)]
enum LeadsTo {
    /// This file is replaced, or created.
    File(&'static str),
    Error(ErrorKind),
}
use LeadsTo::{Error, File};

/// Two directories, `a` and `b`, with a file in each, and the given links.
fn directory_with(links: &[(&str, &str)]) -> Dir {
    let dir = Dir::new();
    dir.make("a");
    dir.make("b");
    dir.write("old", "old");
    dir.write("b/old", "old");
    for (link, text) in links {
        symlink(text, dir.path(link)).unwrap();
    }
    dir
}

/// Saves through the first link.
#[track_caller]
fn check(links: &[(&str, &str)], leads_to: LeadsTo) {
    check_follow(links, leads_to);
    check_replace(links);
    check_refuse(links);
}

#[track_caller]
fn assert_links_are(dir: &Dir, links: &[(&str, &str)]) {
    for (link, text) in links {
        assert_eq!(fs::read_link(dir.path(link)).unwrap().to_str(), Some(*text));
    }
}

#[track_caller]
fn check_follow(links: &[(&str, &str)], leads_to: LeadsTo) {
    let dir = directory_with(links);
    let before = dir.names();
    let result = AtomicWriter::builder().write(dir.path(links[0].0), "new");
    match (result, leads_to) {
        (Ok(commit), File(file)) => {
            assert_eq!(dir.read(file), "new");
            assert_eq!(
                commit.path().canonicalize().unwrap(),
                dir.path(file).canonicalize().unwrap()
            );
            let mut after = before;
            after.push(file.to_owned());
            after.sort();
            after.dedup();
            assert_eq!(dir.names(), after);
        }
        (Err(error), Error(kind)) => {
            assert_eq!((error.kind(), error.step()), (kind, Step::Resolve));
            assert_eq!(error.target_state(), TargetState::Untouched);
            assert_eq!(dir.names(), before);
        }
        (result, _) => panic!("{links:?}: {result:?}"),
    }
    assert_links_are(&dir, links);
}

#[track_caller]
fn check_replace(links: &[(&str, &str)]) {
    let dir = directory_with(links);
    let before = dir.names();
    AtomicWriter::builder().symlinks(Symlinks::Replace).write(dir.path(links[0].0), "new").unwrap();
    assert!(fs::symlink_metadata(dir.path(links[0].0)).unwrap().is_file());
    assert_eq!(dir.read(links[0].0), "new");
    assert_eq!((dir.read("old"), dir.read("b/old")), ("old".into(), "old".into()));
    assert_eq!(dir.names(), before);
    assert_links_are(&dir, &links[1..]);
}

#[track_caller]
fn check_refuse(links: &[(&str, &str)]) {
    let dir = directory_with(links);
    let before = dir.names();
    let mut builder = AtomicWriter::builder();
    let error = builder.symlinks(Symlinks::Refuse).write(dir.path(links[0].0), "new").unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Symlink, Step::Resolve));
    assert_eq!(error.target_state(), TargetState::Untouched);
    assert_eq!((dir.read("old"), dir.read("b/old")), ("old".into(), "old".into()));
    assert_eq!(dir.names(), before);
    assert_links_are(&dir, links);
}

#[test]
fn links_are_followed_replaced_or_refused() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    check(&[("link", "old")], File("old"));
    check(&[("link", "./b/../old")], File("old"));
    check(&[("a/link", "../b/old")], File("b/old"));
    check(&[("a/link", "../old")], File("old"));
    check(&[("link", "a/second"), ("a/second", "../b/third"), ("b/third", "old")], File("b/old"));
    check(&[("link", "a/via/old"), ("a/via", "../b")], File("b/old"));
    // Dangling.
    check(&[("link", "new")], File("new"));
    check(&[("a/link", "../b/new")], File("b/new"));
    check(&[("link", "a/second"), ("a/second", "new")], File("a/new"));
    check(&[("link", "missing/new")], Error(ErrorKind::NotFound));
    check(&[("link", "old/new")], Error(ErrorKind::NotADirectory));
    // Loops.
    check(&[("link", "link")], Error(ErrorKind::SymlinkLoop));
    check(&[("link", "a/second"), ("a/second", "../link")], Error(ErrorKind::SymlinkLoop));
    check(&[("link", "loop/x"), ("loop", "loop")], Error(ErrorKind::SymlinkLoop));
    // Directories.
    for text in ["a", "a/", "a/.", ".", "..", "/"] {
        check(&[("link", text)], Error(ErrorKind::IsADirectory));
    }
    check(&[("link", "a/second"), ("a/second", "../b")], Error(ErrorKind::IsADirectory));
}

#[test]
fn an_absolute_link_is_followed() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let elsewhere = Dir::new();
    elsewhere.write("old", "old");
    let text = elsewhere.path("old");
    let dir = Dir::new();
    symlink(&text, dir.path("link")).unwrap();
    let commit = AtomicWriter::builder().write(dir.path("link"), "new").unwrap();
    assert_eq!(commit.path(), text);
    assert_eq!(elsewhere.read("old"), "new");
    elsewhere.assert_only(&["old"]);
    assert_eq!(fs::read_link(dir.path("link")).unwrap(), text);
    dir.assert_only(&["link"]);
}

#[test]
fn forty_links_are_followed_and_forty_one_are_a_loop() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    for (links, leads_to) in [(40, Ok(())), (41, Err(ErrorKind::SymlinkLoop))] {
        let dir = Dir::new();
        dir.write("0", "old");
        for n in 1..=links {
            symlink((n - 1).to_string(), dir.path(n.to_string())).unwrap();
        }
        let result = AtomicWriter::builder().write(dir.path(links.to_string()), "new");
        assert_eq!(result.map(drop).map_err(|error| error.kind()), leads_to);
        assert_eq!(dir.read("0"), if leads_to.is_ok() { "new" } else { "old" });
        assert_eq!(dir.names().len(), links + 1);
    }
}

#[test]
fn a_link_among_the_directories_is_followed_whatever_the_policy() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    for symlinks in [Symlinks::Follow, Symlinks::Replace, Symlinks::Refuse] {
        let dir = directory_with(&[("via", "b")]);
        AtomicWriter::builder().symlinks(symlinks).write(dir.path("via/old"), "new").unwrap();
        assert_eq!(dir.read("b/old"), "new");
        assert_links_are(&dir, &[("via", "b")]);
    }
}

#[test]
fn nothing_is_created_over_a_link_but_where_it_dangles() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let dir = directory_with(&[("link", "old"), ("dangling", "new")]);
    let mut builder = AtomicWriter::builder();
    builder.publish(Publish::CreateNew);
    let kind = |name| builder.write(dir.path(name), "new").map_err(|error| error.kind()).err();
    assert_eq!(kind("link"), Some(ErrorKind::AlreadyExists));
    assert_eq!(kind("dangling"), None);
    assert_eq!(dir.read("new"), "new");
    assert_eq!(kind("dangling"), Some(ErrorKind::AlreadyExists));
    let mut builder = AtomicWriter::builder();
    builder.publish(Publish::CreateNew).symlinks(Symlinks::Replace);
    let error = builder.write(dir.path("link"), "new").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_links_are(&dir, &[("link", "old"), ("dangling", "new")]);
}

/// Follows a link in a directory with this mode and owner, where the link has this owner.
#[track_caller]
fn check_planted(mode: u32, directory_owner: u32, link_owner: u32, followed: bool) {
    let name = format!("{mode:o} of {directory_owner}, link of {link_owner}");
    for (text, before) in [("../b/old", Some("old")), ("../b/new", None)] {
        let dir = directory_with(&[("a/link", text), ("way", "a/link")]);
        chmod(dir.path("a"), mode);
        chown(dir.path("a"), directory_owner, directory_owner);
        lchown(dir.path("a/link"), Some(link_owner), Some(link_owner)).unwrap();
        let names = dir.names();
        // Straight, and through a link that may be followed.
        for path in ["a/link", "way"] {
            let file = dir.path("a").join(text);
            let result = AtomicWriter::builder().write(dir.path(path), "new");
            let contents = fs::read_to_string(&file).ok();
            if followed {
                result.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(contents.as_deref(), Some("new"), "{name}");
                continue;
            }
            let error = result.expect_err(&name);
            let expected = (ErrorKind::PermissionDenied, Step::Resolve);
            assert_eq!((error.kind(), error.step()), expected, "{name}");
            assert_eq!(error.target_state(), TargetState::Untouched);
            assert_eq!(io::Error::from(error).kind(), io::ErrorKind::PermissionDenied);
            assert_eq!((contents.as_deref(), dir.names()), (before, names.clone()), "{name}");
        }
        assert_links_are(&dir, &[("a/link", text), ("way", "a/link")]);
    }
}

/// Any user could have root replace any file: `ln -s /etc/passwd /tmp/report`, and wait until root
/// saves /tmp/report. The kernel refuses to follow such a link when it opens a path
/// (fs.protected_symlinks), but links were read here one by one and their texts opened, so that the
/// rule did not apply and the contents of /etc/passwd were lost.
#[test]
fn a_link_that_another_user_planted_is_not_followed() {
    if lacks(&[Feature::Owners, Feature::Modes, Feature::Symlinks, Feature::LinkCounts]) {
        return;
    }
    const TEST: &str = "policies::symlinks::a_link_that_another_user_planted_is_not_followed";
    if !is_root(TEST) {
        return;
    }
    let stranger = 12345;
    check_planted(0o1777, 0, NOBODY, false);
    check_planted(0o1777, stranger, NOBODY, false);
    check_planted(0o1777, 0, 0, true);
    check_planted(0o1777, stranger, 0, true);
    check_planted(0o1777, NOBODY, NOBODY, true);
    // Where files cannot be planted, and where nothing keeps them from being replaced anyway.
    check_planted(0o1775, 0, NOBODY, true);
    check_planted(0o777, 0, NOBODY, true);
    check_planted(0o755, 0, NOBODY, true);
    // A second name for root's own link.
    let dir = directory_with(&[("a/root's", "../b/old")]);
    chmod(dir.path("a"), 0o1777);
    fs::hard_link(dir.path("a/root's"), dir.path("a/link")).unwrap();
    let error = AtomicWriter::builder().write(dir.path("a/link"), "new").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    // It is nobody's business what is replaced or refused in any case.
    let dir = directory_with(&[("a/link", "../b/old")]);
    chmod(dir.path("a"), 0o1777);
    lchown(dir.path("a/link"), Some(NOBODY), None).unwrap();
    let mut builder = AtomicWriter::builder();
    let error = builder.symlinks(Symlinks::Refuse).write(dir.path("a/link"), "new").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Symlink);
    builder.symlinks(Symlinks::Replace).write(dir.path("a/link"), "new").unwrap();
    assert_eq!((dir.read("a/link"), dir.read("b/old")), ("new".into(), "old".into()));
}

#[test]
fn an_unprivileged_user_follows_links_that_are_its_own_or_roots() {
    const TEST: &str =
        "policies::symlinks::an_unprivileged_user_follows_links_that_are_its_own_or_roots";
    if let Some(child::Given { dir, case }) = child::given() {
        let result = AtomicWriter::builder().write(dir.path("a/link"), "new");
        let kind = result.map_err(|error| error.kind()).err();
        assert_eq!(kind.is_none(), case == "followed", "{kind:?}");
        return assert!(kind.is_none_or(|kind| kind == ErrorKind::PermissionDenied));
    }
    if !is_root(TEST)
        || lacks(&[Feature::Creators, Feature::Owners, Feature::Modes, Feature::Symlinks])
    {
        return;
    }
    let stranger = 12345;
    for (owner, case) in [(stranger, "refused"), (NOBODY, "followed"), (0, "followed")] {
        let dir = directory_with(&[("a/link", "../b/old")]);
        chmod(dir.path("a"), 0o1777);
        for path in ["b", "b/old"] {
            chown(dir.path(path), NOBODY, NOBODY);
        }
        lchown(dir.path("a/link"), Some(owner), None).unwrap();
        Child::of(TEST).nobody().run(&dir, case);
        assert_eq!(dir.read("b/old"), if case == "followed" { "new" } else { "old" });
    }
}

/// Each hop is relative to the directory that holds the link, unless it begins at the root.
#[test]
fn what_is_missing_on_the_way_of_a_link_is_created_where_the_link_says() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    let folder = dir.make("links");
    symlink("relative/a/file", folder.join("relative link")).unwrap();
    symlink(dir.path("absolute/a/file"), folder.join("absolute link")).unwrap();
    let save =
        |link: &str| AtomicWriter::builder().create_parents(true).write(folder.join(link), link);
    save("relative link").unwrap();
    save("absolute link").unwrap();
    assert_eq!(dir.read("links/relative/a/file"), "relative link");
    assert_eq!(dir.read("absolute/a/file"), "absolute link");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 3, "two links and a directory");
}

/// What leads to an open descriptor is written through. It is in a directory of /proc by that name,
/// and a directory of anybody's may have the name too.
#[test]
fn a_link_in_a_directory_that_is_called_as_that_of_descriptors_is_a_link() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    let dir = Dir::new();
    dir.make("fd");
    dir.write("target", "old");
    symlink("../target", dir.path("fd/1")).unwrap();
    let commit = AtomicWriter::builder().write(dir.path("fd/1"), "new").unwrap();
    assert_eq!(commit.outcome(), Outcome::Replaced);
    assert_eq!(dir.read("target"), "new");
}
