//! Measures wholefile beside the crates that do the same, and beside the bare system calls.
//!
//!     cargo run --release --manifest-path benches/Cargo.toml
//!
//! As root on Linux, since it mounts file systems. It writes `results.json`, and from that
//! `RESULTS.md` and `plots/`. With `--parts` or `--only` it measures these alone and keeps all else
//! that `results.json` has. With `counts` it only counts system calls, flushes and allocations, and
//! fails if there are more than `limits.json` allows.

mod allocations;
mod bench;
mod cases;
mod contenders;
mod counts;
mod job;
mod machine;
mod memory;
mod payload;
mod places;
#[cfg(feature = "peers")]
mod plots;
mod race;
mod report;
mod targets;
mod trace;
mod worker;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use fs_err as fs;

use crate::bench::{Bench, Extent};
use crate::counts::Verdict;
use crate::race::Findings;

/// All figures, for other programs, and for a run that measures some of them anew.
const RESULTS: &str = "results.json";

#[derive(Debug, Parser)]
#[command(about = "Measures wholefile beside its peers and the bare system calls")]
struct Args {
    /// Measure little, to see that everything works, and write it elsewhere (target/quick)
    #[arg(long)]
    quick: bool,
    /// Only at these places, with commas between them
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(places::ALL))]
    only: Vec<String>,
    /// Only these parts, with commas between them
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(cases::names()))]
    parts: Vec<String>,
    /// A folder on the machine's own disk, with 16 GiB free
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/scratch"))]
    scratch: PathBuf,
    /// Where results.json, RESULTS.md and plots/ go
    #[arg(long)]
    out: Option<PathBuf>,
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
            counts::run(&args.scratch, &args.out().join("limits.json"), verdict)
        }
        Some(Command::Report) => report(&args.out()),
        None => measure(&args),
    }
}

impl Args {
    fn out(&self) -> PathBuf {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        match (&self.out, self.quick) {
            (Some(out), _) => out.clone(),
            (None, false) => package.to_owned(),
            // Hasty figures do not take the place of good ones.
            (None, true) => package.join("target/quick"),
        }
    }
}

fn measure(args: &Args) -> Result<()> {
    ensure!(cfg!(feature = "peers"), "this was built without those to compare with");
    let extent = if args.quick { Extent::Quick } else { Extent::Whole };
    let out = args.out();
    fs::create_dir_all(&out)?;
    let is_partial = !(args.parts.is_empty() && args.only.is_empty());
    let file = out.join(RESULTS);
    let mut findings = match is_partial && file.exists() {
        true => read(&file)?,
        false => Findings::default(),
    };
    findings.machine = Some(machine::describe()?);
    let mut bench = Bench::new(&args.scratch, extent, &args.only)?;
    let mut failed = Vec::new();
    for (name, run) in cases::PARTS {
        if !args.parts.is_empty() && !args.parts.iter().any(|part| part == name) {
            continue;
        }
        bench.begin(name);
        if let Err(error) = run(&mut bench) {
            eprintln!("FAILED {name}: {error:#}");
            failed.push(name);
        }
        // What was measured stays, whatever comes later.
        findings.take_over(std::mem::take(&mut bench.findings));
        fs::write(&file, serde_json::to_vec(&findings)?)?;
    }
    bench.end();
    report(&out)?;
    ensure!(failed.is_empty(), "these parts were not measured in full: {}", failed.join(", "));
    Ok(())
}

fn read(file: &Path) -> Result<Findings> {
    serde_json::from_slice(&fs::read(file)?).with_context(|| format!("{} is bad", file.display()))
}

fn report(out: &Path) -> Result<()> {
    let findings = read(&out.join(RESULTS))?;
    #[cfg(feature = "peers")]
    plots::draw(&out.join("plots"), &findings.cells)?;
    report::write(&out.join("RESULTS.md"), &findings)
}
