//! What /proc says about this process.

use anyhow::{Context, Result};
use fs_err as fs;

/// The most memory that this process has had since it began.
pub(crate) fn peak_kib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.context("/proc/self/status has no VmHWM")?.parse()?)
}
