//! The version of the published file, for those who ask for it on the receipt.
//!
//! What others may do to the file once it is published must not become a part of the version, or
//! their changes would be lost to the next save. So length and time are those of the sealed file,
//! and only the time of the last change of status, which the publishing itself sets, is read
//! afterwards.

use std::fs::File;
use std::io::{self, SeekFrom};
use std::path::Path;

use super::staging::{Contents, Plan};
use super::sync::{Sealed, SealedFile};
use super::target::Target;
use crate::concurrency::version::{self, Digest, Version, Way};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::fault::Op;
use crate::options::{Options, Publish, Tracking};
use crate::sys::{self, Entry, Existing};

/// The sealed file, held under whatever name it has.
pub(crate) struct Tracked {
    existing: Existing,
    contents: Option<Digest>,
}

/// Whether the expected version can be published over at all.
pub(crate) fn check_expected(
    expected: Option<&Version>,
    options: &Options,
    path: &Path,
) -> Result<()> {
    match (expected.map(Version::is_of_a_file), options.publish) {
        (Some(true), Publish::CreateNew) | (Some(false), Publish::Existing) => {
            Err(Error::refused(ErrorKind::InvalidOption, Step::Resolve, path))
        }
        _ => Ok(()),
    }
}

/// Holds the sealed file before it is published, if the options ask for its version.
pub(crate) fn before(
    sealed: Sealed,
    target: &Target,
    options: &Options,
) -> Result<(Sealed, Option<Tracked>)> {
    let (SealedFile::Open(file), true) = (&sealed.file, options.tracking != Tracking::None) else {
        return Ok((sealed, None));
    };
    match hold(file, sealed.name.entry(), options) {
        Ok(tracked) => Ok((sealed, tracked)),
        Err(error) => {
            let error = Error::failed(Step::Read, &target.path, error);
            Err(sealed.name.abandon(&target.path, error))
        }
    }
}

/// `None` if the file has lost its name, which publishing it will show.
fn hold(file: &File, entry: Entry<'_>, options: &Options) -> io::Result<Option<Tracked>> {
    let Some(mut existing) = sys::look(entry.directory, entry.name)? else { return Ok(None) };
    if sys::inspect(file)?.id != existing.info.id {
        return Ok(None);
    }
    sys::hold(&mut existing, entry.directory, entry.name)?;
    let contents = match options.tracking {
        Tracking::Contents => {
            sys::seek(file, SeekFrom::Start(0))?;
            Some(Digest::of(sys::Reader(Op::ReadTemp, file), existing.info.len)?)
        }
        Tracking::None | Tracking::Metadata => None,
    };
    Ok(Some(Tracked { existing, contents }))
}

impl Tracked {
    /// The version, once the file is published under the name of `target`. If that cannot be looked
    /// at any more, or if somebody has changed it already, it is one that is not current.
    pub(crate) fn version(self, target: &Target, way: Way) -> Version {
        let Tracked { mut existing, contents } = self;
        if let Ok(now) = sys::inspect_held(&existing, &target.directory, &target.name) {
            let sealed = &mut existing.info;
            if sys::MODIFIED_IS_SET_AT_CLOSE {
                // By ourselves as likely as by anybody else.
                sealed.times.modified = now.times.modified;
            }
            if version::has_same_state(sealed, &now) {
                existing.info = now;
            }
        }
        Version::of_held(way, existing, contents)
    }
}

/// The version of a target that had the new contents already: `existing`, as it was looked at
/// before they were compared. They are those of the writer, or those given.
pub(crate) fn of_unchanged(
    contents: &mut Contents,
    new: Option<&[u8]>,
    plan: Plan<'_>,
    mut existing: Existing,
    way: Way,
) -> Result<Version> {
    let Plan { target, options } = plan;
    let failed = |error| Error::failed(Step::Read, &target.path, error);
    sys::hold(&mut existing, &target.directory, &target.name).map_err(failed)?;
    let mut digest = None;
    if options.tracking == Tracking::Contents {
        let len = existing.info.len;
        let of = match new {
            Some(new) => Digest::of(new, len),
            None => match contents.rewind(plan)? {
                Some(file) => Digest::of(sys::Reader(Op::ReadTemp, file), len),
                None => Digest::of(contents.in_memory().unwrap_or_default(), len),
            },
        };
        digest = Some(of.map_err(failed)?);
    }
    Ok(Version::of_held(way, existing, digest))
}
