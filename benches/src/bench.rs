//! What all cases need: the places, the pace, the other build, and where the results go.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::contenders::{self, Build, Task};
use crate::job::{Job, Outcome, Session, Work};
use crate::payload::Contents;
use crate::places::{self, Images, Place};
use crate::race::{self, Findings, Pace, Racer, Trace};
use crate::trace;
use crate::worker::{self, Marks, Worker};

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// Enough to see that everything works.
    Quick,
}

/// In which process a contender takes its turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    /// In this one, where its build allows it.
    Shared,
    /// In one of its own for each turn, so that the memory it has had is known.
    Own,
}

/// What all contenders of a race do.
#[derive(Clone, Debug)]
pub(crate) struct Course<'a> {
    pub(crate) case: &'a str,
    pub(crate) work: Work,
    pub(crate) contents: Contents,
    pub(crate) process: Process,
    pub(crate) pace: Pace,
}

#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) places: Vec<Place>,
    pub(crate) extent: Extent,
    pub(crate) findings: Findings,
    /// The build of the program with the other staging of atomic-write-file.
    unnamed: Option<PathBuf>,
    started: Instant,
}

impl Bench {
    /// Makes the places in `scratch`, which is on the machine's own disk.
    pub(crate) fn new(scratch: &Path, extent: Extent, only: &[String]) -> Result<Bench> {
        fs::create_dir_all(scratch)?;
        let started = Instant::now();
        eprintln!("making file systems, and building the other staging of atomic-write-file");
        let unnamed = worker::build_unnamed()
            .inspect_err(|error| eprintln!("SKIPPED its unnamed staging: {error:#}"))
            .ok();
        let wanted = |name: &str| only.is_empty() || only.iter().any(|it| it == name);
        let mut places = Vec::new();
        if wanted(places::TMPFS) {
            keep(&mut places, places::TMPFS, Place::tmpfs(scratch));
        }
        if wanted(places::DISK) {
            places.push(Place::disk(scratch)?);
        }
        for name in places::LOOPS.into_iter().filter(|name| wanted(name)) {
            keep(&mut places, name, Place::on_loop(name, scratch, Images::OnDisk));
        }
        Ok(Bench { places, extent, findings: Findings::default(), unnamed, started })
    }

    /// Says that a part begins.
    pub(crate) fn begin(&self, part: &str) {
        eprintln!("{:>4} s  == {part}", self.started.elapsed().as_secs());
    }

    /// Says that all is done.
    pub(crate) fn end(&self) {
        eprintln!("{:>4} s  == done", self.started.elapsed().as_secs());
    }

    /// How single saves race.
    pub(crate) fn pace(&self) -> Pace {
        match self.extent {
            Extent::Whole => Pace { rounds: 25, turn_ns: 12_000_000, max_times: 400 },
            Extent::Quick => Pace { rounds: 5, turn_ns: 3_000_000, max_times: 100 },
        }
    }

    /// How work races of which a turn does one piece: in so many rounds.
    pub(crate) fn long_pace(&self, rounds: usize) -> Pace {
        let rounds = match self.extent {
            Extent::Whole => rounds,
            Extent::Quick => rounds.min(2),
        };
        Pace { rounds, turn_ns: 0, max_times: 1 }
    }

    /// The indices of the places that bear one of these names, if they could be made.
    pub(crate) fn places_named(&self, names: &[&str]) -> Vec<usize> {
        (0..self.places.len()).filter(|index| names.contains(&self.places[*index].name)).collect()
    }

