//! Many files at once.

mod batch;
pub(crate) mod dir;
mod journal;
pub(crate) mod stage;
mod tree;

pub use batch::{AtomicBatch, BatchCommit, BatchWriter, Progress};
pub use journal::{Recovered, Recovery, recover};
