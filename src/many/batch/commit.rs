//! The commit of a batch, in the order of the protocol: look again, seal all, publish one after the
//! other, sync each directory once.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;

use super::journalled;
use super::look_again::look_again;
use super::members::{Kind, Member, Members, Waiting};
use super::receipt::{BatchCommit, Progress};
use crate::commit::{Commit, Outcome};
use crate::concurrency::workers::Interruption;
use crate::error::{self, Error, ErrorKind, Result, Step, TargetState};
use crate::many::journal::{Claim, Journal};
use crate::options::{Durability, SyncPlan};
use crate::protocol::publish::{self, Unpublished};
use crate::protocol::sync::Sealed;
use crate::protocol::target::{Destination, StagingPlace};
use crate::protocol::together::{self, Group};
use crate::sys::{self, Directory};

type Told<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

pub(super) fn commit(
    mut members: Members,
    journal: Option<&Journal>,
    told: Told<'_>,
) -> Result<BatchCommit> {
    let claim = match begin(&mut members, journal, told) {
        Ok(claim) => claim,
        Err(error) => return Err(members.abandon(error, |_, _| TargetState::Untouched)),
    };
    if let Err((failed, error)) = publish(&members, claim.as_ref(), told) {
        let state = error.target_state();
        let error = recoverable(&mut members, error, claim.as_ref());
        return Err(members.abandon(error, |index, file| match file.kind {
            Kind::Staged(_) if index < failed => TargetState::Replaced,
            _ if index == failed => state,
            _ => TargetState::Untouched,
        }));
    }
    match end(&mut members, claim.as_ref()) {
        Ok(names) => Ok(receipt(members, &names)),
        Err(error) => {
            let state_if = |is_published| match is_published {
                true => TargetState::Replaced,
                false => TargetState::Untouched,
            };
            let error = error.with_state(state_if(members.files.iter().any(is_staged)));
            Err(members.abandon(error, |_, file| state_if(is_staged(file))))
        }
    }
}

/// All up to the first publish. Gives the journal, if one was asked for and anything is in it.
fn begin<'a>(
    members: &mut Members,
    journal: Option<&'a Journal>,
    told: Told<'_>,
) -> Result<Option<Claim<'a>>> {
    let claim = journal.map(Journal::claim_new).transpose()?;
    look_again(members)?;
    seal(members, told)?;
    let claim = claim.filter(|_| members.files.iter().any(is_staged));
    let declared = match &claim {
        Some(claim) => journalled::declare(members, claim),
        None => Ok(()),
    };
    // A journal of others, which is in the way of this one, needs nothing of what is staged.
    let is_needed =
        |error: &Error| error.journal().is_some() && error.kind() != ErrorKind::RecoveryNeeded;
    if declared.as_ref().is_err_and(is_needed) {
        members.keep_stages();
    }
    declared.map(|()| claim)
}

fn is_staged(file: &Member) -> bool {
    matches!(file.kind, Kind::Staged(_))
}

/// All after the last publish. Gives the devices whose names are not proven to be durable.
fn end(members: &mut Members, claim: Option<&Claim<'_>>) -> Result<HashSet<u64>> {
    let Some(claim) = claim else {
        // Before the directories are synced, so that a power cut brings none of them back.
        let leftover = members.remove_stages();
        let names = sync_names(members, Durability::Full);
        members.keep_parents();
        return names.and_then(|names| leftover.map_or(Ok(names), Err));
    };
    // All that a power cut must not undo once the journal is gone.
    let names = match sync_names(members, Durability::Ordered) {
        Ok(names) => names,
        Err(error) => return Err(recoverable(members, error, Some(claim))),
    };
    members.keep_parents();
    // Only now: a power cut before the sync could have kept their removal and not the publish.
    let leftover = members.remove_stages();
    claim.remove()?;
    // A power cut that brought it back would stop every batch, once its files are others again.
    let is_durable = |file: &Member| file.options.durability > Durability::None;
    if members.files.iter().filter(|file| is_staged(file)).any(is_durable) {
        claim.sync_name()?;
    }
    leftover.map_or(Ok(names), Err)
}

/// After the journal was written, all that it needs stays.
fn recoverable(members: &mut Members, error: Error, claim: Option<&Claim<'_>>) -> Error {
    let Some(claim) = claim else { return error };
    members.keep_stages();
    members.keep_parents();
    error.with_journal(claim.path())
}

