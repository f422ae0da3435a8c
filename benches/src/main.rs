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
mod job;
mod memory;
mod payload;
mod places;
mod race;
mod report;
mod targets;
mod worker;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::bench::{Bench, Extent};

#[derive(Debug, Parser)]
#[command(about = "Measures wholefile beside its peers and the bare system calls")]
struct Args {
    /// Measure little, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Only at these places, with commas between them: own disk, tmpfs, ext4, xfs, btrfs
    #[arg(long)]
    only: Option<String>,
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
    /// Takes turns as it is told on its standard input
    #[command(hide = true)]
    Worker,
}

fn main() -> Result<()> {
    let args = Args::parse();
    match args.command {
        Some(Command::Worker) => worker::serve(),
        None => measure(&args),
    }
}

fn measure(args: &Args) -> Result<()> {
    let extent = if args.quick { Extent::Quick } else { Extent::Whole };
    let mut bench = Bench::new(&args.scratch, extent, args.only.as_deref())?;
    cases::single::run(&mut bench)?;
    cases::update::run(&mut bench)?;
    cases::many::run(&mut bench)?;
    cases::stream::run(&mut bench)?;
    cases::growth::run(&mut bench)?;
    report::write(&args.out, &bench.cells)
}
