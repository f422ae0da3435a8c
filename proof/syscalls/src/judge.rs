//! What must hold after a fault: is the target whole, is what was said true, is anything left?

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::errno::Errno;

use crate::groups::Group;
use crate::journals::{self, JOURNAL};
use crate::place::{
    Metadata, Part, Snapshot, Tree, all_of, belongs_to, of_new_file, snapshot, tree_of,
};
use crate::report::{Ending, FileReport};
use crate::scenarios::Scenario;
use crate::told::Told;
use crate::trees;

/// What was found to be wrong, in sentences.
pub(crate) type Violations = Vec<String>;

/// The directory before and after a run.
pub(crate) struct Scene<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) dir: &'a Path,
    /// For a recovery, that is before the commit that died.
    pub(crate) before: &'a Snapshot,
    /// The temp file of a writer that is alive.
    pub(crate) alive: &'a Path,
}

/// What the target is after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// As it was, down to the inode.
    Old,
    New(Tree),
    Wrong(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Old => write!(f, "old"),
            Target::New(_) => write!(f, "new"),
            Target::Wrong(what) => write!(f, "{what}"),
        }
    }
}

/// What is done first once a writer was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Write,
    Sweep,
}

impl Scene<'_> {
    pub(crate) fn targets(&self) -> impl Iterator<Item = &'static Path> {
        self.scenario.before.targets().iter().map(Path::new)
    }

    /// Whether the path is, in that snapshot, a target or in one.
    fn is_target(&self, snapshot: &Snapshot, path: &Path) -> bool {
        self.targets().any(|target| belongs_to(snapshot, target, path))
    }

    /// What is to be published.
    fn expected(&self, target: &Path) -> Tree {
        let old = tree_of(self.before, target);
        let new = self.scenario.new_contents_of(target);
        if self.scenario.before.is_tree() {
            return trees::new_tree(&old, self.scenario.start(), &new);
        }
        let metadata = old.get(Path::new("")).map_or_else(of_new_file, |it| it.metadata.clone());
        Tree::from([(PathBuf::new(), Part { contents: new, metadata })])
    }

    pub(crate) fn target(&self, path: &Path, after: &Snapshot) -> Target {
        let (found, old) = (all_of(after, path), all_of(self.before, path));
        if found == old {
            return Target::Old;
        }
        if !after.contains_key(path) {
            return Target::Wrong("the target is gone".into());
        }
        let found = tree_of(after, path);
        if has_contents(&found, &self.expected(path)) {
            Target::New(found)
        } else if has_contents(&found, &tree_of(self.before, path)) {
            Target::Wrong("the old contents are in another file, or were touched".into())
        } else {
            let bytes: usize = found.values().map(|part| part.contents.len()).sum();
            Target::Wrong(format!(
                "the target has {bytes} bytes, neither the old contents nor the new"
            ))
        }
    }

    /// What is there that was not, but for the targets.
    pub(crate) fn left(&self, after: &Snapshot) -> BTreeSet<PathBuf> {
        let is_new =
            |path: &&PathBuf| !self.before.contains_key(*path) || self.is_target(self.before, path);
        let is_to_be = |path: &Path| self.is_target(after, path) || self.is_backup(path);
        let left = after.keys().filter(is_new).filter(|path| !is_to_be(path));
        left.cloned().collect()
    }

    /// Whether the path leads to a target, as the directories do that a save creates.
    pub(crate) fn is_on_the_way(&self, path: &Path) -> bool {
        self.targets().any(|target| target.starts_with(path))
    }

    pub(crate) fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.dir).unwrap_or(path).to_path_buf()
    }

    pub(crate) fn check_bystanders(&self, after: &Snapshot, violations: &mut Violations) {
        for (path, entry) in self.before {
            let may_change = self.is_target(self.before, path) || self.is_backup(path);
            if !may_change && after.get(path) != Some(entry) {
                violations.push(format!("{} was touched", path.display()));
            }
        }
    }

    /// What each target is.
    pub(crate) fn find(&self, after: &Snapshot, violations: &mut Violations) -> Vec<Target> {
        let found: Vec<Target> = self.targets().map(|path| self.target(path, after)).collect();
        for (path, target) in self.targets().zip(&found) {
            if let Target::Wrong(what) = target {
                violations.push(format!("{}: {what}", path.display()));
            }
        }
        found
    }

    /// Has all that is new exactly the metadata that it should have?
    fn check_all_metadata(&self, found: &[Target], violations: &mut Violations) {
        for (path, target) in self.targets().zip(found) {
            let Target::New(new) = target else { continue };
            let expected = self.expected(path);
            let wrong = new.iter().filter(|(path, part)| expected.get(*path) != Some(part));
            violations.extend(wrong.map(|(inside, part)| {
                format!("the new file's metadata is {:?}: {:?}", part.metadata, path.join(inside))
            }));
        }
    }

    /// After the writer was killed. The targets as they were found are given back.
    pub(crate) fn after_kill(&self, first: First) -> Result<(Vec<Target>, Violations)> {
        let mut violations = Violations::new();
        let after = snapshot(self.dir)?;
        let mut found = self.find(&after, &mut violations);
        self.check_all_metadata(&found, &mut violations);
        self.check_backup(&found, &after, &mut violations);
        self.check_bystanders(&after, &mut violations);
        if self.scenario.has_journal() {
            if first == First::Sweep {
                self.check_early_sweep(&after, &mut violations)?;
            }
            let recovered = self.check_recovery(&after, &mut violations)?;
            self.check_all_metadata(&recovered, &mut violations);
            found.extend(recovered);
        }
        if first == First::Write {
            self.check_next_writer(&mut violations)?;
        }
        self.check_sweep(&mut violations)?;
        if first == First::Sweep {
            self.check_next_writer(&mut violations)?;
        }
        Ok((found, violations))
    }

    /// After a run that said what came of it.
    pub(crate) fn after_fault(&self, told: &Told<'_>) -> Result<Violations> {
        let mut violations = Violations::new();
        let after = snapshot(self.dir)?;
        self.check_targets(told, &after, &mut violations);
        self.check_left(told, &after, &mut violations);
        self.check_told_backup(told, &after, &mut violations);
        self.check_bystanders(&after, &mut violations);
        told.check_durability(&mut violations);
        told.check_cause(&mut violations);
        if self.scenario.has_journal() {
            self.check_journal(told, &after, &mut violations);
            self.check_recovery(&after, &mut violations)?;
        }
        self.check_next_writer(&mut violations)?;
        self.check_sweep(&mut violations)?;
        Ok(violations)
    }

    /// Is each target what was said of it?
    fn check_targets(&self, told: &Told<'_>, after: &Snapshot, violations: &mut Violations) {
        // A save that fails before it knows its target, or any but the last of a batch, says
        // nothing of the others: they are as they were.
        let report_of = |path: &Path| {
            let is_it = |file: &&FileReport| self.relative(&file.path) == path;
            told.report.files.iter().find(is_it).map(|file| (&*file.state, &*file.lost))
        };
        let is_told_of_all = told.report.files.len() == self.targets().count();
        let is_undecided = self.scenario.death.is_some() && !is_told_of_all;
        for path in self.targets() {
            let target = self.target(path, after);
            let (state, lost) = match report_of(path) {
                // A recovery that does not come to its end leaves what the commit has published.
                Some(("Untouched", _)) | None if is_undecided => ("as it was", &[][..]),
                Some(reported) => reported,
                None => ("Untouched", &[][..]),
            };
            match (&target, state) {
                (Target::Wrong(what), _) => violations.push(format!("{}: {what}", path.display())),
                (Target::Old, "Untouched") | (Target::New(_), "Replaced") | (_, "as it was") => {}
                // A recovery says so of what it cannot match with what the journal says.
                (_, "Unknown") if told.is_lasting() || self.scenario.death.is_some() => {}
                _ => violations.push(format!("{path:?} is said to be {state}, but is {target}")),
            }
            let of_owner_alone = ["Mode".to_owned()];
            let lost = if told.was_denied() { &of_owner_alone } else { lost };
            if let Target::New(found) = target {
                let expected = self.expected(path);
                for (path, part) in &found {
                    let expected = expected.get(path).unwrap_or(part);
                    check_metadata(&part.metadata, &expected.metadata, lost, violations);
                }
            }
        }
    }

    /// Did all stay behind that was named, and nothing else?
    fn check_left(&self, told: &Told<'_>, after: &Snapshot, violations: &mut Violations) {
        let named: Vec<PathBuf> =
            told.report.leftovers.iter().map(|it| self.relative(it)).collect();
        let is_published = self.targets().any(|target| after.contains_key(target));
        for path in self.left(after) {
            let is_lock = path.to_string_lossy().ends_with(".lock");
            let is_excused = match () {
                () if self.is_on_the_way(&path) => {
                    is_published || told.could_not(&[Group::RemoveDirectory])
                }
                // The next one who asks for the lock takes the file over, or somebody else has it.
                () if is_lock => {
                    told.could_not(&[Group::RemoveLock])
                        || told.met_with(Group::Lock, Errno::EAGAIN)
                        || self.scenario.death.is_some()
                }
                // What is mounted there is somebody else's.
                () if self.scenario.death.is_some()
                    && told.met_with(Group::OpenBelow, Errno::EXDEV) =>
                {
                    true
                }
                // With a directory all that is in it.
                () if named.iter().any(|named| path.starts_with(named)) => true,
                () if is_for_recovery(&path, after, told) => true,
                // Nobody could tell whether the link leads to it by now. The sweep can.
                () if told.is_lasting() => is_in_generation(&path),
                () => false,
            };
            if !is_excused {
                violations.push(format!("{} stayed behind", path.display()));
            }
        }
        for named in named.iter().filter(|named| !after.contains_key(*named)) {
            violations.push(format!("{} is said to have stayed, and did not", named.display()));
        }
    }

    /// Is the journal there if it is said to be, and else nothing halfway?
    fn check_journal(&self, told: &Told<'_>, after: &Snapshot, violations: &mut Violations) {
        let is_there = after.contains_key(Path::new(JOURNAL));
        let is_named = told.report.journal.is_some();
        let is_own = self.scenario.death.is_none();
        match told.report.end {
            Ending::Ok { .. } if is_there => violations.push("the journal stayed".into()),
            // Who recovers knows where it is, and need not be told before anything is done.
            // Where nothing can be looked at, it may be there.
            Ending::Err { .. } if is_named && told.is_lasting() => {}
            Ending::Err { .. } if is_there != is_named && (is_own || is_named) => {
                violations.push(format!("the journal: named {is_named}, there {is_there}"));
            }
            _ => {}
        }
        let is_new = |path| self.target(path, after) != Target::Old;
        let new = self.targets().filter(|path| is_new(path)).count();
        if !is_there && new != 0 && new != self.targets().count() {
            violations.push("some files are new, and some old, without a journal".into());
        }
    }
}

