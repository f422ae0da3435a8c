//! Handing the old file's owner, mode, ACL, xattrs and times on to the new one.
//!
//! The order is such that the staged file is never readable by more people than the published one:
//! plain xattrs, then the owner while the mode is narrow, then the ACL (whose entry for the owning
//! group must not meet another group) as far as the mode to come allows it, then the mode (a change
//! of owner clears setuid and setgid), then the file capabilities (a change of owner removes them),
//! then the times, then the flags of chflags(2), since one of them may forbid any further change.

mod acl;
mod again;
mod losses;
mod new_file;
mod security;
mod take;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;

use self::acl::Acl;
pub(crate) use self::again::HandedOn;
use self::losses::Losses;
pub(crate) use self::new_file::permit_as_created;
use crate::commit::NotPreserved;
use crate::error::{Error, Result, Step};
use crate::options::{Metadata, Options, Preserve};
use crate::sys::{self, Creation, Entry, Existing, FileKind, Info, Security};

const CAPABILITIES: &str = "security.capability";
/// Checksums of the contents and of other metadata, which are wrong for a new file.
const CHECKSUMS: [&str; 2] = ["security.ima", "security.evm"];
/// What is made in a directory gets its ACL from this.
const DEFAULT_ACL: &str = "system.posix_acl_default";
/// The ACLs once more, as XFS shows them to root.
const ACLS_ON_XFS: [&str; 2] = ["trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT"];

const SETUID_AND_SETGID: u32 = 0o6000;

/// What the published file is to have, taken from the file that it replaces and from the options.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// The file that is replaced, if it is a regular one and nobody's trap.
    old: Option<Info>,
    xattrs: Vec<(OsString, Vec<u8>)>,
    acl: Acl,
    security: Option<Security>,
    /// Beside what any new file gets, the most that may be allowed, if there is no `old`.
    ceiling: Option<u32>,
    not_preserved: Vec<NotPreserved>,
}

/// Whether a step has anything to do, or has done anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    None,
    Some,
}

