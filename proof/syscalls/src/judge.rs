//! What must hold after a fault: is the target whole, is what was said true, is anything left?

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::errno::Errno;
use wholefile::{AtomicWriter, Lock, Sweeper};

use crate::calls::{Call, Group};
use crate::place::{Metadata, Snapshot, contents, of_new_file, snapshot};
use crate::report::{Ending, FileReport, Report};
use crate::scenarios::Scenario;
use crate::tracer::Fault;

/// What was found to be wrong, in sentences.
pub(crate) type Violations = Vec<String>;

/// The directory before and after a run.
pub(crate) struct Scene<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) dir: &'a Path,
    pub(crate) before: &'a Snapshot,
    /// The temp file of a writer that is alive.
    pub(crate) alive: &'a Path,
}

/// What the target is after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// As it was, down to the inode.
    Old,
    New(Metadata),
    Wrong(String),
}

/// What is done first once a writer was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Write,
    Sweep,
}

impl Scene<'_> {
    fn targets(&self) -> impl Iterator<Item = &'static Path> {
        self.scenario.before.targets().iter().map(Path::new)
    }

    fn is_target(&self, path: &Path) -> bool {
        self.targets().any(|target| target == path)
    }

    /// What a published file must have.
    fn expected(&self, target: &Path) -> Metadata {
        self.before.get(target).map_or_else(of_new_file, |old| old.metadata.clone())
    }

    fn target(&self, path: &Path, after: &Snapshot) -> Target {
        match (after.get(path), self.before.get(path)) {
            (found, old) if found == old => Target::Old,
            (None, _) => Target::Wrong("the target is gone".into()),
            (Some(entry), _) if entry.contents == self.scenario.new_contents() => {
                Target::New(entry.metadata.clone())
            }
            (Some(entry), Some(old)) if entry.contents == old.contents => {
                Target::Wrong("the old contents are in another file, or were touched".into())
            }
            (Some(entry), _) => Target::Wrong(format!(
                "the target has {} bytes, neither the old contents nor the new",
                entry.contents.len()
            )),
        }
    }

    /// What is there that was not, but for the targets.
    fn left(&self, after: &Snapshot) -> BTreeSet<PathBuf> {
        let is_new = |path: &&PathBuf| !self.before.contains_key(*path);
        after.keys().filter(is_new).filter(|path| !self.is_target(path)).cloned().collect()
    }

    /// Whether the path leads to a target, as the directories do that a save creates.
    fn is_on_the_way(&self, path: &Path) -> bool {
        self.targets().any(|target| target.starts_with(path))
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.dir).unwrap_or(path).to_path_buf()
    }

    fn check_bystanders(&self, after: &Snapshot, violations: &mut Violations) {
        for (path, entry) in self.before {
            if !self.is_target(path) && after.get(path) != Some(entry) {
                violations.push(format!("{} was touched", path.display()));
            }
        }
    }

    /// After the writer was killed. The targets as they were found are given back.
    pub(crate) fn after_kill(&self, first: First) -> Result<(Vec<Target>, Violations)> {
        let mut violations = Violations::new();
        let after = snapshot(self.dir)?;
        let mut found = Vec::new();
        for path in self.targets() {
            let target = self.target(path, &after);
            match &target {
                Target::Wrong(what) => violations.push(what.clone()),
                Target::New(metadata) if *metadata != self.expected(path) => {
                    violations.push(format!("the new file's metadata is {metadata:?}"));
                }
                Target::New(_) | Target::Old => {}
            }
            found.push(target);
        }
        self.check_bystanders(&after, &mut violations);
        if first == First::Write {
            self.check_next_writer(&mut violations)?;
        }
        self.check_sweep(&mut violations)?;
        if first == First::Sweep {
            self.check_next_writer(&mut violations)?;
        }
        Ok((found, violations))
    }

    /// The next writer takes the lock at once, whoever was killed holding it.
    fn check_next_writer(&self, violations: &mut Violations) -> Result<()> {
        let next = contents('x', 777);
        let path = self.dir.join(self.scenario.before.path());
        let mut builder = AtomicWriter::builder();
        builder.create_parents(true).lock(Lock::Try);
        if let Err(error) = builder.write(path, &next) {
            violations.push(format!("the next writer failed: {error}"));
            return Ok(());
        }
        let after = snapshot(self.dir)?;
        let found = self.targets().next().and_then(|target| after.get(target));
        if found.is_none_or(|entry| entry.contents != next) {
            violations.push("the next writer's contents are not there".into());
        }
        self.check_bystanders(&after, violations);
        Ok(())
    }

    /// A sweep removes all that stayed, and nothing else.
    fn check_sweep(&self, violations: &mut Violations) -> Result<()> {
        let before = snapshot(self.dir)?;
        let left: BTreeSet<PathBuf> =
            self.left(&before).into_iter().filter(|path| !self.is_on_the_way(path)).collect();
        let sweep = Sweeper::new().recursive(true).run(self.dir)?;
        let relative = |paths: &[PathBuf]| -> BTreeSet<PathBuf> {
            paths.iter().map(|path| self.relative(path)).collect()
        };
        // A directory goes with all that is in it.
        let is_top = |path: &&PathBuf| !path.parent().is_some_and(|parent| left.contains(parent));
        let tops: BTreeSet<PathBuf> = left.iter().filter(is_top).cloned().collect();
        let removed = relative(sweep.removed());
        let ends_in = |path: &PathBuf, end: &str| path.to_string_lossy().ends_with(end);
        // What an exchange left is dealt with under the target's lock, whose file goes with that.
        let is_settled = removed.iter().any(|path| ends_in(path, ".swap"));
        let is_excused = |path: &PathBuf| is_settled && ends_in(path, ".lock");
        if !removed.is_subset(&tops) || !tops.difference(&removed).all(is_excused) {
            violations.push(format!("the sweep removed {:?} of {left:?}", sweep.removed()));
        }
        if relative(sweep.alive()) != BTreeSet::from([self.alive.to_path_buf()]) {
            violations.push(format!("the sweep took {:?} for alive", sweep.alive()));
        }
        if !(sweep.young().is_empty() && sweep.unknown().is_empty() && sweep.errors().is_empty()) {
            violations.push(format!("the sweep says {sweep:?}"));
        }
        let after = snapshot(self.dir)?;
        let gone: BTreeSet<PathBuf> =
            before.keys().filter(|path| !after.contains_key(*path)).cloned().collect();
        if gone != left {
            violations.push(format!("after the sweep {gone:?} are gone, of {left:?}"));
        }
        self.check_bystanders(&after, violations);
        Ok(())
    }

    /// After a run that said what came of it.
    pub(crate) fn after_fault(&self, told: &Told<'_>) -> Result<Violations> {
        let mut violations = Violations::new();
        let after = snapshot(self.dir)?;
        self.check_targets(told, &after, &mut violations);
        self.check_left(told, &after, &mut violations);
        self.check_bystanders(&after, &mut violations);
        told.check_durability(&mut violations);
        told.check_cause(&mut violations);
        self.check_next_writer(&mut violations)?;
        self.check_sweep(&mut violations)?;
        Ok(violations)
    }

    /// Is each target what was said of it?
    fn check_targets(&self, told: &Told<'_>, after: &Snapshot, violations: &mut Violations) {
        // A save that fails before it knows its target, or any but the last of a batch, says
        // nothing of the others: they are untouched.
        let report_of = |path: &Path| {
            let is_it = |file: &&FileReport| self.relative(&file.path) == path;
            told.report.files.iter().find(is_it).map(|file| (&*file.state, &*file.lost))
        };
        for path in self.targets() {
            let (state, lost) = report_of(path).unwrap_or(("Untouched", &[]));
            let target = self.target(path, after);
            match (&target, state) {
                (Target::Wrong(what), _) => violations.push(what.clone()),
                (Target::Old, "Untouched") | (Target::New(_), "Replaced") => {}
                (_, "Unknown") if told.is_lasting() => {}
                _ => violations.push(format!("it is said to be {state}, but is {target:?}")),
            }
            if let Target::New(found) = target {
                check_metadata(&found, &self.expected(path), lost, violations);
            }
        }
    }

    /// Did all stay behind that was named, and nothing else?
    fn check_left(&self, told: &Told<'_>, after: &Snapshot, violations: &mut Violations) {
        let named: Vec<PathBuf> = match &told.report.end {
            Ending::Err { leftovers, .. } => leftovers.iter().map(|it| self.relative(it)).collect(),
            Ending::Ok { .. } => Vec::new(),
        };
        let is_published = self.targets().any(|target| after.contains_key(target));
        for path in self.left(after) {
            let is_lock = path.to_string_lossy().ends_with(".lock");
            let is_excused = match () {
                () if self.is_on_the_way(&path) => {
                    is_published || told.could_not(&[Group::RemoveDirectory])
                }
                // The next one who asks for the lock takes the file over.
                () if is_lock => told.could_not(&[Group::RemoveLock]),
                // With a directory all that is in it.
                () if named.iter().any(|named| path.starts_with(named)) => true,
                // An error has room for one name, and a batch leaves a directory for each that its
                // targets are in.
                () => told.is_lasting() && self.targets().count() > 1,
            };
            if !is_excused {
                violations.push(format!("{} stayed behind", path.display()));
            }
        }
        for named in named.iter().filter(|named| !after.contains_key(*named)) {
            violations.push(format!("{} is said to have stayed, and did not", named.display()));
        }
    }
}

