//! System calls, counted by strace.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::worker::{self, BEGIN, END, Marks, Worker};

/// What was called for one piece of work, of the calls that concern files.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Calls {
    pub(crate) all: f64,
    /// Of these, the ones that wait for a device.
    pub(crate) syncs: f64,
    /// Of these, the ones that change something: that write, create, rename or remove.
    pub(crate) changes: f64,
}

const SYNCS: [&str; 4] = ["fsync", "fdatasync", "syncfs", "sync"];
const CHANGES: [&str; 14] = [
    "write",
    "pwrite64",
    "writev",
    "ftruncate",
    "fallocate",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
];

/// Whether strace can be run.
pub(crate) fn is_possible() -> bool {
    Command::new("strace").arg("-V").output().is_ok()
}

/// Counts the calls of `program` for one piece of the work, once it is warm.
pub(crate) fn trace(program: &Path, job: &Job, log: &Path) -> Result<Calls> {
    let mut command = Command::new("strace");
    // Memory, threads and signals are not the file system's business.
    command.args(["-f", "-e", "trace=%file,%desc", "-o"]).arg(log).arg(program).arg(worker::WORKER);
    let mut worker = Worker::start(command, job)?;
    worker.turn(1, Marks::Hidden)?;
    worker.turn(1, Marks::Shown)?;
    worker.end()?;
    let text = fs::read_to_string(log)?;
    fs::remove_file(log)?;
    let mut calls = Calls::default();
    let begin = text.split_once(BEGIN).context("strace shows no beginning")?.1;
    let (turn, _) = begin.split_once(END).context("strace shows no end")?;
    // The first line is the rest of the mark's, the last one the beginning of the other's.
    let lines: Vec<&str> = turn.lines().skip(1).collect();
    for line in &lines[..lines.len().saturating_sub(1)] {
        count(line, &mut calls);
    }
    ensure!(calls.all > 0.0, "{}: no call was traced", job.contender);
    let pieces = job.work.pieces() as f64;
    Ok(Calls {
        all: calls.all / pieces,
        syncs: calls.syncs / pieces,
        changes: calls.changes / pieces,
    })
}

/// Counts a line: the number of the thread, then the call, or the rest of one that was interrupted.
fn count(line: &str, calls: &mut Calls) {
    let line = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    let Some((name, arguments)) = line.split_once('(') else { return };
    let is_call = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_call || ["mmap", "mremap"].contains(&name) {
        return;
    }
    calls.all += 1.0;
    if SYNCS.contains(&name) || arguments.contains("SYNC_FILE_RANGE_WAIT") {
        calls.syncs += 1.0;
    }
    if CHANGES.contains(&name) || arguments.contains("O_CREAT") || arguments.contains("O_TMPFILE") {
        calls.changes += 1.0;
    }
}
