//! Runs a command with its stdout going into a file, and replaces the file only if the command
//! succeeds. What `command > file` destroys on failure stays as it was.
//!
//! ```sh
//! cargo run --example capture_command -- packages.txt -- dpkg --list
//! cargo run --example capture_command -- packages.txt -- sh -c 'echo half of it; exit 3'
//! ```

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use wholefile::{AtomicWriter, Staging};

/// Replaces a file by the output of a command, if the command succeeds.
#[derive(Parser)]
struct Arguments {
    /// The file to replace
    target: PathBuf,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

fn main() -> Result<ExitCode> {
    let Arguments { target, command } = Arguments::parse();
    let (program, arguments) = command.split_first().context("no command")?;
    let name = program.to_string_lossy();

    // A terminal sends Ctrl-C to the command as well. Whether to end is the command's decision, and
    // this process lives on to learn of it from the exit status.
    ctrlc::set_handler(|| {})?;

    let mut writer = AtomicWriter::builder()
        // The command may run for hours. If this process is killed meanwhile, an unnamed file is
        // gone with it (Linux; elsewhere this is a temp file like any other).
        .staging(Staging::Unnamed)
        .open(&target)?;

    // The command writes straight into the staged file: no pipe, no copy.
    let status = Command::new(program)
        .args(arguments)
        .stdout(writer.as_file()?.try_clone()?)
        .status()
        .with_context(|| format!("failed to run `{name}`"))?;

    if !status.success() {
        writer.rollback()?;
        eprintln!("{name}: {status}; {} is as it was", target.display());
        // A command that a signal ended has no code, and some systems' codes are larger than a u8.
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        return Ok(ExitCode::from(code));
    }
    let commit = writer.commit()?;
    println!("{} {}, {} bytes", commit.outcome(), commit.path().display(), commit.len());
    Ok(ExitCode::SUCCESS)
}