/// Is all metadata kept, or told to be lost?
fn check_metadata(
    found: &Metadata,
    expected: &Metadata,
    lost: &[String],
    violations: &mut Violations,
) {
    let is_lost = |metadata: &str| lost.iter().any(|lost| lost == metadata);
    let differs = [
        ("Owner", found.owner != expected.owner),
        ("Mode", found.mode != expected.mode),
        ("Xattrs", found.xattrs != expected.xattrs),
    ];
    for (metadata, differs) in differs {
        // Whatever is lost may narrow the mode: nobody may do more than before.
        let is_narrowed =
            metadata == "Mode" && !lost.is_empty() && found.mode & !expected.mode == 0;
        if differs && !is_lost(metadata) && !is_narrowed {
            violations.push(format!("{metadata}: the new file's metadata is {found:?}"));
        }
    }
    if found.mode & 0o7777 & !expected.mode != 0 {
        violations.push(format!("the metadata is wider than before: {found:?}"));
    }
}

/// A run that was not killed: what happened to its calls, and what it said.
pub(crate) struct Told<'a> {
    pub(crate) scenario: &'a Scenario,
    /// The calls of a run without any fault.
    pub(crate) clean: &'a [Call],
    pub(crate) calls: &'a [Call],
    /// Where the fault began, and which it was; `None` for a run without any.
    pub(crate) fault: Option<(usize, Fault)>,
    pub(crate) report: &'a Report,
}

