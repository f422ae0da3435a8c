//! Of which file a backup is, what others do before it is made, and what a copy of it has.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::super::cases::{Before, NEW, OLD};
use super::super::place::{Place, THEIRS, replace};
use super::failing::{Save, attempt};
use super::{
    EARLIER, FRESH, Kept, OVER, backup, backup_elsewhere, backup_expected, backup_fewest,
    backup_numbered, backup_without_durability, suffix,
};
use crate::fault::{Fault, Op, Plan, When, with_plan};
use crate::{
    Backup, ErrorKind, Metadata, Preserve, Publish, Step, Symlinks, SyncPlan, TargetState, sys,
};

/// Somebody takes the temp file for an orphan.
pub(super) fn remove_temp(path: &Path) {
    let folder = fs_err::read_dir(path.parent().unwrap()).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let temp = paths.filter(|path| path.extension().is_some_and(|it| it == "tmp"));
    temp.for_each(|temp| fs_err::remove_file(temp).unwrap());
}

/// And replaces the target.
pub(super) fn remove_temp_and_replace(path: &Path) {
    remove_temp(path);
    replace(path);
}

/// Somebody replaces the target and takes the temp file for an orphan after the backup was made:
/// what is saved then replaces their file, so that the backup is to be of that.
#[test]
fn the_backup_is_of_the_file_that_is_replaced() {
    for kept in [FRESH, OVER] {
        let clean = attempt(kept, backup).run();
        let publish = clean.publish();
        let run =
            attempt(kept, backup).while_others(When::At(publish), remove_temp_and_replace).run();
        run.check_only(kept, NEW, Some(THEIRS), "made anew");
        run.result.unwrap();
    }
}

/// What must not replace anything keeps nothing, even if something comes meanwhile.
#[test]
fn what_is_only_created_keeps_no_backup() {
    let create = |path: &Path| fs_err::write(path, "theirs").unwrap();
    let save: Save = |path| suffix().publish(Publish::CreateNew).write(path, NEW);
    let run = attempt(FRESH, save).while_others(When::BeforeEach(Op::SyncFile), create);
    let run = run.run_at(Place::new(Before::Nothing));
    run.check_only(FRESH, b"theirs", None, "created");
    assert!(!run.log.contains(&Op::Link) && !run.log.contains(&Op::OpenSideFile), "{:?}", run.log);
    let error = run.result.unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::AlreadyExists, Step::Publish));
}

/// Of what somebody removes in the last moment nothing can be kept, and nothing is lost.
#[test]
fn a_target_that_goes_before_its_backup_is_made_has_none() {
    let remove = |path: &Path| fs_err::remove_file(path).unwrap();
    for kept in [FRESH, OVER] {
        let link = attempt(kept, backup).run().after(Op::Link, Op::Link);
        let run = attempt(kept, backup).while_others(When::At(link), remove).run();
        run.check_only(kept, NEW, kept.is_over.then_some(EARLIER), "gone");
        assert_eq!(run.result.unwrap().backup(), None);
    }
}

/// A backup that comes in the last moment is one that is replaced, as if it had been there.
#[test]
fn what_takes_the_name_before_the_link_is_replaced() {
    let write = |path: &Path| fs_err::write(path.with_file_name("target~"), EARLIER).unwrap();
    for (lacking, op) in [(&[][..], Op::Link), (&[Op::Link], Op::RenameNoReplace)] {
        let attempt = attempt(FRESH, backup).lacking(lacking);
        let at = attempt.run().after(op, op);
        let run = attempt.while_others(When::At(at), write).run();
        run.check_only(FRESH, NEW, Some(OLD), "replaced");
        assert_eq!(run.count(Op::Exchange), 1, "{:?}", run.log);
        run.result.unwrap();
    }
}

fn changed(path: &Path) -> (i64, i64) {
    let metadata = fs_err::metadata(path).unwrap();
    (metadata.ctime(), metadata.ctime_nsec())
}

/// A second name changes the time of the last change of the status, and only that change is the
/// save's own: a right that somebody took away since is not given again.
#[test]
fn a_change_of_the_status_after_the_backup_is_a_conflict() {
    let change = |path: &Path| {
        let before = changed(path);
        while changed(path) == before {
            fs_err::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
        }
    };
    // The clock has to have moved on, or the second name is not seen to change anything.
    let save: Save = |path| {
        let other = path.with_file_name("other");
        while !other.exists() || changed(&other) == changed(path) {
            fs_err::write(&other, "").unwrap();
        }
        fs_err::remove_file(other).unwrap();
        backup_expected(path)
    };
    let clean = attempt(FRESH, save).run();
    let publish = clean.publish();
    assert_eq!(clean.log[publish - 1], Op::Look, "what is checked: {:?}", clean.log);
    let run = attempt(FRESH, save).while_others(When::At(publish - 1), change).run();
    run.check_only(FRESH, OLD, None, "changed");
    let error = run.result.unwrap_err();
    let told = (error.kind(), error.target_state());
    assert_eq!(told, (ErrorKind::Conflict, TargetState::Untouched));
}

