//! The staged file for others: for a child process, or for a look at what was not committed.

use std::fs::File;
use std::path::PathBuf;

use super::AtomicWriter;
use crate::error::{Error, ErrorKind, Result, Step};

impl AtomicWriter {
    /// The path of the temp file, so that another program can write to it.
    ///
    /// Forces the contents onto disk, under a name, whose end says nothing of what is in the file.
    /// The path is absolute where the system can tell (Linux: always). Whoever still writes to the
    /// file after the commit writes to the target: wait for the program's end. The program must
    /// run as the same user, since the file is open to nobody else yet, and
    /// write into the file and not replace it: a commit of another file of this name is refused
    /// with [`ErrorKind::StagingReplaced`].
    ///
    /// # Errors
    ///
    /// [`Step::CreateTemp`] or [`Step::Write`], with the kind of the system's error, if the
    /// contents could not be put on disk; [`ErrorKind::Unsupported`] if the target is written
    /// through ([`SpecialFiles::WriteThrough`](crate::SpecialFiles::WriteThrough)), since its
    /// staged file has no name; the writer is as before then. The target is untouched.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use wholefile::AtomicWriter;
    ///
    /// let mut writer = AtomicWriter::builder().open("sorted.txt")?;
    /// let status = std::process::Command::new("sort")
    ///     .args(["-o".as_ref(), writer.staging_path()?.as_os_str(), "words.txt".as_ref()])
    ///     .status()?;
    /// if status.success() {
    ///     writer.commit()?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn staging_path(&mut self) -> Result<PathBuf> {
        if self.poison.is_none() && self.target.through.is_some() {
            // Nothing has failed: what was written so far can still be committed.
            let path = &self.target.path;
            return Err(Error::refused(ErrorKind::Unsupported, Step::CreateTemp, path));
        }
        self.run(|contents, plan| contents.path_on_disk(plan))
    }

    /// The staged file, with all in it that was written so far, so that a child process can be
    /// given it as its stdout.
    ///
    /// Forces the contents onto disk. The file's cursor is the writer's, so that what the child
    /// writes comes after what was written before, and what is written later after that. A write to
    /// the file that fails does not poison the writer: ask the child for its exit status, and wait
    /// for that, since what it writes after the commit is written to the target.
    ///
    /// # Errors
    ///
    /// [`Step::CreateTemp`] or [`Step::Write`], with the kind of the system's error, if the
    /// contents could not be put on disk. The target is untouched.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use wholefile::AtomicWriter;
    ///
    /// let mut writer = AtomicWriter::builder().open("packages.txt")?;
    /// let status = std::process::Command::new("dpkg")
    ///     .arg("-l")
    ///     .stdout(writer.as_file()?.try_clone()?)
    ///     .status()?;
    /// if status.success() {
    ///     writer.commit()?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_file(&mut self) -> Result<&File> {
        self.run(|contents, plan| contents.on_disk(plan).map(drop))?;
        let (contents, plan) = self.parts();
        contents.on_disk(plan)
    }

    /// Ends the save without publishing it, and leaves the staged file in the target's directory
    /// under its own name: for contents that are worth a look although they were not worth a
    /// commit.
    ///
    /// The file is neither synced nor does it have the target's metadata. It still has the name of
    /// a temp file, and is locked until the returned one is closed: rename it before, or a
    /// [`sweep`](crate::sweep()) takes it for an orphan.
    ///
    /// # Errors
    ///
    /// As for [`staging_path`](AtomicWriter::staging_path). The staged file is removed then, and
    /// the target is untouched.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use wholefile::AtomicWriter;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("out.json");
    /// let mut writer = AtomicWriter::builder().open(&path)?;
    /// writer.write_all(b"{ \"broken\": ")?;
    /// let (_file, kept) = writer.keep()?;
    /// assert!(!path.exists());
    /// assert_eq!(std::fs::read(kept)?, b"{ \"broken\": ");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keep(mut self) -> Result<(File, PathBuf)> {
        let path = match self.staging_path() {
            Ok(path) => path,
            Err(error) => return Err(self.contents.abandon(&self.target.path, error)),
        };
        let refused = Error::refused(ErrorKind::Unsupported, Step::CreateTemp, &self.target.path);
        let temp = self.contents.into_temp().ok_or(refused)?;
        self.target.parents.keep();
        Ok((temp.keep().0, path))
    }
}
