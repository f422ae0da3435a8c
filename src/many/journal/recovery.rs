//! Recovery: what a journal says is held against what is on disk, and then done.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Claim;
use super::intent::{File, Folder, Intent};
use crate::concurrency::update;
use crate::concurrency::workers::Interruption;
use crate::error::{self, Error, ErrorKind, Obstacle, Result, Step, TargetState};
use crate::many::stage::Stage;
use crate::options::{Options, Publish};
use crate::protocol::publish::{self, Unpublished};
use crate::protocol::sync::{Sealed, Synced};
use crate::protocol::target::{Destination, StagingPlace, Target};
use crate::protocol::together;
use crate::sys::{self, Directory, FileId, FileKind, Info};

/// What [`recover`](crate::recover) did.
#[derive(Debug, Default)]
pub struct Recovery {
    files: Vec<(PathBuf, Recovered)>,
}

/// How a file got its new contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recovered {
    /// They were published before: by the commit, or by a recovery that was interrupted.
    Before,
    /// They were published now.
    Now,
}

impl Recovery {
    /// The files of the journal, all of which have their new contents now. None if there was no
    /// journal.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&Path, Recovered)> {
        self.files.iter().map(|(path, recovered)| (path.as_path(), *recovered))
    }
}

/// A folder of the journal as it is now.
struct Place<'a> {
    folder: &'a Folder,
    directory: Arc<Directory>,
    /// `None` once it is removed.
    stage: Option<Arc<Directory>>,
    /// Whether its name is that of another directory.
    is_replaced: bool,
}

/// What is to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// Nothing: it is published.
    Done,
    Publish {
        staged: FileId,
        before: Option<FileId>,
    },
    Refuse(Obstacle),
}

/// A journal, and what follows from it here and now.
struct Plan<'a> {
    path: &'a Path,
    intent: &'a Intent,
    /// Why, where the folder is not what it was.
    places: Vec<std::result::Result<Place<'a>, Obstacle>>,
    decisions: Vec<Decision>,
}

/// Does what the journal `target` says. Its lock is held.
pub(super) fn recover(claim: &Claim<'_>, target: &Target) -> Result<Recovery> {
    let path = claim.path();
    let failed = |error| Error::failed(Step::Recover, path, error);
    if let Some(existing) = &target.existing {
        if sys::may_be_planted(&target.directory, &existing.info).map_err(failed)? {
            return Err(failed(error::planted()));
        }
    }
    let text = update::contents_of(target)?.unwrap_or_default();
    let intent = Intent::parse(&text)
        .map_err(|invalid| failed(error::invalid_journal(invalid.reason())))
        .map_err(|error| error.with_kind(ErrorKind::InvalidJournal))?;
    let mut plan = Plan::make(path, &intent)?;
    plan.refuse()?;
    // Its writer may have died before it did this: what is published now could outlive the journal.
    claim.sync_name().map_err(|error| error.with_journal(path))?;
    plan.publish()?;
    plan.sync()?;
    let leftover = plan.remove_stages();
    let all_new = |error: Error| {
        plan.tell(error.with_state(TargetState::Replaced), |_| TargetState::Replaced)
    };
    claim.remove().map_err(all_new)?;
    claim.sync_name().map_err(all_new)?; // or it may come back when its files are others
    match leftover {
        Some(error) => Err(all_new(error)),
        None => Ok(plan.receipt()),
    }
}

