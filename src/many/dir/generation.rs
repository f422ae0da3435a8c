//! The switch of a link: the target is a symlink to a generation, a directory beside it, and a
//! rename replaces the link by one to the next generation.
//!
//! Every file system with symlinks has that rename. A generation has the name of a temp file but
//! for its end, and two signs of life: the link that names it, and the lock of the directory, which
//! its writer holds from before it has the name until the link names it. So whoever gets the lock
//! and then finds no link that names it has found an orphan.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::super::stage::{Stage, stands_for};
use super::super::tree;
use super::Swap;
use super::current::Current;
use super::publish::{self, Published};
use super::staged::TREE;
use super::sync::Sealed;
use crate::commit::Outcome;
use crate::concurrency::lock::{self, Answer};
use crate::error::{self, Error, ErrorKind, Result, Step, TargetState};
use crate::options::{Durability, InUse, Options, Publish, ReadOnly};
use crate::protocol::target::Target;
use crate::protocol::temp;
use crate::sys::{self, Directory, Entry, FileKind, Info, Replacing};

/// The name of the new link in the staging directory.
const LINK: &str = "link";

/// Whether a directory of this name may be a generation.
pub(crate) fn is_name(name: &OsStr, options: &Options) -> bool {
    temp::is_name(name, &named(options))
}

fn named(options: &Options) -> Options {
    Options { staging_suffix: Some(temp::GENERATION_SUFFIX.into()), ..options.clone() }
}

/// Checks that the target is a link or nothing, and gives the directory that it leads to.
pub(super) fn current(target: &Target) -> Result<Option<Directory>> {
    let failed = |error| Error::failed(Step::Resolve, &target.path, error);
    let Some(existing) = &target.existing else { return Ok(None) };
    if existing.info.kind != FileKind::Symlink {
        return Err(failed(error::no_link()).with_kind(ErrorKind::IsADirectory));
    }
    if sys::may_be_planted(&target.directory, &existing.info).map_err(failed)? {
        return Err(failed(error::planted()));
    }
    match sys::open_directory(Some(&target.directory), target.name.as_ref()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some).map_err(failed),
    }
}

/// The generation that the target leads to, if it does to one of this crate's.
pub(super) fn generation_of(target: &Target, options: &Options) -> io::Result<Option<OsString>> {
    let Some(link) = &target.existing else { return Ok(None) };
    let text = sys::read_link(link, &target.directory, &target.name)?;
    let mut components = text.components();
    Ok(match (components.next(), components.next()) {
        (Some(Component::Normal(name)), None) if is_name(name, options) => Some(name.to_owned()),
        _ => None,
    })
}

/// The link is switched, and the generation that it led to is there still.
#[derive(Debug)]
pub(super) struct Switched {
    pub(super) published: Published,
    /// The name of that, if it is one of this crate's.
    old: Option<OsString>,
}

