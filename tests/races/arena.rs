//! The directory that everybody plays in, and what must always be true of it.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{RwLock, RwLockReadGuard};

use fs_err as fs;
use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

/// The files that a player replaces whole, each by one player that counts its versions.
pub(crate) const FILES: [&str; 2] = ["streamed", "unnamed"];
/// Those that are replaced together.
pub(crate) const PAIR: [&str; 2] = ["pair-1", "pair-2"];
/// The one that is updated under its lock, by several.
pub(crate) const COUNTER: &str = "counter";
/// The directory that is replaced as a whole, with these files in it.
pub(crate) const TREE: &str = "tree";
pub(crate) const PAGES: [&str; 3] = ["index", "style", "script"];
/// Where symlinks are planted.
pub(crate) const PLANTED: &str = "planted";

const SECRET: &str = "nobody may write here";

pub(crate) struct Arena {
    root: TempDir,
    /// The directory of the targets, whatever its name is.
    directory: OwnedFd,
    /// Held for writing while the directory is away: who opens a path then would rightly be led
    /// elsewhere.
    is_in_place: RwLock<()>,
}

impl Arena {
    pub(crate) fn new() -> Arena {
        let root = TempDir::new().unwrap();
        for name in ["home", "elsewhere"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("secret"), SECRET).unwrap();
        let home = root.path().join("home");
        for name in FILES.into_iter().chain(PAIR).chain([COUNTER]) {
            fs::write(home.join(name), contents(0)).unwrap();
        }
        fs::create_dir(home.join(TREE)).unwrap();
        for page in PAGES {
            fs::write(home.join(TREE).join(page), contents(0)).unwrap();
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&home, flags, Mode::empty()).unwrap();
        Arena { root, directory, is_in_place: RwLock::new(()) }
    }

    /// The directory's path, right for as long as the guard lives.
    pub(crate) fn home(&self) -> (RwLockReadGuard<'_, ()>, PathBuf) {
        (self.is_in_place.read().unwrap(), self.root.path().join("home"))
    }

    /// Renames the directory, plants a symlink in its place, lets `meanwhile` pass, and brings it
    /// back.
    pub(crate) fn away(&self, meanwhile: impl FnOnce()) {
        let path = |name: &str| self.root.path().join(name);
        let _nobody_opens = self.is_in_place.write().unwrap();
        fs::rename(path("home"), path("away")).unwrap();
        fs_err::os::unix::fs::symlink("elsewhere", path("home")).unwrap();
        meanwhile();
        fs::remove_file(path("home")).unwrap();
        fs::rename(path("away"), path("home")).unwrap();
    }

    /// Replaces what is planted by a symlink to the secret, at once.
    pub(crate) fn plant(&self) {
        let _ = rustix::fs::unlinkat(&self.directory, "sapling", rustix::fs::AtFlags::empty());
        rustix::fs::symlinkat("../secret", &self.directory, "sapling").unwrap();
        rustix::fs::renameat(&self.directory, "sapling", &self.directory, PLANTED).unwrap();
    }

    /// What is in a file of the directory.
    pub(crate) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        read_in(&self.directory, name)
    }

    /// The directory that is replaced as a whole, as it is now.
    pub(crate) fn tree(&self) -> OwnedFd {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.directory, TREE, flags, Mode::empty())
            .expect("the directory never disappears")
    }

    /// After everybody has stopped.
    pub(crate) fn check_the_end(&self, updates: u64) {
        let (_guard, home) = self.home();
        let swept = wholefile::sweep(&home).unwrap();
        assert!(swept.errors().is_empty() && swept.alive().is_empty(), "{swept:?}");
        assert_eq!(swept.removed(), [] as [PathBuf; 0], "somebody has left something");
        let names = |folder: PathBuf| {
            let entries = fs::read_dir(folder).unwrap();
            let mut names: Vec<_> =
                entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let mut expected: Vec<_> =
            FILES.into_iter().chain(PAIR).chain([COUNTER, PLANTED, TREE]).collect();
        expected.sort();
        assert_eq!(names(home), expected);
        let elsewhere = names(self.root.path().join("elsewhere"));
        assert_eq!(elsewhere, [] as [String; 0], "written behind a planted symlink");
        let secret = fs::read_to_string(self.root.path().join("secret")).unwrap();
        assert_eq!(secret, SECRET, "written through a planted symlink");
        let counted = version_of(&self.read(COUNTER).unwrap());
        assert_eq!(counted, updates, "updates were lost or done twice");
    }
}

pub(crate) fn read_in(directory: &OwnedFd, name: &str) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let mut contents = Vec::new();
    std::fs::File::from(file).read_to_end(&mut contents)?;
    Ok(contents)
}

/// Contents that tell their version, and whether they are whole.
pub(crate) fn contents(version: u64) -> Vec<u8> {
    let mut contents = version.to_le_bytes().to_vec();
    contents.resize(8 + (version.wrapping_mul(7919) % 40_000) as usize, version as u8);
    contents
}

/// The version that these contents are of.
#[track_caller]
pub(crate) fn version_of(bytes: &[u8]) -> u64 {
    let version = u64::from_le_bytes(*bytes.first_chunk().expect("at least a version"));
    assert!(bytes == contents(version), "a torn version {version}: {} bytes", bytes.len());
    version
}
