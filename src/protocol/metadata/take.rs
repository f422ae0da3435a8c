//! The metadata of the target, whoever replaces it meanwhile.

use super::Snapshot;
use crate::error::{Error, Result, Step};
use crate::options::Options;
use crate::protocol::target::{self, Target};
use crate::sys::{self, Entry, FileKind};

impl Snapshot {
    /// Reads what is to be kept of the file that the target is now.
    pub(crate) fn take(target: &Target, options: &Options) -> Result<Snapshot> {
        let at = Entry { directory: &target.directory, name: &target.name };
        let Some(existing) = target.existing_file() else { return Ok(Snapshot::default()) };
        let first = Snapshot::of(existing, at, &target.path, options);
        // Where a file that was looked at is not held, it is opened by its name for this.
        target::unless_replaced(first, || {
            let now = sys::look(at.directory, at.name)
                .map_err(|error| Error::failed(Step::Metadata, &target.path, error))?;
            match now.filter(|now| now.info.kind == FileKind::File) {
                Some(now) => Snapshot::of(&now, at, &target.path, options),
                None => Ok(Snapshot::default()),
            }
        })
    }
}
