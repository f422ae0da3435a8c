//! The choices that an option offers: one enum each, so that a choice reads as what it means where
//! it is made.

use std::fmt;
use std::time::Duration;

/// What survives a power cut once `commit` has returned `Ok`.
///
/// Atomicity does not depend on it: a process that crashes, or is killed, leaves the whole old file
/// or the whole new one under each of the three.
///
/// # Platform
///
/// On ext4 that is mounted with `data=writeback`, what another program writes may get the blocks of
/// the old file before the journal has the new name (Linux, `fs/ext4/mballoc.c`), and a power cut
/// then leaves the old name with those contents. So `Ordered` cannot be kept there, and `Full` only
/// once `commit` has returned. On ext4 without a journal, and on ext2, `e2fsck` decides what is
/// left, and neither can be kept. The receipt does not know.
///
/// # Examples
///
/// ```
/// use wholefile::{AtomicWriter, Durability};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("cache.bin");
/// // A cache can be made again: no sync at all.
/// let commit = AtomicWriter::builder().durability(Durability::None).write(&path, b"cached")?;
/// assert_eq!(commit.durability(), Durability::None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// No promise: after a power cut the file may be old, new, empty or torn. A network file system
    /// that delays writes may report a full disk only after the file was published, as an error at
    /// [`Step::Write`](crate::Step::Write) with
    /// [`TargetState::Replaced`](crate::TargetState::Replaced).
    None,
    /// Whole old or whole new: the file is synced before it is published, the directory is not, so
    /// the most recent commits may be forgotten.
    Ordered,
    /// Whole old or whole new, and what was committed is there: the file is synced before it is
    /// published, its directory afterwards.
    #[default]
    Full,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Durability::None => "none",
            Durability::Ordered => "ordered",
            Durability::Full => "full",
        })
    }
}

/// Whether the target must exist, must not, or may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Publish {
    /// Replaces the target, or creates it where there is none.
    #[default]
    Replace,
    /// Creates the target and never overwrites: where something bears its name, even since `open`,
    /// `commit` fails with [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists). A file
    /// system that can neither rename without replacing nor link, as some drivers of FAT, gives
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    CreateNew,
    /// Replaces the target and never creates: where nothing bears its name, even since `open`,
    /// `commit` fails with [`ErrorKind::NotFound`](crate::ErrorKind::NotFound). On a file system
    /// that cannot exchange two files, it is looked for right before it is replaced, and one that
    /// is removed in between is created.
    ///
    /// Elsewhere the new file is exchanged for the target. A directory that has taken the name at
    /// the last moment is put back, unless this process is killed between the two: then it has the
    /// temp file's name, and a [`sweep`](crate::sweep()) takes it for what was staged. From a batch
    /// with a journal, [`recover`](crate::recover()) refuses to remove it.
    Existing,
}

/// What to do when the path names a symlink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Symlinks {
    /// Follow it, as often as it takes (at most 40 times), and replace what it leads to: the link
    /// stays. A link that dangles gets the file that it names.
    ///
    /// Unix: in a directory with the sticky bit that everybody may write to, like `/tmp`, a link is
    /// followed only if it belongs to the caller, to the directory's owner or to root, and has no
    /// other name; else anybody could choose the file that a privileged program replaces. Such a
    /// link fails with [`ErrorKind::PermissionDenied`](crate::ErrorKind::PermissionDenied). Links
    /// among the directories of the path are followed by the system, under its own rules.
    #[default]
    Follow,
    /// Replace the link itself by a regular file.
    Replace,
    /// Fail with [`ErrorKind::Symlink`](crate::ErrorKind::Symlink). What counts is what is there at
    /// `open`: a link that takes the name after that is replaced.
    Refuse,
}

/// What to do when the target is a FIFO, a device or a socket, or (Linux) when the path leads to an
/// open descriptor, as `/dev/stdout` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpecialFiles {
    /// Fail with [`ErrorKind::SpecialFile`](crate::ErrorKind::SpecialFile).
    #[default]
    Refuse,
    /// Stage the contents as ever and write them into the file at commit: what a program's
    /// `-o /dev/stdout` needs. This is not atomic. Nothing is written before `commit`, and nothing
    /// at all on a rollback; contents that outgrow the buffer wait in an unnamed file in
    /// [`std::env::temp_dir`]. Committing to a FIFO waits until somebody reads it.
    ///
    /// If the descriptor was redirected to a file, the contents are appended to that, as with `>>`.
    /// The descriptor's own offset stays: after `>`, what is written by it later overwrites them.
    ///
    /// Unix: a FIFO that another user may have planted is refused like such a symlink
    /// ([`Symlinks::Follow`]): it would hand the contents to that user.
    WriteThrough,
}

/// What to do when the target has other hard links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HardLinks {
    /// Replace this name; the others keep the old contents.
    #[default]
    Break,
    /// Fail with [`ErrorKind::HardLinked`](crate::ErrorKind::HardLinked).
    Refuse,
}

/// What to do when the target is marked read-only: no write bit in its mode, or on Windows the
/// read-only attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadOnly {
    /// Fail with [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly), as writing into it would.
    /// Whether the caller may write into it is not asked: who replaces a file needs the right to
    /// write to its directory.
    #[default]
    Refuse,
    /// Replace it; the new file is marked read-only again.
    Replace,
}

/// What to do when another program keeps the target open and the system cannot replace such a file.
///
/// Unix always can, and so can NTFS since Windows 10 if whoever has the file open shares it for
/// deletion. Elsewhere on Windows (FAT, older servers) nothing can be renamed over an open file. A
/// save waits then, for at most two seconds, since most programs close a file soon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InUse {
    /// Fail, with the target untouched.
    #[default]
    Fail,
    /// Move the old file aside and then the new one into its place (`ReplaceFileW`).
    ///
    /// This is not atomic: for a moment the target does not exist, and a crash in that moment
    /// leaves the old contents under the temp file's name with `.old` after it. If they cannot be
    /// moved back after a failure, the error says so
    /// ([`TargetState::Displaced`](crate::TargetState::Displaced)).
    TwoSteps,
}

