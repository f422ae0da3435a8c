//! Large files, streamed in pieces of 64 KiB, each time by a process of its own.

use anyhow::Result;

use super::single;
use crate::bench::{Bench, Course, Extent, Process};
use crate::contenders::{self, AWF_BUFFERED, Survives};
use crate::job::Work;
use crate::payload::Contents;
use crate::places::{DISK, EXT4, XFS};

const MIB: u64 = 1 << 20;
pub(crate) const SIZES: [(&str, u64); 3] =
    [("16 MiB", 16 * MIB), ("128 MiB", 128 * MIB), ("1 GiB", 1024 * MIB)];

/// The name of a case of this module.
pub(crate) fn name(size: &str) -> String {
    format!("stream of {size}, Full")
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let durable =
        contenders::all().filter(|it| it.survives == Survives::Full && it.name != AWF_BUFFERED);
    let durable = single::names(durable);
    for place in bench.places_named(&[DISK, EXT4, XFS]) {
        for (size, len) in SIZES {
            let last = len == SIZES[SIZES.len() - 1].1;
            if !last && bench.places[place].name != DISK {
                continue;
            }
            let len = match bench.extent {
                Extent::Whole => len,
                Extent::Quick => len / 16,
            };
            let course = Course {
                case: &name(size),
                work: Work::Create,
                contents: Contents::Stream(len),
                process: Process::Own,
                pace: bench.long_pace(5),
            };
            bench.race(place, &course, &durable)?;
        }
    }
    Ok(())
}
