//! From a path to the file that is replaced: its directory, opened once, and its name there.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf, is_separator};
use std::sync::Arc;

use super::backup;
use super::parents::CreatedParents;
use crate::concurrency::version::Version;
use crate::error::{self, Error, ErrorKind, Result, Step};
use crate::options::{HardLinks, Options, Publish, ReadOnly, SpecialFiles, Symlinks, Wanted};
use crate::sys::{self, Directory, Existing, FileId, FileKind, Info, Through};

/// As many links as Linux follows itself (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The file that is replaced. Every later step is relative to `directory`, so that nothing that
/// happens to the path changes where the file lands.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) directory: Arc<Directory>,
    pub(crate) name: OsString,
    /// The caller's path with its symlinks followed, for receipts and errors.
    pub(crate) path: PathBuf,
    /// What bears the name. A symlink only where it is to be replaced itself.
    pub(crate) existing: Option<Existing>,
    /// Set if the contents go into the file rather than into its place.
    pub(crate) through: Option<Through>,
    pub(crate) parents: CreatedParents,
    /// The version that alone may be replaced.
    pub(crate) expected: Option<Version>,
    /// Where the contents are staged, if not beside the target.
    pub(crate) place: Option<StagingPlace>,
    /// Where the old file is kept, if it is.
    pub(crate) backup: Option<backup::Place>,
}

/// A name that is this save's alone, in a directory that is its writer's alone and is locked.
#[derive(Clone, Debug)]
pub(crate) struct StagingPlace {
    pub(crate) directory: Arc<Directory>,
    /// The directory's own name, beside the target.
    pub(crate) directory_name: OsString,
    pub(crate) name: OsString,
}

/// Where a sealed file is published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) name: &'a OsStr,
    pub(crate) path: &'a Path,
    /// The file that bears the name, as far as is known.
    pub(crate) before: Option<FileId>,
}

/// As often as this may others make or remove a name of a file while its names are counted.
const MAX_COUNTS: usize = 8;

/// As often as this may others replace a file between the look at it and its opening.
const MAX_LOOKS: usize = 100;

/// Asks again where the first answer is that what was looked at is not there: another file bears
/// its name by now, or none.
pub(crate) fn unless_replaced<T>(
    first: Result<T>,
    mut again: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut answer = first;
    for _ in 1..MAX_LOOKS {
        match answer {
            Err(error) if error.kind() == ErrorKind::NotFound => answer = again(),
            _ => break,
        }
    }
    answer
}

