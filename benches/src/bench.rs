//! What all cases need: the places, the pace, the other build, and where the results go.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fs_err as fs;

use crate::contenders::{Build, Contender};
use crate::job::{Job, Outcome, Session, Work};
use crate::payload::Contents;
use crate::places::{self, Images, Place};
use crate::race::{self, Cell, Pace, Racer};
use crate::worker::{self, Marks, Worker};

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// Enough to see that everything works.
    Quick,
}

#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) places: Vec<Place>,
    pub(crate) extent: Extent,
    pub(crate) pace: Pace,
    /// The build of the program with the other staging of atomic-write-file.
    unnamed: Option<PathBuf>,
    pub(crate) cells: Vec<Cell>,
    started: std::time::Instant,
}

impl Bench {
    /// Makes the places in `scratch`, which is on the machine's own disk.
    pub(crate) fn new(scratch: &Path, extent: Extent, only: Option<&str>) -> Result<Bench> {
        fs::create_dir_all(scratch)?;
        let started = std::time::Instant::now();
        eprintln!("making file systems, and building the other staging of atomic-write-file");
        let unnamed = worker::build_unnamed()
            .inspect_err(|error| eprintln!("SKIPPED its unnamed staging: {error:#}"))
            .ok();
        let wanted = |name: &str| only.is_none_or(|only| only.split(',').any(|it| it == name));
        let mut places = Vec::new();
        if wanted(places::DISK) {
            places.push(Place::disk(scratch)?);
        }
        if wanted(places::TMPFS) {
            keep(&mut places, places::TMPFS, Place::tmpfs(scratch));
        }
        for name in places::LOOPS.into_iter().filter(|name| wanted(name)) {
            keep(&mut places, name, Place::on_loop(name, scratch, Images::OnDisk));
        }
        let pace = match extent {
            Extent::Whole => Pace { rounds: 15, turn_ns: 12_000_000, max_times: 400 },
            Extent::Quick => Pace { rounds: 5, turn_ns: 3_000_000, max_times: 100 },
        };
        Ok(Bench { places, extent, pace, unnamed, cells: Vec::new(), started })
    }

    pub(crate) fn place(&self, name: &str) -> Option<&Place> {
        self.places.iter().find(|place| place.name == name)
    }

    /// Lets single saves race. The first contender is the one that the others are compared with.
    pub(crate) fn saves(
        &self,
        case: &str,
        place: &Place,
        contenders: &[&'static Contender],
        (work, contents): (Work, Contents),
    ) -> Result<Cell> {
        let folder = place.folder.join("saves");
        let mut racers = Vec::new();
        for (index, contender) in contenders.iter().enumerate() {
            let job = Job {
                contender: contender.name.to_owned(),
                work,
                contents,
                folder: folder.join(index.to_string()),
            };
            if let Some(turns) = self.turns(contender, job)? {
                racers.push(Box::new(Saves { contender, turns }) as Box<dyn Racer>);
            }
        }
        let cell = race::race(case, place, &mut racers, self.pace)
            .with_context(|| format!("{case} on {}", place.name))?;
        drop(racers);
        fs::remove_dir_all(folder)?;
        Ok(cell)
    }

    /// `None` if the build that has the contender could not be made.
    fn turns(&self, contender: &Contender, job: Job) -> Result<Option<Turns>> {
        Ok(match (contender.build, &self.unnamed) {
            (Build::This, _) => Some(Turns::Here(Session::new(job)?)),
            (Build::Unnamed, Some(program)) => {
                Some(Turns::There(Worker::start(worker::command(program), &job)?))
            }
            (Build::Unnamed, None) => None,
        })
    }

    /// Keeps what was measured, and says so.
    pub(crate) fn add(&mut self, cell: Cell) {
        let seconds = self.started.elapsed().as_secs();
        let rows =
            cell.rows.iter().skip(1).map(|row| format!("{} {:.2}", row.contender, row.ratio));
        let rows: Vec<String> = rows.collect();
        eprintln!("{seconds:>4} s  {} on {}: {}", cell.case, cell.place, rows.join(", "));
        self.cells.push(cell);
    }
}

fn keep(places: &mut Vec<Place>, name: &str, place: Result<Place>) {
    match place {
        Ok(place) => places.push(place),
        Err(error) => eprintln!("SKIPPED {name}: {error:#}"),
    }
}

enum Turns {
    Here(Session),
    There(Worker),
}

struct Saves {
    contender: &'static Contender,
    turns: Turns,
}

impl Racer for Saves {
    fn name(&self) -> &str {
        self.contender.name
    }

    fn guarantee(&self) -> String {
        self.contender.guarantee()
    }

    fn turn(&mut self, times: usize) -> Result<Outcome> {
        match &mut self.turns {
            Turns::Here(session) => session.turn(times, |_| {}),
            Turns::There(worker) => worker.turn(times, Marks::Hidden),
        }
    }
}