impl<'a> Plan<'a> {
    /// Looks at everything, and touches nothing.
    fn make(path: &'a Path, intent: &'a Intent) -> Result<Plan<'a>> {
        let places = intent.folders.iter().map(Place::find).collect::<io::Result<Vec<_>>>();
        let places = places.map_err(|error| Error::failed(Step::Recover, path, error))?;
        let mut decisions = Vec::with_capacity(intent.files.len());
        for file in &intent.files {
            let decision = match &places[file.folder] {
                Ok(place) => place.look_at(file),
                Err(obstacle) => Ok(Decision::Refuse(*obstacle)),
            };
            let path = intent.folders[file.folder].path.join(&file.name);
            let failed = |error| Error::failed(Step::Recover, path.as_std_path(), error);
            decisions.push(decision.map_err(failed)?);
        }
        Ok(Plan { path, intent, places, decisions })
    }

    /// If a single file cannot be published, none is.
    fn refuse(&self) -> Result<()> {
        let obstacles = self.decisions.iter().enumerate().filter_map(|(index, it)| match it {
            Decision::Refuse(obstacle) => Some((self.path_of(index), *obstacle)),
            Decision::Done | Decision::Publish { .. } => None,
        });
        let obstacles: Vec<_> = obstacles.collect();
        let Some((path, obstacle)) = obstacles.first() else { return Ok(()) };
        let cause = error::obstacle(path, *obstacle, obstacles.len() - 1);
        let error =
            Error::failed(Step::Recover, self.path, cause).with_kind(ErrorKind::Unrecoverable);
        Err(self.tell(error, |_| TargetState::Untouched))
    }

    fn publish(&self) -> Result<()> {
        for (index, decision) in self.decisions.iter().enumerate() {
            let Decision::Publish { staged, before } = *decision else { continue };
            if let Err(error) = self.publish_one(index, staged, before) {
                let (state, error) = (error.target_state(), error.with_journal(self.path));
                return Err(self.tell(error, |other| match other.cmp(&index) {
                    std::cmp::Ordering::Less => TargetState::Replaced,
                    std::cmp::Ordering::Equal => state,
                    std::cmp::Ordering::Greater => TargetState::Untouched,
                }));
            }
        }
        Ok(())
    }

    fn publish_one(&self, index: usize, staged: FileId, before: Option<FileId>) -> Result<()> {
        let (file, path) = (&self.intent.files[index], self.path_of(index));
        let gone = || Error::refused(ErrorKind::NotFound, Step::Publish, &path);
        let place = self.places[file.folder].as_ref().map_err(|_| gone())?;
        let stage = place.stage.as_ref().ok_or_else(gone)?;
        let from = StagingPlace {
            directory: Arc::clone(stage),
            directory_name: (&place.folder.stage).into(),
            name: (&file.staged).into(),
        };
        let name = OsStr::new(&file.name);
        let to = Destination { directory: &place.directory, name, path: &path, before };
        let (publish, read_only) = (file.how.publish(), file.how.read_only());
        let options = Options { publish, read_only, ..Options::default() };
        let sealed = Sealed::recoverable(&from, staged, Synced::journalled());
        match publish::publish(sealed, to, &options) {
            Ok(_) => Ok(()),
            Err(Unpublished::Failed(error) | Unpublished::Swept(_, error)) => Err(error),
        }
    }

    /// Also where nothing was published now: whoever did may have died before this.
    fn sync(&self) -> Result<()> {
        let places: Vec<&Place<'_>> = self.places.iter().flatten().collect();
        let directories: Vec<&Directory> = places.iter().map(|it| &*it.directory).collect();
        let (index, error) = match together::sync_names(&directories) {
            Ok(_) => return Ok(()),
            Err(Interruption::Failed(index, error)) => (index, error),
            Err(Interruption::Cancelled) => (0, io::ErrorKind::Interrupted.into()),
        };
        let path = places[index].folder.path.as_std_path();
        let error = Error::failed(Step::SyncDirectory, path, error).with_journal(self.path);
        let error = error.with_state(TargetState::Replaced);
        Err(self.tell(error, |_| TargetState::Replaced))
    }

    /// Gives the first failure, which names all that stay.
    fn remove_stages(&mut self) -> Option<Error> {
        let mut first: Option<Error> = None;
        for place in self.places.iter_mut().flatten() {
            // Nobody holds it then: Windows removes no directory that is open.
            let Some(directory) = place.stage.take() else { continue };
            let name = OsStr::new(&place.folder.stage);
            let stage = Stage::inherit(&place.directory, name, directory);
            let path = place.folder.path.as_std_path();
            let leftover = stage.path(path);
            if let Err(error) = stage.remove() {
                let error = Error::failed(Step::RemoveTemp, path, error);
                first = Some(first.unwrap_or(error).with_leftover(Some(leftover)));
            }
        }
        first
    }

    /// Says what became of each file; `state_of` those that were to be published.
    fn tell(&self, error: Error, state_of: impl Fn(usize) -> TargetState) -> Error {
        let states = self.decisions.iter().enumerate().map(|(index, decision)| {
            let state = match decision {
                Decision::Done => TargetState::Replaced,
                Decision::Publish { .. } => state_of(index),
                Decision::Refuse(obstacle) => obstacle.state(),
            };
            (self.path_of(index), state)
        });
        error.of_files(states.collect())
    }

    fn receipt(&self) -> Recovery {
        let files = self.decisions.iter().enumerate().map(|(index, decision)| {
            let recovered = match decision {
                Decision::Publish { .. } => Recovered::Now,
                Decision::Done | Decision::Refuse(_) => Recovered::Before,
            };
            (self.path_of(index), recovered)
        });
        Recovery { files: files.collect() }
    }

    fn path_of(&self, index: usize) -> PathBuf {
        let file = &self.intent.files[index];
        self.intent.folders[file.folder].path.join(&file.name).into()
    }
}

