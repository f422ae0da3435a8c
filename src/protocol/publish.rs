//! The one atomic step that makes the staged file the target.

use std::cell::RefCell;
use std::fs::File;
use std::io;

use super::sync::{Sealed, SealedFile, Synced};
use super::target::Destination;
use super::temp::TempName;
use crate::commit::VersionCheck;
use crate::error::{Error, ErrorKind, Step, TargetState};
use crate::fault::Op;
use crate::options::{Durability, Options, Publish};
use crate::sys::{self, Directory, Entry, FileKind, Halfway, Replacing};

/// Proof that the new contents are visible under the target's name.
#[derive(Debug)]
pub(crate) struct Published {
    /// How durable the contents are.
    pub(crate) sync: Synced,
    pub(crate) version_check: Option<VersionCheck>,
}

/// What the staged file's own name stands for once it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OldName {
    /// Nothing: it was renamed.
    Gone,
    /// The staged file still, or the one that was displaced.
    Present,
}

/// Why nothing was published.
#[derive(Debug)]
pub(crate) enum Unpublished {
    Failed(Error),
    /// The temp file has no name any more. Whoever looks for orphans took it for one, in the moment
    /// between its creation and its lock; here it is.
    Swept(File, Error),
}

/// Step 4 of a commit. Until it succeeds every failure is a rollback; from then on none is.
pub(crate) fn publish(
    sealed: Sealed,
    target: Destination<'_>,
    options: &Options,
) -> std::result::Result<Published, Unpublished> {
    let Sealed { name, mut file, sync } = sealed;
    let from = name.entry();
    let to = Entry { directory: target.directory, name: target.name };
    let replacing = Replacing::by(options);
    let published = match options.publish {
        Publish::Replace => replace(from, file.open_file(), to, replacing).map_err(Cause::from),
        Publish::CreateNew => create_new(from, to),
        Publish::Existing => {
            replace_existing(from, file.open_file(), to, replacing).map_err(Cause::from)
        }
    };
    match published {
        // Until it is certain that nothing is to be recovered.
        Ok(_) if matches!(file, SealedFile::Recoverable(_)) => {
            name.keep();
            Ok(Published { sync, version_check: None })
        }
        Ok(old_name) => {
            finish(old_name, name, target)?;
            close(file, sync, target)?;
            Ok(Published { sync, version_check: None })
        }
        Err(cause) => Err(failed(target, name, file, cause)),
    }
}

/// Leaves the published file its name, and removes what was displaced.
pub(super) fn finish(
    old_name: OldName,
    name: TempName,
    target: Destination<'_>,
) -> std::result::Result<(), Unpublished> {
    if old_name == OldName::Gone {
        name.keep();
        return Ok(());
    }
    let leftover = name.beside(target.path);
    name.remove().map_err(|error| {
        let error = Error::failed(Step::RemoveTemp, target.path, error)
            .with_state(TargetState::Replaced)
            .with_leftover(Some(leftover));
        Unpublished::Failed(error)
    })
}

/// Closes what was published. What no sync has asked for, a network file system may say only now:
/// that there was no room for all of it. Not earlier, since its lock shows that its writer lives.
pub(super) fn close(
    file: SealedFile,
    sync: Synced,
    target: Destination<'_>,
) -> std::result::Result<(), Unpublished> {
    let SealedFile::Open(file) = file else { return Ok(()) };
    if sync.durability > Durability::None {
        return Ok(());
    }
    sys::close(file).map_err(|error| {
        let error = Error::failed(Step::Write, target.path, error);
        Unpublished::Failed(error.with_state(TargetState::Replaced))
    })
}

/// Why the system did not publish.
pub(super) struct Cause {
    pub(super) error: io::Error,
    /// What it means, where that is more than the error itself says.
    pub(super) kind: Option<ErrorKind>,
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Cause {
        let kind = sys::is_mount_point(&error).then_some(ErrorKind::MountPoint);
        Cause { error, kind }
    }
}

pub(super) fn failed(
    target: Destination<'_>,
    name: TempName,
    file: SealedFile,
    cause: Cause,
) -> Unpublished {
    let Cause { error, kind } = cause;
    let error = match error.downcast::<Halfway>() {
        Ok(halfway) => return Unpublished::Failed(failed_halfway(target, name, halfway)),
        Err(error) => error,
    };
    let (state, old_name) = after_failure(target, &name, &file);
    // The system looked for the staged file and found none, so that it has not published it: not
    // even if the target is another one by now, since others may have replaced it.
    let is_swept = error.kind() == io::ErrorKind::NotFound && state != TargetState::Replaced;
    let mut error = Error::failed(Step::Publish, target.path, error).with_state(state);
    if let Some(kind) = kind {
        error = error.with_kind(kind);
    }
    if old_name == OldName::Present && !matches!(file, SealedFile::Recoverable(_)) {
        return Unpublished::Failed(name.abandon(target.path, error));
    }
    name.keep();
    // The file's count of links would not tell: FUSE drivers rename what is removed while it is
    // open, and count that name.
    match file {
        SealedFile::Open(file) if is_swept || state == TargetState::Untouched => {
            Unpublished::Swept(file, error)
        }
        _ => Unpublished::Failed(error),
    }
}

