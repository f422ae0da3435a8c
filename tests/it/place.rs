//! What the file system that the tests run on lacks, found out by trying.
//!
//! A test that needs what is not there says `SKIPPED <test>: the file system has no <what>` and
//! ends. `ci/filesystems.sh` knows for each file system which of these lines to expect.

#[cfg(target_os = "linux")]
#[path = "place/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "place/other_unix.rs"]
mod system;

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use fs_err as fs;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::dir::Dir;
use crate::system::{NOBODY, chmod, status, try_to_make_fifo};

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
    /// All names of a file have its number.
    LinkNumbers,
    /// A count of links that is right at once, rather than cached.
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
    /// Times that are what was set, and one that shows that they were.
    ExactTimes,
    /// The number of a file that is held, though not open, is given to no other.
    HeldNumbers,
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
const FEATURES: [(Feature, &str, Probe); 21] = [
    (Modes, "modes", has_modes),
    (Owners, "owners", has_owners),
    (Creators, "owners of new files", |dir| !is_root() || is_made_by_its_maker(dir)),
    (Symlinks, "symlinks", |dir| symlink("file", dir.path("link")).is_ok()),
    (HardLinks, "hard links", |dir| link(dir).is_some()),
    (LinkCounts, "link counts", |dir| link(dir).is_some_and(|other| links_of(&other) == 2)),
    (LinkNumbers, "link numbers", |dir| {
        link(dir).is_some_and(|other| number_of(&other) == number_of(&dir.path("file")))
    }),
    (FreshLinkCounts, "fresh link counts", |dir| {
        let file = dir.write("file", "");
        links_of(&file) == 1 && link(dir).is_some() && links_of(&file) == 2
    }),
    (Fifos, "FIFOs", |dir| try_to_make_fifo(&dir.path("fifo")).is_ok()),
    (Acls, "ACLs", system::has_acls),
    (DefaultAcls, "default ACLs instead of the umask", system::has_default_acls),
    (UserXattrs, "user xattrs", system::has_user_xattrs),
    (SystemXattrs, "system xattrs", system::has_system_xattrs),
    (LongNames, "names of 255 bytes", has_long_names),
    (ExactTimes, "exact times", has_exact_times),
    (HeldNumbers, "held numbers", system::has_held_numbers),
    (Exchange, "exchange", system::has_exchange),
    (NoReplace, "rename without replacing", |dir| {
        system::has_rename_without_replacing(dir) || link(dir).is_some()
    }),
    (Unnamed, "unnamed files", system::has_unnamed),
    (Reservation, "reservation", system::has_reservation),
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
    let touched = status(Command::new("touch").arg(&file).gid(NOBODY).uid(NOBODY));
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

fn number_of(file: &Path) -> u64 {
    fs::symlink_metadata(file).unwrap().ino()
}

fn links_of(file: &Path) -> u64 {
    fs::symlink_metadata(file).unwrap().nlink()
}

fn has_long_names(dir: &Dir) -> bool {
    let (file, long) = (dir.write("file", ""), "n".repeat(255));
    let too_long = openat(CWD, dir.path("n".repeat(256)), OFlags::RDONLY, Mode::empty());
    fs::write(dir.path(&long), "").is_ok()
        && fs::rename(&file, dir.path(&long)).is_ok()
        && dir.names() == [long]
        && too_long.is_err_and(|error| error == Errno::NAMETOOLONG)
}

fn has_exact_times(dir: &Dir) -> bool {
    let path = dir.write("file", "old");
    let before = fs::metadata(&path).unwrap();
    fs::write(&path, "new").unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.file().set_modified(before.modified().unwrap()).unwrap();
    let after = fs::metadata(&path).unwrap();
    let status = |it: &std::fs::Metadata| (it.ctime(), it.ctime_nsec());
    after.modified().unwrap() == before.modified().unwrap() && status(&after) != status(&before)
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