/// Takes the lock that tells a generation that no link names yet from an orphan. Who has it besides
/// may let go of it at any moment. Where there is no such lock, nobody takes anything for an
/// orphan.
fn show_life(root: &Directory) -> io::Result<()> {
    match lock::hold_directory(root)? {
        Answer::Held | Answer::Unavailable => Ok(()),
        Answer::Busy => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Publishes by switching the link.
pub(super) fn publish(sealed: Sealed, target: &mut Target, options: &Options) -> Result<Switched> {
    let Sealed { staged, durability: contents } = sealed;
    let path = target.path.clone();
    let failed = |error| Error::failed(Step::Publish, &path, error);
    if let Err(error) = show_life(staged.root()).map_err(failed).and_then(|()| staged.id()) {
        return Err(staged.abandon(error));
    }
    let folder = staged.folder().to_path_buf();
    let (stage, root) = staged.into_parts();
    let from = Entry { directory: stage.directory(), name: OsStr::new(TREE) };
    let directory = &Arc::clone(&target.directory);
    let made = temp::with_random_name(&named(options), |name| {
        // A network file system may have done what it reports as failed, so the name is asked.
        let info = || sys::inspect_directory(&root);
        let is_done = || info().and_then(|it| stands_for(directory, name, &it)).unwrap_or(false);
        match publish::create(from, Entry { directory, name }) {
            Err(_) if is_done() => Ok(()),
            result => result,
        }
    });
    let name = match made {
        Ok(((), name)) => name,
        Err(error) => return Err(publish::abandon(stage, folder, failed(error))),
    };
    let ready = make_link(&stage, &name, target, options).and_then(|most| {
        Current::look_again(target, Swap::Link, options)?;
        Ok((most, generation_of(target, options).map_err(failed)?))
    });
    let (most, old) = match ready {
        Ok(ready) => ready,
        Err(error) => return Err(take_back(stage, folder, &name, target, error)),
    };
    if let Err(error) = switch(&stage, target, options) {
        let state = state_of(&name, target);
        let error = failed(error).with_state(state);
        return Err(match state {
            TargetState::Untouched => take_back(stage, folder, &name, target, error),
            state => {
                // Where nobody can tell, either generation may be the one that is in use.
                let old = old.filter(|_| state == TargetState::Replaced);
                let kept = old.map(|name| target.path.with_file_name(name));
                publish::abandon(stage, folder, error.with_leftover(kept))
            }
        });
    }
    drop(root); // and with it the lock: the link is the generation's sign of life now
    let outcome = match target.existing {
        Some(_) => Outcome::Replaced,
        None => Outcome::Created,
    };
    let contents = contents.min(most);
    Ok(Switched { published: Published { outcome, contents, stage, folder }, old })
}

/// Makes the link that names the generation. Gives the most that is kept once it is the target.
fn make_link(
    stage: &Stage,
    name: &OsStr,
    target: &Target,
    options: &Options,
) -> Result<Durability> {
    let failed = |error| Error::failed(Step::Publish, &target.path, error);
    let at = Entry { directory: stage.directory(), name: OsStr::new(LINK) };
    sys::make_symlink(at, Path::new(name)).map_err(failed)?;
    if options.durability == Durability::None {
        return Ok(Durability::None);
    }
    // The generation has its name before anything leads there. Else a power cut might leave a link
    // that leads nowhere.
    match sys::sync_directory(&target.directory) {
        Err(error) if sys::lacks_directory_sync(&error) => match options.require_durability {
            true => {
                let kind = ErrorKind::DurabilityUnavailable;
                Err(Error::refused(kind, Step::SyncDirectory, &target.path))
            }
            false => Ok(Durability::None),
        },
        result => result.map(|()| options.durability).map_err(failed),
    }
}

/// Gives the link the target's name.
fn switch(stage: &Stage, target: &Target, options: &Options) -> io::Result<()> {
    let from = Entry { directory: stage.directory(), name: OsStr::new(LINK) };
    let to = Entry { directory: &target.directory, name: &target.name };
    let replacing = Replacing { read_only: ReadOnly::Refuse, in_use: InUse::Fail };
    match options.publish {
        Publish::Replace => sys::rename(from, None, to, replacing),
        Publish::CreateNew => match sys::rename_no_replace(from, to) {
            Err(error) if sys::lacks_rename_flags(&error) => sys::link(from, to),
            result => result,
        },
        // Not by an exchange: whatever might have taken the link's place would go with the old one.
        Publish::Existing => match sys::look(to.directory, to.name)? {
            Some(_) => sys::rename(from, None, to, replacing),
            None => Err(io::ErrorKind::NotFound.into()),
        },
    }
}

/// What became of the link when the switch failed: a network file system may have done what it
/// reports as failed.
fn state_of(name: &OsStr, target: &Target) -> TargetState {
    let (directory, link) = (&target.directory, &target.name);
    let text = match sys::look(directory, link) {
        Ok(Some(now)) if now.info.kind == FileKind::Symlink => {
            sys::read_link(&now, directory, link)
        }
        Ok(_) => return TargetState::Untouched,
        Err(error) => Err(error),
    };
    match text {
        Ok(text) if text == name => TargetState::Replaced,
        Ok(_) => TargetState::Untouched,
        Err(_) => TargetState::Unknown,
    }
}

/// Takes a generation back that no link names.
fn take_back(stage: Stage, folder: PathBuf, name: &OsStr, target: &Target, error: Error) -> Error {
    match bring_in(&stage, &target.directory, name) {
        Ok(()) => publish::abandon(stage, folder, error),
        Err(_) => {
            let error = error.with_leftover(Some(target.path.with_file_name(name)));
            publish::abandon(stage, folder, error)
        }
    }
}

fn bring_in(stage: &Stage, directory: &Directory, name: &OsStr) -> io::Result<()> {
    let to = Entry { directory: stage.directory(), name: OsStr::new(TREE) };
    sys::move_directory(Entry { directory, name }, to)
}

impl Switched {
    /// Removes the generation that the link led to, unless another link beside it does too. Gives
    /// the paths of what stays.
    pub(super) fn remove_old(self, target: &Target) -> Vec<PathBuf> {
        let Switched { published, old } = self;
        let Some(old) = old else { return published.remove_old() };
        let directory = &target.directory;
        let stays = match is_linked(directory, &old) {
            Ok(true) => return published.remove_old(), // it is in use
            // Another writer may have removed it.
            Ok(false) => {
                let is_gone = || matches!(sys::look(directory, &old), Ok(None));
                bring_in(&published.stage, directory, &old).is_err() && !is_gone()
            }
            Err(_) => true,
        };
        let mut leftovers = published.remove_old();
        leftovers.extend(stays.then(|| target.path.with_file_name(old)));
        leftovers
    }

    /// Leaves that generation where it is after `error`, which names it.
    pub(super) fn abandon(self, target: &Target, error: Error) -> Error {
        let error = error.with_leftover(self.old.map(|old| target.path.with_file_name(old)));
        publish::abandon(self.published.stage, self.published.folder, error)
    }
}

/// What a name that a generation may have stands for.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing any more.
    Gone,
    /// A link names it.
    Linked,
    /// Its writer is alive.
    Alive,
    /// There are no locks, so that nobody can tell.
    Unknown,
    /// It is nobody's, and it is held now.
    Orphan(Orphan, Info),
}

/// A generation that no link names, and whose writer is dead.
#[derive(Debug)]
pub(crate) struct Orphan {
    name: OsString,
    /// Open, and with it locked.
    directory: Directory,
}

/// Looks at what may be a generation.
pub(crate) fn find(parent: &Directory, name: &OsStr) -> io::Result<Found> {
    let directory = match sys::open_subdirectory(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Gone),
        result => result?,
    };
    let info = sys::inspect_directory(&directory)?;
    match lock::hold_directory(&directory)? {
        Answer::Busy => return Ok(Found::Alive),
        Answer::Unavailable => return Ok(Found::Unknown),
        Answer::Held => {}
    }
    // Only now: its writer let go of it when the link was there.
    if is_linked(parent, name)? {
        return Ok(Found::Linked);
    }
    if !stands_for(parent, name, &info)? {
        return Ok(Found::Gone);
    }
    Ok(Found::Orphan(Orphan { name: name.to_owned(), directory }, info))
}

/// Whether a link in `parent` leads to the generation or through it. However that spells the way,
/// it has the name in it, which is random, so that nothing else does.
fn is_linked(parent: &Directory, name: &OsStr) -> io::Result<bool> {
    let may_be_link = |kind: Option<FileKind>| kind.is_none_or(|kind| kind == FileKind::Symlink);
    for (link, _) in sys::list(parent, |_, kind| may_be_link(kind))? {
        let Some(existing) = sys::look(parent, &link)? else { continue };
        if existing.info.kind != FileKind::Symlink {
            continue;
        }
        let text = sys::read_link(&existing, parent, &link)?;
        if text.components().any(|it| it == Component::Normal(name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Orphan {
    /// Removes it with all that is in it.
    pub(crate) fn remove(self, parent: &Directory) -> io::Result<()> {
        let error = tree::empty(&self.directory, &[]);
        match sys::remove_directory(parent, &self.name) {
            // The writer who had switched from it took it away.
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|not_empty| error.unwrap_or(not_empty)),
        }
    }
}