    /// Lets contenders race, each in a folder of its own, and keeps what was measured. The first is
    /// the one that the others are compared with.
    pub(crate) fn race(
        &mut self,
        place: usize,
        course: &Course<'_>,
        contenders: &[&'static str],
    ) -> Result<()> {
        let folder = self.places[place].folder.join("race");
        let _ = fs::remove_dir_all(&folder); // of a race that has failed
        let mut racers = Vec::new();
        for (index, contender) in contenders.iter().enumerate() {
            racers.extend(self.racer(contender, course, folder.join(index.to_string()))?);
        }
        self.race_of(place, course, racers)?;
        Ok(fs::remove_dir_all(folder)?)
    }

    /// As [`Bench::race`], for racers that were made ready.
    pub(crate) fn race_of(
        &mut self,
        place: usize,
        course: &Course<'_>,
        mut racers: Vec<Box<dyn Racer>>,
    ) -> Result<()> {
        let place = &self.places[place];
        let cell = race::race(course.case, place, &mut racers, course.pace)
            .with_context(|| format!("{} on {}", course.case, place.name))?;
        let seconds = self.started.elapsed().as_secs();
        let ratio = |row: &race::Row| format!("{} {:.2}", row.contender, row.ratio);
        let ratios: Vec<String> = cell.rows.iter().skip(1).map(ratio).collect();
        eprintln!("{seconds:>4} s  {} on {}: {}", cell.case, cell.place, ratios.join(", "));
        self.findings.cells.push(cell);
        Ok(())
    }

    /// Counts the system calls of contenders, at the first place.
    pub(crate) fn trace(
        &mut self,
        case: &str,
        (work, contents): (Work, Contents),
        contenders: &[&'static str],
    ) -> Result<()> {
        if !trace::is_possible() {
            eprintln!("SKIPPED the system calls of {case}: strace is not installed");
            return Ok(());
        }
        let Some(place) = self.places.first() else { return Ok(()) };
        for contender in contenders {
            let folder = place.folder.join("trace");
            let job = Job { contender: (*contender).to_owned(), work, contents, folder };
            let Some(program) = self.program(contender)? else { continue };
            let calls = trace::trace(&program, &job, &place.folder.join("strace"))?;
            let (case, contender) = (case.to_owned(), job.contender);
            self.findings.traces.push(Trace { case, contender, calls });
            fs::remove_dir_all(job.folder)?;
        }
        Ok(())
    }

    /// The build that has the contender, if it could be made.
    fn program(&self, contender: &'static str) -> Result<Option<PathBuf>> {
        let task = contenders::find(contender).context(contender)?;
        Ok(match task.build() {
            Build::This => Some(std::env::current_exe()?),
            Build::Unnamed => self.unnamed.clone(),
        })
    }

    /// `None` if the build that has the contender could not be made.
    pub(crate) fn racer(
        &self,
        contender: &'static str,
        course: &Course<'_>,
        folder: PathBuf,
    ) -> Result<Option<Box<dyn Racer>>> {
        let task = contenders::find(contender).context(contender)?;
        let Course { work, contents, .. } = *course;
        let job = Job { contender: contender.to_owned(), work, contents, folder };
        let Some(program) = self.program(contender)? else { return Ok(None) };
        let turns = match (course.process, task.build()) {
            (Process::Own, _) => Turns::New(program),
            (Process::Shared, Build::This) => Turns::Here(Session::new(job.clone())?),
            (Process::Shared, Build::Unnamed) => {
                Turns::There(Worker::start(worker::command(&program), &job)?)
            }
        };
        Ok(Some(Box::new(Contestant { task, job, turns })))
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
    /// A new process for each, of this program.
    New(PathBuf),
}

struct Contestant {
    task: Task,
    job: Job,
    turns: Turns,
}

impl Racer for Contestant {
    fn name(&self) -> &str {
        &self.job.contender
    }

    fn guarantee(&self) -> String {
        self.task.guarantee()
    }

    fn pieces(&self) -> usize {
        self.job.work.pieces()
    }

    fn turn(&mut self, times: usize) -> Result<Outcome> {
        // The memory of a process that lives on says nothing about a turn.
        let shared = |outcome| Outcome { growth_kib: 0, ..outcome };
        match &mut self.turns {
            Turns::Here(session) => session.turn(times, |_| {}).map(shared),
            Turns::There(worker) => worker.turn(times, Marks::Hidden).map(shared),
            Turns::New(program) => {
                let mut worker = Worker::start(worker::command(program), &self.job)?;
                let outcome = worker.turn(times, Marks::Hidden)?;
                worker.end()?;
                Ok(outcome)
            }
        }
    }
}
