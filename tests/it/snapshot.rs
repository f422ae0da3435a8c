//! All that is in a folder, to compare with what is there later. The fuzz targets do so too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    File(Vec<u8>),
    Folder,
    Link(PathBuf),
    Special,
}

/// Everything below `folder`, by its path.
pub(crate) fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Node> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            if path.to_string_lossy().contains(".fuse_hidden") {
                continue; // removed, but FUSE has not heard yet that it is closed
            }
            let kind = entry.file_type().unwrap();
            let node = if kind.is_symlink() {
                Node::Link(fs::read_link(&path).unwrap())
            } else if kind.is_dir() {
                folders.push(path.clone());
                Node::Folder
            } else if kind.is_file() {
                Node::File(fs::read(&path).unwrap())
            } else {
                Node::Special
            };
            found.insert(path, node);
        }
    }
    found
}