impl Target {
    pub(crate) fn destination(&self) -> Destination<'_> {
        Destination {
            directory: &self.directory,
            name: &self.name,
            path: &self.path,
            before: self.id(),
        }
    }

    /// A target whose directory and name were found before. It is to be looked at.
    pub(crate) fn of(directory: Arc<Directory>, name: OsString, path: PathBuf) -> Target {
        let parents = CreatedParents::default();
        Target {
            directory,
            name,
            path,
            existing: None,
            through: None,
            parents,
            expected: None,
            place: None,
            backup: None,
        }
    }

    /// Finds the target of `path`, relative to `base` if given, and applies the policies to it.
    pub(crate) fn resolve(
        base: Option<Arc<Directory>>,
        path: &Path,
        options: &Options,
        expected: Option<&Version>,
    ) -> Result<Target> {
        let mut parents = CreatedParents::default();
        let mut directory = base.clone();
        let mut resolved = path.to_path_buf();
        // What is still to be resolved, relative to `directory`.
        let mut rest = Cow::Borrowed(path);
        for hop in 0..=MAX_LINKS {
            if options.wanted == Wanted::Directory {
                // Without a separator at its end.
                rest = Cow::Owned(rest.components().as_path().to_path_buf());
            }
            let (parent, name) = match split(&rest) {
                Some((parent, name)) => (parent, name.to_owned()),
                None if hop == 0 || options.wanted == Wanted::Directory => {
                    return Err(refused(ErrorKind::InvalidPath, path));
                }
                // A link whose text ends like "..", "." or "d/" leads to a directory.
                None => return Err(refused(ErrorKind::IsADirectory, path)),
            };
            if !sys::may_name_file(parent, &name) {
                return Err(refused(ErrorKind::InvalidPath, path));
            }
            let opened = open_parent(directory.as_ref(), parent, &mut parents, options, path)?;
            let existing = sys::look(&opened, &name).map_err(|error| failed(path, error))?;
            let link = existing.as_ref().filter(|it| it.info.kind == FileKind::Symlink);
            let mut through = None;
            if let Some(link) = link.filter(|_| options.symlinks != Symlinks::Replace) {
                match follow(link, &opened, &name, path, options)? {
                    Link::Descriptor => through = Some(Through::Descriptor),
                    Link::Path(text) => {
                        resolved.set_file_name(""); // what `text` is relative to
                        resolved.push(&text);
                        rest = Cow::Owned(text);
                        directory = Some(opened);
                        continue;
                    }
                }
            }
            let target = Target::of(opened, name, resolved);
            let expected = expected.cloned();
            let mut target = Target { existing, through, parents, expected, ..target };
            target.backup = backup::Place::find(&target, base.as_ref(), options)?;
            target.apply_policies(options)?;
            return Ok(target);
        }
        Err(refused(ErrorKind::SymlinkLoop, path))
    }

    /// Looks at the target anew, some time after [`Target::resolve`]. A symlink that has taken the
    /// name since is not followed: it will be replaced like any other file.
    pub(crate) fn look_again(&mut self, options: &Options) -> Result<()> {
        if self.through.is_some() {
            return Ok(());
        }
        self.existing =
            sys::look(&self.directory, &self.name).map_err(|error| failed(&self.path, error))?;
        self.apply_policies(options)
    }

    /// The existing regular file, whose metadata and contents are of interest.
    pub(crate) fn existing_file(&self) -> Option<&Existing> {
        self.existing.as_ref().filter(|existing| existing.info.kind == FileKind::File)
    }

    fn check_expected(&self) -> Result<()> {
        let Some(expected) = &self.expected else { return Ok(()) };
        let refuse = |kind| Err(refused(kind, &self.path));
        match self.existing.as_ref().map(|existing| existing.info.kind) {
            Some(FileKind::Directory) => refuse(ErrorKind::IsADirectory),
            // What is written into it could not be taken back.
            Some(FileKind::Special) => refuse(ErrorKind::SpecialFile),
            _ if self.through.is_some() => refuse(ErrorKind::SpecialFile),
            _ if !expected.is(self.existing.as_ref()) => refuse(ErrorKind::Conflict),
            _ => Ok(()),
        }
    }

    /// How many names of the target, as it was looked at, are not those of its backup, which
    /// somebody makes at this moment, or was killed while making it.
    pub(crate) fn links_by_others(&self, info: &Info) -> Result<u64> {
        let Some(place) = self.backup.as_ref().filter(|_| info.links > 1) else {
            return Ok(info.links);
        };
        let links = || {
            let mut seen = info.clone();
            for _ in 0..MAX_COUNTS {
                let own = place.names_of(seen.id)?;
                // They were looked at one after the other, and somebody may have made or removed
                // names meanwhile.
                match sys::look(&self.directory, &self.name)? {
                    Some(now) if has_same_links(&seen, &now.info) => {
                        return Ok(seen.links.saturating_sub(own));
                    }
                    Some(now) if now.info.id == seen.id => seen = now.info,
                    _ => break,
                }
            }
            Ok(info.links)
        };
        links().map_err(|error| failed(&self.path, error))
    }

    /// The file or directory that was found at the target's name.
    pub(crate) fn id(&self) -> Option<FileId> {
        self.existing.as_ref().map(|existing| existing.info.id)
    }

    fn apply_policies(&mut self, options: &Options) -> Result<()> {
        let refuse = |kind| Err(refused(kind, &self.path));
        self.check_expected()?;
        let Some(Existing { info, .. }) = &self.existing else {
            return match options.publish {
                Publish::Existing => refuse(ErrorKind::NotFound),
                Publish::Replace | Publish::CreateNew => Ok(()),
            };
        };
        if options.wanted == Wanted::Directory {
            return match info.kind {
                _ if self.through.is_some() => refuse(ErrorKind::Unsupported),
                FileKind::File | FileKind::Special => refuse(ErrorKind::NotADirectory),
                _ if options.publish == Publish::CreateNew => refuse(ErrorKind::AlreadyExists),
                FileKind::Symlink if options.symlinks == Symlinks::Refuse => {
                    refuse(ErrorKind::Symlink)
                }
                FileKind::Directory | FileKind::Symlink => Ok(()),
            };
        }
        if info.kind == FileKind::Directory {
            return refuse(ErrorKind::IsADirectory);
        }
        if options.publish == Publish::CreateNew {
            return refuse(ErrorKind::AlreadyExists);
        }
        if info.kind == FileKind::Special || self.through.is_some() {
            if options.special_files == SpecialFiles::Refuse {
                return refuse(ErrorKind::SpecialFile);
            }
            if self.through.is_none() && is_planted(&self.directory, info, &self.path)? {
                return Err(failed(&self.path, error::planted()));
            }
            self.through.get_or_insert(Through::File);
            return Ok(());
        }
        if info.kind == FileKind::File {
            if options.hard_links == HardLinks::Refuse && self.links_by_others(info)? > 1 {
                return refuse(ErrorKind::HardLinked);
            }
            if options.read_only == ReadOnly::Refuse && info.read_only {
                return refuse(ErrorKind::ReadOnly);
            }
        }
        Ok(())
    }
}

