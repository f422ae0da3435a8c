//! The metadata of the target, whoever replaces it meanwhile.

use super::Snapshot;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::options::Options;
use crate::protocol::target::Target;
use crate::sys::{self, Entry, FileKind};

/// As often as this may others replace the target while it is asked for its metadata.
const MAX_LOOKS: usize = 100;

impl Snapshot {
    /// Reads what is to be kept of the file that the target is now.
    pub(crate) fn take(target: &Target, options: &Options) -> Result<Snapshot> {
        let at = Entry { directory: &target.directory, name: &target.name };
        let Some(existing) = target.existing_file() else { return Ok(Snapshot::default()) };
        let mut snapshot = Snapshot::of(existing, at, &target.path, options);
        for _ in 1..MAX_LOOKS {
            // Where a file that was looked at is not held, and is opened by its name for this,
            // another one bears that by now, or none.
            if !matches!(&snapshot, Err(error) if error.kind() == ErrorKind::NotFound) {
                break;
            }
            let now = sys::look(at.directory, at.name)
                .map_err(|error| Error::failed(Step::Metadata, &target.path, error))?;
            snapshot = match now.filter(|now| now.info.kind == FileKind::File) {
                Some(now) => Snapshot::of(&now, at, &target.path, options),
                None => Ok(Snapshot::default()),
            };
        }
        snapshot
    }
}
