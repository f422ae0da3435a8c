//! The directory that a scenario runs in, and what is in it.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};

use crate::{backups, journals, trees};

pub(crate) const OLD_LEN: usize = 1000;

/// What is at the target before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    Nothing,
    /// A file with an owner, an ACL and an xattr of its own, as far as the caller may set them.
    File,
    /// A file as `File::create` makes it.
    Plain,
    /// A file of somebody else's that a group shares, without an ACL: its mode can only be set.
    Shared,
    /// As `File`, beside earlier backups of it.
    Backups,
    /// As `File`, with the new contents.
    Same,
    /// A symlink to such a file, through another directory.
    Symlink,
    /// Two directories that are missing on the way.
    NoParents,
    /// Three targets: a file with metadata, nothing, in another directory, and a plain file.
    Three,
    /// Twenty targets in two directories, beside a journal.
    Twenty,
    /// No tree at the target.
    NoTree,
    /// A tree.
    Tree,
    /// A symlink to a tree that is a generation.
    Link,
    /// No target at all.
    Scratch,
}

impl Before {
    /// The path that is handed to the crate.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Before::Symlink => "link",
            Before::Scratch => "target",
            _ => self.targets()[0],
        }
    }

    /// Where the contents are to land.
    pub(crate) fn targets(self) -> &'static [&'static str] {
        match self {
            Before::NoParents => &["a/b/target"],
            Before::Symlink => &["sub/target"],
            Before::Three => &["target", "sub/second", "third"],
            Before::Twenty => journals::TARGETS,
            Before::Scratch => &[],
            _ => &["target"],
        }
    }

    pub(crate) fn is_tree(self) -> bool {
        matches!(self, Before::NoTree | Before::Tree | Before::Link)
    }
}

/// Something on disk, as far as it can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) inode: u64,
    modified: (i64, i64),
    pub(crate) contents: Vec<u8>,
    pub(crate) metadata: Metadata,
}

/// What a file hands on to the one that replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// With the type.
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}

/// Everything below a directory, by its path relative to it.
pub(crate) type Snapshot = BTreeMap<PathBuf, Entry>;

/// A file or a tree without what tells it from a copy: by the paths in it, its own being empty.
pub(crate) type Tree = BTreeMap<PathBuf, Part>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) contents: Vec<u8>,
    pub(crate) metadata: Metadata,
}

impl Metadata {
    pub(crate) fn file_type(&self) -> u32 {
        self.mode & 0o170_000
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.file_type() == 0o040_000
    }
}

/// What a target consists of: itself, and if it is a link the tree that this names.
fn roots(snapshot: &Snapshot, target: &Path) -> Vec<PathBuf> {
    let mut roots = vec![target.to_path_buf()];
    match snapshot.get(target) {
        Some(entry) if entry.metadata.file_type() == 0o120_000 => {
            roots.push(String::from_utf8_lossy(&entry.contents).into_owned().into());
        }
        _ => {}
    }
    roots
}

/// Whether `path` is a part of the target.
pub(crate) fn belongs_to(snapshot: &Snapshot, target: &Path, path: &Path) -> bool {
    roots(snapshot, target).iter().any(|root| path.starts_with(root))
}

/// The target with all that is in it, inodes and times included.
pub(crate) fn all_of(snapshot: &Snapshot, target: &Path) -> Snapshot {
    let roots = roots(snapshot, target);
    let is_of_it = |path: &Path| roots.iter().any(|root| path.starts_with(root));
    let parts = snapshot.iter().filter(|(path, _)| is_of_it(path));
    parts.map(|(path, entry)| (path.clone(), entry.clone())).collect()
}

/// The file or the tree that the target is, or leads to.
pub(crate) fn tree_of(snapshot: &Snapshot, target: &Path) -> Tree {
    let root = roots(snapshot, target).pop().unwrap_or_default();
    let part = |(path, entry): (&PathBuf, &Entry)| {
        let path = path.strip_prefix(&root).ok()?.to_path_buf();
        let Entry { contents, metadata, .. } = entry.clone();
        Some((path, Part { contents, metadata }))
    };
    snapshot.iter().filter_map(part).collect()
}

/// Contents that show where they were cut, and that are not those of another `version`.
pub(crate) fn contents(version: char, len: usize) -> Vec<u8> {
    let digits = |line: usize| {
        [5, 4, 3, 2, 1, 0].map(|place| b'0' + (line / 10_usize.pow(place) % 10) as u8)
    };
    let line = |line: usize| [&[version as u8][..], &digits(line), b"\n"].concat();
    (0..len.div_ceil(8)).flat_map(line).collect()
}

