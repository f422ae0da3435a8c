//! Links that the path names, and links on the way.

use std::os::unix::fs::symlink;

use fs_err as fs;
use wholefile::{AtomicWriter, ErrorKind, Publish, Step, Symlinks, TargetState};

use crate::dir::Dir;
use crate::place::{Feature, lacks};

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
