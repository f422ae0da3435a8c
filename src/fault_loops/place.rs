//! Where a case runs.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::cases::{Before, NEW, OLD};
use crate::fault::Op;
use crate::sys;
use crate::{Sweep, Sweeper};

/// What somebody else saves, who knows of no lock.
pub(super) const THEIRS: &[u8] = b"theirs";

/// Somebody else saves.
pub(super) fn replace(path: &Path) {
    let other = path.with_file_name("somebody else's");
    fs_err::write(&other, THEIRS).unwrap();
    fs_err::rename(other, path).unwrap();
}

/// Where a case runs: a fresh directory with its target in it.
pub(super) struct Place {
    _root: tempfile::TempDir,
    folder: PathBuf,
    before: Before,
}

impl Place {
    pub(super) fn new(before: Before) -> Self {
        // In memory where there is such a folder: nothing here depends on a real sync.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
        let root = tempfile::tempdir_in(parent).expect("a temp directory");
        let folder = root.path().join("folder");
        fs_err::create_dir(&folder).unwrap();
        let place = Place { _root: root, folder, before };
        match before {
            Before::Nothing | Before::NoParents => {}
            Before::File => write_with_metadata(&place.target(), OLD),
            Before::Same => write_with_metadata(&place.target(), NEW),
            Before::Symlink => {
                write_with_metadata(&place.target(), OLD);
                symlink("folder/target", &place.path());
            }
            Before::DefaultAcl => {
                fs_err::write(place.target(), OLD).unwrap();
                let folder = fs_err::File::open(&place.folder).unwrap().into_parts().0;
                let _ = sys::set_xattr(&folder, OsStr::new("system.posix_acl_default"), &acl());
            }
            Before::Device => symlink("/dev/null", &place.target()),
        }
        place
    }

    /// The path that is handed to the crate.
    pub(super) fn path(&self) -> PathBuf {
        match self.before {
            Before::Symlink => self.folder.with_file_name("link"),
            _ => self.target(),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the contents are to land.
    fn target(&self) -> PathBuf {
        match self.before {
            Before::NoParents => self.folder.join("a/b/target"),
            _ => self.folder.join("target"),
        }
    }

    pub(super) fn old(&self) -> Option<&'static [u8]> {
        match self.before {
            Before::Nothing | Before::NoParents => None,
            Before::File | Before::DefaultAcl | Before::Symlink => Some(OLD),
            Before::Same => Some(NEW),
            Before::Device => Some(b""),
        }
    }

    pub(super) fn contents(&self) -> Option<Vec<u8>> {
        match fs_err::read(self.target()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            contents => Some(contents.unwrap()),
        }
    }

    /// All files but the target.
    pub(super) fn others(&self) -> Vec<PathBuf> {
        let mut others = Vec::new();
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs_err::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path != self.target() => others.push(path),
                    false => {}
                }
            }
        }
        others
    }
}

fn symlink(to: &str, at: &Path) {
    rustix::fs::symlink(to, at).unwrap();
}

/// A file whose owner, ACL and xattrs differ from a new file's, as far as the caller may set them.
fn write_with_metadata(path: &Path, contents: &[u8]) {
    fs_err::write(path, contents).unwrap();
    let file = fs_err::File::options().write(true).open(path).unwrap().into_parts().0;
    let _ = sys::set_owner(&file, Some(4321), Some(4321));
    let _ = sys::set_xattr(&file, OsStr::new("system.posix_acl_access"), &acl());
    let _ = sys::set_xattr(&file, OsStr::new("user.wholefile-test"), b"kept");
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

/// The operations that no case can reach, for want of rights or of a file system with xattrs.
pub(super) fn not_to_be_had_here() -> Vec<Op> {
    let place = Place::new(Before::File);
    let file = fs_err::File::open(place.target()).unwrap().into_parts().0;
    let mut missing = Vec::new();
    if sys::inspect(&file).unwrap().uid != 4321 {
        missing.push(Op::SetOwner);
    }
    if sys::list_xattrs(&file).unwrap().is_empty() {
        missing.extend([Op::GetXattr, Op::SetXattr, Op::RemoveXattr]);
    }
    if !missing.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "cannot test {missing:?} here");
        eprintln!("SKIPPED: {missing:?} cannot be reached by this user on this file system");
    }
    missing
}

/// Sweeps `root` and all below it as soon as nobody holds what there is: a process that another
/// test starts at this moment has all locks in it too, until it ends.
#[track_caller]
pub(super) fn sweep_when_free(root: &Path) -> Sweep {
    for _ in 0..1000 {
        let sweep = Sweeper::new().recursive(true).run(root).unwrap();
        if sweep.alive().is_empty() {
            return sweep;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("somebody holds what is in {root:?}");
}
