//! A child process that takes turns as it is told: another build of this program, or this one where
//! a turn needs a process of its own.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::job::{Job, Mark, Outcome, Session};

/// Paths that do not exist. Looking at them shows in a trace where a turn begins and ends.
pub(crate) const BEGIN: &str = "/wholefile-benches-begin";
/// As many files may a child have open: nothing that is measured needs more.
const MAX_OPEN_FILES: u64 = 256;
/// The subcommand that makes this program a child.
pub(crate) const WORKER: &str = "worker";
pub(crate) const END: &str = "/wholefile-benches-end";

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Start(Job),
    Turn { times: usize, marks: Marks },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Marks {
    Shown,
    Hidden,
}

/// A child that is ready for its turns.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    /// `None` once it is told that there is no more to do.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    pub(crate) fn start(mut command: Command, job: &Job) -> Result<Worker> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to run {command:?}"))?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut worker = Worker { child, orders, answers };
        worker.order(&Order::Start(job.clone()))?;
        Ok(worker)
    }

    pub(crate) fn turn(&mut self, times: usize, marks: Marks) -> Result<Outcome> {
        self.order(&Order::Turn { times, marks })
    }

    fn order(&mut self, order: &Order) -> Result<Outcome> {
        let orders = self.orders.as_mut().context("the child was told to end")?;
        serde_json::to_writer(&mut *orders, order)?;
        orders.write_all(b"\n")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        serde_json::from_str(&answer).with_context(|| format!("the child answers {answer:?}"))
    }

    /// Waits until it has ended.
    pub(crate) fn end(mut self) -> Result<()> {
        self.orders = None;
        let status = self.child.wait()?;
        ensure!(status.success(), "the child ends with {status}");
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.orders = None; // it ends when it has read everything
        let _ = self.child.wait();
    }
}

/// The command that runs `program` as a child.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(WORKER);
    command
}

/// Builds the program with the other staging of atomic-write-file, and gives its path.
pub(crate) fn build_unnamed() -> Result<PathBuf> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let target = std::env::current_exe()?.with_file_name("unnamed");
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--features", "unnamed", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .status()?;
    ensure!(status.success(), "cargo build --features unnamed: {status}");
    Ok(target.join("release").join(env!("CARGO_PKG_NAME")))
}

/// The child's side.
pub(crate) fn serve() -> Result<()> {
    let limit = Rlimit { current: Some(MAX_OPEN_FILES), maximum: Some(MAX_OPEN_FILES) };
    setrlimit(Resource::Nofile, limit)?;
    let mut session = None;
    for line in io::stdin().lines() {
        let outcome = match serde_json::from_str(&line?)? {
            Order::Start(job) => {
                session = Some(Session::new(job)?);
                Outcome::default()
            }
            Order::Turn { times, marks } => {
                let session = session.as_mut().context("no job was given")?;
                session.turn(times, |mark| {
                    if marks == Marks::Shown {
                        show(mark);
                    }
                })?
            }
        };
        println!("{}", serde_json::to_string(&outcome)?);
    }
    Ok(())
}

fn show(mark: Mark) {
    let path = match mark {
        Mark::Begin => BEGIN,
        Mark::End => END,
    };
    assert!(std::fs::symlink_metadata(path).is_err(), "{path} exists");
}
