//! The times of a tree's own directory, which its publishing may change: XFS counts the new parent
//! of an exchanged directory as a change of its contents (`xfs_cross_rename` in
//! fs/xfs/xfs_inode.c).

use std::fs::File;
use std::io;

use super::staged::Staged;
use crate::commit::NotPreserved;
use crate::options::{Durability, Metadata, Options, Preserve};
use crate::sys::{self, Times};

/// The times that a staged tree was given, if they are to be kept.
#[derive(Debug)]
pub(super) struct KeptTimes(Option<(File, Times)>);

impl KeptTimes {
    pub(super) fn of(staged: &Staged, options: &Options) -> io::Result<KeptTimes> {
        if options.preserve.get(Metadata::Times) == Preserve::Skip {
            return Ok(KeptTimes(None));
        }
        let file = sys::file_of(staged.root())?;
        let times = sys::inspect(&file)?.times;
        Ok(KeptTimes(Some((file, times))))
    }

    /// Gives them to the published tree once more, if it has others now. Gives what it could not.
    pub(super) fn restore(self, durability: Durability) -> Option<NotPreserved> {
        let (file, times) = self.0?;
        let restore = || {
            if sys::inspect(&file)?.times.modified == times.modified {
                return Ok(());
            }
            sys::set_times(&file, times)?;
            match durability {
                Durability::Full => sys::sync_file(&file, durability).map(drop),
                _ => Ok(()),
            }
        };
        let error: io::Error = restore().err()?;
        Some(NotPreserved { metadata: Metadata::Times, xattr: None, cause: error.kind() })
    }
}
