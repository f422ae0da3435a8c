//! A copy of the tree that is there, to start from.
//!
//! Each file is one of its own, so that whoever writes into the copy does not change the tree that
//! others are reading: a clone that shares its blocks until one of the two is written to, where the
//! file system has such a thing, else a copy of the bytes.

use std::fs::File;
use std::io;
use std::path::Path;

use super::super::tree;
use super::Copying;
use super::staged::Staged;
use super::walk::{self, Descent, Visitor};
use crate::commit::NotPreserved;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::options::{HardLinks, Metadata, Options, Preserve};
use crate::protocol::copying;
use crate::protocol::metadata::Snapshot;
use crate::sys::{self, Directory, Entry, Existing, FileKind};

/// As often as this may a file be replaced between a look at it and its opening.
const MAX_LOOKS: usize = 8;

/// Copies all that is in `from`, whose path is given, into the staged tree. Gives what could not be
/// kept, each loss once, however many files it is about.
pub(super) fn copy_tree(
    from: Directory,
    path: &Path,
    staged: &Staged,
    copying: Copying,
    options: &Options,
) -> Result<Vec<NotPreserved>> {
    let failed = |error| Error::failed(Step::Write, path, error);
    let mut options = options.clone();
    options.mode = None;
    if options.preserve.times == Preserve::Skip {
        // What was not changed does not look changed.
        options.preserve.times = Preserve::Try;
    }
    let to = Descent::new(walk::open_again(staged.root()).map_err(failed)?);
    let mut copy = Copy { to, copying, options: &options, directories: Vec::new(), lost: vec![] };
    walk::walk(from, path, &mut copy)?;
    Ok(copy.lost)
}

struct Copy<'a> {
    to: Descent,
    copying: Copying,
    options: &'a Options,
    /// What the directories on the way down will have once they are filled.
    directories: Vec<Snapshot>,
    lost: Vec<NotPreserved>,
}

impl Visitor for Copy<'_> {
    fn visit(&mut self, at: Entry<'_>, kind: FileKind, path: &Path) -> Result<()> {
        match kind {
            FileKind::File => self.file(at, path),
            FileKind::Symlink => self.link(at, path),
            _ => Err(Error::refused(ErrorKind::SpecialFile, Step::Read, path)),
        }
    }

    fn enter(&mut self, at: Entry<'_>, path: &Path) -> Result<Directory> {
        let existing = self.look(at, path)?;
        let inside = sys::open_inside(at.directory, at.name);
        let inside = inside.map_err(|error| self.failed(path, error))?;
        let snapshot = Snapshot::of(&existing, at, path, self.options)?;
        let made = sys::make_directory(self.to.here(), at.name, 0o700)
            .and_then(|()| tree::enter(self.to.here(), at.name))
            .and_then(|made| self.to.go_down(made));
        made.map_err(|error| Error::failed(Step::Write, path, error))?;
        self.directories.push(snapshot);
        Ok(inside)
    }

    fn leave(&mut self, _: Directory, path: &Path) -> Result<()> {
        let failed = |error| Error::failed(Step::Metadata, path, error);
        let filled = self.to.go_up().map_err(failed)?;
        let (Some(filled), Some(mut snapshot)) = (filled, self.directories.pop()) else {
            return Ok(());
        };
        let file = sys::file_of(&filled).map_err(failed)?;
        let lost = snapshot.apply(&file, path, self.options)?;
        self.lose(lost);
        Ok(())
    }

    fn failed(&self, path: &Path, error: io::Error) -> Error {
        let is_mount = error.kind() == io::ErrorKind::CrossesDevices;
        let error = Error::failed(Step::Read, path, error);
        if is_mount { error.with_kind(ErrorKind::MountPoint) } else { error }
    }
}

