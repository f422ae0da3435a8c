//! What wholefile is to reach, as ratios of one run and as counts, and whether it does.

use crate::cases::{busy, growth, many, single, stream, tree as trees, update as updates};
use crate::contenders::{AWF, BARE_FULL, FEWEST, FULL, NONE, PERSIST, SKIPS, batch, tree, update};
use crate::places::{DISK, EXT4, LOOPS, TMPFS, XFS};
use crate::race::{Findings, Row};

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
    /// It is only to be known.
    None,
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
            Limit::None => true,
        };
        (!self.measured.is_empty()).then(|| self.measured.iter().all(holds))
    }
}

/// What was measured, to be asked.
#[derive(Clone, Copy)]
struct Results<'a>(&'a Findings);

impl<'a> Results<'a> {
    fn rows(self, case: &str, place: &str) -> &'a [Row] {
        let cell = self.0.cells.iter().find(|cell| cell.case == case && cell.place == place);
        cell.map_or(&[], |cell| &cell.rows)
    }

    fn row(self, case: &str, place: &str, contender: &str) -> Option<&'a Row> {
        self.rows(case, place).iter().find(|row| row.contender == contender)
    }

    /// A figure of a contender at each of `places`.
    fn figures(
        self,
        case: &str,
        places: &[&str],
        contender: &str,
        figure: impl Fn(&Row) -> Option<f64>,
    ) -> Vec<Measured> {
        let at = |place: &&str| {
            let value = figure(self.row(case, place, contender)?)?;
            Some(Measured { of: (*place).to_owned(), value })
        };
        places.iter().filter_map(at).collect()
    }

    /// The time of the first contender as a multiple of this one's.
    fn ratios(self, case: &str, places: &[&str], contender: &str) -> Vec<Measured> {
        self.figures(case, places, contender, |row| Some(row.ratio))
    }

    /// The time of `one` as a multiple of `other`'s.
    fn between(self, case: &str, places: &[&str], one: &str, other: &str) -> Vec<Measured> {
        let at = |place: &&str| {
            let value = self.row(case, place, other)?.ratio / self.row(case, place, one)?.ratio;
            Some(Measured { of: (*place).to_owned(), value })
        };
        places.iter().filter_map(at).collect()
    }

    /// The time of `ours` as a multiple of the best peer's.
    fn to_best_peer(self, case: &str, places: &[&str], ours: &str) -> Vec<Measured> {
        let at = |place: &&str| {
            let peers = self.rows(case, place).iter().filter(|row| row.is_peer());
            let best = peers.max_by(|one, other| one.ratio.total_cmp(&other.ratio))?;
            let value = best.ratio / self.row(case, place, ours)?.ratio;
            Some(Measured { of: format!("{place}, {}", best.contender), value })
        };
        places.iter().filter_map(at).collect()
    }
}

/// How many times as fast.
fn faster(measured: Vec<Measured>) -> Vec<Measured> {
    measured.into_iter().map(|it| Measured { value: 1.0 / it.value, ..it }).collect()
}

fn named(of: &str, measured: Vec<Measured>) -> impl Iterator<Item = Measured> {
    measured.into_iter().map(move |it| Measured { of: format!("{of}, {}", it.of), ..it })
}

/// The whole table.
pub(crate) fn all(findings: &Findings) -> Vec<Target> {
    let results = Results(findings);
    let parts = [single_files, small_pieces, streams, many_files, together];
    parts.into_iter().flat_map(|part| part(results)).collect()
}

fn single_files(results: Results<'_>) -> Vec<Target> {
    let durable: Vec<&str> = std::iter::once(DISK).chain(LOOPS).collect();
    let replace = single::name("overwrite", "4 KiB", "Full");
    let create_none = single::name("create", "4 KiB", "None");
    let replace_none = single::name("overwrite", "4 KiB", "None");
    let to_awf = [("create", &create_none), ("overwrite", &replace_none)]
        .into_iter()
        .flat_map(|(of, case)| named(of, results.ratios(case, &[TMPFS], AWF)));
    vec![
        Target {
            case: "durable replace of 4 KiB, against the bare system calls, same guarantee",
            limit: Limit::AtMost(1.05),
            measured: results.ratios(&replace, &durable, BARE_FULL),
        },
        Target {
            case: "the same, against the best peer with the same guarantee",
            limit: Limit::AtMost(1.0),
            measured: results.to_best_peer(&replace, &durable, FULL),
        },
        Target {
            case: "the same under `SyncPlan::Fewest`, against the best peer",
            limit: Limit::AtMost(0.7),
            measured: results.to_best_peer(&replace, &[EXT4, XFS], FEWEST),
        },
        Target {
            case: "the same: flush requests for each file",
            limit: Limit::AtMost(2.1),
            measured: results.figures(&replace, &[EXT4, XFS], FEWEST, |row| row.flushes),
        },
        Target {
            case: "create of 4 KiB, `Durability::None`, against tempfile's bare persist",
            limit: Limit::AtMost(1.25),
            measured: results.ratios(&create_none, &[TMPFS], PERSIST),
        },
        Target {
            case: "overwrite of 4 KiB, `Durability::None`, against tempfile's bare persist",
            limit: Limit::AtMost(1.5),
            measured: results.ratios(&replace_none, &[TMPFS], PERSIST),
        },
        Target {
            case: "the same, against atomic-write-file, whose syncs cost nothing on tmpfs",
            limit: Limit::AtMost(1.0),
            measured: to_awf.collect(),
        },
    ]
}

