//! The tests, each run by itself in a process of its own.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use wait_timeout::ChildExt;

/// A test that takes longer than this, and than [`PATIENCE`] times what it takes without a change,
/// is taken for one that never ends.
const SHORTEST_LIMIT: Duration = Duration::from_secs(20);
const PATIENCE: u32 = 10;

/// The variables that `switch.rs` reads.
const CHOSEN: &str = "WHOLEFILE_MUTANT";
const REACHED: &str = "WHOLEFILE_MUTANTS_REACHED";

#[derive(Clone, Debug)]
pub(crate) struct Test {
    pub(crate) program: PathBuf,
    /// `None` for a program that is one test.
    pub(crate) name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Passed,
    Failed,
    /// It was killed after its time.
    Endless,
}

/// What a test comes to without a change.
pub(crate) struct Reach {
    pub(crate) takes: Duration,
    /// For each change, whether it comes to it.
    pub(crate) reached: Vec<bool>,
}

impl Test {
    pub(crate) fn title(&self) -> String {
        let program = self.program.file_name().unwrap_or_default().to_string_lossy();
        let program = program.rsplit_once('-').map_or(&*program, |(name, _)| name);
        match &self.name {
            Some(name) => format!("{program} {name}"),
            None => program.to_owned(),
        }
    }

    /// In `folder`, which is left empty.
    pub(crate) fn run(&self, change: usize, folder: &Path, takes: Duration) -> Result<Ending> {
        let mut command = self.command(folder);
        let limit = SHORTEST_LIMIT.max(takes * PATIENCE);
        command.env(CHOSEN, change.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
        let ending = run(&mut command, limit)?;
        if ending != Ending::Passed {
            kill_all_with(&format!("{CHOSEN}={change}"))?;
        }
        empty(folder)?;
        Ok(ending)
    }

    /// Without a change.
    pub(crate) fn reach(&self, changes: usize, folder: &Path) -> Result<Reach> {
        let notes = folder.with_extension("reached");
        fs::write(&notes, vec![0; changes])?;
        // Some tests become other users.
        fs::set_permissions(&notes, std::fs::Permissions::from_mode(0o666))?;
        let output = fs::File::create(folder.with_extension("output"))?.into_parts().0;
        let start = Instant::now();
        let mut command = self.command(folder);
        command.env(REACHED, &notes).stdout(output.try_clone()?).stderr(output);
        let ending = run(&mut command, Duration::from_secs(300))?;
        let output = || fs::read_to_string(folder.with_extension("output")).unwrap_or_default();
        ensure!(
            ending == Ending::Passed,
            "{} fails without any change:\n{}",
            self.title(),
            output()
        );
        empty(folder)?;
        let reached = fs::read(&notes)?.into_iter().map(|byte| byte != 0).collect();
        Ok(Reach { takes: start.elapsed(), reached })
    }

    fn command(&self, folder: &Path) -> Command {
        // What it mounts is gone when it ends.
        let mut command = Command::new("unshare");
        command.arg("--mount").arg(&self.program).current_dir(folder).stdin(Stdio::null());
        command.env("CI", "true").env_remove("RUST_BACKTRACE").process_group(0);
        if let Some(name) = &self.name {
            command.args(["--exact", name]);
        }
        command
    }
}

fn run(command: &mut Command, limit: Duration) -> Result<Ending> {
    let mut child = command.spawn().context("unshare cannot be run")?;
    let group = Pid::from_child(&child);
    let status = child.wait_timeout(limit)?;
    let _ = kill_process_group(group, Signal::KILL);
    Ok(match status {
        Some(status) if status.success() => Ending::Passed,
        Some(status) if status.code().is_some() || status.signal().is_some() => Ending::Failed,
        _ => {
            child.wait()?;
            Ending::Endless
        }
    })
}

/// Also those that have left the group.
fn kill_all_with(variable: &str) -> Result<()> {
    for process in fs::read_dir("/proc")? {
        let process = process?;
        let number = process.file_name().to_str().and_then(|it| it.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        let variables = fs::read(process.path().join("environ")).unwrap_or_default();
        if variables.split(|byte| *byte == 0).any(|it| it == variable.as_bytes()) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    Ok(())
}

fn empty(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let removed = match path.is_symlink() || !path.is_dir() {
            true => fs::remove_file(&path),
            false => fs::remove_dir_all(&path),
        };
        // A file that a test has made immutable stays, and hinders nobody.
        if removed.is_err() {
            eprintln!("mutants: {} stays", path.display());
        }
    }
    Ok(())
}

/// Those of a program that have names, or else the program itself.
pub(crate) fn tests_of(name: &str, program: &Path) -> Result<Vec<Test>> {
    let test = |name| Test { program: program.to_path_buf(), name };
    if name == "budget" {
        return Ok(vec![test(None)]);
    }
    let output = Command::new(program).arg("--list").output()?;
    ensure!(output.status.success(), "{} has no list of tests", program.display());
    let listed = String::from_utf8(output.stdout)?;
    let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(|name| test(Some(name.to_owned()))).collect())
}
