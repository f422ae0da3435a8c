//! A directory that goes when its owner does.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::staged::Staged;
use crate::error::{Error, Result, Step};

/// An empty directory for the time being. It is removed with all that is in it when this is dropped
/// or [closed](ScratchDir::close), however deep that goes and whatever permissions it got.
///
/// A process that is killed leaves it behind as an orphan, which a [`sweep`](crate::sweep()) of the
/// directory that it was made in removes. Made by
/// [`AtomicDirBuilder::scratch_in`](crate::AtomicDirBuilder::scratch_in).
///
/// # Examples
///
/// ```
/// use wholefile::AtomicDir;
///
/// let scratch = AtomicDir::builder().scratch_in(std::env::temp_dir())?;
/// std::fs::write(scratch.path().join("unpacked"), "contents")?;
/// scratch.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping a ScratchDir removes it"]
pub struct ScratchDir {
    pub(super) staged: Staged,
}

impl ScratchDir {
    /// The directory. The path is absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.staged.path()
    }

    /// Removes the directory. Dropping it does the same, but cannot tell whether it worked.
    ///
    /// # Errors
    ///
    /// [`Step::RemoveTemp`] if it could not be removed; [`Error::leftover`] names it.
    pub fn close(self) -> Result<()> {
        let path = self.staged.folder().to_path_buf();
        self.staged.roll_back(&path)
    }

    /// Leaves the directory where it is. It is in use until the returned file is closed: move it
    /// before, or a [`sweep`](crate::sweep()) takes it for an orphan's.
    ///
    /// # Errors
    ///
    /// [`Step::CreateTemp`], if the system has no descriptor left; the directory is removed then.
    pub fn keep(self) -> Result<(File, PathBuf)> {
        let path = self.staged.path().to_path_buf();
        self.staged.keep().map_err(|error| Error::failed(Step::CreateTemp, &path, error))
    }
}
