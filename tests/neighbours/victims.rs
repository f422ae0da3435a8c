//! Root's files outside the shared directory, at which the neighbour points its links.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::linux::chmod;

/// Those that everybody may find.
pub(crate) const NAMES: [&str; 3] = ["passwd", "private", "writable"];

/// The files as they were made.
pub(crate) struct Victims {
    folder: PathBuf,
    files: Vec<(PathBuf, Stat, String)>,
    folder_stat: Stat,
}

/// All that a write, a change or a replacement would change.
#[derive(Debug, PartialEq)]
struct Stat {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    len: u64,
    modified: (i64, i64),
}

fn stat(metadata: &Metadata) -> Stat {
    Stat {
        inode: metadata.ino(),
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        len: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    }
}

impl Victims {
    pub(crate) fn new(folder: &Path) -> Victims {
        fs::create_dir(folder).unwrap();
        chmod(folder, 0o755);
        let mut files = Vec::new();
        for (name, mode) in NAMES.into_iter().zip([0o644, 0o600, 0o666]) {
            let path = folder.join(name);
            let contents = format!("victim {name}");
            fs::write(&path, &contents).unwrap();
            chmod(&path, mode);
            files.push((path.clone(), stat(&fs::symlink_metadata(&path).unwrap()), contents));
        }
        let folder_stat = stat(&fs::symlink_metadata(folder).unwrap());
        Victims { folder: folder.to_owned(), files, folder_stat }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn check(&self) {
        // Its time of modification tells that no name came or went either.
        let folder = stat(&fs::symlink_metadata(&self.folder).unwrap());
        assert_eq!(folder, self.folder_stat, "the folder of the victims");
        for (path, before, contents) in &self.files {
            let after = stat(&fs::symlink_metadata(path).unwrap());
            assert_eq!(after, *before, "{}", path.display());
            assert_eq!(fs::read_to_string(path).unwrap(), *contents, "{}", path.display());
        }
    }
}
