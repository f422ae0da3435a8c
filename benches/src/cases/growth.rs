//! What a save costs in a directory that has many entries.

use std::path::Path;

use anyhow::Result;
use fs_err as fs;

use crate::bench::{Bench, Course, Extent, Process};
use crate::contenders::{BARE_NONE, NONE, PERSIST};
use crate::job::Work;
use crate::payload::Contents;
use crate::places::{EXT4, TMPFS};

const SMALL: usize = 4 << 10;
pub(crate) const MOST: usize = 1_000_000;
const ENTRIES: [usize; 5] = [0, 1_000, 10_000, 100_000, MOST];

/// The name of a case of this module.
pub(crate) fn name(entries: usize) -> String {
    format!("overwrite 4 KiB beside {entries} files, None")
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    for place in bench.places_named(&[TMPFS, EXT4]) {
        let folder = bench.places[place].folder.join("growth");
        fs::create_dir_all(&folder)?;
        let mut before = 0;
        for entries in ENTRIES {
            if bench.extent == Extent::Quick && entries > 10_000 {
                break;
            }
            fill(&folder, before, entries)?;
            before = entries;
            let course = Course {
                case: &name(entries),
                work: Work::Overwrite,
                contents: Contents::Bytes(SMALL),
                process: Process::Shared,
                pace: bench.pace(),
            };
            // All in the folder that grows.
            let mut racers = Vec::new();
            for contender in [NONE, BARE_NONE, PERSIST] {
                racers.extend(bench.racer(contender, &course, folder.clone())?);
            }
            bench.race_of(place, &course, racers)?;
        }
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

fn fill(folder: &Path, from: usize, to: usize) -> Result<()> {
    for index in from..to {
        fs::File::create(folder.join(format!("entry-{index}")))?;
    }
    Ok(())
}