/// Puts into the empty directory `dir` what is there before, beside names that a sweep must leave.
pub(crate) fn prepare(dir: &Path, before: Before, new: &[u8]) -> Result<()> {
    fs::write(dir.join("other.txt"), "another file")?;
    fs::write(dir.join(".wholefile-short.tmp"), "too short a name")?;
    fs::write(dir.join(".wholefile-abcdefghijkl.tmp.bak"), "too long a name")?;
    fs::write(dir.join(".wholefile-0123456789ABCDEF.lock"), "not the digits of a lock")?;
    fs::create_dir(dir.join(".wholefile-abcdefghijkl.tmp.old"))?;
    symlink("other.txt", dir.join(".wholefile-mnopqrstuvwx.tmp"))?;
    let old = contents('o', OLD_LEN);
    match before {
        Before::Nothing | Before::NoParents | Before::NoTree | Before::Scratch => Ok(()),
        Before::Plain => Ok(fs::write(dir.join("target"), old)?),
        Before::Shared => write_owned(&dir.join("target"), &old, 0o664),
        Before::File => write_with_metadata(&dir.join("target"), &old),
        Before::Backups => {
            backups::prepare(dir)?;
            write_with_metadata(&dir.join("target"), &old)
        }
        Before::Three => {
            fs::create_dir(dir.join("sub"))?;
            fs::write(dir.join("third"), &old)?;
            write_with_metadata(&dir.join("target"), &old)
        }
        Before::Twenty => journals::prepare(dir),
        Before::Tree => trees::prepare(&dir.join("target")),
        Before::Link => {
            symlink(trees::GENERATION, dir.join("target"))?;
            trees::prepare(&dir.join(trees::GENERATION))
        }
        Before::Same => write_with_metadata(&dir.join("target"), new),
        Before::Symlink => {
            fs::create_dir(dir.join("sub"))?;
            symlink("sub/target", dir.join("link"))?;
            write_with_metadata(&dir.join("sub/target"), &old)
        }
    }
}

fn write_owned(path: &Path, contents: &[u8], mode: u32) -> Result<()> {
    fs::write(path, contents)?;
    own(path, mode)
}

/// Makes it somebody else's, if the caller may do so.
pub(crate) fn own(path: &Path, mode: u32) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(4321), Some(4321))?;
    }
    Ok(fs::set_permissions(path, PermissionsExt::from_mode(mode))?)
}

pub(crate) fn write_with_metadata(path: &Path, contents: &[u8]) -> Result<()> {
    write_owned(path, contents, 0o640)?;
    // Where the file system has none, there are none to be kept.
    let _ = lsetxattr(path, "system.posix_acl_access", &acl(), XattrFlags::empty());
    let _ = lsetxattr(path, "user.wholefile", b"kept", XattrFlags::empty());
    Ok(())
}

/// `user::rw-,user:1000:r--,group::r--,mask::r--,other::---` as the kernel takes it.
fn acl() -> Vec<u8> {
    let mut acl = 2_u32.to_le_bytes().to_vec();
    let entries = [(1, 6, -1), (2, 4, 1000), (4, 4, -1), (0x10, 4, -1), (0x20, 0, -1_i32)];
    for (tag, permissions, id) in entries {
        acl.extend(u16::to_le_bytes(tag));
        acl.extend(u16::to_le_bytes(permissions));
        acl.extend(id.to_le_bytes());
    }
    acl
}

/// What a file has that `File::create` makes under the umask 022.
pub(crate) fn of_new_file() -> Metadata {
    let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Metadata { mode: 0o100_644, owner, xattrs: BTreeMap::new() }
}

/// What a directory has that `create_dir` makes under the umask 022.
pub(crate) fn of_new_directory() -> Metadata {
    Metadata { mode: 0o040_755, ..of_new_file() }
}

/// Lets all that is in `dir` be removed by whoever may do no more than its owner.
pub(crate) fn open_up(dir: &Path) -> Result<()> {
    for (path, entry) in snapshot(dir)? {
        if entry.metadata.is_directory() && entry.metadata.mode & 0o700 != 0o700 {
            fs::set_permissions(dir.join(path), PermissionsExt::from_mode(0o700))?;
        }
    }
    Ok(())
}

pub(crate) fn snapshot(dir: &Path) -> Result<Snapshot> {
    let mut snapshot = Snapshot::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder)? {
            let path = item?.path();
            let relative = path.strip_prefix(dir)?.to_path_buf();
            let entry = look(&path)?;
            if entry.metadata.is_directory() {
                folders.push(path);
            }
            snapshot.insert(relative, entry);
        }
    }
    Ok(snapshot)
}

fn look(path: &Path) -> Result<Entry> {
    let stat = fs::symlink_metadata(path)?;
    let (is_file, is_directory) = (stat.is_file(), stat.is_dir());
    let contents = match (is_file, is_directory) {
        (true, _) => fs::read(path)?,
        (_, true) => Vec::new(),
        _ => fs::read_link(path)?.into_os_string().into_encoded_bytes(),
    };
    // A directory changes its times with what is in it.
    let modified = if is_directory { (0, 0) } else { (stat.mtime(), stat.mtime_nsec()) };
    let owner = (stat.uid(), stat.gid());
    let metadata = Metadata { mode: stat.mode(), owner, xattrs: xattrs(path)? };
    Ok(Entry { inode: stat.ino(), modified, contents, metadata })
}

fn xattrs(path: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut names = vec![0_u8; 4096];
    let len = llistxattr(path, &mut names).unwrap_or(0);
    let names = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut xattrs = BTreeMap::new();
    for name in names {
        let mut value = vec![0_u8; 4096];
        let len = lgetxattr(path, CString::new(name)?, &mut value)?;
        xattrs.insert(String::from_utf8_lossy(name).into_owned(), value[..len].to_vec());
    }
    Ok(xattrs)
}
