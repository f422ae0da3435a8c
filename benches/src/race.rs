//! Contenders take turns, in each round in another order, so that whatever disturbs the machine
//! disturbs them alike. What counts is the ratio of the turns of one round.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::job::Outcome;
use crate::places::Place;
use crate::trace::Calls;

/// Somebody who takes turns.
pub(crate) trait Racer {
    fn name(&self) -> &str;
    fn guarantee(&self) -> String;
    /// How many files, or updates, are done when the work is done once.
    fn pieces(&self) -> usize;
    /// Does the work so many times.
    fn turn(&mut self, times: usize) -> Result<Outcome>;
}

/// How long a race takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) rounds: usize,
    /// How long a turn should take.
    pub(crate) turn_ns: u64,
    /// At most so often is the work done in one turn.
    pub(crate) max_times: usize,
}

/// All that was found out, in one run or in several that measured parts of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Findings {
    pub(crate) machine: Option<String>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) traces: Vec<Trace>,
}

impl Findings {
    /// Takes over what a later run has found: in the place of what was known of the same, else
    /// behind it.
    pub(crate) fn take_over(&mut self, later: Findings) {
        for cell in later.cells {
            let is_same = |it: &&mut Cell| it.case == cell.case && it.place == cell.place;
            match self.cells.iter_mut().find(is_same) {
                Some(old) => *old = cell,
                None => self.cells.push(cell),
            }
        }
        for trace in later.traces {
            let is_same =
                |it: &&mut Trace| it.case == trace.case && it.contender == trace.contender;
            match self.traces.iter_mut().find(is_same) {
                Some(old) => *old = trace,
                None => self.traces.push(trace),
            }
        }
    }
}

/// The system calls of a contender for one piece of work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Trace {
    pub(crate) case: String,
    pub(crate) contender: String,
    pub(crate) calls: Calls,
}

/// A case at a place, with what was measured of every contender.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) case: String,
    pub(crate) place: String,
    pub(crate) rows: Vec<Row>,
}

/// Medians for one contender.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) contender: String,
    pub(crate) guarantee: String,
    /// The time for one file, or one update.
    pub(crate) nanoseconds: f64,
    /// The time of the first contender as a multiple of this one's: below 1, the first is faster.
    pub(crate) ratio: f64,
    /// The quartiles of the ratio.
    pub(crate) quartiles: (f64, f64),
    /// Flush requests for one of them, where the kernel counts them.
    pub(crate) flushes: Option<f64>,
    /// Of the thread that works.
    pub(crate) allocations: f64,
    /// The most memory that the work took, where each turn has its own process.
    pub(crate) growth_kib: Option<u64>,
}

impl Row {
    pub(crate) fn growth_mib(&self) -> Option<f64> {
        Some(self.growth_kib? as f64 / 1024.0)
    }

    /// Neither this library nor the bare system calls nor a floor that promises less.
    pub(crate) fn is_peer(&self) -> bool {
        !["wholefile", "bare", "std::"].iter().any(|it| self.contender.starts_with(it))
    }
}

struct Turn {
    nanoseconds: f64,
    flushes: Option<f64>,
    allocations: f64,
    growth_kib: u64,
}

/// Runs it. The first of `racers` is the one that the others are compared with.
pub(crate) fn race(
    case: &str,
    place: &Place,
    racers: &mut [Box<dyn Racer>],
    pace: Pace,
) -> Result<Cell> {
    let times: Vec<usize> =
        racers.iter_mut().map(|racer| calibrate(&mut **racer, pace)).collect::<Result<_>>()?;
    let mut turns: Vec<Vec<Turn>> = racers.iter().map(|_| Vec::new()).collect();
    for round in 0..pace.rounds {
        for index in order_of(round, racers.len()) {
            turns[index].push(take_turn(place, &mut *racers[index], times[index])?);
        }
    }
    let reference = &turns[0];
    let rows = racers.iter().zip(&turns).map(|(racer, turns)| row(&**racer, turns, reference));
    Ok(Cell { case: case.to_owned(), place: place.name.to_owned(), rows: rows.collect() })
}

/// The order of a round. What a turn leaves for the system to do falls on whoever is next, so that
/// nobody always comes behind the same one.
fn order_of(round: usize, racers: usize) -> impl Iterator<Item = usize> {
    let strides: Vec<usize> = (1..=racers).filter(|it| is_coprime(*it, racers)).collect();
    let stride = strides[round % strides.len()];
    (0..racers).map(move |step| (round + step * stride) % racers)
}

fn is_coprime(mut one: usize, mut other: usize) -> bool {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one == 1
}

/// How often the work is done in one turn. The contender has done it once then, unless that takes
/// long, so that it does not pay for what is only done once.
fn calibrate(racer: &mut dyn Racer, pace: Pace) -> Result<usize> {
    if pace.max_times == 1 {
        return Ok(1);
    }
    let nanoseconds = racer.turn(1)?.nanoseconds.max(1);
    let fits = (pace.turn_ns / nanoseconds) as usize;
    Ok(fits.clamp(1, pace.max_times))
}

fn take_turn(place: &Place, racer: &mut dyn Racer, times: usize) -> Result<Turn> {
    place.settle()?;
    let before = place.flushes()?;
    let outcome = racer.turn(times)?;
    let after = place.flushes()?;
    let times = (times * racer.pieces()) as f64;
    Ok(Turn {
        nanoseconds: outcome.nanoseconds as f64 / times,
        flushes: before.zip(after).map(|(before, after)| (after - before) as f64 / times),
        allocations: outcome.allocations as f64 / times,
        growth_kib: outcome.growth_kib,
    })
}

fn row(racer: &dyn Racer, turns: &[Turn], reference: &[Turn]) -> Row {
    let ratios = turns.iter().zip(reference).map(|(turn, it)| it.nanoseconds / turn.nanoseconds);
    let ratios = sorted(ratios);
    let flushes: Option<Vec<f64>> = turns.iter().map(|turn| turn.flushes).collect();
    Row {
        contender: racer.name().to_owned(),
        guarantee: racer.guarantee(),
        nanoseconds: middle(&sorted(turns.iter().map(|turn| turn.nanoseconds))),
        ratio: middle(&ratios),
        quartiles: (quantile(&ratios, 0.25), quantile(&ratios, 0.75)),
        flushes: flushes.map(|flushes| middle(&sorted(flushes.into_iter()))),
        allocations: middle(&sorted(turns.iter().map(|turn| turn.allocations))),
        growth_kib: turns.iter().map(|turn| turn.growth_kib).max().filter(|it| *it > 0),
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn middle(sorted: &[f64]) -> f64 {
    quantile(sorted, 0.5)
}

/// Between two values, a mixture of both.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = part * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}
