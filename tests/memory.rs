//! A stream of any length needs no more memory than a short one.
//!
//! In its own binary, and each measurement in its own process, since the peak is the process's.
//! Needs 1 GiB of disk.

use std::env;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use wholefile::{AtomicWriter, Durability};

const SHORT: u64 = 1 << 20;
const LONG: u64 = 1 << 30;
const MAX_GROWTH_KIB: u64 = 8 << 10;

/// The most memory that this process has had so far, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

fn stream(target: &Path, len: u64) {
    let chunk: Vec<u8> = (0..50_000).map(|n| n as u8).collect();
    let mut writer = AtomicWriter::builder().durability(Durability::None).open(target).unwrap();
    let mut left = len;
    while left > 0 {
        let len = left.min(chunk.len() as u64);
        writer.write_all(&chunk[..len as usize]).unwrap();
        left -= len;
    }
    assert_eq!(writer.bytes_written(), len);
    assert_eq!(writer.commit().unwrap().len(), len);
}

/// The peak of a process that streams so much.
#[track_caller]
fn peak_of(len: u64) -> u64 {
    let parent = match env::var_os("WHOLEFILE_TEST_DIR") {
        Some(parent) => parent.into(),
        None => env::current_dir().unwrap(),
    };
    // Dropped, it removes the file with the directory.
    let dir = tempfile::Builder::new().prefix("it-").tempdir_in(parent).unwrap();
    let target = dir.path().join("target");
    let output = Command::new(env::current_exe().unwrap())
        .args(["a_long_stream_needs_no_more_memory_than_a_short_one", "--exact", "--nocapture"])
        .env("WHOLEFILE_CHILD_TARGET", &target)
        .env("WHOLEFILE_CHILD_LEN", len.to_string())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::metadata(&target).unwrap().len(), len);
    let peak = stdout.split_once("peak: ").and_then(|(_, rest)| rest.split_once(" KiB"));
    peak.unwrap_or_else(|| panic!("the child says its peak: {stdout}")).0.parse().unwrap()
}

#[cfg_attr(not(target_os = "linux"), ignore = "it asks /proc for the peak")]
#[test]
fn a_long_stream_needs_no_more_memory_than_a_short_one() {
    if let Some(target) = env::var_os("WHOLEFILE_CHILD_TARGET") {
        let len = env::var("WHOLEFILE_CHILD_LEN").unwrap().parse().unwrap();
        stream(target.as_ref(), len);
        println!("peak: {} KiB", peak());
        return;
    }
    let (short, long) = (peak_of(SHORT), peak_of(LONG));
    assert!(short > 0);
    assert!(long < short + MAX_GROWTH_KIB, "{long} KiB for {LONG} bytes, {short} for {SHORT}");
}
