//! What a reader needs to know of the machine to judge the times.

use anyhow::{Context, Result};
use fs_err as fs;

pub(crate) fn describe() -> Result<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    let cores = std::thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib = memory.split_whitespace().nth(1).context("/proc/meminfo has no MemTotal")?;
    let gib = kib.parse::<u64>()? >> 20;
    Ok(format!("Linux {kernel}, {cores} cores, {gib} GiB of memory"))
}