impl Snapshot {
    /// Reads what is to be kept of a file or a directory that was looked at, and that has so many
    /// names by others.
    fn of_linked(
        existing: &Existing,
        links: u64,
        at: Entry<'_>,
        path: &Path,
        options: &Options,
    ) -> Result<Snapshot> {
        let mut snapshot = Snapshot::default();
        let Entry { directory, name } = at;
        let by_others = Info { links, ..existing.info.clone() };
        let mut losses = Losses::new(options, path, &mut snapshot.not_preserved);
        let is_planted = sys::may_be_planted(directory, &by_others)
            .map_err(|error| Error::failed(Step::Metadata, path, error))?;
        if is_planted {
            // Whoever planted it would own the contents, or may read or even run them.
            for metadata in [Metadata::Owner, Metadata::Mode, Metadata::Xattrs, Metadata::Times] {
                let denied = Err(io::ErrorKind::PermissionDenied.into());
                losses.unless_lost::<()>(metadata, None, denied)?;
            }
            snapshot.ceiling = Some(ceiling(existing, at));
            return Ok(snapshot);
        }
        snapshot.old = Some(existing.info.clone());
        snapshot.security = security::take(existing, directory, name, &mut losses)?;
        let listed = sys::list_xattrs_of(existing, directory, name);
        if listed.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Unsupported) {
            snapshot.acl = Acl::UNKNOWN;
        }
        let names = losses.unless_lost(Metadata::Xattrs, None, listed)?.unwrap_or_default();
        for xattr in names.into_iter().filter(|xattr| is_of_interest(xattr, options)) {
            let value = sys::get_xattr_of(existing, directory, name, &xattr);
            let value = losses.unless_lost(Metadata::Xattrs, Some(&xattr), value)?;
            match (value, xattr == acl::NAME) {
                (Some(Some(value)), true) => snapshot.acl = Acl::Present(value),
                (None, true) => snapshot.acl = Acl::UNKNOWN,
                (Some(Some(value)), false) => snapshot.xattrs.push((xattr, value)),
                (Some(None), _) | (None, false) => {}
            }
        }
        if let (Acl::Present(value), Preserve::Skip) = (&snapshot.acl, options.preserve.xattrs) {
            snapshot.acl = Acl::lost(value);
        }
        Ok(snapshot)
    }

    /// How the temp file is created: open to nobody to whom the published file will not be.
    pub(crate) fn creation(&self, options: &Options) -> Creation<'_> {
        let owner_of = self.security.as_ref().filter(|_| security::keeps_owner(options));
        let access_of = self.security.as_ref().filter(|_| security::keeps_access(options));
        Creation { mode: self.creation_mode(options), owner_of, access_of }
    }

    /// The same for a file that is staged for longer, while the target may be closed to others.
    pub(crate) fn creation_for_longer(&self, options: &Options) -> Creation<'_> {
        let creation = self.creation(options);
        Creation { mode: creation.mode.map(|mode| mode & 0o700), ..creation }
    }

    /// The permissions with which the temp file is created: at most those of the published file
    /// whoever owns it meanwhile, or `None` for those that any new file gets.
    fn creation_mode(&self, options: &Options) -> Option<u32> {
        let mode = match (&self.old, options.mode, options.preserve.mode) {
            (_, Some(mode), _) => mode,
            (Some(old), None, Preserve::Require | Preserve::Try) => old.mode,
            (None, None, Preserve::Require | Preserve::Try) => return self.ceiling,
            _ => return None,
        };
        let shared = if self.acl == Acl::Absent { shared_by_all(mode) } else { 0 };
        // Some xattrs can be set only on a file that its owner may write.
        let writable = if self.xattrs.is_empty() { 0 } else { 0o200 };
        Some(mode & 0o600 | shared | writable)
    }

    /// Applies it to the staged file, and gives what could not be kept.
    pub(crate) fn apply(
        &mut self,
        file: &File,
        path: &Path,
        options: &Options,
    ) -> Result<Vec<NotPreserved>> {
        let mut not_preserved = std::mem::take(&mut self.not_preserved);
        if self.has_nothing_to_set(options) {
            return Ok(not_preserved);
        }
        let mut losses = Losses::new(options, path, &mut not_preserved);
        let mut now = inspect(file, path)?;
        let modes = self.modes_of(&now, options);
        if let Some(security) = &self.security {
            security::apply(security, file, &mut losses)?;
        }
        self.apply_xattrs(file, &mut losses, Turn::BeforeOwner)?;
        let owner = self.apply_owner(file, &now, &mut losses)?;
        if owner == Work::Some {
            now = inspect(file, path)?; // the mode has changed as well
        }
        let acl = self.apply_acl(file, &now, &mut losses)?;
        self.remove_default_acl(file, &mut losses)?;
        if acl == Work::Some {
            now = inspect(file, path)?; // here too
        }
        self.apply_mode(file, &now, modes, &mut losses)?;
        self.apply_xattrs(file, &mut losses, Turn::AfterOwner)?;
        self.apply_times(file, &mut losses)?;
        self.apply_flags(file, &now, &mut losses)?;
        Ok(not_preserved)
    }

    /// Whether the permissions with which the file is created are those that it keeps.
    pub(crate) fn has_nothing_to_set(&self, options: &Options) -> bool {
        self.old.is_none() && options.mode.is_none()
    }

    /// `now` is the temp file as it was created.
    fn modes_of(&self, now: &Info, options: &Options) -> Modes {
        let asked_for = self.creation_mode(options).unwrap_or(0o666);
        if now.mode & !asked_for == 0 { Modes::Kept } else { Modes::Doubtful }
    }

    fn apply_xattrs(&self, file: &File, losses: &mut Losses<'_>, turn: Turn) -> Result<()> {
        for (name, value) in self.xattrs.iter().filter(|(name, _)| Turn::of(name) == turn) {
            let set = sys::set_xattr(file, name, value);
            losses.unless_lost(Metadata::Xattrs, Some(name), set)?;
        }
        Ok(())
    }

    fn apply_owner(&self, file: &File, now: &Info, losses: &mut Losses<'_>) -> Result<Work> {
        let Some(old) = &self.old else { return Ok(Work::None) };
        let wanted = losses.options.preserve.owner != Preserve::Skip;
        if !wanted || (old.uid, old.gid) == (now.uid, now.gid) {
            return Ok(Work::None);
        }
        let uid = (old.uid != now.uid).then_some(old.uid);
        let gid = (old.gid != now.gid).then_some(old.gid);
        let mut set = sys::set_owner(file, uid, gid);
        if set.is_ok() {
            // A file system without owners may accept the call and do nothing.
            let after = inspect(file, losses.path)?;
            if (after.uid, after.gid) != (old.uid, old.gid) {
                set = Err(io::ErrorKind::Unsupported.into());
            }
        } else if uid.is_some() && gid.is_some() {
            // Only root may give a file away, but anybody may hand it to another of their groups.
            // Whether that worked shows in the file; the loss of the owner is reported either way.
            let _ = sys::set_owner(file, None, gid);
        }
        losses.unless_lost(Metadata::Owner, None, set)?;
        Ok(Work::Some)
    }

    /// Sets the old ACL, or removes the one that the directory's default gave to the temp file.
    /// `now` is the temp file with its owner.
    fn apply_acl(&mut self, file: &File, now: &Info, losses: &mut Losses<'_>) -> Result<Work> {
        let preserve = losses.options.preserve;
        if self.old.is_none() || [preserve.mode, preserve.xattrs].contains(&Preserve::Skip) {
            return Ok(Work::None);
        }
        let name = OsStr::new(acl::NAME);
        let changed = if let Acl::Present(value) = &self.acl {
            // The mode is set later, and may leave less to others than the old ACL.
            let mode = self.mode(now, losses.options).map_or(0, |(_, mode)| mode);
            let value = &acl::narrowed(value, mode);
            // btrfs changes the mode before it has the ACL that the mode belongs to: for a moment
            // the mask would count as the group's rights. So the first one lets nobody in.
            let closed = acl::for_the_owner_alone(value);
            let first = match closed == *value {
                true => Ok(()),
                false => sys::set_xattr(file, name, &closed),
            };
            first.and_then(|()| sys::set_xattr(file, name, value))
        } else {
            let listed = sys::list_xattrs(file);
            let present = losses.unless_lost(Metadata::Xattrs, None, listed)?.unwrap_or_default();
            if !present.iter().any(|xattr| xattr == name) {
                return Ok(Work::None);
            }
            sys::remove_xattr(file, name)
        };
        if losses.unless_lost(Metadata::Xattrs, Some(name), changed)?.is_none() {
            self.acl = match &self.acl {
                Acl::Present(value) => Acl::lost(value),
                // The one that could not be removed may let in whom the mode is to keep out.
                Acl::Absent | Acl::Lost { .. } => Acl::UNKNOWN,
            };
        }
        Ok(Work::Some)
    }

    /// Removes the default ACL that the new directory has from its parent and the old one had not.
    fn remove_default_acl(&self, file: &File, losses: &mut Losses<'_>) -> Result<()> {
        let is_directory = self.old.as_ref().is_some_and(|old| old.kind == FileKind::Directory);
        let is_handed_on = self.xattrs.iter().any(|(name, _)| name == DEFAULT_ACL);
        if !is_directory || is_handed_on || losses.options.preserve.xattrs == Preserve::Skip {
            return Ok(());
        }
        let name = OsStr::new(DEFAULT_ACL);
        let listed = sys::list_xattrs(file);
        let present = losses.unless_lost(Metadata::Xattrs, None, listed)?.unwrap_or_default();
        if present.iter().any(|xattr| xattr == name) {
            let removed = sys::remove_xattr(file, name);
            losses.unless_lost(Metadata::Xattrs, Some(name), removed)?;
        }
        Ok(())
    }

    /// The mode that is wanted, and the one that may be set with the owner and the ACL that the
    /// file has `now`; `None` if it is left as it is.
    fn mode(&self, now: &Info, options: &Options) -> Option<(u32, u32)> {
        match (options.mode, &self.old) {
            (Some(mode), _) => Some((mode & 0o7777, mode & 0o7777)),
            (None, Some(old)) if options.preserve.mode != Preserve::Skip => {
                Some((old.mode, mode_for(old, now, &self.acl)))
            }
            _ => None,
        }
    }

    fn apply_mode(
        &self,
        file: &File,
        now: &Info,
        modes: Modes,
        losses: &mut Losses<'_>,
    ) -> Result<()> {
        let Some((wanted, mode)) = self.mode(now, losses.options) else { return Ok(()) };
        let mut set = Ok(());
        if mode != now.mode {
            set = sys::set_mode(file, mode);
            // Linux leaves out setgid without a word if the caller is not in the group (chmod(2)).
            let is_special = mode & SETUID_AND_SETGID != 0;
            let is_in_doubt = is_special || modes == Modes::Doubtful;
            if set.is_ok() && is_in_doubt && inspect(file, losses.path)?.mode != mode {
                set = Err(io::ErrorKind::PermissionDenied.into());
            }
        }
        if set.is_ok() && mode != wanted {
            set = Err(io::ErrorKind::PermissionDenied.into()); // for want of the owner or the ACL
        }
        losses.unless_lost(Metadata::Mode, None, set).map(drop)
    }

    fn apply_flags(&self, file: &File, now: &Info, losses: &mut Losses<'_>) -> Result<()> {
        let Some(old) = &self.old else { return Ok(()) };
        if losses.options.preserve.mode == Preserve::Skip || old.flags == now.flags {
            return Ok(());
        }
        let set = sys::set_flags(file, old.flags);
        losses.unless_lost(Metadata::Mode, None, set).map(drop)
    }

    fn apply_times(&self, file: &File, losses: &mut Losses<'_>) -> Result<()> {
        let Some(old) = &self.old else { return Ok(()) };
        if losses.options.preserve.times == Preserve::Skip {
            return Ok(());
        }
        let set = sys::set_times(file, old.times);
        losses.unless_lost(Metadata::Times, None, set).map(drop)
    }
}

