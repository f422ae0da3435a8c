//! What a rename over another file may do, and how it can end besides well and badly.

use std::ffi::OsString;
use std::fmt;
use std::io;

use crate::error::TargetState;
use crate::options::{InUse, Options, ReadOnly};

/// What a rename over another file may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "Unix can rename over every file")]
pub(crate) struct Replacing {
    pub(crate) read_only: ReadOnly,
    pub(crate) in_use: InUse,
}

impl Replacing {
    pub(crate) fn by(options: &Options) -> Replacing {
        Replacing { read_only: options.read_only, in_use: options.in_use }
    }
}

/// The error of a rename that ended halfway, with the old file under a name of its own.
#[derive(Debug)]
pub(crate) struct Halfway {
    pub(crate) state: TargetState,
    /// The name of the old file.
    pub(crate) old: OsString,
    pub(crate) cause: io::Error,
}

impl fmt::Display for Halfway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl std::error::Error for Halfway {}

impl From<Halfway> for io::Error {
    fn from(halfway: Halfway) -> io::Error {
        io::Error::new(halfway.cause.kind(), halfway)
    }
}
