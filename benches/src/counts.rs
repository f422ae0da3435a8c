//! The cheap form: only what does not depend on the machine. System calls, flush requests and
//! allocations of this library, compared with `limits.json`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use crate::cases::{many, single, tree as trees, update as updates};
use crate::contenders::{FEWEST, FULL, NONE, ORDERED, ROLLS_BACK, SKIPS, batch, tree, update};
use crate::job::{Job, Session, Work};
use crate::payload::Contents;
use crate::places::{BTRFS, Images, LOOPS, Place};
use crate::trace;

/// What is counted, by the sentence that says so.
type Counts = BTreeMap<String, f64>;

const SMALL: Contents = Contents::Bytes(4 << 10);
/// How often a save of one file is made while its flushes are counted.
const SAVES: usize = 11;
/// The same for work that is many files.
const BATCHES: usize = 3;
/// In a tree, or in a batch whose system calls are counted, each of which strace holds up.
const FILES: usize = 100;
const FLUSHES: &str = "flushes";
const ALLOCATIONS: &str = "allocations";
const CALLS: &str = "system calls";
/// The kernel may write out the journal while a batch is made, without anybody asking for it.
const FLUSH_TOLERANCE: f64 = 2.0;
/// When the tables of a batch grow depends on random hashes.
const ALLOCATION_TOLERANCE: f64 = 100.0;
/// The commit of a tree reads the list of all mounts, which other programs make and remove.
const MOUNTS_TOLERANCE: f64 = 0.2;
const MOUNTS_ALLOCATION_TOLERANCE: f64 = 300.0;

/// What to do with what was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Fail if it is more than the limits allow.
    Check,
    /// Make it the limits.
    Accept,
}

const GROUPS: [(&str, &str); 4] = [
    ("Full", FULL),
    ("Full with the fewest flushes", FEWEST),
    ("Ordered", ORDERED),
    ("None", NONE),
];

struct Case {
    name: String,
    contender: &'static str,
    work: Work,
    contents: Contents,
}

pub(crate) fn run(scratch: &Path, limits: &Path, verdict: Verdict) -> Result<()> {
    fs::create_dir_all(scratch)?;
    let mut counts = Counts::new();
    let folder = scratch.join("counts");
    for case in cases() {
        ours(&case, &folder, &mut counts)?;
        fs::remove_dir_all(&folder)?;
    }
    let skipped = flushes(scratch, &mut counts)?;
    match verdict {
        Verdict::Accept => {
            ensure!(skipped.is_empty(), "not everything was counted");
            fs::write(limits, serde_json::to_string_pretty(&counts)? + "\n")?;
            Ok(())
        }
        Verdict::Check => compare(&counts, &serde_json::from_slice(&fs::read(limits)?)?, &skipped),
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, contender) in GROUPS {
        for (work_name, work) in [("create", Work::Create), ("overwrite", Work::Overwrite)] {
            let name = single::name(work_name, "4 KiB", group);
            cases.push(Case { name, contender, work, contents: SMALL });
        }
    }
    let mut case = |name: &str, contender, work, contents| {
        cases.push(Case { name: name.to_owned(), contender, work, contents });
    };
    case(single::UNCHANGED, SKIPS, Work::Overwrite, SMALL);
    case(single::ROLLED_BACK, ROLLS_BACK, Work::Overwrite, SMALL);
    case(single::LINES, NONE, Work::Overwrite, Contents::Lines);
    case(single::JSON, NONE, Work::Overwrite, Contents::Json);
    case("stream of 64 MiB, Full", FULL, Work::Overwrite, Contents::Stream(64 << 20));
    let work = Work::Update { updates: 1, threads: 1 };
    case(&updates::name(1), update::OURS, work, Contents::Bytes(1));
    cases.extend(batches(FILES));
    cases.extend(replaced_trees());
    cases
}

fn batches(files: usize) -> impl Iterator<Item = Case> {
    let work = Work::OverwriteMany { files, threads: 1 };
    let contenders = [batch::OURS, batch::OURS_FEWEST, batch::OURS_JOURNALLED];
    contenders.into_iter().map(move |contender| {
        let name = format!("{}, {contender}", many::name(files, 1));
        Case { name, contender, work, contents: SMALL }
    })
}

fn replaced_trees() -> impl Iterator<Item = Case> {
    let work = Work::ReplaceTree { files: FILES };
    [(trees::EDIT, tree::EDIT), (trees::NEW, tree::NEW)].into_iter().map(
        move |(case, contender)| {
            let name = format!("{}, {contender}", case.replace(&trees::FILES.to_string(), "100"));
            Case { name, contender, work, contents: SMALL }
        },
    )
}

