//! What wholefile is to reach, as ratios of one run and as counts, and whether it does.

use crate::cases::single;
use crate::contenders::{AWF, BARE_FULL, FULL, NONE, PERSIST, SKIPS};
use crate::places::{DISK, EXT4, LOOPS, TMPFS};
use crate::race::{Cell, Row};

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) case: &'static str,
    pub(crate) limit: Limit,
    pub(crate) measured: Vec<Measured>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// A figure, and what it is the figure of.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) of: String,
    pub(crate) value: f64,
}

impl Target {
    /// Whether it holds everywhere. `None` if it was not measured.
    pub(crate) fn holds(&self) -> Option<bool> {
        let holds = |it: &Measured| match self.limit {
            Limit::AtMost(limit) => it.value <= limit,
            Limit::AtLeast(limit) => it.value >= limit,
        };
        (!self.measured.is_empty()).then(|| self.measured.iter().all(holds))
    }
}

/// What was measured, to be asked.
#[derive(Clone, Copy)]
struct Results<'a>(&'a [Cell]);

impl<'a> Results<'a> {
    fn rows(self, case: &str, place: &str) -> &'a [Row] {
        let cell = self.0.iter().find(|cell| cell.case == case && cell.place == place);
        cell.map_or(&[], |cell| &cell.rows)
    }

    fn row(self, case: &str, place: &str, contender: &str) -> Option<&'a Row> {
        self.rows(case, place).iter().find(|row| row.contender == contender)
    }

    /// Ours as a multiple of theirs, at each of `places`.
    fn ratios(self, case: &str, places: &[&str], contender: &str) -> Vec<Measured> {
        let at = |place: &&str| {
            let row = self.row(case, place, contender)?;
            Some(Measured { of: (*place).to_owned(), value: row.ratio })
        };
        places.iter().filter_map(at).collect()
    }

    /// Ours as a multiple of the best peer's, at each of `places`.
    fn to_best_peer(self, case: &str, places: &[&str]) -> Vec<Measured> {
        let at = |place: &&str| {
            let peers = self.rows(case, place).iter().filter(|row| row.is_peer());
            let best = peers.max_by(|one, other| one.ratio.total_cmp(&other.ratio))?;
            Some(Measured { of: format!("{place} ({})", best.contender), value: best.ratio })
        };
        places.iter().filter_map(at).collect()
    }

    fn allocations(self, case: &str, place: &str, contender: &str) -> Option<Measured> {
        let row = self.row(case, place, contender)?;
        Some(Measured { of: case.to_owned(), value: row.allocations })
    }
}

fn faster(measured: Vec<Measured>) -> Vec<Measured> {
    measured.into_iter().map(|it| Measured { value: 1.0 / it.value, ..it }).collect()
}

/// The whole table.
pub(crate) fn all(cells: &[Cell]) -> Vec<Target> {
    let results = Results(cells);
    let durable: Vec<&str> = std::iter::once(DISK).chain(LOOPS).collect();
    let replace = single::name("overwrite", "4 KiB", "Full");
    let create_none = single::name("create", "4 KiB", "None");
    let replace_none = single::name("overwrite", "4 KiB", "None");
    let tmpfs = [TMPFS];
    let target = |case, limit, measured| Target { case, limit, measured };
    let replaces = |case| results.ratios(&replace, &durable, case);
    vec![
        target(
            "durable replace of 4 KiB, against the bare system calls with the same guarantee",
            Limit::AtMost(1.05),
            replaces(BARE_FULL),
        ),
        target(
            "durable replace of 4 KiB, against each peer with the same guarantee",
            Limit::AtMost(1.0),
            results.to_best_peer(&replace, &durable),
        ),
        target(
            "create of 4 KiB with Durability::None on tmpfs, against tempfile's bare persist",
            Limit::AtMost(1.25),
            results.ratios(&create_none, &tmpfs, PERSIST),
        ),
        target(
            "overwrite of 4 KiB with Durability::None on tmpfs, against tempfile's bare persist",
            Limit::AtMost(1.5),
            results.ratios(&replace_none, &tmpfs, PERSIST),
        ),
        target(
            "the same, against atomic-write-file without its syncs' share",
            Limit::AtMost(1.0),
            [("create", &create_none), ("overwrite", &replace_none)]
                .into_iter()
                .filter_map(|(of, case)| Some((of, results.row(case, TMPFS, AWF)?)))
                .map(|(of, row)| Measured { of: of.to_owned(), value: row.ratio })
                .collect(),
        ),
        target(
            "10,000 `writeln!` of 40 bytes, against atomic-write-file without a BufWriter",
            Limit::AtLeast(10.0),
            faster(results.ratios(single::LINES, &[TMPFS, DISK, EXT4], AWF)),
        ),
        target(
            "allocations per save of 4 KiB",
            Limit::AtMost(8.0),
            [
                results.allocations(&single::name("create", "4 KiB", "Full"), TMPFS, FULL),
                results.allocations(&replace, TMPFS, FULL),
                results.allocations(&create_none, TMPFS, NONE),
                results.allocations(&replace_none, TMPFS, NONE),
                results.allocations(single::UNCHANGED, TMPFS, SKIPS),
            ]
            .into_iter()
            .flatten()
            .collect(),
        ),
    ]
}
