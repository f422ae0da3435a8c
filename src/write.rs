//! The calls that do it all.

use std::io;
use std::path::Path;

use crate::builder::Builder;
use crate::commit::Commit;
use crate::error::{ErrorKind, Result, Step};
use crate::writer::AtomicWriter;

/// Replaces the file at `path` by `contents`, whole or not at all.
///
/// With the defaults of [`Builder`](crate::Builder): durable
/// ([`Durability::Full`](crate::Durability::Full)), through symlinks, keeping the owner, mode, ACL
/// and xattrs of the file that is replaced; a new file gets what
/// [`File::create`](std::fs::File::create) would give it.
///
/// # Errors
///
/// The target is [`Untouched`](crate::TargetState::Untouched), unless the directory could not be
/// synced after the new contents were published
/// ([`Replaced`](crate::TargetState::Replaced)), or a network file system reported that as failed
/// (`Replaced`, or [`Unknown`](crate::TargetState::Unknown) if the names do not tell);
/// [`Error::target_state`](crate::Error::target_state) says so. No temp file stays behind, or
/// [`Error::leftover`](crate::Error::leftover) names it. [`ErrorKind`](crate::ErrorKind) lists what
/// can go wrong.
///
/// # Examples
///
/// ```
/// use wholefile::{Outcome, atomic_write};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("settings.toml");
/// assert_eq!(atomic_write(&path, "theme = 'dark'\n")?.outcome(), Outcome::Created);
/// assert_eq!(atomic_write(&path, "theme = 'light'\n")?.outcome(), Outcome::Replaced);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn atomic_write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> Result<Commit> {
    Builder::default().write(path, contents)
}

/// Replaces the file at `path` by what `f` writes, whole or not at all.
///
/// The writer is buffered, so that `f` may write in small pieces. If `f` fails or panics, the
/// target stays as it is.
///
/// # Errors
///
/// [`ErrorKind::Closure`] if `f` returns an error, which is then the
/// [`io_error`](crate::Error::io_error): the target is
/// [`Untouched`](crate::TargetState::Untouched). Otherwise as for [`atomic_write`].
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use wholefile::atomic_write_with;
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("squares.csv");
/// atomic_write_with(&path, |writer| {
///     writeln!(writer, "n,square")?;
///     (1..=1000).try_for_each(|n| writeln!(writer, "{n},{}", n * n))
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn atomic_write_with(
    path: impl AsRef<Path>,
    f: impl FnOnce(&mut AtomicWriter) -> io::Result<()>,
) -> Result<Commit> {
    let mut writer = Builder::default().open(path)?;
    match f(&mut writer) {
        Ok(()) => writer.commit(),
        Err(error) => Err(writer.abandon(ErrorKind::Closure, Step::Write, error)),
    }
}

/// Replaces the file at `path` by what `f` makes of its contents, which no other update can change
/// meanwhile. `f` gets `None` where there is no file.
///
/// This is [`Builder::update`](crate::Builder::update) with the defaults of
/// [`Builder`](crate::Builder), and waits for as long as somebody else has the lock.
///
/// # Errors
///
/// As for [`Builder::update`](crate::Builder::update).
///
/// # Examples
///
/// ```
/// use wholefile::atomic_update;
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("counter");
/// let commit = atomic_update(&path, |old| {
///     let text = String::from_utf8(old.unwrap_or_default()).map_err(std::io::Error::other)?;
///     let count: u64 = match text.trim() {
///         "" => 0,
///         number => number.parse().map_err(std::io::Error::other)?, // or it would start anew
///     };
///     Ok((count + 1).to_string().into_bytes())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn atomic_update(
    path: impl AsRef<Path>,
    f: impl FnOnce(Option<Vec<u8>>) -> io::Result<Vec<u8>>,
) -> Result<Commit> {
    Builder::default().update(path, f)
}
