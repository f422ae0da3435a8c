//! The one atomic step that makes the staged tree the target.
//!
//! Where there is a tree already, the two are exchanged, so that the old one is where the new one
//! was staged: in a staging directory, to be removed with it, by whoever does so. Before that it is
//! looked at: what somebody has put there since the last look is exchanged back, if the policies
//! refuse it.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::stage::Stage;
use super::Swap;
use super::current::{self, Current};
use super::staged::TREE;
use super::sync::Sealed;
use crate::commit::Outcome;
use crate::error::{self, Error, ErrorKind, NoExchange, Result, Step, TargetState};
use crate::options::{Durability, Options};
use crate::protocol::target::Target;
use crate::sys::{self, Entry, FileId};

/// As often as this may the target come or go between a look at it and the step.
const MAX_TURNS: usize = 8;

/// Proof that the new tree is visible under the target's name. Dropped, it removes the old one.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) outcome: Outcome,
    /// How durable the contents are.
    pub(super) contents: Durability,
    /// Holds the old tree, if there is one.
    pub(super) stage: Stage,
    /// The path of that.
    pub(super) folder: PathBuf,
}

impl Published {
    /// This, unless what was displaced is nothing that may be replaced: then that is put back.
    fn unless_refused(self, id: FileId, target: &Target, options: &Options) -> Result<Published> {
        if self.outcome != Outcome::Replaced {
            return Ok(self);
        }
        let Err(error) = examine(&self.stage, target, options) else { return Ok(self) };
        let from = Entry { directory: self.stage.directory(), name: OsStr::new(TREE) };
        let to = Entry { directory: &target.directory, name: &target.name };
        let put_back = sys::exchange(from, to);
        match sys::id_at(from) {
            // Whatever the exchange said: a network file system may have done it.
            Ok(Some(now)) if now == id => Err(abandon(self.stage, self.folder, error)),
            _ => {
                let cause = put_back.err().unwrap_or(io::ErrorKind::ResourceBusy.into());
                let state = state_of(from, to, id, target);
                self.stage.keep(); // it has what somebody else has made
                let error = Error::failed(Step::Publish, &target.path, cause).with_state(state);
                Err(error.with_leftover(Some(self.folder)))
            }
        }
    }

    /// Removes the old tree. Gives the path of what stays.
    pub(super) fn remove_old(self) -> Vec<PathBuf> {
        Vec::from_iter(self.stage.remove().is_err().then_some(self.folder))
    }

    /// Leaves the old tree where it is after `error`, which names it.
    pub(super) fn abandon(self, error: Error) -> Error {
        match self.outcome {
            Outcome::Replaced => {
                self.stage.keep();
                error.with_leftover(Some(self.folder))
            }
            _ => abandon(self.stage, self.folder, error),
        }
    }
}

/// Publishes by an exchange with the tree that is there, or where there is none by a rename that
/// never replaces.
pub(super) fn publish(sealed: Sealed, target: &mut Target, options: &Options) -> Result<Published> {
    let Sealed { staged, durability: contents } = sealed;
    let looked = Current::look_again(target, Swap::Exchange, options);
    let id = match looked.and_then(|_| staged.id()) {
        Ok(id) => id,
        Err(error) => return Err(staged.abandon(error)),
    };
    let (folder, stage) = (staged.folder().to_path_buf(), staged.into_parts().0);
    let mut turns = 1;
    // Bounded by MAX_TURNS.
    loop {
        let from = Entry { directory: stage.directory(), name: OsStr::new(TREE) };
        let to = Entry { directory: &target.directory, name: &target.name };
        let (outcome, done) = match &target.existing {
            Some(_) => (Outcome::Replaced, exchange(from, to)),
            None => (Outcome::Created, create(from, to)),
        };
        let error = match done {
            Ok(()) => {
                let published = Published { outcome, contents, stage, folder };
                return published.unless_refused(id, target, options);
            }
            Err(error) => error,
        };
        let is_raced = [io::ErrorKind::NotFound, io::ErrorKind::AlreadyExists];
        let state = state_of(from, to, id, target);
        let may_go_on = is_raced.contains(&error.kind()) && state == TargetState::Untouched;
        if !may_go_on || turns == MAX_TURNS {
            return Err(failed(stage, folder, target, error, state));
        }
        // Somebody else was faster; the policies apply to what is there now.
        if let Err(error) = Current::look_again(target, Swap::Exchange, options) {
            return Err(abandon(stage, folder, error));
        }
        turns += 1;
    }
}

/// Applies the policies to what was displaced, which may not be what was looked at before.
fn examine(stage: &Stage, target: &Target, options: &Options) -> Result<()> {
    let name = OsStr::new(TREE).to_owned();
    let mut displaced = Target::of(Arc::clone(stage.directory()), name, target.path.clone());
    displaced.look_again(options)?;
    let failed = |error| Error::failed(Step::Publish, &target.path, error);
    if current::is_planted(target, &displaced).map_err(failed)? {
        return Err(failed(error::planted()));
    }
    Current::of(&displaced, Swap::Exchange, options).map(drop)
}

fn exchange(from: Entry<'_>, to: Entry<'_>) -> io::Result<()> {
    sys::exchange(from, to).map_err(|error| {
        // EXDEV is what overlayfs says of a directory from a lower layer.
        let is_lacking =
            sys::lacks_rename_flags(&error) || error.kind() == io::ErrorKind::CrossesDevices;
        if is_lacking { NoExchange(error).into() } else { error }
    })
}

/// Gives the staged tree a name that nothing has. Where the system has no rename that says so, it
/// replaces at most an empty directory that was made in this moment (rename(2)).
pub(super) fn create(from: Entry<'_>, to: Entry<'_>) -> io::Result<()> {
    match sys::rename_no_replace(from, to) {
        Err(error) if sys::lacks_rename_flags(&error) => {}
        result => return result,
    }
    if sys::look(to.directory, to.name)?.is_some() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match sys::move_directory(from, to) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory
            ) =>
        {
            Err(io::ErrorKind::AlreadyExists.into())
        }
        result => result,
    }
}

/// What became of the target when publishing failed: a network file system may have done what it
/// reports as failed, so the names are asked.
fn state_of(from: Entry<'_>, to: Entry<'_>, staged: FileId, target: &Target) -> TargetState {
    let before = target.id();
    match (sys::id_at(to), sys::id_at(from)) {
        (Ok(Some(id)), _) if id == staged => TargetState::Replaced,
        (_, Ok(Some(id))) if id == staged => TargetState::Untouched,
        // Even if the staged tree is gone: somebody removed it.
        (Ok(id), _) if id == before => TargetState::Untouched,
        _ => TargetState::Unknown,
    }
}

fn failed(
    stage: Stage,
    folder: PathBuf,
    target: &Target,
    error: io::Error,
    state: TargetState,
) -> Error {
    let is_mount_point = sys::is_mount_point(&error);
    let mut error = Error::failed(Step::Publish, &target.path, error).with_state(state);
    if is_mount_point {
        error = error.with_kind(ErrorKind::MountPoint);
    }
    match (state, &target.existing) {
        (TargetState::Untouched, _) | (TargetState::Replaced, None) => {
            abandon(stage, folder, error)
        }
        _ => {
            stage.keep(); // nothing is worth more after a failure than the old tree
            error.with_leftover(Some(folder))
        }
    }
}

/// Removes what is staged after `error`, which then names it if even that failed.
pub(super) fn abandon(stage: Stage, folder: PathBuf, error: Error) -> Error {
    match stage.remove() {
        Ok(()) => error,
        Err(_) => error.with_leftover(Some(folder)),
    }
}
