//! Large files, streamed in pieces of 64 KiB, each time by a process of its own.

use anyhow::Result;

use super::single;
use crate::bench::{Bench, Course, Extent, Process};
use crate::contenders::{self, AWF_BUFFERED, FULL, Survives};
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
    let durable = contenders::ALL
        .iter()
        .filter(|it| it.survives == Survives::Full && it.name != AWF_BUFFERED);
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
                pace: bench.long_pace(),
            };
            bench.race(place, &course, &durable)?;
            if last {
                subtract_idle(bench, place, &course)?;
            }
        }
    }
    Ok(())
}

/// Takes off the memory that a process has had which does nothing.
fn subtract_idle(bench: &mut Bench, place: usize, course: &Course<'_>) -> Result<()> {
    let idle = Course { work: Work::Idle, ..course.clone() };
    let folder = bench.places[place].folder.join("idle");
    let Some(mut racer) = bench.racer(FULL, &idle, folder.clone())? else { return Ok(()) };
    let idle = racer.turn(1)?.peak_kib;
    fs_err::remove_dir_all(folder)?;
    let rows = bench.findings.cells.last_mut().map(|cell| &mut cell.rows);
    for row in rows.into_iter().flatten() {
        row.peak_kib = row.peak_kib.map(|peak| peak.saturating_sub(idle));
    }
    Ok(())
}
