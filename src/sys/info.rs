//! What the system says about a file.

use super::Handle;

/// What kind of thing a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    File,
    Directory,
    Symlink,
    /// A FIFO, a device, a socket.
    Special,
}

/// What tells one file from another while both exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) file: u64,
}

/// What the system says about a file. On platforms without owners `uid` and `gid` are 0; on those
/// without permission bits `mode` says by its write bits whether the file is read-only.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    pub(crate) kind: FileKind,
    pub(crate) id: FileId,
    pub(crate) len: u64,
    pub(crate) links: u64,
    pub(crate) read_only: bool,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Those of chflags(2) that are handed on from one file to the next, 0 on other systems.
    pub(crate) flags: u32,
    pub(crate) times: Times,
    /// When the file or what is known about it changed last, which no program can set: only ever
    /// compared, in units of the system's own. 0 where there is no such thing.
    pub(crate) changed: (i64, i64),
}

/// Last access and last modification, each in seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) accessed: (i64, i64),
    pub(crate) modified: (i64, i64),
}

/// An existing file, held so that all that is asked about it is asked about the same file.
#[derive(Debug)]
pub(crate) struct Existing {
    pub(crate) info: Info,
    #[allow(dead_code, reason = "not every system can hold a file without opening it")]
    pub(crate) handle: Handle,
}

/// Whether a file that was to be opened or created was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Found,
    Created,
}

/// How a special file is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Through {
    /// The name is the FIFO, the device or the socket.
    File,
    /// The name is the system's link to an open descriptor.
    Descriptor,
}
