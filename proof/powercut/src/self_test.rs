//! Writers that are wrong on purpose. One that is not caught is a failure of the rig.

use anyhow::{Context, Result};
use wholefile::Durability;

use crate::file_system::FileSystem;
use crate::judge::Breach;
use crate::plan::{Prefixes, Wish};
use crate::run::Case;
use crate::scenario::Scenario;

/// Under which durability a writer is judged, and how it must be found to break it.
const ROWS: &[(&str, Durability, Breach)] = &[
    ("plain-write", Durability::Ordered, Breach::Torn),
    ("plain-write", Durability::Full, Breach::Older),
    ("no-file-sync", Durability::Ordered, Breach::Torn),
    ("no-directory-sync", Durability::Full, Breach::Older),
    ("late-metadata", Durability::Ordered, Breach::Metadata),
    ("one-by-one", Durability::Full, Breach::Split),
];

const IMAGES: usize = 150;

/// Whether every one of them was caught on every file system.
pub(crate) fn run(seed: u64, workers: usize) -> Result<bool> {
    let mut good = true;
    for file_system in ["ext4", "xfs", "btrfs"] {
        for &(scenario, durability, breach) in ROWS {
            let case = Case {
                file_system: FileSystem::named(file_system).context("no such file system")?,
                scenario: Scenario::named(scenario).context("no such scenario")?,
                durability,
                wish: Wish { images: IMAGES, prefixes: Prefixes::Some, seed },
            };
            let report = case.run(workers)?;
            let caught = report.breaches().get(&breach).copied().unwrap_or(0);
            let verdict = if caught > 0 { "caught" } else { "NOT CAUGHT" };
            println!("{verdict} {breach:?} {caught} times: {report}");
            good &= caught > 0;
        }
    }
    Ok(good)
}
