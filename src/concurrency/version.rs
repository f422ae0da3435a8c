//! What a file was at a moment, so that a later save replaces that and nothing else.
//!
//! Not a number such as (inode, size, time): ext4 gives the number of a removed file to the next
//! one at once, and two saves of the same length within one tick of the clock have the same time.
//! So the file that was seen is held, which keeps its number its own, and what is compared beside
//! it is all that a change in place leaves behind.

use std::ffi::OsStr;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result, Step};
use crate::fault::Op;
use crate::options::{Options, ReadOnly, Tracking};
use crate::protocol::target::{self, Target};
use crate::sys::{self, Directory, Existing, FileKind, Info};

/// As much is read at a time for a hash of the contents.
const CHUNK_LEN: usize = 64 << 10;

/// What a file was at a moment, or that there was none: for an editor that was open for an hour and
/// must not overwrite what others have saved meanwhile.
///
/// Take the version first and read the file after that; [`Builder::expect`] then lets a save
/// succeed only over this version, and else fail with [`ErrorKind::Conflict`].
///
/// A version is that of one file: one that was replaced is another version, even by the same
/// contents. A change in place shows in the length, in the time of the last modification or, where
/// that was set back, in the time of the last change of status (`ctime`), which a changed mode or a
/// further hard link shows in as well. What none of them shows is a change to the same length
/// within one tick of the file system's clock (milliseconds on Linux, two seconds on FAT) and,
/// until the system gets to it, one through a mapping (mmap(2));
/// [`with_contents_of`](Version::with_contents_of) compares the contents too.
///
/// A version is cheap to clone, and means nothing to another process. While one is kept it has a
/// descriptor (Unix), and the file that it is of keeps its space, though it was replaced.
///
/// # Platform
///
/// Unix: the file is held open, so that no later one gets its number. On systems other than Linux
/// it is opened for reading for that, which must be permitted. A FUSE driver does not learn that it
/// is held on Linux, and one that passes on the numbers of another file system (bindfs) may give
/// its number to a later file; the contents tell the two apart. Windows: the file is not held,
/// since that would hinder whoever replaces it; NTFS does not reuse its numbers soon.
///
/// # Examples
///
/// ```
/// use wholefile::{AtomicWriter, ErrorKind, Version};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("notes.txt");
/// # std::fs::write(&path, "buy milk\n")?;
/// let version = Version::of(&path)?;
/// let text = std::fs::read_to_string(&path)?;
/// // An hour later, somebody else has saved the file:
/// wholefile::atomic_write(&path, "buy bread\n")?;
/// let save = AtomicWriter::builder().expect(&version).write(&path, text + "buy eggs\n");
/// let error = save.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Conflict);
/// assert_eq!(std::fs::read_to_string(&path)?, "buy bread\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`Builder::expect`]: crate::Builder::expect
#[derive(Clone)]
pub struct Version(Arc<Seen>);

struct Seen {
    way: Way,
    /// `None` where there was no file.
    file: Option<SeenFile>,
}

/// The way to a file, by which it is found again.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    base: Option<Arc<Directory>>,
    /// Absolute, or relative to `base`.
    path: PathBuf,
}

struct SeenFile {
    /// What was seen, held.
    existing: Existing,
    contents: Option<Digest>,
}

/// How much of what was seen must still hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strictness {
    /// Everything.
    Everything,
    /// All but the time of the last change of status: to exchange a file changes that too.
    AllButStatus,
}

impl Version {
    /// The version that the file at `path` is now, symlinks followed; where there is no file, a
    /// version that expects none.
    ///
    /// # Errors
    ///
    /// At [`Step::Resolve`]: [`ErrorKind::IsADirectory`], [`ErrorKind::SpecialFile`],
    /// [`ErrorKind::InvalidPath`] or the system's error; at [`Step::Read`], if the file cannot be
    /// held. Nothing is touched.
    ///
    /// # Platform
    ///
    /// [`ErrorKind::Unsupported`] on systems that do not tell one file from another (WebAssembly).
    pub fn of(path: impl AsRef<Path>) -> Result<Version> {
        Version::see(path.as_ref(), Tracking::Metadata)
    }

