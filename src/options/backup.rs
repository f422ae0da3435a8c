//! What becomes of the file that is replaced.

use std::ffi::OsString;
use std::path::PathBuf;

/// Whether the file that is replaced is kept, and under what name.
///
/// The backup is the old file itself under a second name (a hard link), so that its owner, mode,
/// ACL, xattrs and times are kept and its contents are not copied. It is there before the new file
/// is published: at no moment, and after no crash, is the target new without its backup. If the
/// target is not replaced after all, the backup is undone.
/// [`Commit::backup`](crate::Commit::backup) has its path. There is none where nothing is replaced:
/// a target that is created, unchanged or written through, and
/// [`Publish::CreateNew`](crate::Publish::CreateNew).
///
/// With [`Durability::Full`](crate::Durability::Full) and [`Ordered`](crate::Durability::Ordered)
/// the contents of the old file are synced before, since whoever wrote it may not have done so; a
/// power cut then leaves both files whole, and under `Full` the backup of each new file beside it.
///
/// Where there is a file of the backup's name already, the two are exchanged, so that the earlier
/// backup is put back if the target cannot be replaced. Where two files cannot be exchanged, it is
/// replaced before the target is, and then has the contents that the target has still. A directory
/// there is an error of kind [`IsADirectory`](crate::ErrorKind::IsADirectory), a FIFO, a device or
/// a socket of kind [`SpecialFile`](crate::ErrorKind::SpecialFile). A symlink there is replaced,
/// and never followed. With [`Symlinks::Replace`](crate::Symlinks::Replace) it is the link at the
/// path that is replaced, and so the link that is kept.
///
/// Where a file cannot be given a second name, the backup is a copy with the same metadata, as far
/// as that can be kept: on a file system without hard links (FAT, exFAT), on another file system,
/// of a file with as many names as there may be, and where the system forbids it (Linux: another
/// user's file that the caller may not both read and write, `fs.protected_hardlinks` in
/// proc_sys_fs(5)). What [`Preserve::Require`](crate::Preserve::Require) asks for must then be kept
/// of the copy too.
///
/// Those who keep a backup of this name, of a target that is there, take turns from the backup to
/// the publishing of the new file, by a lock of their own ([`Lock`](crate::Lock) tells what it is
/// made of); where there are no locks, they do not. Who replaces the target with a backup of
/// another name, or without one, may still come in between, so that the backup is of a file that
/// was replaced before: a lock of the target, which all of them ask for, keeps them apart.
///
/// A process that is killed may leave a backup and the old target: they are one file then, with two
/// names, and the next save takes it for its backup. What it leaves under a temp file's name, a
/// [`sweep`](crate::sweep()) removes, or a later save with a backup of this name; a symlink there
/// only the latter. A save that fails may change the time of the old file's last change of status
/// (ctime), so that a [`Version`](crate::Version) of it is not current any more.
///
/// If a save has failed with the target [`Replaced`](crate::TargetState::Replaced) or
/// [`Unknown`](crate::TargetState::Unknown), the backup is in place: to try the same contents again
/// with a backup would replace it by those, if they are there. A [`Saver`](crate::Saver) looks, and
/// then tries again without one.
///
/// # Platform
///
/// Linux and macOS exchange, on most of their file systems. On Windows the backup of a read-only
/// file is a copy; and while another program keeps the old file open without sharing it for
/// writing, it cannot be synced, so that only [`Durability::None`](crate::Durability::None) keeps a
/// backup.
///
/// # Examples
///
/// ```
/// use wholefile::{AtomicWriter, Backup};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("settings.toml");
/// let mut builder = AtomicWriter::builder();
/// builder.backup(Backup::Suffix("~".into()));
/// assert_eq!(builder.write(&path, "a = 1")?.backup(), None); // there was nothing to be kept
/// let commit = builder.write(&path, "a = 2")?;
/// assert_eq!(commit.backup(), Some(&*dir.path().join("settings.toml~")));
/// assert_eq!(std::fs::read(commit.backup().unwrap())?, b"a = 1");
///
/// builder.backup(Backup::Numbered { keep: 5 });
/// let commit = builder.write(&path, "a = 3")?;
/// assert_eq!(commit.backup(), Some(&*dir.path().join("settings.toml.~1~")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backup {
    /// It is not kept.
    #[default]
    None,
    /// Beside the target, under its name with this after it.
    ///
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption) at `open` if it is empty, has a separator
    /// or a NUL byte in it, or makes a name that is a temp file's or that the system does not take;
    /// [`InvalidPath`](crate::ErrorKind::InvalidPath) if the name becomes too long.
    Suffix(OsString),
    /// At this path, relative to the current directory, or with `open_at` to the directory given
    /// there.
    ///
    /// Its directory is opened at `open`, so that it does not matter later what becomes of the
    /// path. It must exist: [`create_parents`](crate::Builder::create_parents) is for the target
    /// alone. On another file system the backup is a copy.
    /// [`InvalidPath`](crate::ErrorKind::InvalidPath) if the path names no file,
    /// [`InvalidOption`](crate::ErrorKind::InvalidOption) if it is the target, whatever way leads
    /// there, or beside it under a name that differs only by case, or if the name is a temp file's.
    Path(PathBuf),
    /// Beside the target, under its name and a number, as GNU's programs do: `notes.~1~`,
    /// `notes.~2~` and so on. The new one has the number after the highest that there is.
    ///
    /// Once the target is replaced, and as durable as it will be, only the `keep` highest stay.
    /// Only files and symlinks count, and only under just such names, without leading zeros and of
    /// 18 digits at most. A name that becomes too long is an
    /// [`InvalidPath`](crate::ErrorKind::InvalidPath). The directory must be one that the caller
    /// may list. If one cannot be removed, the save has failed at
    /// [`Step::Backup`](crate::Step::Backup), with the target
    /// [`Replaced`](crate::TargetState::Replaced), and the error names it
    /// ([`Error::leftovers`](crate::Error::leftovers)): the new contents and their backup are in
    /// place.
    Numbered {
        /// At least 1, or it is an [`InvalidOption`](crate::ErrorKind::InvalidOption) at `open`.
        keep: usize,
    },
}
