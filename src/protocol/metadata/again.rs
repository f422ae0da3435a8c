//! Handing metadata on a second time, to a directory or a file that was given an older state of it
//! when it was made, and may have been changed by its user since.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use super::Snapshot;
use super::acl::Acl;
use super::losses::Losses;
use crate::commit::NotPreserved;
use crate::error::{Error, Result, Step};
use crate::options::{Metadata, Options};
use crate::sys;

/// What a snapshot hands on, to be compared with a later one. Times are no part of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HandedOn {
    info: Option<Kept>,
    xattrs: Vec<(OsString, Vec<u8>)>,
    acl: Acl,
}

#[derive(Debug, PartialEq, Eq)]
struct Kept {
    owner: (u32, u32),
    mode: u32,
    flags: u32,
}

impl HandedOn {
    pub(crate) fn xattr_names(&self) -> Vec<OsString> {
        names_of(&self.xattrs)
    }
}

fn names_of(xattrs: &[(OsString, Vec<u8>)]) -> Vec<OsString> {
    xattrs.iter().map(|(name, _)| name.clone()).collect()
}

impl Snapshot {
    /// The names of the xattrs that it hands on.
    pub(crate) fn xattr_names(&self) -> Vec<OsString> {
        names_of(&self.xattrs)
    }

    /// What it hands on.
    pub(crate) fn handed_on(&self) -> HandedOn {
        let info = self.old.as_ref();
        let info = info.map(|it| Kept { owner: (it.uid, it.gid), mode: it.mode, flags: it.flags });
        let mut xattrs = self.xattrs.clone();
        xattrs.sort();
        HandedOn { info, xattrs, acl: self.acl.clone() }
    }

    /// As [`apply`](Snapshot::apply), to what was given the xattrs `before` when it was made.
    pub(crate) fn apply_after(
        &mut self,
        before: &[OsString],
        file: &File,
        path: &Path,
        options: &Options,
    ) -> Result<Vec<NotPreserved>> {
        let is_gone = |name: &OsString| self.xattrs.iter().all(|(kept, _)| kept != name);
        let mut gone = before.iter().filter(|name| is_gone(name));
        let mut lost = Vec::new();
        if let Some(first) = gone.next() {
            let failed = |error| Error::failed(Step::Metadata, path, error);
            let present = sys::list_xattrs(file).map_err(failed)?;
            let mut losses = Losses::new(options, path, &mut lost);
            for name in std::iter::once(first).chain(gone).filter(|name| present.contains(name)) {
                let removed = sys::remove_xattr(file, name);
                losses.unless_lost(Metadata::Xattrs, Some(name), removed)?;
            }
        }
        lost.extend(self.apply(file, path, options)?);
        Ok(lost)
    }

    /// Applies the times alone.
    pub(crate) fn apply_times_to(
        &self,
        file: &File,
        path: &Path,
        options: &Options,
    ) -> Result<Vec<NotPreserved>> {
        let mut lost = Vec::new();
        self.apply_times(file, &mut Losses::new(options, path, &mut lost))?;
        Ok(lost)
    }
}
