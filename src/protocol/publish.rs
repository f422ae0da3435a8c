//! The one atomic step that makes the staged file the target.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::io;

use super::staging::Staged;
use super::sync::Sealed;
use super::target::Target;
use super::temp::Temp;
use crate::error::{Error, ErrorKind, Step, TargetState};
use crate::fault::Op;
use crate::options::{Durability, Options, Publish};
use crate::sys::{self, Halfway, Replacing};

/// Proof that the new contents are visible under the target's name.
#[derive(Debug)]
pub(crate) struct Published {
    /// How durable the contents are.
    pub(super) contents: Durability,
}

/// What the staged file's own name stands for once it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OldName {
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
    target: &Target,
    options: &Options,
) -> std::result::Result<Published, Unpublished> {
    let Sealed { staged: Staged { mut temp, .. }, durability: contents } = sealed;
    let Some(name) = temp.name().map(OsStr::to_owned) else {
        let error = Error::refused(ErrorKind::Unsupported, Step::Publish, &target.path);
        return Err(Unpublished::Failed(error));
    };
    let name = &*name;
    let replacing = Replacing { read_only: options.read_only, in_use: options.in_use };
    let published = match options.publish {
        Publish::Replace => replace(target, &mut temp, name, replacing).map_err(Cause::from),
        Publish::CreateNew => create_new(target, name),
        Publish::Existing => {
            replace_existing(target, &mut temp, name, replacing).map_err(Cause::from)
        }
    };
    match published {
        Ok(OldName::Gone) => {
            temp.keep();
            Ok(Published { contents })
        }
        Ok(OldName::Present) => {
            let leftover = target.path.with_file_name(name);
            temp.remove().map(|()| Published { contents }).map_err(|error| {
                let error = Error::failed(Step::RemoveTemp, &target.path, error)
                    .with_state(TargetState::Replaced)
                    .with_leftover(Some(leftover));
                Unpublished::Failed(error)
            })
        }
        Err(cause) => Err(failed(target, temp, name, cause)),
    }
}

/// Why the system did not publish.
struct Cause {
    error: io::Error,
    /// What it means, where that is more than the error itself says.
    kind: Option<ErrorKind>,
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Cause {
        let kind = sys::is_mount_point(&error).then_some(ErrorKind::MountPoint);
        Cause { error, kind }
    }
}

fn failed(target: &Target, temp: Temp, name: &OsStr, cause: Cause) -> Unpublished {
    let Cause { error, kind } = cause;
    let error = match error.downcast::<Halfway>() {
        Ok(halfway) => return Unpublished::Failed(failed_halfway(target, temp, halfway)),
        Err(error) => error,
    };
    let (state, old_name) = after_failure(target, &temp, name);
    let mut error = Error::failed(Step::Publish, &target.path, error).with_state(state);
    if let Some(kind) = kind {
        error = error.with_kind(kind);
    }
    if old_name == OldName::Present {
        return Unpublished::Failed(temp.abandon(&target.path, error));
    }
    let (file, _) = temp.keep();
    let is_swept =
        state == TargetState::Untouched && sys::inspect(&file).is_ok_and(|info| info.links == 0);
    match is_swept {
        true => Unpublished::Swept(file, error),
        false => Unpublished::Failed(error),
    }
}

/// The old file has another name now, and stays under it: nothing is worth more after a failure.
fn failed_halfway(target: &Target, temp: Temp, halfway: Halfway) -> Error {
    let Halfway { state, old, cause } = halfway;
    let error = match state {
        TargetState::Replaced => {
            temp.keep();
            Error::failed(Step::RemoveTemp, &target.path, cause)
        }
        _ => temp.abandon(&target.path, Error::failed(Step::Publish, &target.path, cause)),
    };
    error.with_state(state).with_leftover(Some(target.path.with_file_name(old)))
}

fn replace(
    target: &Target,
    temp: &mut Temp,
    name: &OsStr,
    replacing: Replacing,
) -> io::Result<OldName> {
    sys::rename(&target.directory, &mut temp.file, name, &target.name, replacing)
        .map(|()| OldName::Gone)
}

/// Never overwrites.
fn create_new(target: &Target, name: &OsStr) -> std::result::Result<OldName, Cause> {
    let directory = &target.directory;
    let rename = || sys::rename_no_replace(directory, name, &target.name);
    match with_rename_flags(Op::RenameNoReplace, target, rename) {
        Some(result) => Ok(result.map(|()| OldName::Gone)?),
        None => match sys::link(directory, name, &target.name) {
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
    target: &Target,
    temp: &mut Temp,
    name: &OsStr,
    replacing: Replacing,
) -> io::Result<OldName> {
    let directory = &target.directory;
    let exchange = || sys::exchange(directory, name, &target.name);
    if let Some(result) = with_rename_flags(Op::Exchange, target, exchange) {
        return result.map(|()| OldName::Present);
    }
    // Without an exchange, somebody may remove the target between the look and the rename.
    match sys::look(directory, &target.name)? {
        Some(_) => replace(target, temp, name, replacing),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

thread_local! {
    /// The file systems, by device, on which a rename with these flags was refused as unknown: not
    /// one answer for the process, since the next target may be on another one.
    static LACKING: RefCell<Vec<(Op, u64)>> = const { RefCell::new(Vec::new()) };
}
/// A thread that meets more file systems than this asks some of them again.
const MAX_LACKING: usize = 256;

/// Runs a rename with flags. `None` if this file system has no such thing.
fn with_rename_flags(
    op: Op,
    target: &Target,
    rename: impl FnOnce() -> io::Result<()>,
) -> Option<io::Result<()>> {
    let device = || sys::inspect_directory(&target.directory).map(|info| info.id.device);
    // The device is asked for only where some file system is known to lack something.
    let any = LACKING.with_borrow(|lacking| !lacking.is_empty());
    if any && device().is_ok_and(|it| LACKING.with_borrow(|lacking| lacking.contains(&(op, it)))) {
        return None;
    }
    match rename() {
        Err(error) if sys::lacks_rename_flags(&error) => {
            if let Ok(device) = device() {
                LACKING.with_borrow_mut(|lacking| {
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
fn after_failure(target: &Target, temp: &Temp, name: &OsStr) -> (TargetState, OldName) {
    let id_of = |name| sys::look(&target.directory, name).map(|it| it.map(|it| it.info.id));
    let Ok(staged) = sys::inspect(&temp.file).map(|info| info.id) else {
        return (TargetState::Unknown, OldName::Present);
    };
    let (at_target, at_name) = (id_of(&target.name), id_of(name));
    let old_name = if matches!(at_name, Ok(None)) { OldName::Gone } else { OldName::Present };
    let before = target.existing.as_ref().map(|existing| existing.info.id);
    let state = match (at_target, at_name) {
        (Ok(Some(id)), _) if id == staged => TargetState::Replaced,
        // Even if the staged file is gone: somebody removed it.
        (Ok(id), _) if id == before => TargetState::Untouched,
        (Ok(_), Ok(Some(id))) if id == staged => TargetState::Untouched,
        _ => TargetState::Unknown,
    };
    (state, old_name)
}
