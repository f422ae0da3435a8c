//! Many files at once.

// Until batches and directories are staged here.
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) mod stage;
mod tree;
