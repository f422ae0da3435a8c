//! Saves that keep the old file, and what must be true of the backup after each fault.

use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;
use wholefile::{Backup, Builder, Commit};

use crate::judge::{Scene, Target, Violations};
use crate::place::{Entry, Snapshot, contents};
use crate::report::Ending;
use crate::saves;
use crate::told::Told;

/// A backup that is to be made.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    /// Beside the target.
    pub(crate) name: &'static str,
    /// Those that are too many once the target is replaced.
    surplus: &'static [&'static str],
    /// Whether all is as it was if the target is not replaced.
    can_be_undone: bool,
}

pub(crate) const SUFFIX: Kept = Kept { name: "target~", surplus: &[], can_be_undone: true };
pub(crate) const REPLACED: Kept = Kept { can_be_undone: false, ..SUFFIX };
pub(crate) const ELSEWHERE: Kept = Kept { name: "kept/backup", ..SUFFIX };
pub(crate) const NUMBERED: Kept =
    Kept { name: "target.~3~", surplus: &["target.~1~"], can_be_undone: true };

/// Puts earlier backups of each kind beside the target.
pub(crate) fn prepare(dir: &Path) -> Result<()> {
    fs::create_dir(dir.join("kept"))?;
    for name in ["target~", "target.~1~", "target.~2~"] {
        fs::write(dir.join(name), contents('e', 300))?;
    }
    Ok(())
}

pub(crate) fn suffix(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.backup(Backup::Suffix("~".into())).write(path, new)
}

pub(crate) fn expected(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    saves::expected(builder.backup(Backup::Suffix("~".into())), path, new)
}

pub(crate) fn elsewhere(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    let backup = path.with_file_name("kept").join("backup");
    builder.backup(Backup::Path(backup)).write(path, new)
}

pub(crate) fn numbered(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    builder.backup(Backup::Numbered { keep: 2 }).write(path, new)
}

impl Scene<'_> {
    /// Whether the path is that of a backup which the save may make or remove.
    pub(crate) fn is_backup(&self, path: &Path) -> bool {
        self.scenario.kept.is_some_and(|kept| {
            let mut names = kept.surplus.iter().chain([&kept.name]);
            names.any(|name| path == Path::new(name))
        })
    }

    /// At no moment is the backup anything but what was there before or the whole old file, and if
    /// the target is new it is that.
    pub(crate) fn check_backup(
        &self,
        found: &[Target],
        after: &Snapshot,
        violations: &mut Violations,
    ) {
        let Some(kept) = self.scenario.kept else { return };
        let old = &self.before[Path::new("target")];
        let (was, backup) =
            (self.before.get(Path::new(kept.name)), after.get(Path::new(kept.name)));
        let is_kept = backup.is_some_and(|backup| is_whole(backup, old));
        if !is_kept && backup != was {
            violations.push("the backup is neither what it was nor the whole old file".into());
        }
        let is_new = found.iter().any(|target| matches!(target, Target::New(_)));
        if is_new && !is_kept {
            violations.push("the target is new, and its backup is not there".into());
        }
        for name in kept.surplus.iter().filter(|_| !is_new).map(Path::new) {
            if after.get(name) != self.before.get(name) {
                violations.push(format!("{name:?} was touched, and the target is old"));
            }
        }
    }

    /// Is what was said of it true?
    pub(crate) fn check_told_backup(
        &self,
        told: &Told<'_>,
        after: &Snapshot,
        violations: &mut Violations,
    ) {
        let Some(kept) = self.scenario.kept else { return };
        let found: Vec<Target> = self.targets().map(|path| self.target(path, after)).collect();
        self.check_backup(&found, after, violations);
        let name = Path::new(kept.name);
        let is_there = |name: &&&str| after.contains_key(Path::new(name));
        let surplus = kept.surplus.iter().filter(is_there).count();
        let named: Vec<PathBuf> =
            told.report.leftovers.iter().map(|path| self.relative(path)).collect();
        let is_unknown = told.report.files.iter().any(|file| file.state == "Unknown");
        match &told.report.end {
            Ending::Ok { .. } => {
                let backup = told.report.files.iter().find_map(|file| file.backup.as_deref());
                if backup.map(|backup| self.relative(backup)).as_deref() != Some(name) {
                    violations.push(format!("the receipt says that the backup is {backup:?}"));
                }
                if surplus > 0 {
                    violations.push("more backups stayed than are to be kept".into());
                }
            }
            // Where nobody can tell what the target is, it may be needed.
            Ending::Err { step, .. } if found == [Target::Old] && !is_unknown => {
                let is_undone = after.get(name) == self.before.get(name);
                let is_aside = |path: &PathBuf| {
                    [".swap", ".old"].iter().any(|end| path.to_string_lossy().ends_with(end))
                };
                let is_named = named.iter().any(|path| path == name || is_aside(path));
                if kept.can_be_undone && !is_undone && !is_named {
                    violations.push(format!("the backup is not undone after an error at {step}"));
                }
            }
            Ending::Err { step, .. } if step == "Backup" => {
                let is_named = |name: &&str| named.iter().any(|path| path == Path::new(name));
                if kept.surplus.iter().any(|it| is_there(&it) && !is_named(it)) {
                    violations.push("what should have been removed is not named".into());
                }
            }
            Ending::Err { .. } => {}
        }
    }
}

/// Whether it is the old file, or a copy of all that is in it which gives nobody more rights.
fn is_whole(backup: &Entry, old: &Entry) -> bool {
    let is_narrow = backup.metadata.mode & !old.metadata.mode == 0;
    backup == old || (backup.contents == old.contents && is_narrow)
}
