//! The metadata of the target, whoever replaces it meanwhile.

use std::path::Path;

use super::Snapshot;
use crate::error::{Error, Result, Step};
use crate::options::Options;
use crate::protocol::target::{self, Target};
use crate::sys::{self, Entry, Existing, FileKind};

impl Snapshot {
    /// Reads what is to be kept of a file or a directory that was looked at.
    pub(crate) fn of(
        existing: &Existing,
        at: Entry<'_>,
        path: &Path,
        options: &Options,
    ) -> Result<Snapshot> {
        Snapshot::of_linked(existing, existing.info.links, at, path, options)
    }

    /// Reads what is to be kept of the file that the target is now.
    pub(crate) fn take(target: &Target, options: &Options) -> Result<Snapshot> {
        let at = Entry { directory: &target.directory, name: &target.name };
        let Some(existing) = target.existing_file() else { return Ok(Snapshot::default()) };
        let of = |existing: &Existing| {
            let links = target.links_by_others(&existing.info);
            let links = links.map_err(|error| error.of_step(Step::Metadata))?;
            Snapshot::of_linked(existing, links, at, &target.path, options)
        };
        let first = of(existing);
        // Where a file that was looked at is not held, it is opened by its name for this.
        target::unless_replaced(first, || {
            let now = sys::look(at.directory, at.name)
                .map_err(|error| Error::failed(Step::Metadata, &target.path, error))?;
            match now.filter(|now| now.info.kind == FileKind::File) {
                Some(now) => of(&now),
                None => Ok(Snapshot::default()),
            }
        })
    }
}
