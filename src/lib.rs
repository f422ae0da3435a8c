//! Replaces files whole or not at all.

mod builder;
mod commit;
mod concurrency;
mod error;
mod fault;
#[cfg(all(test, unix))]
mod fault_loops;
mod options;
mod os;
mod protocol;
mod sys;
mod write;
mod writer;

pub use builder::Builder;
pub use commit::{Commit, NotPreserved, Outcome};
pub use error::{Error, ErrorKind, Result, Step, TargetState};
pub use options::{
    Durability, HardLinks, Metadata, Preserve, Publish, ReadOnly, SpecialFiles, Staging, Symlinks,
};
pub use write::{atomic_write, atomic_write_with};
pub use writer::AtomicWriter;
