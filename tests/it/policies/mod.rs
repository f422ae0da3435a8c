//! What the options decide.

#[cfg(unix)]
mod exchange;
mod publish;
#[cfg(unix)]
mod reserve;
#[cfg(unix)]
mod skip_unchanged;
mod small_ones;
#[cfg(unix)]
mod special_files;
#[cfg(unix)]
mod symlinks;