impl<'a> Place<'a> {
    /// The folder, if it is still the one that the journal means, whatever links lead to it.
    fn find(folder: &'a Folder) -> io::Result<std::result::Result<Place<'a>, Obstacle>> {
        let Some(directory) = unless_missing(sys::open_directory(None, folder.path.as_ref()))?
        else {
            return Ok(Err(Obstacle::Moved));
        };
        if sys::inspect_directory(&directory)?.id.file != folder.id {
            return Ok(Err(Obstacle::Replaced));
        }
        let mut stage = unless_missing(sys::open_inside(&directory, folder.stage.as_ref()))?;
        let is_replaced = match &stage {
            Some(stage) => sys::inspect_directory(stage)?.id.file != folder.stage_id,
            None => false,
        };
        stage = stage.filter(|_| !is_replaced);
        let (directory, stage) = (Arc::new(directory), stage.map(Arc::new));
        Ok(Ok(Place { folder, directory, stage, is_replaced }))
    }

    fn look_at(&self, file: &File) -> io::Result<Decision> {
        let target = sys::look(&self.directory, file.name.as_ref())?.map(|it| it.info);
        let staged = match &self.stage {
            Some(stage) => sys::look(stage, file.staged.as_ref())?.map(|it| it.info),
            None => None,
        };
        Ok(match decide(file, target.as_ref(), staged.as_ref()) {
            Decision::Refuse(Obstacle::Gone) if self.is_replaced => {
                Decision::Refuse(Obstacle::Replaced)
            }
            decision => decision,
        })
    }
}

/// What the state of the two names of a file means.
fn decide(file: &File, target: Option<&Info>, staged: Option<&Info>) -> Decision {
    let is_new = |info: &&Info| info.kind == FileKind::File && file.new.is_of(info);
    if target.filter(is_new).is_some() {
        return Decision::Done;
    }
    let Some(staged) = staged.filter(is_new) else { return Decision::Refuse(Obstacle::Gone) };
    match (target, file.how.publish()) {
        (Some(target), _) if target.kind == FileKind::Directory => {
            Decision::Refuse(Obstacle::Directory)
        }
        // A link may have a number of its own (sshfs), so that this can be what was staged.
        (Some(target), Publish::CreateNew) if file.new.is_like(target) => {
            Decision::Refuse(Obstacle::Alike)
        }
        (Some(_), Publish::CreateNew) => Decision::Refuse(Obstacle::Exists),
        // No clock tells which of two files is the later one: clocks are set back.
        (Some(target), _) if !file.old.is_some_and(|old| old.is_of(target)) => {
            Decision::Refuse(Obstacle::Changed)
        }
        (None, Publish::Existing) => Decision::Refuse(Obstacle::Missing),
        (target, _) => {
            let before = target.map(|target| target.id);
            Decision::Publish { staged: staged.id, before }
        }
    }
}

/// `None` if no directory is there, or something else that is not to be followed.
fn unless_missing(result: io::Result<Directory>) -> io::Result<Option<Directory>> {
    match result {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if sys::is_loop(&error) => Ok(None),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::CrossesDevices => Ok(None),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::many::journal::intent::{How, Identity};
    use crate::sys::Times;

    /// Two files whose numbers end alike have the same length.
    fn identity(id: u64, modified: i64) -> Identity {
        Identity { id, len: id % 10, modified: (modified, 0) }
    }

    fn info((id, modified, changed): (u64, i64, i64)) -> Info {
        Info {
            kind: FileKind::File,
            id: FileId { device: 1, file: id },
            len: id % 10,
            links: 1,
            read_only: false,
            mode: 0o644,
            uid: 0,
            gid: 0,
            flags: 0,
            times: Times { accessed: (0, 0), modified: (modified, 0) },
            changed: (changed, 0),
        }
    }

    /// File 1 was there, and file 2 was staged, at 10 and 20 by the clock. A file that was saved or
    /// written to after the commit had died counted as older if the clock had been set back, as it
    /// is on a machine without a battery that has just started, or if the clock stood still in
    /// between: the recovery went by the time of the last change of status alone, replaced the
    /// file, and what somebody had saved was lost.
    #[test]
    fn what_is_to_be_done_follows_from_the_two_names() {
        #[track_caller]
        fn check(
            how: How,
            target: Option<(u64, i64, i64)>,
            staged: Option<(u64, i64, i64)>,
            expected: &str,
        ) {
            let file = File {
                folder: 0,
                name: "name".into(),
                staged: "0".into(),
                how,
                new: identity(2, 20),
                old: (how != How::CreateNew).then(|| identity(1, 10)),
            };
            let (target, staged) = (target.map(info), staged.map(info));
            let found = match decide(&file, target.as_ref(), staged.as_ref()) {
                Decision::Publish { staged, .. } if staged.file == 2 => "publish".to_owned(),
                Decision::Refuse(obstacle) => format!("{obstacle:?}"),
                decision => format!("{decision:?}"),
            };
            assert_eq!(found, expected);
        }
        const OLD: Option<(u64, i64, i64)> = Some((1, 10, 10));
        const NEW: Option<(u64, i64, i64)> = Some((2, 20, 20));
        const PUBLISHED: Option<(u64, i64, i64)> = Some((2, 20, 25));
        check(How::Replace, OLD, NEW, "publish");
        check(How::Replace, Some((1, 10, 30)), NEW, "publish"); // its mode was changed
        check(How::Replace, None, NEW, "publish");
        check(How::Replace, PUBLISHED, None, "Done");
        check(How::Replace, PUBLISHED, OLD, "Done"); // exchanged
        for clock in [5, 10, 20, 21] {
            check(How::Replace, Some((1, clock + 1, clock)), NEW, "Changed");
            check(How::Replace, Some((3, clock, clock)), NEW, "Changed");
            check(How::CreateNew, Some((3, clock, clock)), NEW, "Exists");
        }
        check(How::Replace, OLD, None, "Gone");
        check(How::Replace, OLD, Some((3, 20, 20)), "Gone");
        check(How::Replace, OLD, Some((2, 21, 21)), "Gone");
        check(How::Replace, None, None, "Gone");
        check(How::CreateNew, None, NEW, "publish");
        check(How::CreateNew, PUBLISHED, NEW, "Done"); // by a link
        check(How::CreateNew, Some((12, 20, 25)), NEW, "Alike"); // its link, perhaps
        check(How::Existing, None, NEW, "Missing");
        check(How::Existing, OLD, NEW, "publish");
    }
}