fn small_pieces(results: Results<'_>) -> Vec<Target> {
    let places = [TMPFS, DISK, EXT4, XFS];
    let unchanged = results.0.traces.iter().find(|it| it.contender == SKIPS).map(|it| it.calls);
    let unchanged = unchanged.into_iter().flat_map(|calls| {
        [("calls that change something", calls.changes), ("calls that wait", calls.syncs)]
            .map(|(of, value)| Measured { of: of.to_owned(), value })
    });
    let saves = [
        (single::name("create", "4 KiB", "Full"), FULL),
        (single::name("overwrite", "4 KiB", "Full"), FULL),
        (single::name("create", "4 KiB", "None"), NONE),
        (single::name("overwrite", "4 KiB", "None"), NONE),
    ];
    let allocations = saves.iter().filter_map(|(case, contender)| {
        let value = results.row(case, TMPFS, contender)?.allocations;
        Some(Measured { of: case.clone(), value })
    });
    let contended = updates::THREADS.into_iter().flat_map(|threads| {
        let case = updates::name(threads);
        let ratios = results.ratios(&case, &[TMPFS, DISK], update::BARE);
        named(&format!("{threads} threads"), ratios).collect::<Vec<_>>()
    });
    vec![
        Target {
            case: "10,000 `writeln!` of 40 bytes, against atomic-write-file without a BufWriter: \
                   times as fast",
            limit: Limit::AtLeast(10.0),
            measured: faster(results.ratios(single::LINES, &places, AWF)),
        },
        Target {
            case: "unchanged save with `skip_unchanged`",
            limit: Limit::AtMost(0.0),
            measured: unchanged.collect(),
        },
        Target {
            case: "allocations for a save of 4 KiB",
            limit: Limit::AtMost(8.0),
            measured: allocations.collect(),
        },
        Target {
            case: "contended update, `Durability::None`, against the bare flock, read, write, \
                   rename, which keep no metadata",
            limit: Limit::None,
            measured: contended.collect(),
        },
    ]
}

fn streams(results: Results<'_>) -> Vec<Target> {
    let places = [DISK, EXT4, XFS];
    let (largest, _) = stream::SIZES[stream::SIZES.len() - 1];
    let case = stream::name(largest);
    vec![
        Target {
            case: "stream of 1 GiB, durable, against the best peer: times as fast",
            limit: Limit::AtLeast(1.5),
            measured: faster(results.to_best_peer(&case, &places, FULL)),
        },
        Target {
            case: "the same: memory beyond that of an idle process, MiB",
            limit: Limit::AtMost(8.0),
            measured: results.figures(&case, &places, FULL, Row::growth_mib),
        },
    ]
}

fn many_files(results: Results<'_>) -> Vec<Target> {
    let places = [EXT4, XFS];
    let thousand = many::name(many::THOUSAND, 1);
    let growth = |place: &&str| {
        let time = |files| {
            let row = results.row(&many::name(files, 1), place, batch::OURS)?;
            Some(row.nanoseconds)
        };
        let value = time(many::HUNDRED_THOUSAND)? / time(many::THOUSAND)?;
        Some(Measured { of: (*place).to_owned(), value })
    };
    vec![
        Target {
            case: "1,000 durable files of 4 KiB as a batch, against the best peer one by one: \
                   times as fast",
            limit: Limit::AtLeast(10.0),
            measured: faster(results.to_best_peer(&thousand, &places, batch::OURS)),
        },
        Target {
            case: "the same: flush requests for each file",
            limit: Limit::AtMost(0.02),
            measured: results.figures(&thousand, &places, batch::OURS, |row| row.flushes),
        },
        Target {
            case: "100,000 files as a batch: time for each file, against that of 1,000",
            limit: Limit::AtMost(1.2),
            measured: places.iter().filter_map(growth).collect(),
        },
        Target {
            case: "the same, by a process that may have 256 files open: its memory, MiB",
            limit: Limit::None,
            measured: results.figures(
                &many::name(many::HUNDRED_THOUSAND, 1),
                &places,
                batch::OURS,
                Row::growth_mib,
            ),
        },
    ]
}

/// What has no limit, but is to be known.
fn together(results: Results<'_>) -> Vec<Target> {
    let places: Vec<&str> = std::iter::once(DISK).chain(LOOPS).collect();
    let thousand = many::name(many::THOUSAND, 1);
    let beside = |place: &&str| {
        let time = |entries| Some(results.row(&growth::name(entries), place, NONE)?.nanoseconds);
        let value = time(growth::MOST)? / time(0)?;
        Some(Measured { of: (*place).to_owned(), value })
    };
    let target = |case, measured| Target { case, limit: Limit::None, measured };
    vec![
        target(
            "1,000 files as a batch with a journal, against one without",
            results.between(&thousand, &LOOPS, batch::OURS_JOURNALLED, batch::OURS),
        ),
        target(
            "1,000 files as a batch while 2 GiB of another file are to be written out, against \
             the same by one syncfs",
            results.ratios(busy::CASE, &[DISK], batch::BARE_SYNCFS),
        ),
        target(
            "one file changed in a tree of 1,000 by `AtomicDir`, against `cp -a`, sync, rename",
            results.ratios(trees::EDIT, &places, tree::COPY_SYNCED),
        ),
        target(
            "new tree of 1,000 files by `AtomicDir`, against mkdir, write, sync, rename",
            results.ratios(trees::NEW, &places, tree::MADE_SYNCED),
        ),
        target(
            "overwrite of 4 KiB, `Durability::None`, beside 1,000,000 files: time, against that \
             beside none",
            [TMPFS, EXT4].iter().filter_map(beside).collect(),
        ),
    ]
}
