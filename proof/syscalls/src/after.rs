//! What comes after a fault: a recovery, the next writer, and a sweep.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use wholefile::{AtomicDir, AtomicWriter, Lock, Sweep, Sweeper, recover};

use crate::journals::{self, JOURNAL};
use crate::judge::{Scene, Target, Violations};
use crate::place::{Snapshot, contents, snapshot, tree_of};
use crate::scenarios::Save;
use crate::trees;

/// As often as this, a lock is waited for that is held for a moment only.
const MAX_LOOKS: usize = 100;

impl Scene<'_> {
    /// The next writer takes the lock at once, whoever was killed holding it.
    pub(crate) fn check_next_writer(&self, violations: &mut Violations) -> Result<()> {
        if let Err(error) = self.write_next() {
            violations.push(format!("the next writer failed: {error}"));
            return Ok(());
        }
        let after = snapshot(self.dir)?;
        let is_tree = self.scenario.before.is_tree();
        for (target, next) in self.next_contents() {
            let found = tree_of(&after, target);
            let name = Path::new(if is_tree { trees::NEXT } else { "" });
            let is_there = found.get(name).is_some_and(|part| part.contents == next);
            if !is_there || (is_tree && found.len() != 2) {
                violations.push(format!("the next writer's contents are not there: {target:?}"));
            }
        }
        self.check_bystanders(&after, violations);
        Ok(())
    }

    /// What the next writer writes. Of several files without a journal it is the first.
    fn next_contents(&self) -> Vec<(&'static Path, Vec<u8>)> {
        match self.scenario.has_journal() {
            true => self.targets().map(|it| (it, journals::contents_of(it, 'x'))).collect(),
            false => self.targets().take(1).map(|it| (it, contents('x', 777))).collect(),
        }
    }

    fn write_next(&self) -> wholefile::Result<()> {
        let path = self.dir.join(self.scenario.before.path());
        let next = contents('x', 777);
        match self.scenario.save {
            _ if self.scenario.has_journal() => journals::commit_next(&path),
            _ if self.scenario.before.is_tree() => {
                trees::publish_next(self.scenario.set_of_tree(), &path, &next)
            }
            Save::Scratch => AtomicDir::builder().scratch_in(self.dir)?.close(),
            _ => {
                let mut builder = AtomicWriter::builder();
                let builder = builder.create_parents(true).lock(Lock::Try);
                builder.write(path, &next).map(drop)
            }
        }
    }

    /// What the journal says is done, or nothing was: all files are new, or all are old. Gives the
    /// targets.
    pub(crate) fn check_recovery(
        &self,
        before: &Snapshot,
        violations: &mut Violations,
    ) -> Result<Vec<Target>> {
        let was_there = before.contains_key(Path::new(JOURNAL));
        let journal = self.dir.join(JOURNAL);
        let recovered = match recover(&journal) {
            Ok(recovery) => recovery.files().len(),
            Err(error) => {
                violations.push(format!("the recovery failed: {error}"));
                0
            }
        };
        let after = snapshot(self.dir)?;
        let found = self.find(&after, violations);
        let new = found.iter().filter(|target| matches!(target, Target::New(_))).count();
        if new != 0 && new != found.len() {
            violations.push("after a recovery some files are new, and some old".into());
        }
        if was_there && (new, recovered) != (found.len(), found.len()) {
            violations.push(format!("{recovered} files are recovered, and {new} new"));
        }
        let again = recover(&journal).map(|recovery| recovery.files().len());
        if !matches!(again, Ok(0)) || after.contains_key(Path::new(JOURNAL)) {
            violations.push(format!("there is something to be recovered again: {again:?}"));
        }
        self.check_bystanders(&after, violations);
        Ok(found)
    }

    /// A sweep before the recovery: nothing is taken away from that.
    pub(crate) fn check_early_sweep(
        &self,
        before: &Snapshot,
        violations: &mut Violations,
    ) -> Result<()> {
        let sweep = Sweeper::new().recursive(true).run(self.dir)?;
        self.check_report(&sweep, violations)?;
        let is_there = before.contains_key(Path::new(JOURNAL));
        if !(is_there || sweep.kept().is_empty()) {
            violations.push(format!("without a journal, {:?} are kept", sweep.kept()));
        }
        let after = snapshot(self.dir)?;
        for path in before.keys().filter(|path| !after.contains_key(*path)) {
            if !self.left(before).contains(path) || path == Path::new(JOURNAL) {
                violations.push(format!("the sweep removed {path:?}"));
            }
        }
        Ok(())
    }

    /// A sweep reports the living writer as alive, and no trouble.
    fn check_report(&self, sweep: &Sweep, violations: &mut Violations) -> Result<()> {
        let mut alive = sweep.alive().to_vec();
        for _ in 0..MAX_LOOKS {
            if self.is_the_living(&alive) {
                break;
            }
            // A process that another thread is just starting has all locks of this one, until it
            // is the program that it is to be.
            thread::sleep(Duration::from_millis(1));
            alive = Sweeper::new().recursive(true).dry_run(true).run(self.dir)?.alive().to_vec();
        }
        if !self.is_the_living(&alive) {
            violations.push(format!("the sweep took {alive:?} for alive"));
        }
        if !(sweep.young().is_empty() && sweep.unknown().is_empty() && sweep.errors().is_empty()) {
            violations.push(format!("the sweep says {sweep:?}"));
        }
        Ok(())
    }

    fn is_the_living(&self, alive: &[PathBuf]) -> bool {
        self.all_relative(alive) == BTreeSet::from([self.alive.to_path_buf()])
    }

    fn all_relative(&self, paths: &[PathBuf]) -> BTreeSet<PathBuf> {
        paths.iter().map(|path| self.relative(path)).collect()
    }

    /// A sweep removes all that stayed, and nothing else.
    pub(crate) fn check_sweep(&self, violations: &mut Violations) -> Result<()> {
        let before = snapshot(self.dir)?;
        let left: BTreeSet<PathBuf> =
            self.left(&before).into_iter().filter(|path| !self.is_on_the_way(path)).collect();
        let mut sweep = Sweeper::new().recursive(true).run(self.dir)?;
        let mut removed = self.all_relative(sweep.removed());
        for _ in 0..MAX_LOOKS {
            if self.is_the_living(sweep.alive()) {
                break;
            }
            // As in `check_report`: what the sweep itself had locked may be taken for alive.
            thread::sleep(Duration::from_millis(1));
            sweep = Sweeper::new().recursive(true).run(self.dir)?;
            removed.extend(self.all_relative(sweep.removed()));
        }
        // A directory goes with all that is in it.
        let is_top = |path: &&PathBuf| !path.parent().is_some_and(|parent| left.contains(parent));
        let tops: BTreeSet<PathBuf> = left.iter().filter(is_top).cloned().collect();
        let ends_in = |path: &PathBuf, end: &str| path.to_string_lossy().ends_with(end);
        // What an exchange left is dealt with under the target's lock, whose file goes with that.
        let is_settled = removed.iter().any(|path| ends_in(path, ".swap"));
        let is_excused = |path: &PathBuf| is_settled && ends_in(path, ".lock");
        if !removed.is_subset(&tops) || !tops.difference(&removed).all(is_excused) {
            violations.push(format!("the sweep removed {removed:?} of {left:?}"));
        }
        if !sweep.kept().is_empty() {
            violations.push(format!("the sweep kept {:?}", sweep.kept()));
        }
        self.check_report(&sweep, violations)?;
        let after = snapshot(self.dir)?;
        let gone: BTreeSet<PathBuf> =
            before.keys().filter(|path| !after.contains_key(*path)).cloned().collect();
        if gone != left {
            violations.push(format!("after the sweep {gone:?} are gone, of {left:?}"));
        }
        self.check_bystanders(&after, violations);
        Ok(())
    }
}
