//! Cuts the power at every point of a save, and looks at what the file system made of it.
//!
//!     powercut --self-test              the rig catches writers that are wrong on purpose
//!     powercut --short                  the self-test and a little of everything, for CI
//!     powercut --all --states 10000     10,000 states of each file system and durability
//!     powercut --fs ext4 --scenario overwrite --durability full --states 10000 --seed 7
//!
//! Needs root and Linux: loop devices, /dev/fuse, mkfs.ext4, mkfs.xfs, mkfs.btrfs, losetup,
//! unshare.
//!
//! # How
//!
//! ```text
//!   the writer (a process): wholefile ──── "acknowledged 7" ───┐
//!   ext4, xfs, btrfs                                           │
//!   loop device                                                │
//!   disk.rs: a FUSE file in memory                             ▼
//!   log.rs:  write write flush write write write flush acknowledged write …
//! ```
//!
//! The log has what a disk would have got, in order. A disk that loses power keeps what was written
//! before the last flush that it completed, and of the rest whatever it likes: `plan.rs` says which
//! such states are tried. Each is put onto a loop device (`looker.rs`), mounted by another process,
//! which lets the file system recover, and the files are compared with what was promised when the
//! power went (`observe.rs`, `judge.rs`): under `Full` every file is whole, has its owner, mode and
//! xattrs, and is no older than the last commit that was acknowledged; under `Ordered` it is whole;
//! under `None` what is wrong is only counted.
//!
//! A flush counts for all that was written before it, since the loop device carries out one request
//! after the other. The loop device offers no FUA, so the kernel makes a flush of it, which
//! promises more than a disk with FUA would.
//!
//! # What is left behind
//!
//! Nothing, however it ends: all is mounted in a mount namespace of its own, and the loop devices
//! go when their last user does. A violation is kept as an image, with a report beside it.

mod case;
mod child;
mod device;
mod disk;
mod file_system;
mod image;
mod judge;
mod log;
mod looker;
mod observe;
mod plan;
mod run;
mod scenario;
mod self_test;

use std::collections::BTreeMap;
use std::env;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use rustix::mount::MountFlags;

use crate::case::Case;
use crate::device::{MOUNT_POINT, ROOT};
use crate::file_system::{FILE_SYSTEMS, FileSystem};
use crate::plan::{Prefixes, Wish};
use crate::scenario::{SOUND, Scenario};

#[derive(Parser)]
#[command(about = "Cuts the power at every point of a save, and looks at what became of it")]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    /// File systems to try [default: ext4]
    #[arg(long = "fs", value_name = "NAME", value_parser = file_system_named)]
    file_systems: Vec<&'static FileSystem>,
    /// Scenarios to try [default: all]
    #[arg(long = "scenario", value_name = "NAME", value_parser = scenario_named)]
    scenarios: Vec<&'static Scenario>,
    /// Durabilities to try [default: full and ordered]
    #[arg(long = "durability", value_name = "NAME")]
    durabilities: Vec<Durability>,
    /// Sync plans to try [default: portable]
    #[arg(long = "sync-plan", value_name = "NAME")]
    sync_plans: Vec<SyncPlan>,
    /// Different images to look at, at least, for each file system, durability and plan,
    /// shared by the scenarios
    #[arg(long, default_value_t = 10_000)]
    states: usize,
    /// Prefixes of the log that are among them
    #[arg(long, value_name = "WHICH", default_value = "all")]
    prefixes: Prefixes,
    /// Chooses among the states
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Processes that mount and look
    #[arg(long, default_value_t = 8)]
    workers: usize,
    /// Where violations are kept
    #[arg(long, value_name = "FOLDER", default_value = "powercut-violations")]
    keep: PathBuf,
    /// All file systems, scenarios, durabilities and plans
    #[arg(long)]
    all: bool,
    /// The self-test and a little of everything
    #[arg(long)]
    short: bool,
    /// Tries writers that are wrong on purpose; each must be caught
    #[arg(long)]
    self_test: bool,
}

