//! The behaviour of the crate, through its public interface.
//!
//! Each test works in a directory of its own, in the current one or in `$WHOLEFILE_TEST_DIR`, so
//! that the suite can be run on any file system.

mod dir;
mod model;

mod basics;
mod batch;
mod contents;
mod errors;
mod locks;
mod policies;
mod readers;
mod saver;

// These probe and mount the file systems of Linux.
#[cfg(target_os = "linux")]
mod any_path;
#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod images;
#[cfg(target_os = "linux")]
mod system;

#[cfg(target_os = "linux")]
mod metadata;
#[cfg(target_os = "linux")]
mod names;
#[cfg(target_os = "linux")]
mod permissions;
#[cfg(target_os = "linux")]
mod place;
#[cfg(not(target_os = "linux"))]
#[path = "place_elsewhere.rs"]
mod place;
#[cfg(target_os = "linux")]
mod sweeps;
#[cfg(target_os = "linux")]
mod sync_plan;
#[cfg(target_os = "linux")]
mod watcher;
