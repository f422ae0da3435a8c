//! What the folders and files of a journal are now, and what is therefore to be done with each.

use std::ffi::OsStr;
use std::io;
use std::mem;
use std::sync::Arc;

use super::Claim;
use super::intent::{File, Folder};
use crate::error::{Obstacle, TargetState};
use crate::many::stage::{self, Marked, Stage};
use crate::options::{Options, Publish};
use crate::protocol::temp;
use crate::sys::{self, Directory, FileId, FileKind, Info};

/// A folder of the journal as it is now.
pub(super) struct Place<'a> {
    pub(super) folder: &'a Folder,
    pub(super) directory: Arc<Directory>,
    staging: Staging,
}

/// What the name of a staging directory stands for.
#[derive(Debug)]
enum Staging {
    /// What the journal means.
    There(Arc<Directory>),
    /// That as well, but it was all but removed: its mark is the last to go.
    Emptied,
    /// Nothing any more.
    Gone,
    /// Another directory.
    Replaced,
    /// A directory that was not marked for this journal, and is none of its business.
    Foreign,
}

/// What is to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing: it is published.
    Done,
    Publish {
        staged: FileId,
        before: Option<FileId>,
    },
    /// Why nothing can be done, and what the target is.
    Refuse(Obstacle, TargetState),
}

impl From<Obstacle> for Decision {
    fn from(obstacle: Obstacle) -> Decision {
        Decision::Refuse(obstacle, obstacle.state())
    }
}

impl<'a> Place<'a> {
    /// The folder, if it is still the one that the journal means, whatever links lead to it.
    pub(super) fn find(
        folder: &'a Folder,
        claim: &Claim<'_>,
    ) -> io::Result<Result<Place<'a>, Obstacle>> {
        let Some(directory) = unless_missing(sys::open_directory(None, folder.path.as_ref()))?
        else {
            return Ok(Err(Obstacle::Moved));
        };
        if sys::inspect_directory(&directory)?.id.file != folder.id {
            return Ok(Err(Obstacle::Replaced));
        }
        let staging = Staging::find(&directory, folder, claim)?;
        Ok(Ok(Place { folder, directory: Arc::new(directory), staging }))
    }

    pub(super) fn look_at(&self, file: &File) -> io::Result<Decision> {
        let target = sys::look(&self.directory, file.name.as_ref())?.map(|it| it.info);
        let staged = match self.stage() {
            Some(stage) => sys::look(stage, file.staged.as_ref())?.map(|it| it.info),
            None => None,
        };
        Ok(match (decide(file, target.as_ref(), staged.as_ref()), &self.staging) {
            (Decision::Refuse(Obstacle::Gone, state), Staging::Replaced) => {
                Decision::Refuse(Obstacle::Replaced, state)
            }
            (decision, _) => decision,
        })
    }

    /// Where its files are staged.
    pub(super) fn stage(&self) -> Option<&Arc<Directory>> {
        match &self.staging {
            Staging::There(stage) => Some(stage),
            _ => None,
        }
    }

    /// Whether the journal names a directory that was never marked for it.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self.staging, Staging::Foreign)
    }

    /// Removes what is left of the staging directory.
    pub(super) fn remove_stage(&mut self) -> io::Result<()> {
        let name = OsStr::new(&self.folder.stage);
        match mem::replace(&mut self.staging, Staging::Gone) {
            Staging::There(stage) => Stage::inherit(&self.directory, name, stage).remove(),
            // Nothing else tells that it is the crate's own. Others are left to a sweep, which
            // knows of another prefix or suffix.
            Staging::Emptied if temp::is_name(name, &Options::default()) => {
                let removed = sys::remove_directory(&self.directory, name);
                match removed.as_ref().map_err(io::Error::kind) {
                    Err(io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(()),
                    _ => removed,
                }
            }
            Staging::Emptied | Staging::Gone | Staging::Replaced | Staging::Foreign => Ok(()),
        }
    }
}

impl Staging {
    /// Looks at the staging directory of `folder`, which is `directory`.
    fn find(directory: &Directory, folder: &Folder, claim: &Claim<'_>) -> io::Result<Staging> {
        let Some(stage) = unless_missing(sys::open_inside(directory, folder.stage.as_ref()))?
        else {
            return Ok(Staging::Gone);
        };
        if sys::inspect_directory(&stage)?.id.file != folder.stage_id {
            return Ok(Staging::Replaced);
        }
        // A sweeper that let go of it leaves its lock.
        let is_left = |name: &OsStr, _| sys::DIRECTORIES_CAN_BE_LOCKED || name != stage::SIGN;
        // Anybody can learn the number of a directory, but not put a mark into one of another's.
        Ok(match stage::mark_in(&stage)? {
            Marked::With(text) if claim.is_marked(&text) => Staging::There(Arc::new(stage)),
            Marked::Not if sys::list(&stage, is_left)?.is_empty() => Staging::Emptied,
            Marked::With(_) | Marked::Not | Marked::Oddly => Staging::Foreign,
        })
    }
}