/// What the file system makes of permission bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Modes {
    Kept,
    /// The temp file has bits that nobody asked for. FAT, for one, accepts any and keeps none.
    Doubtful,
}

/// When an xattr is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    BeforeOwner,
    AfterOwner,
}

impl Turn {
    fn of(name: &OsStr) -> Turn {
        match name.to_str() {
            Some(CAPABILITIES) => Turn::AfterOwner,
            _ => Turn::BeforeOwner,
        }
    }
}

/// The ACL counts even where xattrs are skipped, since the mode does not mean the same without it.
fn is_of_interest(name: &OsStr, options: &Options) -> bool {
    if name == acl::NAME {
        return options.preserve.mode != Preserve::Skip;
    }
    let is_of_another_kind = ACLS_ON_XFS.iter().chain(&CHECKSUMS).any(|it| name == *it);
    options.preserve.xattrs != Preserve::Skip && !is_of_another_kind
}

/// What everybody may do is the same under any owner and group, unless an ACL says more.
fn shared_by_all(mode: u32) -> u32 {
    let for_all = mode & (mode >> 3) & (mode >> 6) & 0o7;
    for_all << 3 | for_all
}

/// The permissions that a planted file may lend to its successor. It may be no trap at all but a
/// user's private file, so that whom it kept out is kept out still.
fn ceiling(planted: &Existing, at: Entry<'_>) -> u32 {
    let may_have_acl = match sys::list_xattrs_of(planted, at.directory, at.name) {
        Ok(names) => names.iter().any(|xattr| xattr == acl::NAME),
        Err(error) => error.kind() != io::ErrorKind::Unsupported,
    };
    let shared = if may_have_acl { 0 } else { shared_by_all(planted.info.mode) };
    0o600 | shared & 0o066
}

/// The old file's mode as it may be with the owner and the ACL that the new file has. If the owner
/// is not the old one, setuid and setgid would lend somebody else's rights. If the group is not, or
/// the ACL that restricted it is gone, the group may do no more than everybody could, nor may those
/// who were in the group and count as everybody now.
fn mode_for(old: &Info, now: &Info, acl: &Acl) -> u32 {
    let mut mode = old.mode;
    if (old.uid, old.gid) != (now.uid, now.gid) {
        mode &= !SETUID_AND_SETGID;
    }
    let left_by_acl = if let Acl::Lost { shared } = acl { Some(*shared) } else { None };
    if old.gid != now.gid || left_by_acl.is_some() {
        let shared = mode & (mode >> 3) & left_by_acl.unwrap_or(0o7);
        mode = mode & !0o77 | shared << 3 | shared;
    }
    mode
}

fn inspect(file: &File, path: &Path) -> Result<Info> {
    sys::inspect(file).map_err(|error| Error::failed(Step::Metadata, path, error))
}