/// How many syncs succeeded before and after the first target was published.
fn syncs(scenario: &Scenario, calls: &[Call]) -> (usize, usize) {
    let name_of = |path: &str| Path::new(path).file_name().map(OsStr::to_os_string);
    let names: Vec<_> = scenario.before.targets().iter().map(|path| name_of(path)).collect();
    let is_publish = |call: &Call| {
        let to = call.paths.last().and_then(|path| name_of(path));
        call.group() == Group::Publish && call.succeeded() && names.contains(&to)
    };
    let at = calls.iter().position(is_publish).unwrap_or(calls.len());
    let count = |calls: &[Call]| {
        calls.iter().filter(|call| call.group() == Group::Sync && call.succeeded()).count()
    };
    (count(&calls[..at]), count(&calls[at..]))
}

impl Told<'_> {
    fn is_lasting(&self) -> bool {
        matches!(self.fault, Some((_, Fault::Gone | Fault::ReadOnly | Fault::Full)))
    }

    /// The call that met the fault.
    fn met(&self) -> Option<(&Call, Fault)> {
        self.fault.and_then(|(at, fault)| Some((self.calls.get(at)?, fault)))
    }

    fn could_not(&self, groups: &[Group]) -> bool {
        let failed = |call: &Call| groups.contains(&call.group()) && !call.succeeded();
        self.calls.iter().any(failed) || self.is_lasting()
    }

    fn is_written_out(&self) -> bool {
        let succeeded = |call: &Call| call.group() == Group::StartWriteback && call.succeeded();
        self.calls.iter().any(succeeded)
    }

    /// Was all synced that is said to be durable, and was it right to publish at all?
    fn check_durability(&self, violations: &mut Violations) {
        let Ending::Ok { durability, sync_plan } = &self.report.end else { return };
        if let Some((call, Fault::Error(errno))) = self.met() {
            let is_before = self.fault.is_some_and(|(at, _)| {
                syncs(self.scenario, &self.clean[..=at.min(self.clean.len() - 1)]).1 == 0
            });
            if call.group() == Group::Sync && is_before && errno != Errno::EINTR {
                violations.push(format!("published after a failed sync of the file ({errno})"));
            }
        }
        let replaced = self.report.files.iter().filter(|file| file.state == "Replaced").count();
        if replaced == 0 {
            return;
        }
        let (before, after) = syncs(self.scenario, self.calls);
        let (_, expected_after) = syncs(self.scenario, self.clean);
        // There the contents are written out before, and the directory's sync makes them durable.
        let is_written_out = sync_plan == "Fewest" && self.is_written_out();
        if durability != "None" && before < replaced && !is_written_out {
            violations.push(format!("said to be {durability} without a sync of the file"));
        }
        if durability == "Full" && after < expected_after.max(1) {
            violations.push("said to be Full without a sync of the directory".into());
        }
    }

    /// Is the error the one that was met, and had it to be reported?
    fn check_cause(&self, violations: &mut Violations) {
        let Some((call, fault)) = self.met() else {
            if let Ending::Err { sentence, .. } = &self.report.end {
                violations.push(format!("without any fault: {sentence}"));
            }
            return;
        };
        let Ending::Err { kind, step, code, sentence, .. } = &self.report.end else { return };
        let group = call.group();
        let errno = match fault {
            Fault::Short(_) => return violations.push(format!("cut short: {sentence}")),
            Fault::Error(errno) if errno == Errno::EINTR || group == Group::Close => {
                return violations.push(format!("interrupted, and not tried again: {sentence}"));
            }
            Fault::Error(errno) | Fault::DoneThenError(errno) => errno,
            Fault::Kill | Fault::Gone | Fault::ReadOnly | Fault::Full => return,
        };
        if !group.steps().contains(&step.as_str()) {
            violations.push(format!("{group:?} failed, and the step is {step}: {sentence}"));
        }
        let is_full = matches!(errno, Errno::ENOSPC | Errno::EDQUOT);
        if is_full != (kind == "StorageFull") {
            violations.push(format!("{errno} became {kind}: {sentence}"));
        }
        if code.is_some_and(|code| code != errno as i32) {
            violations.push(format!("{errno} became {code:?}: {sentence}"));
        }
    }
}