/// Syncs the files together that are on the same file system.
fn seal(members: &mut Members, told: Told<'_>) -> Result<()> {
    let mut groups: BTreeMap<(u64, Durability, bool), Vec<usize>> = BTreeMap::new();
    for (index, file) in members.files.iter().enumerate() {
        let Kind::Staged(Waiting { synced: None, .. }) = file.kind else { continue };
        let folder = &members.folders[&file.folder];
        let device = folder.id.device;
        // Which waits for the sync of that directory, and of no other.
        let fewest =
            file.options.sync_plan == SyncPlan::Fewest && sys::can_be_synced(&folder.directory);
        groups.entry((device, file.options.durability, fewest)).or_default().push(index);
    }
    let mut progress = Counter::new(members, Step::SyncFile, told);
    for ((_, durability, fewest), group) in &groups {
        let file = |index: usize| &members.files[group[index]];
        let open = |index: usize| match &file(index).kind {
            Kind::Staged(waiting) => match members.place_of(file(index), waiting) {
                Some(place) => open_whole(&place, file(index).len),
                None => Err(io::ErrorKind::NotFound.into()),
            },
            Kind::Unchanged(_) => Err(io::ErrorKind::NotFound.into()),
        };
        let stage = members.folders[&file(0).folder].stage.as_ref();
        let Some(stage) = stage else { continue };
        let group_of_files = Group {
            directory: stage.directory(),
            count: group.len(),
            open: &open,
            durability: *durability,
            plan: if *fewest { SyncPlan::Fewest } else { SyncPlan::Portable },
        };
        let before = progress.done();
        let synced = group_of_files
            .sync(&mut |done| progress.reach(before + done))
            .map_err(|interruption| failed_sync(members, group, interruption))?;
        let required = group.iter().find(|index| {
            let options = &members.files[**index].options;
            options.require_durability && synced.durability() < options.durability
        });
        if let Some(index) = required {
            let path = members.path_of(&members.files[*index]);
            let kind = ErrorKind::DurabilityUnavailable;
            return Err(Error::refused(kind, Step::SyncFile, &path));
        }
        for index in group {
            if let Kind::Staged(waiting) = &mut members.files[*index].kind {
                waiting.synced = Some(synced);
            }
        }
    }
    match (progress.reach(members.files.len()), members.files.first()) {
        (ControlFlow::Break(()), Some(file)) => {
            let path = members.path_of(file);
            Err(Error::refused(ErrorKind::Cancelled, Step::SyncFile, &path))
        }
        _ => Ok(()),
    }
}

/// Opens a staged file to sync it. Nobody may have shortened it since it was closed: neither
/// another program nor a network file system that could not write all of it.
fn open_whole(place: &StagingPlace, len: u64) -> io::Result<File> {
    let file = sys::open_staged(&place.directory, &place.name)?;
    match sys::inspect(&file)?.len == len {
        true => Ok(file),
        false => Err(error::not_whole()),
    }
}

fn failed_sync(members: &Members, group: &[usize], interruption: Interruption) -> Error {
    match interruption {
        Interruption::Failed(index, error) => {
            let path = members.path_of(&members.files[group[index]]);
            Error::failed(Step::SyncFile, &path, error)
        }
        Interruption::Cancelled => {
            let path = members.path_of(&members.files[group[0]]);
            Error::refused(ErrorKind::Cancelled, Step::SyncFile, &path)
        }
    }
}

/// Publishes the files one after the other. Gives the number of the one that could not be. Nothing
/// is told of before the first is published: it could be cancelled then, but with a journal it can
/// only go forward.
fn publish(
    members: &Members,
    claim: Option<&Claim<'_>>,
    told: Told<'_>,
) -> std::result::Result<(), (usize, Error)> {
    let mut progress = Counter::new(members, Step::Publish, told);
    let mut is_any = false;
    for (index, file) in members.files.iter().enumerate() {
        if let Kind::Staged(waiting) = &file.kind {
            publish_one(members, file, waiting, claim).map_err(|error| (index, error))?;
            is_any = true;
        }
        if is_any {
            // What is published is not taken back.
            let _ = progress.reach(index + 1);
        }
    }
    Ok(())
}

fn publish_one(
    members: &Members,
    file: &Member,
    waiting: &Waiting,
    claim: Option<&Claim<'_>>,
) -> Result<()> {
    let path = &members.path_of(file);
    let refused = || Error::refused(ErrorKind::Io, Step::Publish, path);
    let place = members.place_of(file, waiting).ok_or_else(refused)?;
    let synced = waiting.synced.ok_or_else(refused)?;
    let sealed = match claim {
        Some(_) => Sealed::recoverable(&place, waiting.id, synced),
        None => Sealed::closed(&place, waiting.id, synced),
    };
    let destination = Destination {
        directory: &members.folders[&file.folder].directory,
        name: &file.name,
        path,
        before: waiting.before.map(|before| before.id),
    };
    match publish::publish(sealed, destination, &file.options) {
        Ok(_) => Ok(()),
        Err(Unpublished::Failed(error) | Unpublished::Swept(_, error)) => Err(error),
    }
}

