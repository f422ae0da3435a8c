//! What is saved, and how: each scenario is a row of a table, and a new one needs no more.
//!
//! A scenario is a fixed number of commits, counted from 1. Each makes a new version of one or more
//! files; the version has the commit's number, and its contents follow from path and number,
//! so that whoever looks at the disk later knows what to expect.

mod backups;
mod broken;
mod journals;
mod sound;
mod trees;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use fs_err as fs;
use rustix::fs::XattrFlags;
use wholefile::{Builder, Commit, Durability, SyncPlan};

pub(crate) use broken::BROKEN;
pub(crate) use sound::SOUND;

pub(crate) const XATTR: &str = "user.powercut";
/// Where a directory has its version.
pub(crate) const VERSION: &str = "user.version";

/// What is at a path, and by what its version is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file of so many bytes; by its contents.
    File(usize),
    /// By the value of `VERSION`.
    Directory,
    /// By its text.
    Symlink,
}

/// A version of a file, or of what else is in a tree, as it must be found.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Relative to the folder that the scenario has for itself.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) group: u32,
    /// The value of `XATTR`.
    pub(crate) xattr: Option<&'static str>,
    /// The path of which it is the version before, under another name.
    pub(crate) backup_of: Option<String>,
}

/// What a commit of several files promises about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Each file for itself is old or new.
    File,
    /// All of them are old, or all are new.
    Commit,
    /// The same under `Full`, and each for itself under less.
    CommitIfFull,
    /// Under `Full`, the first is new only if the second is, its backup: the file before it.
    Backup,
}

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) commits: u32,
    /// What is there, and durable, before the first commit: version 0.
    pub(crate) before: fn() -> Vec<File>,
    /// The files that a commit makes new versions of, directories before what is in them.
    pub(crate) files: fn(commit: u32) -> Vec<File>,
    /// The paths that a commit removes.
    pub(crate) removed: fn(commit: u32) -> Vec<String>,
    /// Returns when the commit may be acknowledged.
    pub(crate) commit: fn(&Place<'_>, commit: u32, &[File]) -> Result<()>,
    /// What a program does when it starts after a power cut, before it looks at its files.
    pub(crate) restart: fn(&Path, Durability) -> Result<()>,
    pub(crate) unit: Unit,
}

/// The versions of one file, oldest first. `None` where it was removed.
pub(crate) type History = BTreeMap<u32, Option<File>>;

impl Scenario {
    pub(crate) fn named(name: &str) -> Option<&'static Scenario> {
        SOUND.iter().chain(BROKEN).find(|scenario| scenario.name == name)
    }

    /// Every file that is ever written, with its versions, by path.
    pub(crate) fn histories(&self) -> BTreeMap<String, History> {
        let mut histories: BTreeMap<String, History> = BTreeMap::new();
        for version in 0..=self.commits {
            let files = if version == 0 { (self.before)() } else { (self.files)(version) };
            for file in files {
                histories.entry(file.path.clone()).or_default().insert(version, Some(file));
            }
            for path in (self.removed)(version) {
                histories.entry(path).or_default().insert(version, None);
            }
        }
        histories
    }

    /// How many bytes all files have at once, at most.
    pub(crate) fn bytes(&self) -> u64 {
        let largest = |history: &History| history.values().flatten().map(File::len).max();
        self.histories().values().filter_map(largest).sum()
    }
}

/// Where a commit happens.
pub(crate) struct Place<'a> {
    /// The folder that the scenario has for itself.
    pub(crate) folder: &'a Path,
    /// With the durability and the plan that are tried.
    pub(crate) builder: Builder,
    pub(crate) durability: Durability,
    /// The plan that the receipts must tell of, if only one can be right.
    pub(crate) sync_plan: Option<SyncPlan>,
}

impl Place<'_> {
    /// Fails unless the receipt tells of the plan that is right here.
    pub(crate) fn check(&self, receipt: &Commit) -> Result<()> {
        let used = receipt.sync_plan();
        ensure!(self.sync_plan.is_none_or(|right| used == right), "the {used} plan was used");
        Ok(())
    }

    pub(crate) fn path(&self, file: &File) -> PathBuf {
        self.folder.join(&file.path)
    }
}