/// System calls and allocations.
fn ours(case: &Case, folder: &Path, counts: &mut Counts) -> Result<()> {
    let job = case.job(folder);
    if trace::is_possible() {
        let log = folder.with_extension("strace");
        let calls = trace::trace(&std::env::current_exe()?, &job, &log)?;
        counts.insert(format!("{CALLS}: {}", case.name), calls.all);
        counts.insert(format!("syncs: {}", case.name), calls.syncs);
        counts.insert(format!("changing system calls: {}", case.name), calls.changes);
    }
    let mut session = Session::new(job)?;
    session.turn(1, |_| {})?;
    let allocations = session.turn(1, |_| {})?.allocations;
    counts.insert(format!("{ALLOCATIONS}: {}", case.name), allocations as f64);
    Ok(())
}

/// Flush requests for each save, and for each batch. Gives the file systems that could not be made.
fn flushes(scratch: &Path, counts: &mut Counts) -> Result<Vec<&'static str>> {
    let memory = Place::tmpfs(scratch);
    let mut skipped = Vec::new();
    for name in LOOPS {
        let made = memory.as_ref().map_err(|error| format!("{error:#}")).and_then(|memory| {
            Place::on_loop(name, &memory.folder, Images::InMemory)
                .map_err(|error| format!("{error:#}"))
        });
        let place = match made {
            Ok(place) => place,
            Err(error) => {
                eprintln!("SKIPPED flushes on {name}: {error}");
                skipped.push(name);
                continue;
            }
        };
        for case in flushed() {
            if name == BTRFS && !case.is_of_one_file() {
                continue; // how many of the threads share a flush is chance there
            }
            let folder = place.folder.join("counts");
            let mut session = Session::new(case.job(&folder))?;
            session.turn(1, |_| {})?;
            place.settle()?;
            let mut flushes = vec![0; if case.is_of_one_file() { SAVES } else { BATCHES }];
            for count in &mut flushes {
                let before = place.flushes()?.context("a loop device without statistics")?;
                session.turn(1, |_| {})?;
                *count = place.flushes()?.context("a loop device without statistics")? - before;
            }
            flushes.sort_unstable();
            let key = format!("{FLUSHES} on {name}: {}", case.name);
            counts.insert(key, flushes[flushes.len() / 2] as f64);
            fs::remove_dir_all(folder)?;
        }
    }
    Ok(skipped)
}

fn flushed() -> Vec<Case> {
    let save =
        |name: String, contender| Case { name, contender, work: Work::Overwrite, contents: SMALL };
    let mut cases: Vec<Case> = GROUPS
        .into_iter()
        .map(|(group, contender)| save(single::name("overwrite", "4 KiB", group), contender))
        .collect();
    cases.extend(batches(many::THOUSAND));
    cases.extend(replaced_trees());
    cases
}

impl Case {
    fn is_of_one_file(&self) -> bool {
        matches!(self.work, Work::Create | Work::Overwrite)
    }

    fn job(&self, folder: &Path) -> Job {
        let (contender, folder) = (self.contender.to_owned(), folder.to_owned());
        Job { contender, work: self.work, contents: self.contents, folder }
    }
}

fn compare(counts: &Counts, limits: &Counts, skipped: &[&str]) -> Result<()> {
    let mut failed = 0;
    for (key, count) in counts {
        let tolerance = match (key.contains(" files of "), key.contains(" tree of ")) {
            (true, _) if key.starts_with(FLUSHES) => FLUSH_TOLERANCE,
            (true, true) if key.starts_with(ALLOCATIONS) => MOUNTS_ALLOCATION_TOLERANCE,
            (true, false) if key.starts_with(ALLOCATIONS) => ALLOCATION_TOLERANCE,
            (true, true) if key.starts_with(CALLS) => MOUNTS_TOLERANCE,
            _ => 0.0,
        };
        let verdict = match limits.get(key) {
            Some(limit) if *count <= limit + tolerance => "",
            Some(_) => "  FAILED",
            None => "  FAILED: it has no limit",
        };
        failed += usize::from(!verdict.is_empty());
        let limit = limits.get(key).copied().unwrap_or(f64::NAN);
        println!("{count:>9.2} of {limit:>9.2}  {key}{verdict}");
    }
    for key in limits.keys().filter(|key| !counts.contains_key(*key)) {
        let is_traced = key.contains("system calls: ") || key.starts_with("syncs: ");
        let is_skipped = skipped.iter().any(|it| key.contains(&format!(" on {it}:")))
            || is_traced && !trace::is_possible();
        println!("{} {key}", if is_skipped { "SKIPPED" } else { "FAILED: not counted:" });
        failed += usize::from(!is_skipped);
    }
    ensure!(failed == 0, "{failed} counts are more than their limits");
    println!("all {} counts are within their limits", counts.len());
    Ok(())
}