/// What the state of the two names of a file means.
fn decide(file: &File, target: Option<&Info>, staged: Option<&Info>) -> Decision {
    let is_new = |info: &&Info| info.kind == FileKind::File && file.new.is_of(info);
    let is_directory = |info: &Info| info.kind == FileKind::Directory;
    let is_old = |info: &Info| file.old.is_some_and(|old| old.is_of(info));
    if target.filter(is_new).is_some() {
        // Whoever exchanged the two may have died before the look at what that has displaced.
        return match staged.is_some_and(is_directory) {
            true => Obstacle::Displaced.into(),
            false => Decision::Done,
        };
    }
    let Some(staged) = staged.filter(is_new) else {
        return match target.is_some_and(is_old) {
            true => Decision::Refuse(Obstacle::Gone, TargetState::Untouched),
            false => Obstacle::Gone.into(),
        };
    };
    match (target, file.how.publish()) {
        (Some(target), _) if is_directory(target) => Obstacle::Directory.into(),
        // A link may have a number of its own (sshfs), so that this can be what was staged.
        (Some(target), Publish::CreateNew) if file.new.is_like(target) => Obstacle::Alike.into(),
        (Some(_), Publish::CreateNew) => Obstacle::Exists.into(),
        // No clock tells which of two files is the later one: clocks are set back.
        (Some(target), _) if !is_old(target) => Obstacle::Changed.into(),
        (None, Publish::Existing) => Obstacle::Missing.into(),
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

    /// The number of a directory.
    const DIRECTORY: u64 = 9;

    fn info((id, modified, changed): (u64, i64, i64)) -> Info {
        Info {
            kind: if id == DIRECTORY { FileKind::Directory } else { FileKind::File },
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
    ///
    /// A directory that had taken the place of a file right before the exchange was removed with
    /// the staging directory that it had got into, if the commit died before its look at it. And of
    /// an old file whose new contents were gone the error said that nobody could tell what it was.
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
                Decision::Refuse(obstacle, state) => format!("{obstacle:?}, {state:?}"),
                decision => format!("{decision:?}"),
            };
            assert_eq!(found, expected);
        }
        const OLD: Option<(u64, i64, i64)> = Some((1, 10, 10));
        const NEW: Option<(u64, i64, i64)> = Some((2, 20, 20));
        const PUBLISHED: Option<(u64, i64, i64)> = Some((2, 20, 25));
        const SOMEBODYS: Option<(u64, i64, i64)> = Some((DIRECTORY, 20, 20));
        check(How::Replace, OLD, NEW, "publish");
        check(How::Replace, Some((1, 10, 30)), NEW, "publish"); // its mode was changed
        check(How::Replace, None, NEW, "publish");
        check(How::Replace, PUBLISHED, None, "Done");
        check(How::Replace, PUBLISHED, OLD, "Done"); // exchanged
        for clock in [5, 10, 20, 21] {
            check(How::Replace, Some((1, clock + 1, clock)), NEW, "Changed, Unknown");
            check(How::Replace, Some((3, clock, clock)), NEW, "Changed, Unknown");
            check(How::CreateNew, Some((3, clock, clock)), NEW, "Exists, Untouched");
        }
        check(How::Replace, PUBLISHED, SOMEBODYS, "Displaced, Replaced");
        check(How::Replace, SOMEBODYS, NEW, "Directory, Untouched");
        for staged in [None, Some((3, 20, 20)), Some((2, 21, 21)), SOMEBODYS] {
            check(How::Replace, OLD, staged, "Gone, Untouched");
            check(How::Replace, Some((1, 11, 11)), staged, "Gone, Unknown");
            check(How::Replace, None, staged, "Gone, Unknown");
        }
        check(How::CreateNew, None, NEW, "publish");
        check(How::CreateNew, PUBLISHED, NEW, "Done"); // by a link
        check(How::CreateNew, Some((12, 20, 25)), NEW, "Alike, Unknown"); // its link, perhaps
        check(How::Existing, None, NEW, "Missing, Untouched");
        check(How::Existing, OLD, NEW, "publish");
    }
}