impl File {
    /// As `File::create` makes it, by root and with a umask of 022.
    pub(crate) fn plain(path: impl Into<String>, commit: u32) -> File {
        let len = LENGTHS[commit as usize % LENGTHS.len()];
        let (path, kind) = (path.into(), Kind::File(len));
        File { path, kind, mode: 0o644, owner: 0, group: 0, xattr: None, backup_of: None }
    }

    /// As `create_dir` makes it.
    fn directory(path: impl Into<String>) -> File {
        File { kind: Kind::Directory, mode: 0o755, ..File::plain(path, 0) }
    }

    fn symlink(path: impl Into<String>) -> File {
        File { kind: Kind::Symlink, mode: 0o777, ..File::plain(path, 0) }
    }

    fn len(&self) -> u64 {
        match self.kind {
            Kind::File(len) => len as u64,
            Kind::Directory | Kind::Symlink => 0,
        }
    }

    /// With metadata that a new file would not have.
    fn marked(self) -> File {
        File { mode: 0o640, owner: 12345, group: 23456, xattr: Some("kept"), ..self }
    }

    /// Makes this `version` at `path`, by hand and without any sync.
    pub(crate) fn make(&self, path: &Path, version: u32) -> Result<()> {
        match self.kind {
            Kind::File(_) => fs::write(path, self.contents(version))?,
            Kind::Directory => {
                fs::create_dir(path)?;
                self.stamp(path, version)?;
            }
            Kind::Symlink => {
                let text = String::from_utf8(self.contents(version))?;
                return Ok(fs_err::os::unix::fs::symlink(text, path)?);
            }
        }
        self.mark(path)
    }

    /// Gives the directory at `path` this `version`.
    fn stamp(&self, path: &Path, version: u32) -> Result<()> {
        let version = self.contents(version);
        Ok(rustix::fs::setxattr(path, VERSION, &version, XattrFlags::empty())?)
    }

    /// Gives the file at `path` the metadata that this one has.
    pub(crate) fn mark(&self, path: &Path) -> Result<()> {
        if let Some(value) = self.xattr {
            rustix::fs::setxattr(path, XATTR, value.as_bytes(), XattrFlags::empty())?;
        }
        fs_err::os::unix::fs::chown(path, Some(self.owner), Some(self.group))?;
        fs::set_permissions(path, PermissionsExt::from_mode(self.mode))?;
        Ok(())
    }

    /// What no other version of any file begins with.
    pub(crate) fn heading(&self, version: u32) -> String {
        match &self.backup_of {
            Some(path) => format!("{path} version {}\n", version - 1),
            None => format!("{} version {version}\n", self.path),
        }
    }

    /// What this file's `version` is known by: the heading, and in a file noise; in a symlink so
    /// much that it is more than what an inode has room for (60 bytes on ext4).
    pub(crate) fn contents(&self, version: u32) -> Vec<u8> {
        let mut bytes = self.heading(version).into_bytes();
        let start = bytes.len();
        match self.kind {
            Kind::File(len) => {
                let mix = |seed: u64, byte: &u8| seed.rotate_left(7) ^ u64::from(*byte);
                let seed = bytes.iter().fold(0, mix);
                bytes.resize(len.max(start), 0);
                fastrand::Rng::with_seed(seed).fill(&mut bytes[start..]);
            }
            Kind::Symlink => bytes.resize(start + LONG_TEXT, b'.'),
            Kind::Directory => {}
        }
        bytes
    }
}

const LONG_TEXT: usize = 80;
/// Less than a sector, inline in a btrfs leaf, a block exactly, several, an odd number, many.
const LENGTHS: [usize; 8] = [100, 4096, 300, 20_000, 1_000, 65_536, 9_001, 130_000];

fn sync_directory(path: &Path) -> Result<()> {
    Ok(fs::File::open(path)?.sync_all()?)
}