    /// As [`Version::of`], and with a hash of the contents, so that every change of them is seen,
    /// whatever the clocks say. Each comparison then reads the file.
    ///
    /// # Errors
    ///
    /// As for [`Version::of`], and at [`Step::Read`] if the file cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::Version;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("mapped.db");
    /// # std::fs::write(&path, "1234")?;
    /// let version = Version::with_contents_of(&path)?;
    /// assert!(version.is_current()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_contents_of(path: impl AsRef<Path>) -> Result<Version> {
        Version::see(path.as_ref(), Tracking::Contents)
    }

    /// Whether the path that this version was taken of still leads to it: the same file, not
    /// changed since, or no file where there was none. It may be otherwise a moment later; for a
    /// save, [`expect`](crate::Builder::expect) it.
    ///
    /// # Errors
    ///
    /// As for [`Version::of`]. A file that has become a directory or a special one is no error: it
    /// is not current.
    ///
    /// # Examples
    ///
    /// ```
    /// use wholefile::Version;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("settings.toml");
    /// let nothing = Version::of(&path)?;
    /// assert!(nothing.is_current()?);
    /// std::fs::write(&path, "a = 1")?;
    /// assert!(!nothing.is_current()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_current(&self) -> Result<bool> {
        let way = &self.0.way;
        let target = match way.find() {
            Ok(target) => target,
            Err(error)
                if [ErrorKind::IsADirectory, ErrorKind::SpecialFile].contains(&error.kind()) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let Some(target) = target else { return Ok(self.0.file.is_none()) };
        if !self.is(target.existing.as_ref()) {
            return Ok(false);
        }
        let Some(existing) = target.existing_file() else { return Ok(true) };
        self.has_contents_of(existing, &target.directory, &target.name)
            .map_err(|error| Error::failed(Step::Read, &target.path, error))
    }

    fn see(path: &Path, tracking: Tracking) -> Result<Version> {
        let way = Way::of(None, path)?;
        let see = || Version::see_file(&way, path, tracking);
        let file = target::unless_replaced(see(), see)?;
        Ok(Version(Arc::new(Seen { way, file })))
    }

    fn see_file(way: &Way, path: &Path, tracking: Tracking) -> Result<Option<SeenFile>> {
        let Some(mut target) = way.find()? else { return Ok(None) };
        let Some(mut existing) = target.existing.take() else { return Ok(None) };
        let (directory, name) = (&target.directory, &target.name);
        let failed = |error| Error::failed(Step::Read, path, error);
        sys::hold(&mut existing, directory, name).map_err(failed)?;
        let contents = match tracking {
            Tracking::Contents => {
                let file = sys::open_target(&existing, directory, name).map_err(failed)?;
                let reader = sys::Reader(Op::ReadTarget, &file);
                Some(Digest::of(reader, existing.info.len).map_err(failed)?)
            }
            Tracking::None | Tracking::Metadata => None,
        };
        Ok(Some(SeenFile { existing, contents }))
    }

    /// Of a file that is held, as it is on disk now.
    pub(crate) fn of_held(way: Way, existing: Existing, contents: Option<Digest>) -> Version {
        Version(Arc::new(Seen { way, file: Some(SeenFile { existing, contents }) }))
    }

    /// Whether it is the version of a file with these contents, if they were read for it.
    pub(crate) fn is_of_contents(&self, contents: &[u8]) -> bool {
        let digest = self.0.file.as_ref().and_then(|file| file.contents.as_ref());
        digest.is_some_and(|it| it.is_of(contents, contents.len() as u64).unwrap_or(false))
    }

    /// Whether it is the version of a file, rather than of none.
    pub(crate) fn is_of_a_file(&self) -> bool {
        self.0.file.is_some()
    }

    /// Whether what was looked at now is what was seen, as far as can be told without reading it.
    pub(crate) fn is(&self, now: Option<&Existing>) -> bool {
        self.compare(now, Strictness::Everything)
    }

    /// The same of a file that was just exchanged or renamed.
    pub(crate) fn was(&self, displaced: Option<&Existing>) -> bool {
        self.compare(displaced, Strictness::AllButStatus)
    }

    fn compare(&self, now: Option<&Existing>, strictness: Strictness) -> bool {
        match (&self.0.file, now) {
            (None, None) => true,
            (Some(seen), Some(now)) => {
                let (seen, now) = (&seen.existing.info, &now.info);
                has_same_state(seen, now)
                    && (strictness == Strictness::AllButStatus || seen.changed == now.changed)
            }
            _ => false,
        }
    }

    /// Whether the file that bears `name` has the contents that were seen, if they were.
    pub(crate) fn has_contents_of(
        &self,
        existing: &Existing,
        directory: &Directory,
        name: &OsStr,
    ) -> io::Result<bool> {
        let contents = self.0.file.as_ref().and_then(|file| file.contents.as_ref());
        let Some(digest) = contents else { return Ok(true) };
        let file = match sys::open_target(existing, directory, name) {
            // Another one bears the name by now, or none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        digest.is_of(sys::Reader(Op::ReadTarget, &file), existing.info.len)
    }
}

