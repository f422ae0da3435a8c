//! Writers that are wrong on purpose. One that is not caught is a failure of the rig.

use anyhow::{Context, Result};
use wholefile::{Durability, SyncPlan};

use crate::case::Case;
use crate::file_system::FileSystem;
use crate::judge::Breach;
use crate::plan::{Prefixes, Wish};
use crate::scenario::Scenario;

struct Row {
    scenario: &'static str,
    /// By what the writer is judged,
    durability: Durability,
    /// how it must be found to break that,
    breach: Breach,
    /// and where.
    file_systems: &'static [&'static str],
}

/// Images to look at: more where fewer show nothing. The last step takes long, but which images
/// there are depends on when the kernel wrote, and a wrong writer may show in few of them.
const STEPS: &[(usize, Prefixes)] =
    &[(10, Prefixes::Some), (30, Prefixes::Some), (100, Prefixes::Some), (1000, Prefixes::All)];

const USUAL: &[&str] = &["ext4", "xfs", "btrfs"];

const fn row(scenario: &'static str, durability: Durability, breach: Breach) -> Row {
    Row { scenario, durability, breach, file_systems: USUAL }
}

const ROWS: &[Row] = &[
    row("plain-write", Durability::Ordered, Breach::Torn),
    row("plain-write", Durability::Full, Breach::Older),
    row("no-file-sync", Durability::Ordered, Breach::Torn),
    row("no-directory-sync", Durability::Full, Breach::Older),
    row("late-metadata", Durability::Ordered, Breach::Metadata),
    row("backup-never-synced", Durability::Full, Breach::Torn),
    row("backup-afterwards", Durability::Full, Breach::Split),
    row("one-by-one", Durability::Full, Breach::Split),
    row("journal-too-short", Durability::Full, Breach::Split),
    row("journal-unsynced", Durability::Full, Breach::Split),
    row("dir-unsynced", Durability::Ordered, Breach::Torn),
    Row { file_systems: &["btrfs"], ..row("written-out", Durability::Ordered, Breach::Torn) },
    // Not wholefile's fault, but for it this file system has no promise under `Ordered`.
    Row { file_systems: &["ext4-writeback"], ..row("stream", Durability::Ordered, Breach::Torn) },
];

/// Whether every one of them was caught on every file system.
pub(crate) fn run(seed: u64, workers: usize) -> Result<bool> {
    let mut good = true;
    for row in ROWS {
        for file_system in row.file_systems {
            good &= is_caught(row, file_system, seed, workers)?;
        }
    }
    Ok(good)
}

fn is_caught(row: &Row, file_system: &str, seed: u64, workers: usize) -> Result<bool> {
    let &Row { scenario, durability, breach, .. } = row;
    let mut case = Case {
        file_system: FileSystem::named(file_system).context("no such file system")?,
        scenario: Scenario::named(scenario).context("no such scenario")?,
        durability,
        sync_plan: SyncPlan::Portable,
        wish: Wish { images: 0, prefixes: Prefixes::Some, seed },
    };
    for step in STEPS {
        (case.wish.images, case.wish.prefixes) = *step;
        let report = case.run(workers)?;
        let caught = report.breaches().get(&breach).copied().unwrap_or(0);
        let verdict = match caught {
            0 if Some(step) == STEPS.last() => "NOT CAUGHT",
            0 => "not yet",
            _ => "caught",
        };
        println!("{verdict:<10} {:<8} {caught:>4} times: {report}", format!("{breach:?}"));
        if caught > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
