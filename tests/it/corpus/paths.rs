//! Whatever the path, a save does not panic, writes nowhere but to the file that the path names,
//! and leaves nothing behind.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};
use fs_err as fs;
use wholefile::{AtomicWriter, Durability, Publish, Symlinks, TargetState};

use crate::snapshot::{Node, snapshot};

/// `..` as often as there are parts leads no higher than into the folder.
const MAX_PARTS: usize = 6;
const DEEP: &str = "1/2/3/4/5/6/7/8";

#[derive(Arbitrary, Debug)]
enum Part {
    File,
    Folder,
    Up,
    Here,
    Nothing,
    Link,
    LinkToFolder,
    DanglingLink,
    Loop,
    Bytes(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
struct Case {
    parts: Vec<Part>,
    link_text: Vec<u8>,
    create_parents: bool,
    create_new: bool,
    replace_links: bool,
}

fn component(part: Part) -> Vec<u8> {
    match part {
        Part::File => b"file".to_vec(),
        Part::Folder => b"folder".to_vec(),
        Part::Up => b"..".to_vec(),
        Part::Here => b".".to_vec(),
        Part::Nothing => Vec::new(),
        Part::Link => b"link".to_vec(),
        Part::LinkToFolder => b"to-folder".to_vec(),
        Part::DanglingLink => b"dangling".to_vec(),
        Part::Loop => b"loop".to_vec(),
        Part::Bytes(bytes) => bytes,
    }
}

fn make_links(deep: &Path, text: &[u8]) {
    let is_inside = !text.starts_with(b"/") && text.split(|byte| *byte == b'/').count() <= 2;
    let text = if is_inside { OsStr::from_bytes(text) } else { OsStr::new("file") };
    let _ = symlink(text, deep.join("link")); // not every text is one of a link
    for (link, text) in [("to-folder", "folder"), ("dangling", "folder/new"), ("loop", "loop")] {
        symlink(text, deep.join(link)).unwrap();
    }
}

/// Saves to the path that `input` stands for in `root`, which is empty, and says what came of it.
/// `None` if it stands for none.
pub(crate) fn check(root: &Path, input: &[u8]) -> Option<String> {
    let case = Case::arbitrary_take_rest(Unstructured::new(input)).ok()?;
    let parts: Vec<Vec<u8>> = case.parts.into_iter().take(MAX_PARTS).map(component).collect();
    let relative = parts.join(&b'/');
    if relative.split(|byte| *byte == b'/').count() > MAX_PARTS {
        return None; // bytes with separators of their own
    }
    let deep = root.join(DEEP);
    fs::create_dir_all(deep.join("folder")).unwrap();
    fs::write(deep.join("file"), "old").unwrap();
    make_links(&deep, &case.link_text);
    let before = snapshot(root);

    let path = [deep.as_os_str().as_bytes(), &relative].join(&b'/');
    let path = Path::new(OsStr::from_bytes(&path));
    let mut builder = AtomicWriter::builder();
    builder.durability(Durability::None).create_parents(case.create_parents);
    if case.create_new {
        builder.publish(Publish::CreateNew);
    }
    if case.replace_links {
        builder.symlinks(Symlinks::Replace);
    }
    match builder.write(path, "new") {
        Ok(commit) => {
            // A link that was replaced may have been on the way to itself.
            if !case.replace_links {
                assert_eq!(fs::read(path).unwrap(), b"new");
                assert_eq!(fs::read(commit.path()).unwrap(), b"new");
            }
            let is_changed = |(path, node): &(&_, &Node)| before.get(*path) != Some(node);
            let after = snapshot(root);
            let changed = after.iter().filter(is_changed).filter(|it| *it.1 != Node::Folder);
            assert_eq!(changed.count(), 1, "it wrote to one file");
            assert!(before.keys().all(|path| after.contains_key(path)), "it removed something");
            Some(commit.outcome().to_string())
        }
        Err(error) => {
            assert_eq!(error.target_state(), TargetState::Untouched);
            assert!(snapshot(root) == before, "{error} left something behind");
            Some(format!("{:?}", error.kind()))
        }
    }
}
