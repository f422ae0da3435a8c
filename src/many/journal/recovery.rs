//! Recovery: what a journal says is held against what is on disk, and then done.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Claim;
use super::intent::Intent;
use super::place::{Decision, Place};
use crate::concurrency::update;
use crate::concurrency::workers::Interruption;
use crate::error::{self, Error, ErrorKind, Obstacle, Result, Step, TargetState};
use crate::options::Options;
use crate::protocol::publish::{self, Unpublished};
use crate::protocol::sync::{Sealed, Synced};
use crate::protocol::target::{Destination, StagingPlace, Target};
use crate::protocol::together;
use crate::sys::{self, Directory, FileId};

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
    let text = update::read(target)?.unwrap_or_default();
    let intent = Intent::parse(&text)
        .map_err(|invalid| failed(error::invalid_journal(invalid.reason())))
        .map_err(|error| error.with_kind(ErrorKind::InvalidJournal))?;
    let mut plan = Plan::make(claim, &intent)?;
    plan.refuse()?;
    // Its writer may have died before it did this: what is published now could outlive the journal.
    claim.sync_name().map_err(|error| error.with_journal(path))?;
    plan.publish()?;
    plan.sync()?;
    let leftover = plan.remove_stages();
    let all_new = |error: Error| {
        plan.tell(error.with_state(TargetState::Replaced), |_| TargetState::Replaced)
    };
    let with_leftovers = |error: Error| {
        let paths = leftover.iter().flat_map(Error::leftovers);
        all_new(paths.fold(error, |error, path| error.with_leftover(Some(path.to_path_buf()))))
    };
    claim.remove().map_err(with_leftovers)?;
    claim.sync_name().map_err(with_leftovers)?; // or it may come back when its files are others
    match leftover {
        Some(error) => Err(all_new(error)),
        None => Ok(plan.receipt()),
    }
}

impl<'a> Plan<'a> {
    /// Looks at everything, and touches nothing.
    fn make(claim: &'a Claim<'_>, intent: &'a Intent) -> Result<Plan<'a>> {
        let path = claim.path();
        let places = intent.folders.iter().map(|folder| Place::find(folder, claim));
        let places = places.collect::<io::Result<Vec<_>>>();
        let places = places.map_err(|error| Error::failed(Step::Recover, path, error))?;
        let mut decisions = Vec::with_capacity(intent.files.len());
        for file in &intent.files {
            let decision = match &places[file.folder] {
                Ok(place) => place.look_at(file),
                Err(obstacle) => Ok(Decision::from(*obstacle)),
            };
            let path = intent.folders[file.folder].path.join(&file.name);
            let failed = |error| Error::failed(Step::Recover, path.as_std_path(), error);
            decisions.push(decision.map_err(failed)?);
        }
        Ok(Plan { path, intent, places, decisions })
    }

    /// If a single file cannot be published, none is; nor if a single staging directory is none of
    /// this journal's. One that was, and has lost its mark, is no obstacle if all are published.
    fn refuse(&self) -> Result<()> {
        if self.decisions.iter().all(|it| *it == Decision::Done) {
            return Ok(());
        }
        if let Some(place) = self.places.iter().flatten().find(|place| place.is_foreign()) {
            let cause =
                error::foreign_stage(place.folder.path.join(&place.folder.stage).as_std_path());
            return Err(self.refusal(cause));
        }
        let obstacles = self.decisions.iter().enumerate().filter_map(|(index, it)| match it {
            Decision::Refuse(obstacle, _) => Some((self.path_of(index), *obstacle)),
            Decision::Done | Decision::Publish { .. } => None,
        });
        let obstacles: Vec<_> = obstacles.collect();
        let Some((path, obstacle)) = obstacles.first() else { return Ok(()) };
        let cause = error::obstacle(path, *obstacle, obstacles.len() - 1);
        Err(self.refusal(cause))
    }

    fn refusal(&self, cause: io::Error) -> Error {
        let error = Error::failed(Step::Recover, self.path, cause);
        self.tell(error.with_kind(ErrorKind::Unrecoverable), |_| TargetState::Untouched)
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
        let stage = place.stage().ok_or_else(gone)?;
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
            if let Err(error) = place.remove_stage() {
                let path = place.folder.path.as_std_path();
                let leftover = path.join(&place.folder.stage);
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
                Decision::Refuse(_, state) => *state,
            };
            (self.path_of(index), state)
        });
        error.of_files(states.collect())
    }

    fn receipt(&self) -> Recovery {
        let files = self.decisions.iter().enumerate().map(|(index, decision)| {
            let recovered = match decision {
                Decision::Publish { .. } => Recovered::Now,
                Decision::Done | Decision::Refuse(..) => Recovered::Before,
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
