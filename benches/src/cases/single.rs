//! One file: created, overwritten, written in small pieces, unchanged, rolled back.

use anyhow::Result;

use crate::bench::{Bench, Course, Extent, Process};
use crate::contenders::{self, AWF, AWF_BUFFERED, Contender, Survives};
use crate::job::Work;
use crate::payload::Contents;
use crate::places::{DISK, TMPFS};
use crate::race::Pace;

pub(crate) const SIZES: [(&str, usize); 4] =
    [("1 B", 1), ("4 KiB", 4 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];
const SMALL: usize = 4 << 10;

const GROUPS: [(&str, &[Survives]); 3] = [
    ("Full", &[Survives::Full]),
    ("Ordered", &[Survives::Ordered]),
    ("None", &[Survives::Nothing, Survives::NotEvenReaders]),
];

pub(crate) const LINES: &str = "10,000 writeln! of 40 bytes";
pub(crate) const JSON: &str = "serde_json::to_writer of 1,000 records";
pub(crate) const UNCHANGED: &str = "unchanged, 4 KiB";
pub(crate) const ROLLED_BACK: &str = "rolled back, 4 KiB";

/// The name of a case of this module.
pub(crate) fn name(work: &str, size: &str, group: &str) -> String {
    format!("{work} {size}, {group}")
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    traces(bench)?;
    for place in 0..bench.places.len() {
        for (size, len) in SIZES {
            if bench.extent == Extent::Quick && len != SMALL {
                continue;
            }
            for (work_name, work) in [("create", Work::Create), ("overwrite", Work::Overwrite)] {
                for (group, survives) in GROUPS {
                    let contenders = in_group(survives, bench.places[place].name);
                    let case = name(work_name, size, group);
                    save(bench, place, &case, (work, Contents::Bytes(len)), &contenders)?;
                }
            }
        }
        small_pieces(bench, place)?;
    }
    Ok(())
}

fn traces(bench: &mut Bench) -> Result<()> {
    for (work_name, work) in [("create", Work::Create), ("overwrite", Work::Overwrite)] {
        for (group, survives) in GROUPS {
            let case = name(work_name, "4 KiB", group);
            bench.trace(&case, (work, Contents::Bytes(SMALL)), &in_group(survives, DISK))?;
        }
    }
    let durable = contenders::all().filter(|it| it.survives == Survives::Full);
    bench.trace(LINES, (Work::Overwrite, Contents::Lines), &names(durable))?;
    let small = (Work::Overwrite, Contents::Bytes(SMALL));
    bench.trace(UNCHANGED, small, &names(contenders::unchanged()))?;
    bench.trace(ROLLED_BACK, small, &names(contenders::rolled_back()))
}

/// What is rather a matter of the caller's habits than of the file's size.
fn small_pieces(bench: &mut Bench, place: usize) -> Result<()> {
    let durable = contenders::all().filter(|it| it.survives == Survives::Full);
    let durable = names(durable);
    // Without a buffer each is tens of thousands of system calls.
    for (case, contents) in [(LINES, Contents::Lines), (JSON, Contents::Json)] {
        let work = Work::Overwrite;
        let pace = Pace { rounds: bench.pace().rounds.min(5), ..bench.pace() };
        let course = Course { case, work, contents, process: Process::Shared, pace };
        bench.race(place, &course, &durable)?;
    }
    let small = (Work::Overwrite, Contents::Bytes(SMALL));
    save(bench, place, UNCHANGED, small, &names(contenders::unchanged()))?;
    save(bench, place, ROLLED_BACK, small, &names(contenders::rolled_back()))
}

fn save(
    bench: &mut Bench,
    place: usize,
    case: &str,
    (work, contents): (Work, Contents),
    contenders: &[&'static str],
) -> Result<()> {
    let course = Course { case, work, contents, process: Process::Shared, pace: bench.pace() };
    bench.race(place, &course, contenders)
}

/// Those who promise that, wholefile first.
fn in_group(survives: &[Survives], place: &str) -> Vec<&'static str> {
    let is_in = |it: &&Contender| survives.contains(&it.survives) && it.name != AWF_BUFFERED;
    let mut group = names(contenders::all().filter(is_in));
    if place == TMPFS && survives.contains(&Survives::Nothing) {
        group.push(AWF); // its syncs cost no more than the calls there
    }
    group
}

pub(super) fn names(contenders: impl Iterator<Item = &'static Contender>) -> Vec<&'static str> {
    contenders.map(|it| it.name).collect()
}
