//! The behaviour of the crate, through its public interface.
//!
//! Each test works in a directory of its own, in the current one or in `$WHOLEFILE_TEST_DIR`, so
//! that the suite can be run on any file system.

mod dir;
mod model;

mod basics;
mod contents;
mod errors;
mod readers;

#[cfg(unix)]
mod any_path;
#[cfg(unix)]
mod child;
#[cfg(unix)]
mod system;

#[cfg(unix)]
mod locks;
#[cfg(unix)]
mod metadata;
#[cfg(unix)]
mod names;
#[cfg(unix)]
mod permissions;
#[cfg(unix)]
mod place;
#[cfg(unix)]
mod policies;
#[cfg(unix)]
mod watcher;
