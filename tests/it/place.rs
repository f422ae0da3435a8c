//! What the file system that the tests run on lacks, found out by trying.
//!
//! A test that needs what is not there says `SKIPPED <test>: the file system has no <what>` and
//! ends. `ci/filesystems.sh` knows for each file system which of these lines to expect.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use fs_err as fs;
use rustix::fs::{CWD, FileType, Mode, OFlags, RenameFlags, mknodat, openat, renameat_with};
use rustix::io::Errno;

use crate::dir::Dir;
use crate::system::{NOBODY, chmod, xattr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    /// Permission bits that are what `chmod` said.
    Modes,
    /// Owners that are whom `chown` said.
    Owners,
    /// A file belongs to the user who made it, not to the one who mounted.
    Creators,
    Symlinks,
    HardLinks,
    /// A count of a file's links.
    LinkCounts,
    /// One that is right at once, rather than cached.
    FreshLinkCounts,
    Fifos,
    /// ACLs that are listed among the xattrs.
    Acls,
    /// A directory's default ACL that takes the umask's place.
    DefaultAcls,
    UserXattrs,
    /// `trusted.*` and `security.capability`.
    SystemXattrs,
    /// Names of 255 bytes, still right after something was renamed to them (ntfs-3g then lists a
    /// second, cut one), and a clear refusal of longer ones (sftp says "bad message").
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

type Probe = fn(&Dir) -> bool;

/// Each feature, in words, and whether it is to be had in a directory.
const FEATURES: [(Feature, &str, Probe); 18] = [
    (Modes, "modes", has_modes),
    (Owners, "owners", has_owners),
    (Creators, "owners of new files", |dir| !is_root() || is_made_by_its_maker(dir)),
    (Symlinks, "symlinks", |dir| symlink("file", dir.path("link")).is_ok()),
    (HardLinks, "hard links", |dir| link(dir).is_some()),
    (LinkCounts, "link counts", |dir| link(dir).is_some_and(|other| links_of(&other) == 2)),
    (FreshLinkCounts, "fresh link counts", |dir| {
        let file = dir.write("file", "");
        links_of(&file) == 1 && link(dir).is_some() && links_of(&file) == 2
    }),
    (Fifos, "FIFOs", |dir| mknodat(CWD, dir.path("fifo"), FileType::Fifo, Mode::RUSR, 0).is_ok()),
    (Acls, "ACLs", has_acls),
    (DefaultAcls, "default ACLs instead of the umask", has_default_acls),
    (UserXattrs, "user xattrs", |dir| has_xattr(dir, "user.test", b"value")),
    (SystemXattrs, "system xattrs", has_system_xattrs),
    (LongNames, "names of 255 bytes", has_long_names),
    (Exchange, "exchange", |dir| renames(dir, RenameFlags::EXCHANGE)),
    (NoReplace, "rename without replacing", |dir| {
        renames(dir, RenameFlags::NOREPLACE) || link(dir).is_some()
    }),
    (Unnamed, "unnamed files", |dir| {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        openat(CWD, dir.root(), flags, Mode::RUSR | Mode::WUSR).is_ok()
    }),
    (Reservation, "reservation", |dir| {
        let opened = fs::OpenOptions::new().write(true).open(dir.write("file", "")).unwrap();
        let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(opened.file(), flags, 0, 1 << 20).is_ok()
    }),
    (OneStep, "replacing of open files in one step", |dir| {
        let (file, other) = (dir.write("file", ""), dir.write("other", ""));
        let _open = fs::File::open(&file).unwrap();
        fs::rename(other, &file).unwrap();
        dir.hidden().is_empty()
    }),
];

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn has_modes(dir: &Dir) -> bool {
    let file = dir.write("file", "");
    [0o600, 0o644].into_iter().all(|mode| {
        fs::set_permissions(&file, PermissionsExt::from_mode(mode))
            .is_ok_and(|()| dir.mode("file") == mode)
    })
}

fn has_owners(dir: &Dir) -> bool {
    let file = dir.write("file", "");
    chown(&file, Some(12345), Some(23456)).is_ok() && owner_of(&file) == (12345, 23456)
}

fn is_made_by_its_maker(dir: &Dir) -> bool {
    chmod(dir.root(), 0o777);
    let file = dir.path("file");
    let touched = Command::new("touch").arg(&file).gid(NOBODY).uid(NOBODY).status();
    touched.unwrap().success() && owner_of(&file) == (NOBODY, NOBODY)
}

fn owner_of(file: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(file).unwrap();
    (metadata.uid(), metadata.gid())
}

/// Makes a second name for a file and gives it.
fn link(dir: &Dir) -> Option<PathBuf> {
    let (file, other) = (dir.path("file"), dir.path("other"));
    if !file.exists() {
        dir.write("file", "");
    }
    fs::hard_link(file, &other).ok().map(|()| other)
}

fn links_of(file: &Path) -> u64 {
    fs::symlink_metadata(file).unwrap().nlink()
}

fn has_system_xattrs(dir: &Dir) -> bool {
    let mut capability = [0; 20];
    capability[..4].copy_from_slice(&0x0200_0001_u32.to_le_bytes());
    has_xattr(dir, "trusted.test", b"value") && has_xattr(dir, "security.capability", &capability)
}

fn has_long_names(dir: &Dir) -> bool {
    let (file, long) = (dir.write("file", ""), "n".repeat(255));
    let too_long = openat(CWD, dir.path("n".repeat(256)), OFlags::RDONLY, Mode::empty());
    fs::write(dir.path(&long), "").is_ok()
        && fs::rename(&file, dir.path(&long)).is_ok()
        && dir.names() == [long]
        && too_long.is_err_and(|error| error == Errno::NAMETOOLONG)
}

fn setfacl(path: &Path, entries: &str) -> bool {
    let output = Command::new("setfacl").args(["-m", entries]).arg(path).output();
    output.expect("setfacl is installed").status.success()
}

fn has_acls(dir: &Dir) -> bool {
    let file = dir.write("file", "");
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
    rustix::fs::lsetxattr(dir.write("file", ""), name, value, flags).is_ok()
        && xattr_is_listed(dir, name)
}

fn xattr_is_listed(dir: &Dir, name: &str) -> bool {
    crate::system::xattrs(&dir.path("file")).iter().any(|(listed, _)| listed == name)
}

fn renames(dir: &Dir, flags: RenameFlags) -> bool {
    let from = dir.write("from", "");
    dir.write("file", "");
    let to = if flags == RenameFlags::EXCHANGE { "file" } else { "free" };
    renameat_with(CWD, from, CWD, dir.path(to), flags).is_ok()
}

/// Whether the file system has `feature`.
pub(crate) fn has(feature: Feature) -> bool {
    !lacking().iter().any(|(lacking, _)| *lacking == feature)
}

/// What the file system lacks, with the words for it.
fn lacking() -> &'static [(Feature, &'static str)] {
    static LACKING: OnceLock<Vec<(Feature, &str)>> = OnceLock::new();
    LACKING.get_or_init(|| {
        let is_missing = |is_here: Probe| !is_here(&Dir::new());
        let missing = FEATURES.into_iter().filter(|(_, _, is_here)| is_missing(*is_here));
        missing.map(|(feature, words, _)| (feature, words)).collect()
    })
}

/// Whether the file system lacks any of `features`; says so for the running test.
#[must_use]
pub(crate) fn lacks(features: &[Feature]) -> bool {
    let missing = lacking().iter().filter(|(feature, _)| features.contains(feature));
    let thread = thread::current();
    let test = thread.name().unwrap_or_default();
    let mut any = false;
    for (_, words) in missing {
        eprintln!("SKIPPED {test}: the file system has no {words}");
        any = true;
    }
    any
}
