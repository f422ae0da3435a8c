//! One file: created, overwritten, written in small pieces, unchanged, rolled back.

use anyhow::Result;

use crate::bench::{Bench, Extent};
use crate::contenders::{self, AWF, AWF_BUFFERED, Contender, Survives};
use crate::job::Work;
use crate::payload::Contents;
use crate::places::TMPFS;

pub(crate) const SIZES: [(&str, usize); 4] =
    [("1 B", 1), ("4 KiB", 4 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];
const SMALL: usize = 4 << 10;

pub(crate) const GROUPS: [(&str, &[Survives]); 3] = [
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
    for index in 0..bench.places.len() {
        for (size, len) in SIZES {
            if bench.extent == Extent::Quick && len != SMALL {
                continue;
            }
            for (work_name, work) in [("create", Work::Create), ("overwrite", Work::Overwrite)] {
                for (group, survives) in GROUPS {
                    let place = &bench.places[index];
                    let contenders = in_group(survives, place.name);
                    let case = name(work_name, size, group);
                    let work = (work, Contents::Bytes(len));
                    let cell = bench.saves(&case, place, &contenders, work)?;
                    bench.add(cell);
                }
            }
        }
        small_pieces(bench, index)?;
    }
    Ok(())
}

/// What is rather a matter of the caller's habits than of the file's size.
fn small_pieces(bench: &mut Bench, index: usize) -> Result<()> {
    let streamed: Vec<_> =
        contenders::ALL.iter().filter(|it| it.survives == Survives::Full).collect();
    for (case, contents) in [(LINES, Contents::Lines), (JSON, Contents::Json)] {
        let place = &bench.places[index];
        let cell = bench.saves(case, place, &streamed, (Work::Overwrite, contents))?;
        bench.add(cell);
    }
    let small = (Work::Overwrite, Contents::Bytes(SMALL));
    for (case, table) in
        [(UNCHANGED, contenders::UNCHANGED), (ROLLED_BACK, contenders::ROLLED_BACK)]
    {
        let all: Vec<_> = table.iter().collect();
        let cell = bench.saves(case, &bench.places[index], &all, small)?;
        bench.add(cell);
    }
    Ok(())
}

/// Those who promise that, wholefile first.
fn in_group(survives: &[Survives], place: &str) -> Vec<&'static Contender> {
    let is_in = |it: &&Contender| survives.contains(&it.survives) && it.name != AWF_BUFFERED;
    let mut group: Vec<_> = contenders::ALL.iter().filter(is_in).collect();
    if place == TMPFS && survives.contains(&Survives::Nothing) {
        // Its syncs cost no more than the two calls there.
        group.extend(contenders::find(AWF));
    }
    group
}
