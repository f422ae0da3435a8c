//! The part of the public interface that only one system has.

#[cfg(unix)]
mod unix {
    use std::os::fd::AsFd;
    use std::path::Path;

    use crate::builder::Builder;
    use crate::error::{Error, Result, Step};
    use crate::protocol::target;
    use crate::sys::Directory;
    use crate::writer::AtomicWriter;

    impl Builder {
        /// The permission bits of the published file, whether it is new or replaces another:
        /// exactly these, whatever the umask. Default: those of the file that is replaced, and for
        /// a new file what [`File::create`](std::fs::File::create) would give it.
        ///
        /// # Platform
        ///
        /// Unix only.
        ///
        /// # Examples
        ///
        /// ```
        /// # let dir = tempfile::tempdir()?;
        /// # let path = dir.path().join("token");
        /// wholefile::AtomicWriter::builder().mode(0o600).write(&path, "secret")?;
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn mode(&mut self, mode: u32) -> &mut Self {
            self.options.mode = Some(mode);
            self
        }

        /// Starts a save of the file `name` in an open directory. `name` must be a single
        /// component.
        ///
        /// # Errors
        ///
        /// [`InvalidPath`](crate::ErrorKind::InvalidPath) if `name` has a separator in it, else as
        /// for [`open`](Builder::open).
        ///
        /// # Platform
        ///
        /// Unix only.
        ///
        /// # Examples
        ///
        /// ```
        /// use std::io::Write;
        ///
        /// # let dir = tempfile::tempdir()?;
        /// let directory = std::fs::File::open(dir.path())?;
        /// let mut writer = wholefile::AtomicWriter::builder().open_at(&directory, "state.json")?;
        /// writer.write_all(b"{}")?;
        /// writer.commit()?;
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn open_at(&self, dir: impl AsFd, name: impl AsRef<Path>) -> Result<AtomicWriter> {
            let name = name.as_ref();
            target::require_one_component(name)?;
            let directory = Directory::duplicate(dir.as_fd())
                .map_err(|error| Error::failed(Step::Resolve, name, error))?;
            AtomicWriter::open(Some(directory), name, &self.options, self.expected.as_ref())
        }
    }
}
