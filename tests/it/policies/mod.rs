//! What the options decide.

#[cfg(target_os = "linux")]
mod exchange;
mod publish;
#[cfg(target_os = "linux")]
mod reserve;
#[cfg(target_os = "linux")]
mod skip_unchanged;
mod small_ones;
#[cfg(target_os = "linux")]
mod special_files;
#[cfg(target_os = "linux")]
mod symlinks;