enum Link {
    /// It leads on to this path.
    Path(PathBuf),
    /// It leads to an open descriptor.
    Descriptor,
}

fn follow(
    link: &Existing,
    directory: &Directory,
    name: &OsStr,
    path: &Path,
    options: &Options,
) -> Result<Link> {
    if options.symlinks == Symlinks::Refuse {
        return Err(refused(ErrorKind::Symlink, path));
    }
    // Linux has this rule for the links that it follows itself (fs.protected_symlinks in
    // proc_sys_fs(5)). Here it only ever reads them, so that it could not apply it.
    if is_planted(directory, &link.info, path)? {
        return Err(failed(path, error::planted()));
    }
    if sys::leads_to_descriptor(directory, name).map_err(|error| failed(path, error))? {
        return Ok(Link::Descriptor);
    }
    sys::read_link(link, directory, name).map(Link::Path).map_err(|error| failed(path, error))
}

fn has_same_links(one: &Info, other: &Info) -> bool {
    let of = |info: &Info| (info.id, info.links, info.changed);
    of(one) == of(other)
}

fn is_planted(directory: &Directory, info: &Info, path: &Path) -> Result<bool> {
    sys::may_be_planted(directory, info).map_err(|error| failed(path, error))
}

/// Opens the directory `parent`, relative to the one at hand; an empty path is that one itself.
fn open_parent(
    directory: Option<&Arc<Directory>>,
    parent: &Path,
    parents: &mut CreatedParents,
    options: &Options,
    path: &Path,
) -> Result<Arc<Directory>> {
    let here = parent.as_os_str().is_empty();
    if let (Some(directory), true) = (directory, here) {
        return Ok(Arc::clone(directory));
    }
    let parent = if here { Path::new(".") } else { parent };
    match sys::open_directory(directory.map(|directory| &**directory), parent) {
        Ok(opened) => Ok(Arc::new(opened)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && options.create_parents => parents
            .open(directory, parent)
            .map_err(|error| Error::failed(Step::CreateParents, path, error)),
        Err(error) => Err(failed(path, error)),
    }
}

/// The directory part and the name, if `path` names a file.
pub(super) fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let name_len = bytes.iter().rev().take_while(|byte| !is_separator(char::from(**byte))).count();
    let name = &bytes[bytes.len() - name_len..];
    if bytes.contains(&0) || matches!(name, b"" | b"." | b"..") {
        return None;
    }
    Some((path.parent()?, path.file_name()?))
}

fn refused(kind: ErrorKind, path: &Path) -> Error {
    Error::refused(kind, Step::Resolve, path)
}

pub(super) fn failed(path: &Path, error: io::Error) -> Error {
    let kind = match () {
        () if sys::is_loop(&error) => Some(ErrorKind::SymlinkLoop),
        () if sys::is_too_long(&error) => Some(ErrorKind::InvalidPath),
        () => None,
    };
    let error = Error::failed(Step::Resolve, path, error);
    match kind {
        Some(kind) => error.with_kind(kind),
        None => error,
    }
}

/// Checks that `name`, which is to be relative to a directory, is a single component.
pub(crate) fn require_one_component(name: &Path) -> Result<()> {
    match split(name) {
        Some((parent, _)) if parent.as_os_str().is_empty() => Ok(()),
        _ => Err(refused(ErrorKind::InvalidPath, name)),
    }
}
