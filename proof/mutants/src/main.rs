//! Changes the library in every place that cargo-mutants lists, one at a time, and lets the tests
//! look for each change.
//!
//! cargo-mutants builds the library and runs the tests once for each change, which takes days. Here
//! all changes are compiled into one library, each behind a switch (`rewrite.rs`, `switch.rs`); a
//! run of each test without a change shows to which ones it comes; and a change is looked for by
//! these tests alone, the quickest first, until one fails twice.
//!
//!     mutants build    writes and builds the changed library
//!     mutants look     lets the tests look for the changes
//!     mutants alone    prints the names of those that only cargo-mutants can try
//!     mutants report   what was found; exits with 1 if a change that survived is not explained
//!
//! To be run in the package's folder. `ci/mutants.sh` does all of it.

mod changed;
mod list;
mod look;
mod report;
mod rewrite;
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use fs_err as fs;

use crate::changed::Changed;
use crate::list::Mutant;
use crate::look::{Looker, Lookers, Verdict};

/// What `cargo test` is told to build.
const TESTS: &[&str] = &["--lib", "--test", "it", "--test", "budget", "--test", "examples"];

#[derive(Parser)]
#[command(about = "Lets the tests look for every change to the library")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write and build the library with all changes in it
    Build,
    /// Let the tests look for the changes that nobody has looked for yet
    Look {
        /// Also for those that have survived and are not explained
        #[arg(long)]
        again: bool,
        /// Only for those whose name contains this
        #[arg(long, default_value = "")]
        only: String,
        /// Of every so many the first one
        #[arg(long, default_value_t = 1)]
        every: usize,
        /// Leave it to the tests whose name contains one of these
        #[arg(long, value_delimiter = ',')]
        tests: Vec<String>,
        /// Leave it to the tests that take no longer than so many seconds
        #[arg(long, default_value_t = u64::MAX)]
        longest: u64,
        /// Leave it to the tests that take at least so many seconds, once the others have looked
        #[arg(long, default_value_t = 0)]
        shortest: u64,
    },
    /// Print the names of those that cannot be compiled beside the unchanged code
    Alone,
    /// Say what was found
    Report,
}

/// What is kept between the commands.
struct Work {
    folder: PathBuf,
}

impl Work {
    fn notes(&self) -> PathBuf {
        self.folder.join("found.jsonl")
    }

    fn load(&self) -> Result<(Vec<Mutant>, Changed)> {
        let text = fs::read_to_string(self.folder.join("changed.json")).context("not built yet")?;
        Ok(serde_json::from_str(&text)?)
    }
}

fn main() -> Result<ExitCode> {
    let package = std::env::current_dir()?;
    let work = Work { folder: package.join("target/mutants") };
    match Arguments::parse().command {
        Command::Build => build(&package, &work)?,
        Command::Look { again, only, every, tests, longest, shortest } => {
            let takes = Duration::from_secs(shortest)..=Duration::from_secs(longest);
            let lookers = Lookers { names: tests, takes };
            look(&package, &work, again, &only, every, lookers)?;
        }
        Command::Alone => {
            let (mutants, changed) = work.load()?;
            changed.alone().for_each(|number| println!("{}", mutants[number].name));
        }
        Command::Report => {
            let (mutants, changed) = work.load()?;
            let found = look::read(&work.notes())?;
            return report::report(&package, &work.folder, &mutants, &changed, found);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn build(package: &Path, work: &Work) -> Result<()> {
    let mutants = list::list(package)?;
    let changed = changed::build(package, &work.folder, &mutants, TESTS)?;
    let left_out = changed.left_out.len();
    eprintln!("mutants: {} changes, {left_out} of them left out", mutants.len());
    fs::write(work.folder.join("changed.json"), serde_json::to_string(&(mutants, changed))?)?;
    Ok(())
}

fn look(
    package: &Path,
    work: &Work,
    again: bool,
    only: &str,
    every: usize,
    lookers: Lookers,
) -> Result<()> {
    let (mutants, changed) = work.load()?;
    let mut tests = Vec::new();
    for (name, program) in &changed.programs {
        tests.extend(tests::tests_of(name, program)?);
    }
    eprintln!("mutants: {} tests", tests.len());
    let tests = look::reach(tests, mutants.len(), &work.folder)?;
    let found = look::read(&work.notes())?;
    let reasons = report::reasons(package)?;
    let is_due = |number: &usize| {
        let mutant = &mutants[*number];
        let is_compiled = !changed.left_out.contains_key(number);
        let is_new = found.get(&mutant.name).is_none_or(|it| match it.verdict {
            Verdict::Noticed | Verdict::Endless => false,
            Verdict::Unsettled if lookers.is_everybody() => true,
            Verdict::Survived | Verdict::Unreached | Verdict::Unsettled => {
                again && !reasons.contains(&mutant.known_as())
            }
        });
        is_compiled && is_new && mutant.name.contains(only) && number % every == 0
    };
    let numbers = (0..mutants.len()).filter(is_due).collect();
    let looker = Looker { mutants: &mutants, tests, lookers, noticed: Mutex::default() };
    looker.look_for(numbers, &work.folder, &work.notes())?;
    // A changed library may have spoiled what later tests need, who then notice everything.
    let tests = looker.tests.into_iter().map(|(test, _)| test).collect();
    look::reach(tests, mutants.len(), &work.folder).context("the tests do not pass any more")?;
    Ok(())
}
