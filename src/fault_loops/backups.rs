//! Saves that keep the old file, and what must be true of the backup after each.

mod again;
mod failing;
mod made;
mod others;
mod second_names;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use super::cases::{Before, Case, FEWEST, NEW, OLD, case, full};
use super::place::Place;
use crate::fault::{Fault, Interruption, Op, Plan, When, with_plan};
use crate::{
    Backup, Builder, Commit, Durability, Publish, Result, Step, Symlinks, SyncPlan, TargetState,
    Version, sys,
};

/// A backup, and what is there before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// Its name, in the folder of the target.
    pub(super) name: &'static str,
    /// Whether an earlier one bears the name.
    pub(super) is_over: bool,
    /// One that is too many once the target is replaced.
    pub(super) surplus: Option<&'static str>,
    /// Whether it is made by copying the old file.
    pub(super) is_copy: bool,
    /// Whether all is as before if the target is not replaced.
    pub(super) can_be_undone: bool,
}

pub(super) const EARLIER: &[u8] = b"an earlier version";

const FRESH: Kept =
    Kept { name: "target~", is_over: false, surplus: None, is_copy: false, can_be_undone: true };
const OVER: Kept = Kept { is_over: true, ..FRESH };
const ELSEWHERE: Kept = Kept { name: "sub/backup", ..FRESH };
const NUMBERED: Kept = Kept { name: "target.~10~", surplus: Some("target.~9~"), ..FRESH };

fn suffix() -> Builder {
    full().backup(Backup::Suffix("~".into())).clone()
}

fn backup(path: &Path) -> Result<Commit> {
    suffix().write(path, NEW)
}

fn backup_ordered(path: &Path) -> Result<Commit> {
    suffix().durability(Durability::Ordered).write(path, NEW)
}

fn backup_without_durability(path: &Path) -> Result<Commit> {
    suffix().durability(Durability::None).write(path, NEW)
}

fn backup_fewest(path: &Path) -> Result<Commit> {
    suffix().sync_plan(SyncPlan::Fewest).write(path, NEW)
}

fn backup_expected(path: &Path) -> Result<Commit> {
    suffix().expect(&Version::of(path)?).write(path, NEW)
}

fn backup_existing(path: &Path) -> Result<Commit> {
    suffix().publish(Publish::Existing).write(path, NEW)
}

fn backup_elsewhere(path: &Path) -> Result<Commit> {
    full().backup(Backup::Path(path.with_file_name("sub").join("backup"))).write(path, NEW)
}

fn backup_elsewhere_required(path: &Path) -> Result<Commit> {
    let path_of_backup = path.with_file_name("sub").join("backup");
    full().require_durability(true).backup(Backup::Path(path_of_backup)).write(path, NEW)
}

fn backup_numbered(path: &Path) -> Result<Commit> {
    full().backup(Backup::Numbered { keep: 1 }).write(path, NEW)
}

pub(super) const BACKUPS: &[Case] = &[
    case("backup", Before::File, backup).keeping(FRESH),
    case("backup ordered", Before::File, backup_ordered).keeping(FRESH),
    case("backup over an earlier one", Before::File, backup).keeping(OVER),
    case("backup over an earlier one, no durability", Before::File, backup_without_durability)
        .keeping(OVER),
    case("backup over an earlier one, fewest syncs", Before::File, backup_fewest)
        .pretending(FEWEST)
        .keeping(OVER),
    case("backup over an earlier one without locks", Before::File, backup)
        .lacking(&[Op::Lock])
        .keeping(OVER),
    case("backup over an earlier one without rename flags", Before::File, backup)
        .lacking(&[Op::Exchange])
        .keeping(Kept { can_be_undone: false, ..OVER }),
    case("backup of the expected", Before::File, backup_expected).keeping(FRESH),
    case("backup of the expected over an earlier one", Before::File, backup_expected).keeping(OVER),
    case("backup of what must exist", Before::File, backup_existing).keeping(OVER),
    case("backup elsewhere", Before::File, backup_elsewhere).keeping(ELSEWHERE),
    case("backup elsewhere over an earlier one", Before::File, backup_elsewhere)
        .keeping(Kept { is_over: true, ..ELSEWHERE }),
    case("backup elsewhere, durability required", Before::File, backup_elsewhere_required)
        .keeping(ELSEWHERE),
    case("backup with a number", Before::File, backup_numbered).keeping(NUMBERED),
    case("backup by a copy", Before::File, backup)
        .lacking(&[Op::Link])
        .keeping(Kept { is_copy: true, ..FRESH }),
    case("backup by a copy over an earlier one", Before::File, backup)
        .lacking(&[Op::Link])
        .keeping(Kept { is_copy: true, ..OVER }),
    case("backup by a copy without rename flags", Before::File, backup)
        .lacking(&[Op::RenameNoReplace, Op::Link])
        .keeping(Kept { is_copy: true, ..FRESH }),
    case("backup by a copy of bytes, with a number", Before::File, backup_numbered)
        .lacking(&[Op::Link, Op::CloneContents])
        .keeping(Kept { is_copy: true, ..NUMBERED }),
    case("backup by a copy elsewhere", Before::File, backup_elsewhere)
        .lacking(&[Op::Link])
        .keeping(Kept { is_copy: true, ..ELSEWHERE }),
    case("backup over an earlier one where nothing can be removed", Before::File, backup)
        .lacking(&[Op::RemoveTemp])
        .keeping(OVER),
];

