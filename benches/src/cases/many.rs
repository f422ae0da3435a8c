//! Many small files: one by one, and as a batch.

use anyhow::Result;

use crate::bench::{Bench, Course, Extent, Process};
use crate::contenders::batch::{BARE_SYNCFS, OURS, OURS_FEWEST, OURS_JOURNALLED};
use crate::contenders::{AWF, BARE_FULL, FEWEST, FULL};
use crate::job::Work;
use crate::payload::Contents;
use crate::places::{BTRFS, EXT4, XFS};

const SMALL: usize = 4 << 10;
pub(crate) const THOUSAND: usize = 1_000;
pub(crate) const HUNDRED_THOUSAND: usize = 100_000;
/// What is staged together.
pub(crate) const BATCHES: &[&str] = &[OURS, OURS_FEWEST, BARE_SYNCFS];
/// How many are saved together.
pub(crate) const SIZES: [usize; 4] = [1, 10, 100, THOUSAND];
const ONE_BY_ONE: &[&str] =
    &[FULL, FEWEST, BARE_FULL, AWF, "tempfile + sync_all + persist + directory sync"];

/// The name of a case of this module.
pub(crate) fn name(files: usize, threads: usize) -> String {
    let threads = if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
    format!("{files} files of 4 KiB, {threads}")
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let work = Work::OverwriteMany { files: THOUSAND, threads: 1 };
    let traced = [OURS, OURS_FEWEST, OURS_JOURNALLED, BARE_SYNCFS];
    bench.trace(&name(THOUSAND, 1), (work, Contents::Bytes(SMALL)), &traced)?;
    for place in bench.places_named(&[EXT4, XFS, BTRFS]) {
        let all = [BATCHES, &[OURS_JOURNALLED], ONE_BY_ONE].concat();
        for files in SIZES {
            save(bench, place, (files, 1), 5, &all)?;
        }
        save(bench, place, (THOUSAND, 2), 3, &all)?;
        if bench.extent == Extent::Whole {
            // There, each file is waited for by itself, and nothing new is to be seen.
            let rounds = if bench.places[place].name == BTRFS { 1 } else { 3 };
            save(bench, place, (HUNDRED_THOUSAND, 1), rounds, BATCHES)?;
            save(bench, place, (HUNDRED_THOUSAND, 2), 1, BATCHES)?;
        }
    }
    Ok(())
}

fn save(
    bench: &mut Bench,
    place: usize,
    (files, threads): (usize, usize),
    rounds: usize,
    contenders: &[&'static str],
) -> Result<()> {
    let files = match bench.extent {
        Extent::Whole => files,
        Extent::Quick => files.min(100),
    };
    let process = if files == HUNDRED_THOUSAND { Process::Own } else { Process::Shared };
    let course = Course {
        case: &name(files, threads),
        work: Work::OverwriteMany { files, threads },
        contents: Contents::Bytes(SMALL),
        process,
        pace: bench.long_pace(rounds),
    };
    bench.race(place, &course, contenders)
}
