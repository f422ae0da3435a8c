//! The behaviour of the crate, through its public interface.
//!
//! Each test works in a directory of its own, in the current one or in `$WHOLEFILE_TEST_DIR`, so
//! that the suite can be run on any file system.

mod dir;
mod draws;
mod model;
mod snapshot;

mod backup;
mod basics;
mod batch;
mod contents;
mod corpus;
mod dirs;
mod errors;
mod journal;
mod locks;
mod policies;
mod readers;
mod saver;
mod versions;

#[cfg(unix)]
mod any_path;
#[cfg(unix)]
mod child;
// These set the ACLs and extended attributes of Linux, and mount its file systems.
#[cfg(target_os = "linux")]
mod images;
#[cfg(target_os = "linux")]
mod metadata;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(unix)]
mod names;
#[cfg(unix)]
mod permissions;
#[cfg(unix)]
mod place;
#[cfg(not(unix))]
#[path = "place_elsewhere.rs"]
mod place;
#[cfg(unix)]
mod sweeps;
#[cfg(target_os = "linux")]
mod sync_plan;
#[cfg(unix)]
mod system;
#[cfg(target_os = "linux")]
mod watcher;
#[cfg(target_os = "linux")]
mod without_proc;