/// Syncs each directory that has got the name of a file with that durability or more, once. Gives
/// the devices whose names are not proven to be durable.
fn sync_names(members: &Members, least: Durability) -> Result<HashSet<u64>> {
    let is_wanted = |file: &&Member| is_staged(file) && file.options.durability >= least;
    let holders = members.holders();
    let mut devices: BTreeMap<u64, Vec<&Directory>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for file in members.files.iter().filter(is_wanted) {
        let folder = &members.folders[&file.folder];
        if seen.insert(folder.id) {
            devices.entry(folder.id.device).or_default().push(&folder.directory);
        }
    }
    if !devices.is_empty() {
        for (id, holder) in &holders {
            if seen.insert(*id) {
                devices.entry(id.device).or_default().push(holder);
            }
        }
    }
    let mut lacking = HashSet::new();
    for (device, directories) in devices {
        let of_device = |file: &&Member| members.folders[&file.folder].id.device == device;
        let mut files = members.files.iter().filter(is_wanted).filter(of_device);
        match together::sync_names(&directories) {
            Ok(Durability::Full) => {}
            Ok(_) => {
                lacking.insert(device);
                if let Some(file) = files.find(|file| file.options.require_durability) {
                    let kind = ErrorKind::DurabilityUnavailable;
                    let path = members.path_of(file);
                    return Err(Error::refused(kind, Step::SyncDirectory, &path));
                }
            }
            Err(interruption) => {
                let error = match interruption {
                    Interruption::Failed(_, error) => error,
                    Interruption::Cancelled => io::ErrorKind::Interrupted.into(),
                };
                let path = files.next().map(|file| members.path_of(file)).unwrap_or_default();
                return Err(Error::failed(Step::SyncDirectory, &path, error));
            }
        }
    }
    Ok(lacking)
}

fn receipt(mut members: Members, lacking: &HashSet<u64>) -> BatchCommit {
    let files = std::mem::take(&mut members.files);
    let commits = files.into_iter().map(|file| {
        let path = members.path_of(&file);
        let len = file.len;
        let (outcome, durability, sync_plan, not_preserved) = match file.kind {
            Kind::Unchanged(durability) => {
                let (outcome, sync_plan) = (Outcome::Unchanged, SyncPlan::Portable);
                (outcome, durability, sync_plan, Vec::new())
            }
            Kind::Staged(Waiting { before, not_preserved, synced, .. }) => {
                let device = members.folders[&file.folder].id.device;
                let most = match lacking.contains(&device) {
                    true => Durability::Ordered,
                    false => Durability::Full,
                };
                let durability = synced.map_or(Durability::None, |it| it.durability()).min(most);
                let sync_plan = synced.map_or(SyncPlan::Portable, |it| it.plan());
                let outcome = match before {
                    Some(_) => Outcome::Replaced,
                    None => Outcome::Created,
                };
                (outcome, durability, sync_plan, not_preserved)
            }
        };
        let (version, version_check, backup) = (None, None, None);
        Commit {
            outcome,
            durability,
            sync_plan,
            len,
            path,
            not_preserved,
            version,
            version_check,
            backup,
        }
    });
    BatchCommit { commits: commits.collect() }
}

/// Tells how far a step has come, in files and in bytes.
struct Counter<'a> {
    lens: Vec<u64>,
    progress: Progress,
    told: Told<'a>,
}

impl<'a> Counter<'a> {
    fn new(members: &Members, step: Step, told: Told<'a>) -> Self {
        let lens: Vec<u64> = members.files.iter().map(|file| file.len).collect();
        let (files, bytes) = (lens.len(), total(&lens));
        let progress = Progress { step, files, files_done: 0, bytes, bytes_done: 0 };
        Counter { lens, progress, told }
    }

    fn done(&self) -> usize {
        self.progress.files_done
    }

    /// So many are done now.
    fn reach(&mut self, done: usize) -> ControlFlow<()> {
        let done = done.clamp(self.progress.files_done, self.lens.len());
        let more = total(&self.lens[self.progress.files_done..done]);
        self.progress.files_done = done;
        self.progress.bytes_done = self.progress.bytes_done.saturating_add(more);
        (self.told)(&self.progress)
    }
}

/// Files may claim any length, by a hole.
fn total(lens: &[u64]) -> u64 {
    lens.iter().fold(0, |total, len| total.saturating_add(*len))
}