#[derive(Subcommand)]
enum Role {
    /// What the program calls itself for
    #[command(hide = true)]
    Child {
        what: Task,
        disk: PathBuf,
        #[arg(value_parser = file_system_named)]
        file_system: &'static FileSystem,
        #[arg(value_parser = scenario_named)]
        scenario: &'static Scenario,
        durability: Durability,
        sync_plan: SyncPlan,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Task {
    Write,
    Look,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Durability {
    Full,
    Ordered,
    None,
}

impl From<Durability> for wholefile::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Full => wholefile::Durability::Full,
            Durability::Ordered => wholefile::Durability::Ordered,
            Durability::None => wholefile::Durability::None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SyncPlan {
    Portable,
    Fewest,
}

impl From<SyncPlan> for wholefile::SyncPlan {
    fn from(sync_plan: SyncPlan) -> Self {
        match sync_plan {
            SyncPlan::Portable => wholefile::SyncPlan::Portable,
            SyncPlan::Fewest => wholefile::SyncPlan::Fewest,
        }
    }
}

fn file_system_named(name: &str) -> Result<&'static FileSystem> {
    let names = || FILE_SYSTEMS.iter().map(|it| it.name).collect::<Vec<_>>().join(", ");
    FileSystem::named(name).ok_or_else(|| anyhow!("there are {}", names()))
}

fn scenario_named(name: &str) -> Result<&'static Scenario> {
    let names = || SOUND.iter().map(|it| it.name).collect::<Vec<_>>().join(", ");
    Scenario::named(name).ok_or_else(|| anyhow!("there are {}", names()))
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    if let Some(Role::Child { what, disk, file_system, scenario, durability, sync_plan }) = cli.role
    {
        let (durability, sync_plan) = (durability.into(), sync_plan.into());
        let job = child::Job { disk, file_system, scenario, durability, sync_plan };
        match what {
            Task::Write => child::write(&job)?,
            Task::Look => child::look(&job)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    enter_namespace()?;
    let good = match (cli.short, cli.self_test) {
        (true, _) => self_test::run(cli.seed, cli.workers)? & run_short(&cli)?,
        (_, true) => self_test::run(cli.seed, cli.workers)?,
        _ => run_long(&cli)?,
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts over in a mount namespace of its own, and puts a tmpfs where the mounts go.
fn enter_namespace() -> Result<()> {
    const MARK: &str = "POWERCUT_NAMESPACE";
    ensure!(rustix::process::geteuid().is_root(), "only root may mount");
    if env::var_os(MARK).is_none() {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        let error = command.arg(env::current_exe()?).args(env::args_os().skip(1)).env(MARK, "own");
        bail!("failed to run unshare: {}", error.exec());
    }
    rustix::mount::mount("powercut", ROOT, "tmpfs", MountFlags::empty(), c"mode=700")
        .with_context(|| format!("failed to mount a tmpfs at {ROOT}"))?;
    Ok(fs_err::create_dir(MOUNT_POINT)?)
}

/// What was asked for, and everything there is where nothing was.
fn run_long(cli: &Cli) -> Result<bool> {
    let file_systems = match cli.file_systems.as_slice() {
        [] if cli.all => FILE_SYSTEMS.iter().collect(),
        [] => vec![&FILE_SYSTEMS[0]],
        some => some.to_vec(),
    };
    let scenarios = match cli.scenarios.as_slice() {
        [] => SOUND.iter().collect(),
        some => some.to_vec(),
    };
    let durabilities = match cli.durabilities.as_slice() {
        [] if cli.all => Durability::value_variants(),
        [] => &[Durability::Full, Durability::Ordered],
        some => some,
    };
    let sync_plans = match cli.sync_plans.as_slice() {
        [] if cli.all => SyncPlan::value_variants(),
        [] => &[SyncPlan::Portable],
        some => some,
    };
    let images = cli.states.div_ceil(scenarios.len());
    let wish = Wish { images, prefixes: cli.prefixes, seed: cli.seed };
    let mut cases = Vec::new();
    for file_system in file_systems {
        for (durability, sync_plan) in
            durabilities.iter().flat_map(|it| sync_plans.iter().map(move |plan| (*it, *plan)))
        {
            let (durability, sync_plan) = (durability.into(), sync_plan.into());
            cases.extend(scenarios.iter().map(|scenario| Case {
                file_system,
                scenario,
                durability,
                sync_plan,
                wish,
            }));
        }
    }
    run_cases(cli, &cases)
}

/// A little of every scenario on the three usual file systems; less of what is large.
fn run_short(cli: &Cli) -> Result<bool> {
    let mut cases = Vec::new();
    for file_system in ["ext4", "xfs", "btrfs"] {
        for scenario in SOUND {
            let images = if scenario.bytes() > 8 << 20 { 5 } else { 15 };
            let portable = Case {
                file_system: file_system_named(file_system)?,
                scenario,
                durability: wholefile::Durability::Full,
                sync_plan: wholefile::SyncPlan::Portable,
                wish: Wish { images, prefixes: Prefixes::Some, seed: cli.seed },
            };
            if ["create", "overwrite", "journal"].contains(&scenario.name) {
                let sync_plan = wholefile::SyncPlan::Fewest;
                cases.push(Case { sync_plan, ..portable.clone() });
            }
            cases.push(portable);
        }
    }
    run_cases(cli, &cases)
}

/// Runs them one after the other, a line for each, and a sum for each file system and durability.
fn run_cases(cli: &Cli, cases: &[Case]) -> Result<bool> {
    let mut sums: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
    let mut good = true;
    for case in cases {
        let report = case.run(cli.workers)?;
        println!("{report}");
        let Case { file_system, durability, sync_plan, .. } = case;
        let sum = sums.entry(format!("{:<21} {durability:<7?} {sync_plan:<8}", file_system.name));
        let (states, images, violations) = sum.or_default();
        *states += report.plan.states.len();
        *images += report.plan.images;
        if !case.is_promised() {
            continue;
        }
        *violations += report.violations.len();
        if !report.violations.is_empty() {
            good = false;
            for (index, violation) in report.violations.iter().take(5) {
                println!("    VIOLATION in state {index}: {violation}");
            }
            report.keep(&cli.keep)?;
            println!("    kept in {}", cli.keep.display());
        }
    }
    for (what, (states, images, violations)) in sums {
        println!("sum: {what} {states:>6} states, {images:>6} images, {violations} violations");
    }
    Ok(good)
}