/// GNU's programs begin with 1, and what another number has is no backup.
#[test]
fn no_backup_has_the_number_0() {
    let kept = Kept { name: "target.~1~", ..FRESH };
    let place = Place::new(Before::File);
    let zeroth = place.folder().join("target.~0~");
    fs_err::hard_link(place.path(), &zeroth).unwrap();
    let run = attempt(kept, backup_numbered).run_at(place);
    assert_eq!(run.result.unwrap().backup(), Some(&*run.place.folder().join(kept.name)));
    assert_eq!(fs_err::read(zeroth).unwrap(), OLD);
}

/// A copy is synced as far as was asked, and who asks for nothing hears of it when it is closed.
#[test]
fn a_copy_is_synced_or_else_closed_before_it_is_the_backup() {
    for (save, syncs, closes) in [(backup as Save, 2, 0), (backup_without_durability, 0, 2)] {
        let run = attempt(FRESH, save).lacking(&[Op::Link]).run();
        run.check_only(FRESH, NEW, Some(OLD), "copied");
        let counts = (run.count(Op::SyncFile), run.count(Op::Close));
        assert_eq!(counts, (syncs, closes), "{:?}", run.log);
        run.result.unwrap();
    }
    let copied = attempt(FRESH, backup_without_durability).lacking(&[Op::Link]);
    let close = copied.run().after(Op::Link, Op::Close);
    let full = rustix::io::Errno::DQUOT.raw_os_error();
    let run = copied.failing(close, Fault::Error(full)).run();
    run.check_only(FRESH, OLD, None, "no room");
    let error = run.result.unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::StorageFull, Step::Backup));
}

/// Nothing comes later that would write out what is in another directory.
#[test]
fn elsewhere_the_old_file_is_synced_whatever_the_plan() {
    let elsewhere = |path: &Path| {
        let place = Backup::Path(path.with_file_name("sub").join("backup"));
        super::full().sync_plan(SyncPlan::Fewest).backup(place).write(path, NEW)
    };
    let run = |kept, save: Save| {
        let place = Place::new(Before::File).with_earlier(Some(kept));
        let plan = Plan { pretending: super::FEWEST.into(), ..Plan::default() };
        let save = || with_plan(plan, || save(&place.path()));
        let (result, plan) = std::thread::scope(|scope| scope.spawn(save).join().unwrap());
        result.unwrap();
        let link = plan.log.iter().position(|op| *op == Op::Link).expect("it is linked");
        let is_sync = |op: &&Op| [Op::SyncFile, Op::WriteOut].contains(op);
        plan.log[link..].iter().find(is_sync).copied()
    };
    assert_eq!(run(FRESH, backup_fewest), Some(Op::WriteOut));
    assert_eq!(run(super::ELSEWHERE, elsewhere), Some(Op::SyncFile));
    assert_eq!(run(super::ELSEWHERE, backup_elsewhere), Some(Op::SyncFile));
}

/// The old file has its metadata in the backup, whatever the new one is to have.
#[test]
fn a_copy_has_the_mode_of_the_old_file_whatever_the_new_one_gets() {
    let save: Save = |path| {
        fs_err::set_permissions(path, PermissionsExt::from_mode(0o640)).unwrap();
        suffix().preserve(Metadata::Mode, Preserve::Skip).mode(0o604).write(path, NEW)
    };
    let run = attempt(FRESH, save).lacking(&[Op::Link]).run();
    run.check_only(FRESH, NEW, Some(OLD), "copied");
    let mode = |path: &Path| fs_err::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(run.result.unwrap().backup().unwrap()), 0o640);
    assert_eq!(mode(&run.place.path()), 0o604);
}

/// Another owner cannot be given but by root, and is not asked for where it is the same.
#[test]
fn a_symlink_that_is_copied_has_the_owner_of_the_old_one() {
    for is_anothers in [false, true] {
        let place = Place::new(Before::Symlink);
        let link = place.path();
        if is_anothers && std::os::unix::fs::lchown(&link, Some(4321), Some(4321)).is_err() {
            continue;
        }
        let owner = |path: &Path| {
            let metadata = fs_err::symlink_metadata(path).unwrap();
            (metadata.uid(), metadata.gid())
        };
        let expected = owner(&link);
        let lacking = vec![(Op::Link, sys::lacking_error(Op::Link))];
        let save = || suffix().symlinks(Symlinks::Replace).write(&link, NEW);
        let (result, plan) = with_plan(Plan { lacking, ..Plan::default() }, save);
        assert_eq!(owner(result.unwrap().backup().unwrap()), expected);
        assert_eq!(plan.log.contains(&Op::SetOwner), is_anothers, "{:?}", plan.log);
    }
}
