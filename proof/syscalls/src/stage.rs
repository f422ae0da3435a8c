//! Where a scenario runs once.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use fs_err as fs;
use wholefile::AtomicWriter;

use crate::calls::Call;
use crate::journals::JOURNAL;
use crate::judge::{Scene, Target, Violations};
use crate::place::{self, contents, prepare, snapshot};
use crate::plans::Trial;
use crate::report::Report;
use crate::scenarios::Scenario;
use crate::told::Told;
use crate::tracer::{self, End, Fault, Plan, Run};

/// The targets as they were after a kill, and what was wrong.
pub(crate) type Judged = (Vec<Target>, Violations);

pub(crate) struct Stage<'a> {
    root: tempfile::TempDir,
    scenario: &'a Scenario,
    /// Somebody else's save in the same directory, under way all the time.
    alive: AtomicWriter,
    alive_name: PathBuf,
    before: place::Snapshot,
}

/// At which of its calls the commit dies that a recovery completes.
pub(crate) fn death(dir: &Path, scenario: &Scenario) -> Result<Option<usize>> {
    let Some((commit, death)) = scenario.commit() else { return Ok(None) };
    let stage = Stage::new(dir, &commit, None)?;
    let run = stage.run(None)?;
    Ok(Some(death.of(&run.calls)?))
}

impl<'a> Stage<'a> {
    pub(crate) fn new(dir: &Path, scenario: &'a Scenario, death: Option<usize>) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("wholefile-syscalls-").tempdir_in(dir)?;
        let place = root.path().join("place");
        fs::create_dir(&place)?;
        prepare(&place, scenario.before, &scenario.new_contents())?;
        let mut alive = AtomicWriter::builder().open(place.join("somebody else's"))?;
        std::io::Write::write_all(&mut alive, &contents('l', 100))?;
        let alive_name = alive.staging_path()?.strip_prefix(&place)?.to_path_buf();
        let before = snapshot(&place)?;
        let stage = Stage { root, scenario, alive, alive_name, before };
        if let (Some((commit, _)), Some(at)) = (scenario.commit(), death) {
            let command = commit.command(stage.root.path())?;
            let run = tracer::run(command, commit.lacking, Some((at, Fault::Kill)))?;
            let is_dead = run.end == End::Killed && place.join(JOURNAL).exists();
            ensure!(is_dead, "there is nothing to be recovered");
        }
        Ok(stage)
    }

    pub(crate) fn run(&self, plan: Plan) -> Result<Run> {
        tracer::run(self.scenario.command(self.root.path())?, self.scenario.lacking, plan)
    }

    pub(crate) fn judge(self, run: &Run, clean: &[Call], trial: &Trial) -> Result<Judged> {
        let place = self.root.path().join("place");
        let scene = Scene {
            scenario: self.scenario,
            dir: &place,
            before: &self.before,
            alive: &self.alive_name,
        };
        let judged = match run.end {
            End::Killed => scene.after_kill(trial.first)?,
            End::Finished => {
                let report: Report = serde_json::from_str(&run.output)?;
                let told = Told {
                    scenario: self.scenario,
                    clean,
                    calls: &run.calls,
                    fault: trial.fault,
                    report: &report,
                };
                (Vec::new(), scene.after_fault(&told)?)
            }
        };
        self.alive.rollback()?;
        place::open_up(self.root.path())?;
        Ok(judged)
    }
}