/// Whether it is the same file, with nothing to show that its contents were changed.
pub(crate) fn has_same_state(one: &Info, other: &Info) -> bool {
    let of = |info: &Info| (info.kind == FileKind::File, info.id, info.len, info.times.modified);
    of(one) == of(other)
}

impl Way {
    pub(crate) fn of(base: Option<Arc<Directory>>, path: &Path) -> Result<Way> {
        let path = match base {
            Some(_) => path.to_path_buf(),
            None => std::path::absolute(path).map_err(|error| {
                let is_invalid = error.kind() == io::ErrorKind::InvalidInput;
                let error = Error::failed(Step::Resolve, path, error);
                if is_invalid { error.with_kind(ErrorKind::InvalidPath) } else { error }
            })?,
        };
        Ok(Way { base, path })
    }

    /// Only for a save whose receipt has a version: it may cost a call.
    pub(crate) fn for_receipt(
        base: Option<&Arc<Directory>>,
        path: &Path,
        options: &Options,
    ) -> Result<Option<Way>> {
        match options.tracking {
            Tracking::None => Ok(None),
            Tracking::Metadata | Tracking::Contents => Way::of(base.cloned(), path).map(Some),
        }
    }

    /// What is there now; `None` where not even the directory is.
    fn find(&self) -> Result<Option<Target>> {
        let options = Options { read_only: ReadOnly::Replace, ..Options::default() };
        match Target::resolve(self.base.clone(), &self.path, &options, None) {
            Ok(target) => Ok(Some(target)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A hash of contents, with a key of its own: nobody can make other contents with the same hash,
/// and by chance it takes 2⁶⁴ of them.
pub(crate) struct Digest {
    key: RandomState,
    len: u64,
    hash: u64,
}

impl Digest {
    /// Reads to the end, which is after about `len` bytes.
    pub(crate) fn of(reader: impl io::Read, len: u64) -> io::Result<Digest> {
        let key = RandomState::new();
        let (len, hash) = hash(&key, reader, len)?;
        Ok(Digest { key, len, hash })
    }

    pub(crate) fn is_of(&self, reader: impl io::Read, len: u64) -> io::Result<bool> {
        Ok(len == self.len && hash(&self.key, reader, len)? == (self.len, self.hash))
    }
}

fn hash(key: &RandomState, mut reader: impl io::Read, len: u64) -> io::Result<(u64, u64)> {
    let mut hasher = key.build_hasher();
    let chunk_len = usize::try_from(len).unwrap_or(CHUNK_LEN).clamp(1, CHUNK_LEN);
    let (mut chunk, mut total) = (vec![0; chunk_len], 0);
    // Bounded by the length of the file.
    loop {
        let len = sys::fill(&mut reader, &mut chunk)?;
        hasher.write(&chunk[..len]);
        total += len as u64;
        if len < chunk.len() {
            return Ok((total, hasher.finish()));
        }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.0.file.as_ref().map(|file| &file.existing.info);
        let mut version = f.debug_struct("Version");
        version.field("path", &self.0.way.path).field("file", &info).finish_non_exhaustive()
    }
}
