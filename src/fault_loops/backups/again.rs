//! What others do to the target or its temp file while it is backed up, so that something of the
//! save begins anew.

use std::path::Path;

use rustix::io::Errno;

use super::super::cases::{NEW, OLD};
use super::super::is_of_a_lock;
use super::super::place::{THEIRS, replace};
use super::failing::attempt;
use super::made::{remove_temp, remove_temp_and_replace};
use super::{EARLIER, FRESH, NUMBERED, OVER, backup, backup_numbered};
use crate::fault::{Fault, Op, When};
use crate::{ErrorKind, Step, TargetState, sys};

/// The next number is free, then another save has taken it.
#[test]
fn a_number_that_others_take_meanwhile_is_passed_over() {
    let take = |path: &Path| fs_err::write(path.with_file_name("target.~10~"), THEIRS).unwrap();
    for lacking in [&[][..], &[Op::Link]] {
        let op = if lacking.is_empty() { Op::Link } else { Op::RenameNoReplace };
        let numbered = attempt(NUMBERED, backup_numbered).lacking(lacking);
        let at = numbered.run().after(op, op);
        let run = numbered.while_others(When::At(at), take).run();
        let commit = run.result.unwrap();
        assert_eq!(commit.backup(), Some(&*run.place.folder().join("target.~11~")), "{op:?}");
        for (name, contents) in [("target.~10~", THEIRS), ("target.~11~", OLD)] {
            assert_eq!(fs_err::read(run.place.folder().join(name)).unwrap(), contents, "{op:?}");
        }
    }
}

/// Others have made the old file the backup already: to rename one of its names to another leaves
/// both, and the one that was renamed cannot be removed.
#[test]
fn a_name_that_a_rename_has_left_and_that_stays_is_named() {
    let link = |path: &Path| {
        fs_err::remove_file(path.with_file_name("target~")).unwrap();
        fs_err::hard_link(path, path.with_file_name("target~")).unwrap();
    };
    let renaming = attempt(OVER, backup).lacking(&[Op::Exchange]);
    let at = renaming.run().after(Op::Link, Op::Rename);
    let renaming = renaming.while_others(When::At(at), link);
    renaming.run().check_only(OVER, NEW, Some(OLD), "it can be removed");

    let run = renaming.lacking(&[Op::Exchange, Op::RemoveTemp]).run();
    let error = run.result.unwrap_err();
    assert_eq!((error.step(), error.target_state()), (Step::Backup, TargetState::Untouched));
    assert_eq!(run.place.contents().as_deref(), Some(OLD), "{error}");
    assert_eq!(run.place.backup(OVER).as_deref(), Some(OLD), "{error}");
    let mut leftovers = error.leftovers().map(|path| fs_err::read(path).unwrap());
    assert!(leftovers.any(|contents| contents == OLD), "{error:?}");
}

/// Where the old file cannot be linked it is opened by its name, and others have replaced it since
/// it was looked at.
#[test]
fn what_is_copied_is_what_bears_the_name_by_then() {
    let fifo = |path: &Path| {
        fs_err::remove_file(path).unwrap();
        sys::make_fifo(path);
    };
    let copying = attempt(FRESH, backup).lacking(&[Op::Link]);
    let at = copying.run().after(Op::Link, Op::OpenTarget);
    let gone = copying.failing(at, Fault::Error(Errno::NOENT.raw_os_error()));
    gone.run().check_only(FRESH, NEW, Some(OLD), "it is there still");

    let run = gone.while_others(When::At(at + 1), replace).run();
    run.check_only(FRESH, NEW, Some(THEIRS), "replaced");
    run.result.unwrap();

    let run = gone.while_others(When::At(at + 1), |path| fs_err::remove_file(path).unwrap()).run();
    run.check_only(FRESH, NEW, None, "removed");
    run.result.unwrap();

    let run = gone.while_others(When::At(at + 1), fifo).run();
    assert_eq!(run.place.backup(FRESH), None);
    let error = run.result.unwrap_err();
    let told = (error.kind(), error.step(), error.target_state());
    assert_eq!(told, (ErrorKind::SpecialFile, Step::Backup, TargetState::Untouched), "{error}");
}

/// The temp file is taken for an orphan at the last moment. It is made once more with the backup
/// that there is, or with another one if others have replaced the target; and if that fails, the
/// backup does not stay, or is named.
#[test]
fn a_save_that_begins_anew_and_fails_leaves_no_backup_unnamed() {
    let (mut anew, mut undone, mut named) = (0, 0, 0);
    for (kept, deed, old) in [
        (FRESH, remove_temp as fn(&Path), OLD),
        (OVER, remove_temp, OLD),
        (FRESH, remove_temp_and_replace, THEIRS),
        (OVER, remove_temp_and_replace, THEIRS),
    ] {
        let clean = attempt(kept, backup).run();
        let publish = clean.publish();
        let swept = attempt(kept, backup).while_others(When::At(publish), deed);
        let again = swept.run();
        again.check_only(kept, NEW, Some(old), "made anew");
        let published = again.publish();
        again.result.unwrap();
        for at in publish + 1..=published {
            let fails = Fault::Error(Errno::IO.raw_os_error());
            for lacking in [&[][..], &[Op::RemoveTemp]] {
                let name = format!("{kept:?}: {:?} at {at}, lacking {lacking:?}", again.log[at]);
                let run = swept.failing(at, fails).lacking(lacking).run();
                let contents = run.place.contents();
                let Err(error) = &run.result else {
                    anew += 1;
                    assert_eq!(contents.as_deref(), Some(NEW), "{name}");
                    continue;
                };
                let is_untouched = error.target_state() == TargetState::Untouched;
                if is_untouched {
                    assert_eq!(contents.as_deref(), Some(old), "{name}: {error}");
                }
                let stays = run.place.backup(kept).as_deref() != kept.before();
                let mut others = run.place.others();
                others.retain(|path| is_untouched && !kept.is_over || !path.ends_with(kept.name));
                others.retain(|path| !is_of_a_lock(path, ".lock"));
                others.retain(|path| error.leftovers().all(|leftover| leftover != path));
                assert!(others.is_empty(), "{name}: {error:?}, {others:?}");
                if is_untouched && stays && kept.is_over {
                    let mut named = error.leftovers().map(|path| fs_err::read(path).unwrap());
                    assert!(named.any(|contents| contents == EARLIER), "{name}: {error:?}");
                }
                undone += usize::from(is_untouched && !stays);
                named += usize::from(stays);
            }
        }
    }
    assert!(anew > 5 && undone > 50 && named > 20, "{anew} anew, {undone} undone, {named} named");
}
