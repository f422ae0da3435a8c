//! Lets the tests look for the changes, one after the other.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::list::Mutant;
use crate::tests::{Ending, Reach, Test};

/// What became of a change.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    /// Which test has noticed it.
    pub(crate) by: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) enum Verdict {
    Noticed,
    /// A test went on for ever, which is noticed, too.
    Endless,
    Survived,
    /// It survived, and no test comes to the place.
    Unreached,
    /// None of the tests that were run has noticed it. The others have not looked for it yet.
    Unsettled,
}

/// The tests that look, of those that come to a change.
pub(crate) struct Lookers {
    /// Those whose name contains one of these, or all if there is none.
    pub(crate) names: Vec<String>,
    pub(crate) takes: RangeInclusive<Duration>,
}

impl Lookers {
    fn are_with(&self, title: &str, takes: Duration) -> bool {
        let is_named = self.names.iter().any(|name| title.contains(name));
        (self.names.is_empty() || is_named) && self.takes.contains(&takes)
    }

    pub(crate) fn is_everybody(&self) -> bool {
        let always = Duration::ZERO..=Duration::from_secs(u64::MAX);
        self.names.is_empty() && self.takes == always
    }
}

pub(crate) struct Looker<'a> {
    pub(crate) mutants: &'a [Mutant],
    pub(crate) tests: Vec<(Test, Reach)>,
    pub(crate) lookers: Lookers,
    /// How many changes each test has noticed, by file.
    pub(crate) noticed: Mutex<HashMap<(String, usize), u32>>,
}

/// Runs each test once without a change. Two at a time: that is what there is of processors.
pub(crate) fn reach(tests: Vec<Test>, changes: usize, work: &Path) -> Result<Vec<(Test, Reach)>> {
    let known = Mutex::new(Vec::new());
    share(tests, work, |test, folder| {
        let reach = test.reach(changes, folder)?;
        known.lock().expect("nobody panics").push((test, reach));
        Ok(())
    })?;
    let mut known = known.into_inner()?;
    known.sort_by_key(|(test, _)| test.title());
    Ok(known)
}

/// Gives the items to as many threads as there are processors, each with a folder of its own.
pub(crate) fn share<T: Send>(
    items: Vec<T>,
    work: &Path,
    each: impl Fn(T, &Path) -> Result<()> + Sync,
) -> Result<()> {
    let queue = Mutex::new(VecDeque::from(items));
    let worker = |number: usize| -> Result<()> {
        let folder = work.join(format!("worker-{number}"));
        fs::create_dir_all(&folder)?;
        loop {
            let next = queue.lock().expect("nobody panics").pop_front();
            match next {
                Some(item) => each(item, &folder)?,
                None => return Ok(()),
            }
        }
    };
    let count = std::thread::available_parallelism().map_or(1, |it| it.get());
    std::thread::scope(|scope| {
        let worker = &worker;
        let threads: Vec<_> = (0..count).map(|it| scope.spawn(move || worker(it))).collect();
        threads.into_iter().try_for_each(|it| it.join().expect("nobody panics"))
    })
}

impl Looker<'_> {
    /// Looks for each of these, and writes down at once what was found.
    pub(crate) fn look_for(&self, numbers: Vec<usize>, work: &Path, notes: &Path) -> Result<()> {
        let notes = Mutex::new(fs::OpenOptions::new().create(true).append(true).open(notes)?);
        let total = numbers.len();
        let done = Mutex::new(0);
        share(numbers, work, |number, folder| {
            let found = self.look(number, folder)?;
            let mut done = done.lock().expect("nobody panics");
            *done += 1;
            if !matches!(found.verdict, Verdict::Noticed) || *done % 50 == 0 {
                eprintln!("mutants: {done} of {total}: {:?} {}", found.verdict, found.name);
            }
            let line = serde_json::to_string(&found)? + "\n";
            notes.lock().expect("nobody panics").write_all(line.as_bytes())?;
            Ok(())
        })
    }

    fn look(&self, number: usize, folder: &Path) -> Result<Found> {
        let mutant = self.mutants.get(number).context("a number that no change has")?;
        let name = mutant.name.clone();
        let order = self.order(number);
        let is_wanted = |index: &usize| {
            let (test, reach) = &self.tests[*index];
            self.lookers.are_with(&test.title(), reach.takes)
        };
        let unnoticed = match (order.is_empty(), order.iter().all(is_wanted)) {
            (true, _) => Verdict::Unreached,
            (false, true) => Verdict::Survived,
            (false, false) => Verdict::Unsettled,
        };
        for index in order.into_iter().filter(is_wanted) {
            let (test, Reach { takes, .. }) = &self.tests[index];
            let mut ending = test.run(number, folder, *takes)?;
            if ending == Ending::Failed {
                // Twice, since it might have failed for another reason.
                ending = test.run(number, folder, *takes)?;
            }
            let verdict = match ending {
                Ending::Passed => continue,
                Ending::Failed => Verdict::Noticed,
                Ending::Endless => Verdict::Endless,
            };
            let mut noticed = self.noticed.lock().expect("nobody panics");
            *noticed.entry((mutant.file.clone(), index)).or_default() += 1;
            return Ok(Found { name, verdict, by: Some(test.title()) });
        }
        Ok(Found { name, verdict: unnoticed, by: None })
    }

    /// The tests that come to the change; first those that are quick, and have noticed others in
    /// the same file.
    fn order(&self, number: usize) -> Vec<usize> {
        let file = &self.mutants[number].file;
        let noticed = self.noticed.lock().expect("nobody panics");
        let promise = |index: usize| {
            let before = noticed.get(&(file.clone(), index)).copied().unwrap_or(0);
            let takes = self.tests[index].1.takes + Duration::from_millis(5);
            (f64::from(before) + 0.2) / takes.as_secs_f64()
        };
        let comes_to = |index: &usize| self.tests[*index].1.reached[number];
        let mut order: Vec<usize> = (0..self.tests.len()).filter(comes_to).collect();
        order.sort_by(|one, other| promise(*other).total_cmp(&promise(*one)));
        order
    }
}

/// What was written down, the last word on each change.
pub(crate) fn read(notes: &Path) -> Result<BTreeMap<String, Found>> {
    let text = fs::read_to_string(notes).unwrap_or_default();
    let found = text.lines().map(serde_json::from_str::<Found>);
    found.map(|it| it.map(|it| (it.name.clone(), it)).map_err(Into::into)).collect()
}
