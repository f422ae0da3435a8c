//! Replaces files whole or not at all.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("settings.toml");
//! let commit = wholefile::atomic_write(&path, "theme = 'dark'\n")?;
//! println!("{} {}", commit.outcome(), commit.path().display());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A temp file in the target's directory takes the new contents; the file is synced, renamed over
//! the target, and the directory is synced. [`AtomicWriter`] takes the contents as a stream,
//! [`Builder`] has the options, [`Saver`] saves in the background, [`AtomicBatch`] takes many files
//! and syncs them together.
//!
//! # What is guaranteed
//!
//! 1. Whoever opens the target at any moment sees the whole old file or the whole new one, and a
//!    target that existed never disappears.
//! 2. The same holds after a crash of the process, `kill -9` included, at any instruction.
//! 3. After a power cut, with [`Durability::Full`], the same holds and the contents of every commit
//!    that returned `Ok` are there. With [`Durability::Ordered`] it is the whole old file or the
//!    whole new one.
//! 4. A write, flush or sync that fails ends the save, and so does metadata that is required and
//!    cannot be kept: nothing short or truncated is ever published.
//! 5. Every error says what became of the target ([`Error::target_state`]). No temp file stays
//!    behind, or the error names it ([`Error::leftover`]).
//! 6. The staged contents are never readable by anyone who could not read the published file.
//! 7. The published file has the owner, mode, ACL, xattrs and security label of the old one, or the
//!    receipt lists what could not be kept ([`Commit::not_preserved`]). A new file gets what
//!    [`File::create`](std::fs::File::create) would give it.
//! 8. Between `open` and `commit`, a `chdir`, a parent directory that is renamed or swapped, or a
//!    symlink planted in the way changes nothing about where the file lands (Unix).
//! 9. No path and no file system makes it panic.
//! 10. Dropping a writer rolls back, and never publishes.
//!
//! # What is not
//!
//! - **Atomicity is not durability.** [`Durability::None`] is just as atomic while the machine
//!   runs, and promises nothing after a power cut. The receipt says what was achieved
//!   ([`Commit::durability`]), which is less than what was asked for where a file system cannot
//!   sync its directories.
//! - **Two writers** of one file do not mix their contents, but the later one wins, unless they use
//!   [`atomic_update`], a [`Lock`], or [`expect`](Builder::expect) the [`Version`] that they read.
//! - **Two files** are replaced one after the other, in an [`AtomicBatch`] too: all of them are
//!   durable before the first is published, but whoever looks in between sees a mix. With a
//!   [`journal`](AtomicBatch::journal), [`recover()`] makes good a crash in between. Only a
//!   directory that is replaced as a whole ([`AtomicDir`]) shows all that is in it at once.
//! - A file that is **open elsewhere** stays the old one there: it is replaced, not changed.
//! - What has **other hard links** or is **bind-mounted** cannot be replaced for all its names; see
//!   [`HardLinks`] and [`ErrorKind::MountPoint`].
//! - Some **file systems** keep less, and the receipt does not know: many FUSE drivers hide an open
//!   target for a moment while it is replaced, ext4 without a journal and ext2 keep no promise
//!   after a power cut, and ext4 with `data=writeback` does not keep [`Durability::Ordered`]. A
//!   disk that lies about its cache, or a network file system that lies about its syncs, is not
//!   found out.
//!
//! # Platforms
//!
//! Linux; Windows, tested under Wine; macOS and FreeBSD, type-checked and never run. Where they
//! differ, the item says so under *Platform*.

mod builder;
mod commit;
mod concurrency;
mod error;
mod fault;
#[cfg(all(test, unix))]
mod fault_loops;
mod fnv;
mod many;
mod options;
mod os;
mod protocol;
mod saver;
mod sweep;
mod sys;
mod write;
mod writer;

pub use builder::Builder;
pub use commit::{Commit, NotPreserved, Outcome, VersionCheck};
pub use concurrency::version::Version;
pub use error::{Error, ErrorKind, Result, Step, TargetState};
pub use many::dir::{AtomicDir, AtomicDirBuilder, Copying, DirCommit, ScratchDir, Swap};
pub use many::{AtomicBatch, BatchCommit, BatchWriter, Progress, Recovered, Recovery, recover};
pub use options::{
    Backup, Durability, HardLinks, InUse, Lock, Metadata, Preserve, Publish, ReadOnly,
    SpecialFiles, Staging, Symlinks, SyncPlan, Tracking,
};
pub use saver::{Saver, SaverBuilder};
pub use sweep::{Sweep, Sweeper, sweep};
pub use write::{atomic_update, atomic_write, atomic_write_with};
pub use writer::AtomicWriter;

/// The examples of the README, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
