//! Many files at once.

mod batch;
pub(crate) mod stage;
mod tree;

pub use batch::{AtomicBatch, BatchCommit, BatchWriter, Progress};
