//! A batch beside another program that has just written much: who waits for more than their own?

use anyhow::Result;

use super::many::{BATCHES, THOUSAND};
use crate::bench::{Bench, Course, Extent, Process};
use crate::job::Work;
use crate::payload::Contents;
use crate::places::DISK;

pub(crate) const CASE: &str =
    "1000 files of 4 KiB, while 2 GiB of another file are to be written out";
const DIRTY_MIB: usize = 2 << 10;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    for place in bench.places_named(&[DISK]) {
        let dirty_mib = match bench.extent {
            Extent::Whole => DIRTY_MIB,
            Extent::Quick => DIRTY_MIB / 16,
        };
        let course = Course {
            case: CASE,
            work: Work::OverwriteBeside { files: THOUSAND, dirty_mib },
            contents: Contents::Bytes(4 << 10),
            process: Process::Shared,
            pace: bench.long_pace(3),
        };
        bench.race(place, &course, BATCHES)?;
    }
    Ok(())
}