/// Whether it is the journal, or is in a staging directory that the journal needs.
fn is_for_recovery(path: &Path, after: &Snapshot, told: &Told<'_>) -> bool {
    let is_marked = |stage: &Path| after.contains_key(&stage.join(journals::MARK));
    // Where nothing can be looked at, the journal may be there.
    let may_be_there = told.is_lasting() && told.report.journal.is_some();
    (may_be_there || after.contains_key(Path::new(JOURNAL)))
        && (path == Path::new(JOURNAL) || path.ancestors().any(is_marked))
}

/// Whether it is, or is in, a directory that a link may name.
fn is_in_generation(path: &Path) -> bool {
    path.iter().next().is_some_and(|first| first.to_string_lossy().ends_with(".tree"))
}

/// Whether all names are there, and nothing else, of the right types and with the right contents.
fn has_contents(found: &Tree, expected: &Tree) -> bool {
    let type_of = |part: &Part| part.metadata.file_type();
    let is_same =
        |it: &Part, other: &Part| it.contents == other.contents && type_of(it) == type_of(other);
    found.len() == expected.len()
        && found.iter().all(|(path, part)| expected.get(path).is_some_and(|it| is_same(part, it)))
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
    // A directory is its owner's to fill.
    let of_owner = if found.is_directory() { 0o700 } else { 0 };
    if found.mode & 0o7777 & !(expected.mode | of_owner) != 0 {
        violations.push(format!("the metadata is wider than before: {found:?}"));
    }
}
