//! The look at all targets before the commit, and what follows from it for those that were changed
//! since their new files were staged.

use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::Arc;

use super::members::{Kind, Members, Stamp, Waiting};
use crate::commit::NotPreserved;
use crate::error::{Error, Result, Step};
use crate::options::Options;
use crate::protocol::metadata::Snapshot;
use crate::protocol::sync::{self, Synced};
use crate::protocol::target::{StagingPlace, Target};
use crate::protocol::temp::Temp;
use crate::sys::{self, Entry};

/// The name, in a staging directory, of a file that shows what a new one gets.
const MODEL: &str = "model";

/// Applies the policies to the targets as they are now, and the metadata of those that were changed
/// since.
pub(super) fn look_again(members: &mut Members) -> Result<()> {
    for index in 0..members.files.len() {
        let file = &members.files[index];
        let Kind::Staged(waiting) = &file.kind else { continue };
        let Some(place) = members.place_of(file, waiting) else { continue };
        let directory = Arc::clone(&members.folders[&file.folder].directory);
        let mut target = Target::of(directory, file.name.clone(), members.path_of(file));
        target.look_again(&file.options)?;
        let now = target.existing.as_ref().map(|existing| Stamp::from(&existing.info));
        if now == waiting.before {
            continue;
        }
        let failed = |error| Error::failed(Step::Metadata, &target.path, error);
        let temp = Temp::reopen(&place).map_err(failed)?;
        let applied = apply(&temp, waiting, &place, &mut target, &file.options)
            .and_then(|lost| Ok((lost, sync_if_last_chance(&temp, &target, &file.options)?)));
        temp.keep(); // it goes with all the others, if it goes
        let ((xattrs, not_preserved), synced) = applied?;
        if let Kind::Staged(waiting) = &mut members.files[index].kind {
            let Waiting { number, id, .. } = *waiting;
            *waiting = Waiting { number, id, before: now, xattrs, not_preserved, synced };
        }
    }
    Ok(())
}

/// Gives a staged file the metadata of what the target is now. Gives the names of the xattrs, and
/// what could not be kept.
fn apply(
    temp: &Temp,
    waiting: &Waiting,
    place: &StagingPlace,
    target: &mut Target,
    options: &Options,
) -> Result<(Vec<OsString>, Vec<NotPreserved>)> {
    let mut snapshot = match (target.existing_file(), &waiting.before) {
        // It has what the removed one had.
        (None, Some(_)) => model(place, target, options)?,
        _ => Snapshot::take(target, options)?,
    };
    let lost = snapshot.apply_after(&waiting.xattrs, &temp.file, &target.path, options)?;
    Ok((snapshot.xattr_names(), lost))
}

/// What a new file gets where `target` is: only the system knows of the umask and of the
/// directory's default ACL, and the staging directory has that one too.
fn model(place: &StagingPlace, target: &mut Target, options: &Options) -> Result<Snapshot> {
    let place = StagingPlace { name: MODEL.into(), ..place.clone() };
    target.place = Some(place.clone());
    let temp = Temp::create(target, options, Snapshot::default().creation(options))?;
    let taken = sys::look(&place.directory, OsStr::new(MODEL))
        .and_then(|existing| existing.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(|error| Error::failed(Step::Metadata, &target.path, error))
        .and_then(|existing| {
            let at = Entry { directory: &place.directory, name: OsStr::new(MODEL) };
            Snapshot::of(&existing, at, &target.path, options)
        });
    match taken {
        Ok(snapshot) => match temp.remove() {
            Ok(()) => Ok(snapshot),
            Err(error) => Err(Error::failed(Step::Metadata, &target.path, error)),
        },
        Err(error) => Err(temp.abandon(&target.path, error)),
    }
}

/// Syncs a file that cannot be opened again for it.
fn sync_if_last_chance(temp: &Temp, target: &Target, options: &Options) -> Result<Option<Synced>> {
    let failed = |error| Error::failed(Step::Metadata, &target.path, error);
    match sys::can_be_opened_again(&sys::inspect(&temp.file).map_err(failed)?) {
        true => Ok(None),
        false => sync::sync_contents(&temp.file, target, options).map(Some),
    }
}