impl Place {
    /// Puts what is there before beside the target.
    pub(super) fn with_earlier(self, kept: Option<Kept>) -> Place {
        let Some(kept) = kept else { return self };
        let path = self.folder().join(kept.name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        if kept.is_over {
            fs_err::write(path, EARLIER).unwrap();
        }
        if let Some(surplus) = kept.surplus {
            fs_err::write(self.folder().join(surplus), EARLIER).unwrap();
        }
        self
    }

    /// What has the name of the backup.
    fn backup(&self, kept: Kept) -> Option<Vec<u8>> {
        fs_err::read(kept.path(self)).ok()
    }
}

impl Kept {
    /// Those that are there besides the target, and are to be.
    pub(super) fn files(self, place: &Place) -> Vec<PathBuf> {
        let surplus = self.surplus.map(|name| place.folder().join(name));
        [Some(self.path(place)), surplus].into_iter().flatten().collect()
    }

    /// Whether it is made although this happened, in another way perhaps.
    pub(super) fn survives(self, op: Op, error: &io::Error, fault: Fault) -> bool {
        let is_done = matches!(fault, Fault::DoneThenError(_));
        match op {
            // Something bears the name, or it is copied.
            Op::Link => {
                error.kind() == io::ErrorKind::AlreadyExists || sys::cannot_be_linked(error)
            }
            Op::Rename | Op::RenameNoReplace => {
                is_done || error.kind() == io::ErrorKind::AlreadyExists
            }
            Op::Exchange => error.kind() == io::ErrorKind::NotFound, // it is gone meanwhile
            // Whether there is something to be removed, or was done although it failed; if not, it
            // is tried in another way.
            Op::Look => !self.can_be_undone || self.is_copy,
            Op::CloneContents => sys::lacks_clones(error),
            _ => false,
        }
    }

    /// Where it is. A number that is said to be taken is followed by the next.
    fn path(self, place: &Place) -> PathBuf {
        let next = place.folder().join("target.~11~");
        if next.exists() { next } else { place.folder().join(self.name) }
    }

    fn before(self) -> Option<&'static [u8]> {
        self.is_over.then_some(EARLIER)
    }

    /// At no moment is it anything but what was there before or the whole old file, and it is that
    /// if the target is new.
    #[track_caller]
    pub(super) fn check_whole(self, place: &Place, name: &str) {
        let backup = place.backup(self);
        let is_kept = backup.as_deref() == Some(OLD);
        assert!(is_kept || backup.as_deref() == self.before(), "{name}: {backup:?}");
        let is_new = place.contents().as_deref() == Some(NEW);
        assert!(is_kept || !is_new, "{name}: the target is new, and its backup is {backup:?}");
        if let Some(surplus) = self.surplus.filter(|_| !is_new) {
            assert!(place.folder().join(surplus).exists(), "{name}: {surplus} is gone");
        }
    }

    /// What is said of it is true. Gives the files that are to be there besides.
    #[track_caller]
    pub(super) fn check(self, place: &Place, result: &Result<Commit>, name: &str) -> Vec<PathBuf> {
        self.check_whole(place, name);
        let path = |name: &str| place.folder().join(name);
        let backup = place.backup(self);
        let surplus = self.surplus.map(path).filter(|path| path.exists());
        match result {
            Ok(commit) => {
                assert_eq!(commit.backup(), Some(&*self.path(place)), "{name}");
                assert_eq!(surplus, None, "{name}");
            }
            Err(error) if error.target_state() == TargetState::Untouched => {
                let is_named = error.leftovers().any(|leftover| leftover == self.path(place));
                let is_undone = backup.as_deref() == self.before();
                assert!(is_undone || is_named || !self.can_be_undone, "{name}: {backup:?}");
                assert!(surplus.is_some() == self.surplus.is_some(), "{name}");
            }
            Err(error) if error.step() == Step::Backup => {
                assert!(surplus.is_none() || error.leftover() == surplus.as_deref(), "{name}");
            }
            Err(_) => {}
        }
        backup.map(|_| self.path(place)).into_iter().chain(surplus).collect()
    }
}

