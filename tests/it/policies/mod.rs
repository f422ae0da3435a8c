//! What the options decide.

mod publish;
mod reserve;
mod skip_unchanged;
mod small_ones;
mod special_files;
mod symlinks;