/// The old file has another name now, and stays under it: nothing is worth more after a failure.
fn failed_halfway(target: Destination<'_>, name: TempName, halfway: Halfway) -> Error {
    let Halfway { state, old, cause } = halfway;
    let error = match state {
        TargetState::Replaced => {
            name.keep();
            Error::failed(Step::RemoveTemp, target.path, cause)
        }
        _ => name.abandon(target.path, Error::failed(Step::Publish, target.path, cause)),
    };
    error.with_state(state).with_leftover(Some(target.path.with_file_name(old)))
}

pub(super) fn replace(
    from: Entry<'_>,
    file: Option<&mut File>,
    to: Entry<'_>,
    replacing: Replacing,
) -> io::Result<OldName> {
    sys::rename(from, file, to, replacing).map(|()| OldName::Gone)
}

/// Never overwrites.
pub(super) fn create_new(from: Entry<'_>, to: Entry<'_>) -> std::result::Result<OldName, Cause> {
    let rename = || sys::rename_no_replace(from, to);
    match with_rename_flags(Op::RenameNoReplace, to.directory, rename) {
        Some(result) => Ok(result.map(|()| OldName::Gone)?),
        None => match sys::link(from, to) {
            // Neither way, as on FAT: nothing is left that is both exclusive and atomic.
            Err(error) if sys::lacks_links(&error) => {
                Err(Cause { error, kind: Some(ErrorKind::Unsupported) })
            }
            result => Ok(result.map(|()| OldName::Present)?),
        },
    }
}

/// Never creates.
fn replace_existing(
    from: Entry<'_>,
    file: Option<&mut File>,
    to: Entry<'_>,
    replacing: Replacing,
) -> io::Result<OldName> {
    let exchange = || sys::exchange(from, to);
    if let Some(result) = with_rename_flags(Op::Exchange, to.directory, exchange) {
        return result.and_then(|()| check_displaced(from, to)).map(|()| OldName::Present);
    }
    // Without an exchange, somebody may remove the target between the look and the rename.
    match sys::look(to.directory, to.name)? {
        Some(_) => replace(from, file, to, replacing),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

/// An exchange takes a directory too, which a rename refuses to replace. One that has taken the
/// target's name since the last look is put back, with all that is in it.
fn check_displaced(from: Entry<'_>, to: Entry<'_>) -> io::Result<()> {
    let refusal = match sys::look(from.directory, from.name) {
        Ok(Some(displaced)) if displaced.info.kind == FileKind::Directory => {
            io::ErrorKind::IsADirectory.into()
        }
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    sys::exchange(from, to)?;
    Err(refusal)
}

thread_local! {
    /// The file systems, by device, on which a rename with these flags was refused as unknown: not
    /// one answer for the process, since the next target may be on another one.
    static LACKING: RefCell<Vec<(Op, u64)>> = const { RefCell::new(Vec::new()) };
}
/// A thread that meets more file systems than this asks some of them again.
const MAX_LACKING: usize = 256;

/// Runs a rename with flags. `None` if this file system has no such thing.
pub(super) fn with_rename_flags(
    op: Op,
    directory: &Directory,
    rename: impl FnOnce() -> io::Result<()>,
) -> Option<io::Result<()>> {
    let device = || sys::inspect_directory(directory).map(|info| info.id.device);
    // A thread that ends and saves in a destructor has forgotten all of it.
    let lacking = LACKING.try_with(|lacking| lacking.borrow().clone()).unwrap_or_default();
    // The device is asked for only where some file system is known to lack something.
    if !lacking.is_empty() && device().is_ok_and(|it| lacking.contains(&(op, it))) {
        return None;
    }
    match rename() {
        Err(error) if sys::lacks_rename_flags(&error) => {
            if let Ok(device) = device() {
                let _ = LACKING.try_with(|lacking| {
                    let mut lacking = lacking.borrow_mut();
                    lacking.truncate(MAX_LACKING - 1);
                    lacking.push((op, device));
                });
            }
            None
        }
        result => Some(result),
    }
}

/// What became of the target when publishing failed: a network file system may have done what it
/// reports as failed, so the names are asked.
fn after_failure(
    target: Destination<'_>,
    name: &TempName,
    file: &SealedFile,
) -> (TargetState, OldName) {
    let Ok(staged) = file.id() else { return (TargetState::Unknown, OldName::Present) };
    let at_target = sys::id_at(Entry { directory: target.directory, name: target.name });
    let at_name = sys::id_at(name.entry());
    let old_name = if matches!(at_name, Ok(None)) { OldName::Gone } else { OldName::Present };
    let state = match (at_target, at_name) {
        (Ok(Some(id)), _) if id == staged => TargetState::Replaced,
        // Even if the staged file is gone: somebody removed it.
        (Ok(id), _) if id == target.before => TargetState::Untouched,
        (Ok(_), Ok(Some(id))) if id == staged => TargetState::Untouched,
        _ => TargetState::Unknown,
    };
    (state, old_name)
}