fn sweep(path: &Path) {
    crate::sweep(path.parent().unwrap()).unwrap();
}

/// A run of `case` in which a sweep comes before the operation of this index.
fn run_and_sweep(
    case: &Case,
    at: usize,
    fault: Option<(usize, Fault)>,
) -> (Place, Result<Commit>, Plan) {
    let place = Place::new(case.before).with_earlier(case.kept);
    let (path, save) = (place.path(), case.save);
    let lacking = case.lacking.iter().map(|op| (*op, sys::lacking_error(*op))).collect();
    let interruptions = [place.path(), place.folder().join("sub/backup")].map(|path| {
        let sweep = |path: &Path| {
            if path.parent().unwrap().is_dir() {
                sweep(path);
            }
        };
        Interruption { when: When::At(at), action: sweep, path }
    });
    let plan = Plan { at: fault, lacking, interruptions: interruptions.into(), ..Plan::default() };
    let run = move || with_plan(plan, || save(&path));
    let (result, plan) = thread::spawn(run).join().unwrap();
    (place, result, plan)
}

/// Whoever cannot link copies; whatever else goes wrong with a link is an error.
#[test]
fn a_backup_is_copied_only_where_it_cannot_be_linked() {
    use rustix::io::Errno;

    for (errno, is_copied) in [
        (Errno::XDEV, true),
        (Errno::MLINK, true),
        (Errno::PERM, true),
        (Errno::ACCESS, true),
        (Errno::OPNOTSUPP, true),
        (Errno::NOSYS, true),
        (Errno::IO, false),
        (Errno::NOSPC, false),
        (Errno::ROFS, false),
        (Errno::EXIST, false),
        (Errno::STALE, false),
    ] {
        assert_eq!(sys::cannot_be_linked(&errno.into()), is_copied, "{errno}");
    }
}

/// Whoever looks for orphans takes neither a backup nor the earlier one that may have to be put
/// back, nor does one that comes between the creation of the temp file and its lock lead to a
/// second backup.
#[test]
fn a_sweep_at_any_moment_takes_no_backup() {
    let (mut saved, mut undone, mut made_anew) = (0, 0, 0);
    for case in BACKUPS.iter().filter(|case| !case.lacking.contains(&Op::Lock)) {
        let kept = case.kept.unwrap();
        let (_, _, clean) = run_and_sweep(case, usize::MAX, None);
        let is_publish = |op: &Op| [Op::Rename, Op::Exchange].contains(op);
        let publish = clean.log.iter().rposition(is_publish).unwrap();
        let failed = (publish, Fault::Error(rustix::io::Errno::IO.raw_os_error()));
        for at in 0..clean.log.len() {
            let name = format!("{}: a sweep before {at}, {:?}", case.name, clean.log[at]);
            let (place, result, plan) = run_and_sweep(case, at, None);
            if case.lacking != [Op::RemoveTemp] {
                let commit = result.as_ref().unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(commit.backup(), Some(&*place.folder().join(kept.name)), "{name}");
            }
            kept.check(&place, &result, &name);
            saved += 1;
            let creations = plan.log.iter().filter(|op| **op == Op::CreateTemp).count();
            made_anew += usize::from(creations > 1 + usize::from(kept.is_copy));
            let (place, result, plan) = run_and_sweep(case, at, Some(failed));
            if plan.log.get(publish).is_some_and(is_publish) && result.is_err() {
                kept.check(&place, &result, &name);
                undone += 1;
            }
        }
    }
    assert!(saved > 400 && undone > 400 && made_anew > 20, "{saved}, {undone}, {made_anew}");
}

/// A symlink that is replaced itself, on another file system than its backup.
#[test]
fn of_a_symlink_that_cannot_be_linked_a_symlink_is_made() {
    for earlier in [None, Some("earlier")] {
        let place = Place::new(Before::Symlink);
        let link = place.path();
        let backup = link.with_file_name("link~");
        if let Some(earlier) = earlier {
            fs_err::write(&backup, earlier).unwrap();
        }
        let text = fs_err::read_link(&link).unwrap();
        let lacking = vec![(Op::Link, rustix::io::Errno::XDEV.raw_os_error())];
        let save = || suffix().symlinks(Symlinks::Replace).write(&link, NEW);
        let (result, _) = with_plan(Plan { lacking, ..Plan::default() }, save);
        assert_eq!(result.unwrap().backup(), Some(&*backup));
        assert_eq!(fs_err::read_link(&backup).unwrap(), text);
        assert_eq!(fs_err::read(&link).unwrap(), NEW);
        let names = fs_err::read_dir(link.parent().unwrap()).unwrap();
        assert_eq!(names.count(), 3, "folder, link and backup");
    }
}
