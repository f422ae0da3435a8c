//! One file that several threads update, none of whose updates may be lost.

use anyhow::Result;

use crate::bench::{Bench, Course, Process};
use crate::contenders::update;
use crate::job::Work;
use crate::payload::Contents;
use crate::places::{DISK, TMPFS};

pub(crate) const THREADS: [usize; 3] = [1, 2, 8];
const UPDATES: usize = 50;

/// The name of a case of this module.
pub(crate) fn name(threads: usize) -> String {
    format!("contended update, {threads} threads, None")
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    for place in bench.places_named(&[TMPFS, DISK]) {
        for threads in THREADS {
            let course = Course {
                case: &name(threads),
                work: Work::Update { updates: UPDATES, threads },
                contents: Contents::Bytes(1),
                process: Process::Shared,
                pace: bench.pace(),
            };
            bench.race(place, &course, &[update::OURS, update::BARE])?;
        }
    }
    Ok(())
}
