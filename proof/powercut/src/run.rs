//! One run: record a scenario on a file system, cut the power everywhere, look, judge.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use crate::case::Case;
use crate::disk::{Disk, Recording};
use crate::judge::{Breach, Promise, Violation};
use crate::log::{Epoch, Record, epochs};
use crate::looker;
use crate::observe::Observation;
use crate::plan::{self, Plan, State};

/// Of each run, at most so many violations are kept in full.
const MAX_KEPT: usize = 3;

impl Case {
    fn record(&self) -> Result<Recording> {
        let path = self.disk()?;
        let disk = Disk::serve(&path, self.disk_size())?;
        let status = self.child("write", &path)?.status()?;
        ensure!(status.success(), "the writer: {status}");
        disk.recording()
    }

    /// Records the scenario, makes the states, looks at them and judges them.
    pub(crate) fn run(&self, workers: usize) -> Result<Report> {
        let started = Instant::now();
        let recording = self.record().with_context(|| format!("{self}: recording"))?;
        let epochs = epochs(&recording.records);
        let superblock = &self.file_system.superblock;
        let (plan, seen) = looker::look_at_all(self, workers, |emit| {
            plan::plan(&recording.base, &epochs, superblock.clone(), self.wish, emit)
        })
        .with_context(|| format!("{self}: looking"))?;
        ensure!(seen.len() == plan.images, "not every image was looked at");
        let violations = self.judge(&plan, &seen);
        let seconds = started.elapsed().as_secs_f64();
        Ok(Report { case: self.clone(), recording, epochs, plan, violations, seconds })
    }

    fn judge(&self, plan: &Plan, seen: &HashMap<u64, Observation>) -> Vec<(usize, Violation)> {
        let histories = self.scenario.histories();
        let unit = self.scenario.unit;
        let promise = Promise { histories: &histories, unit, durability: self.durability };
        let judge = |(index, state): (usize, &State)| {
            let violations = promise.judge(state.acknowledged, &seen[&state.image]);
            violations.into_iter().map(move |violation| (index, violation))
        };
        plan.states.iter().enumerate().flat_map(judge).collect()
    }
}

pub(crate) struct Report {
    pub(crate) case: Case,
    recording: Recording,
    epochs: Vec<Epoch>,
    pub(crate) plan: Plan,
    /// With the index of the state.
    pub(crate) violations: Vec<(usize, Violation)>,
    pub(crate) seconds: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = &self.recording.records;
        let flushes = records.iter().filter(|record| matches!(record, Record::Flush)).count();
        let Plan { states, images, prefixes } = &self.plan;
        let found = if self.case.is_promised() { "violations" } else { "losses, none promised" };
        write!(
            f,
            "{} {:>3} commits, {:>5} records, {flushes:>4} flushes, {:>4} of {:>4} prefixes, \
             {:>5} states, {images:>5} images, {} {found}",
            self.case,
            self.case.scenario.commits,
            records.len(),
            prefixes.0,
            prefixes.1,
            states.len(),
            self.violations.len(),
        )?;
        if !self.violations.is_empty() {
            write!(f, " {:?}", self.breaches())?;
        }
        write!(f, ", {:.1} s", self.seconds)
    }
}

impl Report {
    /// How often each promise was broken.
    pub(crate) fn breaches(&self) -> BTreeMap<Breach, usize> {
        let mut breaches = BTreeMap::new();
        for (_, violation) in &self.violations {
            *breaches.entry(violation.breach).or_default() += 1;
        }
        breaches
    }

    /// Writes the first violations of each kind to `folder`: the image as it was after the power
    /// cut, and how it came to be. The same seed does not make the same log, since the kernel
    /// decides when it writes what, so all that is needed is kept.
    pub(crate) fn keep(&self, folder: &Path) -> Result<()> {
        let mut kept: BTreeMap<Breach, usize> = BTreeMap::new();
        for (index, violation) in &self.violations {
            let kept = kept.entry(violation.breach).or_default();
            if *kept == MAX_KEPT {
                continue;
            }
            *kept += 1;
            self.keep_one(folder, *index, violation)?;
        }
        Ok(())
    }

    fn keep_one(&self, folder: &Path, index: usize, violation: &Violation) -> Result<()> {
        let name = self.case.to_string().split_whitespace().collect::<Vec<_>>().join("-");
        let folder = folder.join(format!("{name}-{index}"));
        fs::create_dir_all(&folder)?;
        let state = &self.plan.states[index];
        let epoch = &self.epochs[state.epoch];
        let image = plan::rebuild(
            &self.recording.base,
            &self.epochs,
            state,
            &self.case.file_system.superblock,
        );
        image.save(&fs::File::create(folder.join("image"))?)?;
        let mut text = format!(
            "{}\nseed {}, state {index}\n{violation}\nepoch {} of {}, commits {} to {} \
             acknowledged in it, {:?} of its writes:\n",
            self.case,
            self.case.wish.seed,
            state.epoch,
            self.epochs.len(),
            epoch.acknowledged_before,
            epoch.acknowledged,
            state.recipe,
        );
        for line in plan::describe(epoch, state.recipe) {
            text.push_str(&line);
            text.push('\n');
        }
        text.push_str("\nthe log:\n");
        let mut epoch = 0;
        for record in &self.recording.records {
            let line = match record {
                Record::Write(write) => format!("{:>12} +{}\n", write.offset, write.len()),
                Record::Acknowledged(commit) => format!("acknowledged {commit}\n"),
                Record::Flush => {
                    epoch += 1;
                    format!("flush, epoch {epoch} begins\n")
                }
            };
            text.push_str(&line);
        }
        fs::write(folder.join("report.txt"), text)?;
        Ok(())
    }
}