impl Copy<'_> {
    fn look(&self, at: Entry<'_>, path: &Path) -> Result<Existing> {
        let existing =
            sys::look(at.directory, at.name).map_err(|error| self.failed(path, error))?;
        existing.ok_or_else(|| self.failed(path, io::ErrorKind::NotFound.into()))
    }

    fn file(&mut self, at: Entry<'_>, path: &Path) -> Result<()> {
        let (existing, from) = self.open(at, path)?;
        if self.options.hard_links == HardLinks::Refuse && existing.info.links > 1 {
            return Err(Error::refused(ErrorKind::HardLinked, Step::Read, path));
        }
        let place = Entry { directory: self.to.here(), name: at.name };
        // Whatever is wrong with a link, a copy does as well.
        if self.copying == Copying::HardLinks && self.link_file(at, place, &existing) {
            return Ok(());
        }
        let mut snapshot = Snapshot::of(&existing, at, path, self.options)?;
        let creation = snapshot.creation(self.options);
        let to = sys::create_temp(place.directory, place.name, creation)
            .map_err(|error| Error::failed(Step::Write, path, error))?;
        copying::copy_contents(&from, &to, path)?;
        let lost = snapshot.apply(&to, path, self.options)?;
        self.lose(lost);
        // Where nothing is synced, nothing else tells what only the closing has to tell.
        sys::close(to).map_err(|error| Error::failed(Step::Write, path, error))
    }

    /// Whether `place` is the file now. A network file system may have done what it reports as
    /// failed.
    fn link_file(&self, at: Entry<'_>, place: Entry<'_>, existing: &Existing) -> bool {
        let is_there = || matches!(sys::id_at(place), Ok(Some(id)) if id == existing.info.id);
        sys::link(at, place).is_ok() || is_there()
    }

    /// Looks at a file, and opens the same one.
    fn open(&self, at: Entry<'_>, path: &Path) -> Result<(Existing, File)> {
        let mut looks = 1;
        // Bounded by MAX_LOOKS.
        loop {
            let existing = self.look(at, path)?;
            match sys::open_target(&existing, at.directory, at.name) {
                Ok(file) => return Ok((existing, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound && looks < MAX_LOOKS => {}
                Err(error) => return Err(self.failed(path, error)),
            }
            looks += 1;
        }
    }

    fn link(&mut self, at: Entry<'_>, path: &Path) -> Result<()> {
        let existing = self.look(at, path)?;
        let text = sys::read_link(&existing, at.directory, at.name);
        let text = text.map_err(|error| self.failed(path, error))?;
        let place = Entry { directory: self.to.here(), name: at.name };
        let failed = |error| Error::failed(Step::Write, path, error);
        sys::make_symlink(place, &text).map_err(failed)?;
        let Some(made) = sys::look(place.directory, place.name).map_err(failed)? else {
            return Err(failed(io::ErrorKind::NotFound.into()));
        };
        let (owner, now) = (&existing.info, &made.info);
        let is_kept = (owner.uid, owner.gid) == (now.uid, now.gid);
        if is_kept || self.options.preserve.owner == Preserve::Skip {
            return Ok(());
        }
        let Err(error) = sys::set_owner_of_link(place, owner.uid, owner.gid) else { return Ok(()) };
        if self.options.preserve.owner == Preserve::Require {
            let error = Error::failed(Step::Metadata, path, error);
            return Err(error.with_kind(ErrorKind::NotPreserved));
        }
        let cause = error.kind();
        self.lose(vec![NotPreserved { metadata: Metadata::Owner, xattr: None, cause }]);
        Ok(())
    }

    fn lose(&mut self, lost: Vec<NotPreserved>) {
        add_losses(&mut self.lost, lost);
    }
}

/// Adds those losses that are not in the list.
pub(super) fn add_losses(list: &mut Vec<NotPreserved>, lost: Vec<NotPreserved>) {
    let is_new = |list: &[NotPreserved], it: &NotPreserved| {
        list.iter().all(|known| {
            (known.metadata, &known.xattr, known.cause) != (it.metadata, &it.xattr, it.cause)
        })
    };
    for loss in lost {
        if is_new(list, &loss) {
            list.push(loss);
        }
    }
}
