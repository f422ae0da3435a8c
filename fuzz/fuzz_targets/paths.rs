//! Whatever the path, a save does not panic, writes nowhere but to the file that the path names,
//! and leaves nothing behind.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use wholefile::{AtomicWriter, Durability, Publish, Symlinks, TargetState};

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

/// Everything below `folder`, with the contents of files.
fn everything(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        found.push((entry.path(), kind.is_file().then(|| fs_err::read(entry.path()).unwrap())));
        if kind.is_dir() {
            found.extend(everything(&entry.path()));
        }
    }
    found.sort();
    found
}

fuzz_target!(|case: Case| {
    // `..` as often as there are parts leads no higher than into `root`.
    const MAX_PARTS: usize = 6;
    let root = tempfile::tempdir().unwrap();
    let deep = root.path().join("1/2/3/4/5/6/7/8");
    fs_err::create_dir_all(deep.join("folder")).unwrap();
    fs_err::write(deep.join("file"), "old").unwrap();
    let is_inside = !case.link_text.starts_with(b"/")
        && case.link_text.split(|byte| *byte == b'/').count() <= 2;
    let text = if is_inside { OsStr::from_bytes(&case.link_text) } else { OsStr::new("file") };
    let _ = symlink(text, deep.join("link"));
    symlink("folder", deep.join("to-folder")).unwrap();
    symlink("folder/new", deep.join("dangling")).unwrap();
    symlink("loop", deep.join("loop")).unwrap();
    let before = everything(root.path());

    let parts: Vec<Vec<u8>> = case.parts.into_iter().take(MAX_PARTS).map(component).collect();
    let relative = parts.join(&b'/');
    if relative.split(|byte| *byte == b'/').count() > MAX_PARTS {
        return; // bytes with separators of their own
    }
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
                assert_eq!(fs_err::read(path).unwrap(), b"new");
                assert_eq!(fs_err::read(commit.path()).unwrap(), b"new");
            }
            let after = everything(root.path());
            let changed = after.iter().filter(|it| it.1.is_some() && !before.contains(it));
            assert_eq!(changed.count(), 1, "it wrote to one file");
        }
        Err(error) => {
            assert_eq!(error.target_state(), TargetState::Untouched);
            assert!(everything(root.path()) == before, "{error} left something behind");
        }
    }
});
