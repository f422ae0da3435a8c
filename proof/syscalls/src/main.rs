//! Kills a save at each of its system calls, fails each of them with each error that it can return,
//! and looks at what is left on disk.
//!
//!     cargo run --release                 # the short form: fewer calls of trees and journals, and
//!                                         # some of the errors
//!     cargo run --release -- --long       # every call, every error
//!     cargo run --release -- --self-test  # writers that are broken on purpose: each is caught
//!
//! Linux on x86-64. Exits with 1 if anything was wrong.

mod after;
mod backups;
mod broken;
mod calls;
mod groups;
mod journals;
mod judge;
mod place;
mod plans;
mod report;
mod saves;
mod scenarios;
mod stage;
mod told;
mod tracer;
mod trees;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use crate::calls::Call;
use crate::judge::{Target, Violations};
use crate::plans::{Extent, Trial};
use crate::scenarios::Scenario;
use crate::stage::{Judged, Stage};
use crate::tracer::Fault;

#[derive(Parser)]
#[command(about = "Kills and fails a save at each of its system calls")]
struct Arguments {
    /// Every error that each call can return, and both orders of what is done after a kill
    #[arg(long)]
    long: bool,
    /// Run the writers that are broken on purpose: each must be caught
    #[arg(long)]
    self_test: bool,
    /// Only the scenarios whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// How many violations of a scenario are printed
    #[arg(long, default_value_t = 5)]
    show: usize,
    /// Where to work [default: in memory, /dev/shm]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// What came of one scenario.
#[derive(Default)]
struct Tally {
    calls: usize,
    killed: usize,
    failed: usize,
    violations: Violations,
}

fn main() -> Result<ExitCode> {
    // What a new file may be is part of what is checked.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if let Some(result) = Scenario::run_if_asked() {
        return result.map(|()| ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse();
    let dir = arguments.dir.clone().unwrap_or_else(|| {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() }
    });
    let extent = if arguments.long { Extent::Long } else { Extent::Short };
    let is_right = match arguments.self_test {
        true => self_test(&dir, &arguments)?,
        false => prove(&dir, extent, &arguments)?,
    };
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn prove(dir: &Path, extent: Extent, arguments: &Arguments) -> Result<bool> {
    println!("{:<48} {:>5} {:>6} {:>6}  violations", "scenario", "calls", "killed", "failed");
    let mut total = Tally::default();
    let mut scenarios = 0;
    for scenario in scenarios::all().iter().filter(|it| it.label().contains(&arguments.only)) {
        let tally = tally(dir, scenario, extent)?;
        let Tally { calls, killed, failed, violations } = tally;
        println!(
            "{:<48} {calls:>5} {killed:>6} {failed:>6}  {}",
            scenario.label(),
            violations.len()
        );
        violations.iter().take(arguments.show).for_each(|violation| println!("    {violation}"));
        scenarios += 1;
        total.calls += calls;
        total.killed += killed;
        total.failed += failed;
        total.violations.extend(violations);
    }
    ensure!(total.killed > 0 && total.failed > 0, "nothing was tried");
    println!(
        "{scenarios} scenarios, {} calls, killed {} times, failed {} times: {} violations",
        total.calls,
        total.killed,
        total.failed,
        total.violations.len()
    );
    Ok(total.violations.is_empty())
}

fn self_test(dir: &Path, arguments: &Arguments) -> Result<bool> {
    let mut missed = 0;
    let broken = scenarios::broken();
    for (scenario, caught) in broken.iter().filter(|(it, _)| it.label().contains(&arguments.only)) {
        let extent = match scenario.short_extent() {
            Extent::Short => Extent::Long,
            of_many => of_many,
        };
        let tally = tally(dir, scenario, extent)?;
        let sentence = tally.violations.iter().find(|violation| violation.contains(caught));
        println!("{:<40} {}", scenario.label(), sentence.map_or("NOT CAUGHT", |it| it));
        if sentence.is_none() {
            missed += 1;
            tally
                .violations
                .iter()
                .take(arguments.show)
                .for_each(|violation| println!("    {violation}"));
        }
    }
    println!("{} broken writers, {missed} not caught", broken.len());
    Ok(missed == 0)
}

/// One scenario: once without a fault, and then with each.
fn tally(dir: &Path, scenario: &Scenario, extent: Extent) -> Result<Tally> {
    let death = stage::death(dir, scenario)?;
    let clean = Stage::new(dir, scenario, death)?.run(None)?;
    let extent = if extent == Extent::Short { scenario.short_extent() } else { extent };
    let trials = plans::of(&clean.calls, extent);
    let mut tally = Tally { calls: clean.calls.len(), ..Tally::default() };
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    // A traced process answers only to the thread that started it: each thread has its own.
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = attempt(dir, (scenario, death), &clean.calls, trial);
                    let result = result.with_context(|| trial.describe(&clean.calls));
                    results.lock().unwrap().push((*trial, result));
                }
            });
        }
    });
    let mut switches = Vec::new();
    for (trial, result) in results.into_inner().unwrap() {
        let (targets, violations) = match result {
            Ok(result) => result,
            Err(error) => (Vec::new(), vec![format!("{error:#}")]),
        };
        match trial.fault {
            Some((at, Fault::Kill)) => {
                tally.killed += 1;
                switches.push((at, targets));
            }
            _ => tally.failed += 1,
        }
        let described = |violation| format!("{}: {violation}", trial.describe(&clean.calls));
        tally.violations.extend(violations.into_iter().map(described));
    }
    switches.sort_by_key(|(at, _)| *at);
    for index in 0..switches.iter().map(|(_, targets)| targets.len()).max().unwrap_or(0) {
        let of_one = switches.iter().filter_map(|(at, them)| Some((*at, them.get(index)?)));
        tally.violations.extend(has_gone_back(of_one.collect()));
    }
    tally.violations.sort();
    Ok(tally)
}

/// The later it is killed, the newer the target: once it is replaced, it stays so.
fn has_gone_back(switches: Vec<(usize, &Target)>) -> Option<String> {
    let is_new = |target: &Target| matches!(target, Target::New(_));
    let first_new = switches.iter().find(|(_, target)| is_new(target))?.0;
    let back = switches.iter().find(|(at, target)| *at > first_new && !is_new(target))?.0;
    Some(format!("killed at call {first_new} it has the new contents, at {back} the old"))
}

fn attempt(
    dir: &Path,
    (scenario, death): (&Scenario, Option<usize>),
    clean: &[Call],
    trial: &Trial,
) -> Result<Judged> {
    let stage = Stage::new(dir, scenario, death)?;
    let run = stage.run(trial.fault)?;
    if let Some((at, _)) = trial.fault {
        let same = run.calls.len() > at && run.calls[at].number == clean[at].number;
        ensure!(same, "call {at} is not the one that it was without a fault");
    }
    stage.judge(&run, clean, trial)
}
