//! What the file system that the tests run on lacks, found out by trying.
//!
//! A test that needs what is not there says `SKIPPED <test>: the file system has no <what>` and
//! ends. `ci/filesystems.sh` knows for each file system which of these lines to expect.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use fs_err as fs;
use rustix::fs::{CWD, FileType, Mode, OFlags, RenameFlags, mknodat, openat, renameat_with};

use crate::dir::Dir;
use crate::system::xattr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    /// Permission bits that are what `chmod` said.
    Modes,
    /// Owners that are whom `chown` said.
    Owners,
    Symlinks,
    HardLinks,
    /// A count of links that is right at once, rather than cached.
    LinkCounts,
    Fifos,
    /// ACLs that are listed among the xattrs.
    Acls,
    /// A directory's default ACL that takes the umask's place.
    DefaultAcls,
    UserXattrs,
    /// `trusted.*` and `security.capability`.
    SystemXattrs,
    /// Names of 255 bytes, still right after something was renamed to them: ntfs-3g then lists a
    /// second, cut one.
    LongNames,
    /// A rename that exchanges two files.
    Exchange,
    /// A way to publish a file only where there is none: a rename that does not replace, or a link.
    NoReplace,
    /// Files without a name.
    Unnamed,
    Reservation,
    /// A file that is replaced or removed while it is open goes in one step. libfuse's usual
    /// interface first gives it a hidden name: for that moment the target is missing, and until the
    /// file is closed its directory is not empty.
    OneStep,
}

use Feature::*;

const ALL: [Feature; 16] = [
    Modes,
    Owners,
    Symlinks,
    HardLinks,
    LinkCounts,
    Fifos,
    Acls,
    DefaultAcls,
    UserXattrs,
    SystemXattrs,
    LongNames,
    Exchange,
    NoReplace,
    Unnamed,
    Reservation,
    OneStep,
];

impl Feature {
    fn in_words(self) -> &'static str {
        match self {
            Modes => "modes",
            Owners => "owners",
            Symlinks => "symlinks",
            HardLinks => "hard links",
            LinkCounts => "fresh link counts",
            Fifos => "FIFOs",
            Acls => "ACLs",
            DefaultAcls => "default ACLs instead of the umask",
            UserXattrs => "user xattrs",
            SystemXattrs => "system xattrs",
            LongNames => "names of 255 bytes",
            Exchange => "exchange",
            NoReplace => "rename without replacing",
            Unnamed => "unnamed files",
            Reservation => "reservation",
            OneStep => "replacing of open files in one step",
        }
    }

    fn is_here(self, dir: &Dir) -> bool {
        let file = dir.write("file", "contents");
        let stat = || fs::symlink_metadata(&file).unwrap();
        let other = dir.path("other");
        match self {
            Modes => [0o600, 0o644].into_iter().all(|mode| {
                fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode))
                    .is_ok_and(|()| stat().mode() & 0o7777 == mode)
            }),
            Owners => {
                std::os::unix::fs::chown(&file, Some(12345), Some(23456)).is_ok()
                    && (stat().uid(), stat().gid()) == (12345, 23456)
            }
            Symlinks => symlink("file", other).is_ok(),
            HardLinks => fs::hard_link(&file, other).is_ok(),
            LinkCounts => {
                stat();
                fs::hard_link(&file, other).is_ok() && stat().nlink() == 2
            }
            Fifos => mknodat(CWD, &other, FileType::Fifo, Mode::RUSR, 0).is_ok(),
            Acls => has_acls(dir),
            DefaultAcls => has_default_acls(dir),
            UserXattrs => has_xattr(dir, "user.test", b"value"),
            SystemXattrs => {
                let mut capability = [0; 20];
                capability[..4].copy_from_slice(&0x0200_0001_u32.to_le_bytes());
                has_xattr(dir, "trusted.test", b"value")
                    && has_xattr(dir, "security.capability", &capability)
            }
            LongNames => {
                let long = "n".repeat(255);
                fs::write(dir.path(&long), "").is_ok()
                    && fs::rename(&file, dir.path(&long)).is_ok()
                    && dir.names() == [long]
            }
            Exchange => renames(dir, RenameFlags::EXCHANGE),
            NoReplace => renames(dir, RenameFlags::NOREPLACE) || HardLinks.is_here(dir),
            Unnamed => {
                let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
                openat(CWD, dir.root(), flags, Mode::RUSR | Mode::WUSR).is_ok()
            }
            Reservation => {
                let opened = fs::OpenOptions::new().write(true).open(&file).unwrap();
                let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(opened.file(), flags, 0, 1 << 20).is_ok()
            }
            OneStep => {
                dir.write("other", "");
                let _open = fs::File::open(&file).unwrap();
                fs::rename(other, &file).unwrap();
                dir.hidden().is_empty()
            }
        }
    }
}

fn setfacl(path: &Path, entries: &str) -> bool {
    let output = Command::new("setfacl").args(["-m", entries]).arg(path).output();
    output.expect("setfacl is installed").status.success()
}

fn has_acls(dir: &Dir) -> bool {
    let file = dir.path("file");
    setfacl(&file, "u:12345:r") && xattr_is_listed(dir, "system.posix_acl_access")
}

fn has_default_acls(dir: &Dir) -> bool {
    if !setfacl(dir.root(), "d:u:12345:rwx,d:g::rwx,d:o::rwx") {
        return false;
    }
    let inherits = dir.write("inherits", "");
    xattr(&inherits, "system.posix_acl_access").is_some() && dir.mode("inherits") == 0o666
}

fn has_xattr(dir: &Dir, name: &str, value: &[u8]) -> bool {
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::lsetxattr(dir.path("file"), name, value, flags).is_ok()
        && xattr_is_listed(dir, name)
}

fn xattr_is_listed(dir: &Dir, name: &str) -> bool {
    crate::system::xattrs(&dir.path("file")).iter().any(|(listed, _)| listed == name)
}

fn renames(dir: &Dir, flags: RenameFlags) -> bool {
    let from = dir.write("from", "");
    let to = if flags == RenameFlags::EXCHANGE { "file" } else { "free" };
    renameat_with(CWD, from, CWD, dir.path(to), flags).is_ok()
}

/// Whether the file system has `feature`.
pub(crate) fn has(feature: Feature) -> bool {
    static LACKING: OnceLock<Vec<Feature>> = OnceLock::new();
    let lacking = LACKING.get_or_init(|| {
        let lacks = |feature: &Feature| !feature.is_here(&Dir::new());
        ALL.into_iter().filter(lacks).collect()
    });
    !lacking.contains(&feature)
}

/// Whether the file system lacks any of `features`; says so for the running test.
#[must_use]
pub(crate) fn lacks(features: &[Feature]) -> bool {
    let missing = features.iter().filter(|feature| !has(**feature));
    let thread = thread::current();
    let test = thread.name().unwrap_or_default();
    let mut any = false;
    for feature in missing {
        eprintln!("SKIPPED {test}: the file system has no {}", feature.in_words());
        any = true;
    }
    any
}
