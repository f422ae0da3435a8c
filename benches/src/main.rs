//! Measures wholefile beside the crates that do the same, and beside the bare system calls.
//!
//!     cargo run --release --manifest-path benches/Cargo.toml
//!
//! As root on Linux, since it mounts file systems. It writes `RESULTS.md` and `plots/`. With
//! `counts` it only counts system calls, flushes and allocations, and fails if there are more than
//! `limits.json` allows.

mod allocations;
mod bench;
mod cases;
mod contenders;
mod counts;
mod job;
mod memory;
mod payload;
mod places;
mod plots;
mod race;
mod report;
mod targets;
mod trace;
mod worker;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Parser, Subcommand};
use fs_err as fs;

use crate::bench::{Bench, Extent};
use crate::counts::Verdict;
use crate::race::Findings;

/// All figures, for other programs.
const RESULTS: &str = "results.json";

#[derive(Debug, Parser)]
#[command(about = "Measures wholefile beside its peers and the bare system calls")]
struct Args {
    /// Measure little, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Only at these places, with commas between them: own disk, tmpfs, ext4, xfs, btrfs
    #[arg(long)]
    only: Option<String>,
    /// Only these parts, with commas between them: single, update, many, stream, growth
    #[arg(long)]
    parts: Option<String>,
    /// A folder on the machine's own disk, with 12 GiB free
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/scratch"))]
    scratch: PathBuf,
    /// Where RESULTS.md and plots/ go
    #[arg(long, default_value = env!("CARGO_MANIFEST_DIR"))]
    out: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Only count system calls, flushes and allocations, and fail if they are too many
    Counts {
        /// Make what was counted the limits
        #[arg(long)]
        accept: bool,
    },
    /// Only write RESULTS.md and plots/ again, from results.json
    Report,
    /// Takes turns as it is told on its standard input
    #[command(hide = true)]
    Worker,
}

fn main() -> Result<()> {
    let args = Args::parse();
    match args.command {
        Some(Command::Worker) => worker::serve(),
        Some(Command::Counts { accept }) => {
            let verdict = if accept { Verdict::Accept } else { Verdict::Check };
            counts::run(&args.scratch, &args.out.join("limits.json"), verdict)
        }
        Some(Command::Report) => report(&args.out),
        None => measure(&args),
    }
}

fn measure(args: &Args) -> Result<()> {
    let extent = if args.quick { Extent::Quick } else { Extent::Whole };
    let mut bench = Bench::new(&args.scratch, extent, args.only.as_deref())?;
    for (name, run) in cases::PARTS {
        if args.parts.as_ref().is_none_or(|parts| parts.split(',').any(|it| it == name)) {
            run(&mut bench)?;
        }
    }
    fs::write(args.out.join(RESULTS), serde_json::to_vec(&bench.findings)?)?;
    report(&args.out)
}

fn report(out: &Path) -> Result<()> {
    let findings: Findings = serde_json::from_slice(&fs::read(out.join(RESULTS))?)?;
    plots::draw(&out.join("plots"), &findings.cells)?;
    report::write(&out.join("RESULTS.md"), &findings)
}