/// Whether writers of the same target wait for one another.
///
/// The lock is a file beside the target that exists while it is held, named `.wholefile-`, sixteen
/// hexadecimal digits, `.lock`. It is advisory: it keeps apart those who ask for it. Readers need
/// none. There is one for each resolved target, whatever path or link led to it, and for a target
/// that does not exist yet.
///
/// It is held from `open`, before anything is read or staged, until the writer has committed,
/// rolled back or been dropped. A process that is killed while it holds the lock lets go of it,
/// unless a child lives on that it has forked meanwhile without starting another program.
///
/// A thread that asks for a lock that it has itself is refused at once with
/// [`ErrorKind::Locked`](crate::ErrorKind::Locked), since it would wait for ever. A writer that was
/// moved to another thread counts as that of the thread that opened it.
///
/// With an async runtime, take the lock and let go of it within one blocking task: two tasks that
/// share a thread are one holder.
///
/// An open descriptor that is written through (`/dev/stdout`) has no lock, since there can be no
/// file beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lock {
    /// No lock: of two writers, the later one wins.
    #[default]
    None,
    /// Fail at once with [`ErrorKind::Locked`](crate::ErrorKind::Locked) if somebody holds it.
    Try,
    /// Wait for as long as it takes.
    Wait,
    /// Wait for so long, then fail with [`ErrorKind::Locked`](crate::ErrorKind::Locked).
    Timeout(Duration),
}

/// Under what name the contents are staged once they outgrow the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Staging {
    /// A temp file with a name, in the target's directory.
    #[default]
    Named,
    /// A temp file without a name (Linux: `O_TMPFILE`), so that a process that is killed while it
    /// streams leaves nothing behind. It gets a name for a moment at commit, or when
    /// [`staging_path`](crate::AtomicWriter::staging_path) asks for one. Where the file system or
    /// the platform has no such thing, this is the same as [`Staging::Named`].
    Unnamed,
}

/// Whether the receipt has the [`Version`](crate::Version) that was published, and what that goes
/// by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tracking {
    /// The receipt has no version, and costs no call for one.
    #[default]
    None,
    /// A version like that of [`Version::of`](crate::Version::of).
    Metadata,
    /// A version like that of [`Version::with_contents_of`](crate::Version::with_contents_of): the
    /// contents are read once more before they are published.
    Contents,
}

/// How often the device is asked to empty its cache, which is what a durable save waits for.
///
/// Both plans keep every promise of [`Durability`] that the file system lets a program keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncPlan {
    /// What every file system understands: the contents are synced, then published, then the
    /// directory is synced.
    #[default]
    Portable,
    /// Only one sync, where the file system is known to need no more: the contents are written out,
    /// which empties no cache, then published, and the sync of the directory makes contents,
    /// metadata and name durable together. This halves the flushes and takes about 0.6 of the time.
    /// With [`Durability::Ordered`] there is no flush at all: the file system's journal alone keeps
    /// the new contents from being overtaken by their name.
    ///
    /// This is so on Linux (5.8 or later), on XFS and on ext4 with their journal on the same
    /// device, without `fast_commit`, `journal_async_commit`, `data=journal`, `nobarrier` or a
    /// realtime section; with `data=writeback` under [`Durability::Full`] only. Everywhere else,
    /// and in any doubt, this is the same as [`SyncPlan::Portable`]; the receipt says which it was
    /// ([`Commit::sync_plan`](crate::Commit::sync_plan)). What a file system does shows only once
    /// something on it was synced, so that the first save that a thread makes on it is a portable
    /// one.
    ///
    /// Where it holds was not derived from documentation but tested, by replaying thousands of
    /// states that a power cut could have left the device in.
    Fewest,
}

impl fmt::Display for SyncPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SyncPlan::Portable => "portable",
            SyncPlan::Fewest => "fewest",
        })
    }
}

/// How much the published file must resemble the one that it replaces, for each kind of
/// [`Metadata`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preserve {
    /// Keep it, or fail with [`ErrorKind::NotPreserved`](crate::ErrorKind::NotPreserved) before the
    /// target is touched.
    Require,
    /// Keep it where that is possible, and list on the receipt
    /// ([`Commit::not_preserved`](crate::Commit::not_preserved)) what was not.
    Try,
    /// Do not look at it: the published file gets what a new file would get.
    Skip,
}

/// A kind of metadata that a replaced file can hand on to its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Metadata {
    /// The owner and the group. By default: [`Preserve::Try`].
    Owner,
    /// The permission bits, setuid and setgid included. By default: [`Preserve::Try`].
    ///
    /// The ACL contains these bits, so that skipping the mode skips the ACL as well. On macOS and
    /// FreeBSD the flags of chflags(2) that concern a file's use, such as hidden and nodump, belong
    /// to the mode.
    Mode,
    /// The extended attributes, among them the ACL, the security label and the file capabilities.
    /// On FreeBSD those of the user namespace. The ACL is listed on the receipt as
    /// `system.posix_acl_access`, on macOS as `com.apple.system.Security`, on FreeBSD as
    /// `system.acl`.
    /// By default: [`Preserve::Try`].
    Xattrs,
    /// The times of last access and modification. By default: [`Preserve::Skip`].
    Times,
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Metadata::Owner => "owner",
            Metadata::Mode => "mode",
            Metadata::Xattrs => "xattrs",
            Metadata::Times => "times",
        })
    }
}
