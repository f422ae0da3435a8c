//! Directory trees: one file of a large tree changed, and a whole tree built anew.

use anyhow::Result;

use crate::bench::{Bench, Course, Extent, Process};
use crate::contenders::tree::{EDITS, NEW_ONES, Tree};
use crate::job::Work;
use crate::payload::Contents;
use crate::places::{BTRFS, DISK, EXT4, XFS};

const SMALL: Contents = Contents::Bytes(4 << 10);
pub(crate) const FILES: usize = 1_000;
pub(crate) const EDIT: &str = "one file changed in a tree of 1000 files of 4 KiB";
pub(crate) const NEW: &str = "new tree of 1000 files of 4 KiB";
const CASES: [(&str, &[Tree]); 2] = [(EDIT, EDITS), (NEW, NEW_ONES)];

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let files = match bench.extent {
        Extent::Whole => FILES,
        Extent::Quick => FILES / 10,
    };
    let work = Work::ReplaceTree { files };
    for (case, contenders) in CASES {
        let contenders: Vec<&str> = contenders.iter().map(|it| it.name).collect();
        bench.trace(case, (work, SMALL), &contenders)?;
        for place in bench.places_named(&[DISK, EXT4, XFS, BTRFS]) {
            let course = Course {
                case,
                work,
                contents: SMALL,
                process: Process::Shared,
                pace: bench.long_pace(5),
            };
            bench.race(place, &course, &contenders)?;
        }
    }
    Ok(())
}
