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
            let rounds = if bench.places[place].name == BTRFS { 1 } else { 3 };
            save(bench, place, (HUNDRED_THOUSAND, 1), rounds, BATCHES)?;
            save(bench, place, (HUNDRED_THOUSAND, 2), 1, BATCHES)?;
        }
    }
    Ok(())
}

/// Each by itself, beside the batch. A contender takes minutes, and has one turn.
pub(crate) fn run_one_by_one(bench: &mut Bench) -> Result<()> {
    for place in bench.places_named(&[EXT4, XFS]) {
        for threads in [1, 2] {
            let files = files_of(bench, HUNDRED_THOUSAND);
            let case = format!("{}, one by one", name(files, threads));
            let all = [OURS, FULL, FEWEST, BARE_FULL, AWF];
            race(bench, place, &case, Work::OverwriteMany { files, threads }, 1, &all)?;
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
    let files = files_of(bench, files);
    let work = Work::OverwriteMany { files, threads };
    race(bench, place, &name(files, threads), work, rounds, contenders)
}

fn files_of(bench: &Bench, files: usize) -> usize {
    match bench.extent {
        Extent::Whole => files,
        Extent::Quick => files.min(100),
    }
}

fn race(
    bench: &mut Bench,
    place: usize,
    case: &str,
    work: Work,
    rounds: usize,
    contenders: &[&'static str],
) -> Result<()> {
    let is_long = work.pieces() == HUNDRED_THOUSAND;
    let course = Course {
        case,
        work,
        contents: Contents::Bytes(SMALL),
        process: if is_long { Process::Own } else { Process::Shared },
        pace: bench.long_pace(rounds),
    };
    bench.race(place, &course, contenders)
}
