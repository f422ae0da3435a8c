//! A backup that cannot be the old file itself: a copy of it with its metadata, staged in the
//! backup's directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::maker::Maker;
use super::place::Site;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::options::{Durability, Metadata, Options, Preserve, Staging, SyncPlan};
use crate::protocol::copying;
use crate::protocol::metadata::Snapshot;
use crate::protocol::sync;
use crate::protocol::target::{self, Target};
use crate::protocol::temp::{self, Temp, TempName};
use crate::sys::{self, Entry, Existing, FileId, FileKind};

/// What waits to become the backup under a name of its own: a copy that is complete and has its
/// metadata, or the old file itself. It is synced as far as was asked.
pub(super) struct Waiting {
    pub(super) name: TempName,
    /// The copy of a file, open, since its lock tells it from an orphan.
    pub(super) file: Option<File>,
    pub(super) id: FileId,
    pub(super) durability: Durability,
}

impl Maker<'_> {
    /// Copies what bears the target's name.
    pub(super) fn copy(&self) -> Result<Waiting> {
        if self.old.info.kind == FileKind::Symlink {
            return self.copy_link().map_err(|error| self.failed(error));
        }
        let options = self.options_of_copy();
        let first = self.open(self.old);
        let (file, existing) = target::unless_replaced(first.map(|file| (file, None)), || {
            let now = sys::look(self.from().directory, self.from().name);
            match now.map_err(|error| self.failed(error))? {
                Some(now) => self.open(&now).map(|file| (file, Some(now))),
                None => Err(self.failed(io::ErrorKind::NotFound.into())),
            }
        })?;
        let existing = existing.as_ref().unwrap_or(self.old);
        self.copy_file(&file, existing, &options).map_err(|error| error.of_backup(self.path()))
    }

    fn open(&self, existing: &Existing) -> Result<File> {
        if existing.info.kind != FileKind::File {
            return Err(Error::refused(ErrorKind::SpecialFile, Step::Backup, self.path()));
        }
        let file = sys::open_target(existing, self.from().directory, self.from().name);
        file.map_err(|error| self.failed(error))
    }

    fn copy_file(&self, from: &File, existing: &Existing, options: &Options) -> Result<Waiting> {
        let mut snapshot = Snapshot::of(existing, self.from(), self.path(), options)?;
        let place = self.as_target();
        let temp = Temp::create_seen(&place, options, snapshot.creation(options))?;
        let copied = copying::copy_contents(from, &temp.file, self.path())
            .and_then(|()| snapshot.apply(&temp.file, self.path(), options))
            .and_then(|_| sync::sync_contents(&temp.file, &place, options))
            .and_then(|sync| {
                let info = sys::inspect(&temp.file).map_err(|error| self.failed(error))?;
                Ok((info.id, sync.durability()))
            });
        let (id, durability) = match copied {
            Ok(copied) => copied,
            Err(error) => return Err(temp.abandon(&place.path, error)),
        };
        let (Some(name), file) = temp.into_parts() else {
            return Err(self.failed(io::ErrorKind::Unsupported.into()));
        };
        match self.close(file) {
            Ok(file) => Ok(Waiting { name, file: Some(file), id, durability }),
            Err(error) => Err(name.abandon(&place.path, self.failed(error))),
        }
    }

    /// Without a sync, a network file system may say only when it is closed that there was no room
    /// for all of it. It stays open, for its lock.
    fn close(&self, file: File) -> io::Result<File> {
        if self.options.durability > Durability::None {
            return Ok(file);
        }
        let open = sys::duplicate(&file)?;
        sys::close(file)?;
        Ok(open)
    }

    /// Makes a symlink with the same text, and its owner where that can be given.
    fn copy_link(&self) -> io::Result<Waiting> {
        let text = sys::read_link(self.old, self.from().directory, self.from().name)?;
        let directory = &self.place.directory;
        let make = |name: &OsStr| sys::make_symlink(Entry { directory, name }, &text);
        let ((), name) = temp::with_random_name(self.options, make)?;
        let name = TempName::in_directory(directory, name);
        let made = sys::look(directory, name.entry().name)?.ok_or(io::ErrorKind::NotFound)?;
        let (owner, now) = (&self.old.info, &made.info);
        if (owner.uid, owner.gid) != (now.uid, now.gid) {
            let _ = sys::set_owner_of_link(name.entry(), owner.uid, owner.gid);
        }
        Ok(Waiting { name, file: None, id: made.info.id, durability: Durability::Full })
    }

    /// All metadata is the old file's, whatever the new file is to have.
    fn options_of_copy(&self) -> Options {
        let mut options = self.options_of_sync();
        (options.mode, options.staging) = (None, Staging::Named);
        for metadata in [Metadata::Owner, Metadata::Mode, Metadata::Xattrs, Metadata::Times] {
            if options.preserve.get(metadata) == Preserve::Skip {
                options.preserve.set(metadata, Preserve::Try);
            }
        }
        options
    }

    /// In another directory nothing comes later that syncs what was only written out.
    pub(super) fn options_of_sync(&self) -> Options {
        let mut options = self.options.clone();
        if self.place.site == Site::Elsewhere {
            options.sync_plan = SyncPlan::Portable;
        }
        options
    }

    /// The backup as that for which a temp file is made, and which is synced.
    pub(super) fn as_target(&self) -> Target {
        let path: PathBuf = self.place.path().to_path_buf();
        let name = path.file_name().unwrap_or_default().to_owned();
        Target::of(Arc::clone(&self.place.directory), name, path)
    }
}
