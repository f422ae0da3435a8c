//! The second name that the old file has while it is backed up, and what others or a killed process
//! have at the names that go with it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::super::cases::{Before, NEW, OLD};
use super::super::place::{Place, THEIRS, replace};
use super::failing::attempt;
use super::others::replace_backup;
use super::{EARLIER, FRESH, OVER, backup, suffix};
use crate::fault::{Fault, Op, When};
use crate::{Error, ErrorKind, HardLinks, Lock, ReadOnly, Step, TargetState};

/// What waits to become the backup of `target` has this name.
const ASIDE: &str = ".wholefile-fd1706c8a46e186d.swap";

fn io_error() -> Fault {
    Fault::Error(Errno::IO.raw_os_error())
}

/// With a target of our own.
fn in_everybodys_directory() -> Place {
    let place = Place::new(Before::File);
    fs_err::set_permissions(place.folder(), PermissionsExt::from_mode(0o1777)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(place.path(), Some(0), Some(1234)).unwrap();
    }
    place
}

/// The target has this name too.
fn linked(place: Place, name: &str) -> Place {
    fs_err::hard_link(place.path(), place.folder().join(name)).unwrap();
    place
}

/// What is there besides the target and the backup.
fn others(place: &Place) -> Vec<PathBuf> {
    let mut others = place.others();
    others.retain(|path| !path.ends_with("target~"));
    others
}

#[track_caller]
fn check_told(error: &Error, step: Step) {
    let told = (error.step(), error.target_state());
    assert_eq!(told, (step, TargetState::Untouched), "{error:?}");
}

/// A save with a backup links the old file to a name of its own. Another save that refuses files
/// with hard links failed meanwhile, with or without the lock; and after a process was killed at
/// that moment, each one did until somebody swept.
#[test]
fn the_name_that_is_exchanged_is_no_hard_link_of_others() {
    let open = |path: &Path| {
        for lock in [Lock::None, Lock::Wait] {
            let refusing = suffix().hard_links(HardLinks::Refuse).lock(lock).open(path);
            refusing.unwrap().rollback().unwrap();
        }
    };
    let clean = attempt(OVER, backup).run();
    for at in clean.after(Op::Link, Op::Link) + 1..clean.after(Op::Exchange, Op::Exchange) {
        attempt(OVER, backup).while_others(When::At(at), open).run().result.unwrap();
        let killed = attempt(OVER, backup).failing(at, Fault::Die).run();
        assert!(killed.result.is_err());
        let path = killed.place.path();
        assert_eq!(fs_err::metadata(&path).unwrap().nlink(), 2, "{:?}", clean.log[at]);
        let commit = suffix().hard_links(HardLinks::Refuse).write(&path, NEW).unwrap();
        assert_eq!(fs_err::read(commit.backup().unwrap()).unwrap(), OLD);
    }
}

/// Names are looked at one after the other. While they were, another save exchanged its two, and
/// neither was found.
#[test]
fn names_that_are_exchanged_while_they_are_counted_are_counted_again() {
    let exchange = |path: &Path| {
        let (aside, backup) = (path.with_file_name(ASIDE), path.with_file_name("target~"));
        let other = path.with_file_name("other");
        fs_err::rename(&backup, &other).unwrap();
        fs_err::rename(&aside, &backup).unwrap();
        fs_err::rename(&other, &aside).unwrap();
    };
    let waiting = || linked(Place::new(Before::File).with_earlier(Some(OVER)), ASIDE);
    let refusing = attempt(OVER, |path| suffix().hard_links(HardLinks::Refuse).write(path, NEW));
    let clean = refusing.run_at(waiting());
    let lock = clean.after(Op::OpenSideFile, Op::OpenSideFile);
    clean.result.unwrap();
    for at in 0..lock {
        let run = refusing.while_others(When::At(at), exchange).run_at(waiting());
        run.result.unwrap_or_else(|error| panic!("before {:?}: {error:?}", clean.log[at]));
    }
}

/// Of a file that somebody has replaced meanwhile, nobody can tell whose the other names are.
#[test]
fn names_of_a_file_that_goes_while_they_are_counted_are_those_of_others() {
    let linked = || linked(Place::new(Before::File), "theirs");
    let refusing = attempt(FRESH, |path| suffix().hard_links(HardLinks::Refuse).write(path, NEW));
    let refused = refusing.run_at(linked());
    assert_eq!(refused.result.unwrap_err().kind(), ErrorKind::HardLinked);
    let again = refused.log.iter().rposition(|op| *op == Op::Look).expect("a last look");
    let run = refusing.while_others(When::At(again), replace).run_at(linked());
    assert_eq!(run.result.unwrap_err().kind(), ErrorKind::HardLinked);
    assert_eq!(run.place.contents().as_deref(), Some(THEIRS));
}

/// In a directory like /tmp, a file with a hard link may be another user's trap, so that a save
/// keeps nothing of its owner, mode and xattrs. So it was with a file that had its second name from
/// a save that was killed.
#[test]
fn the_backup_that_a_killed_process_has_made_is_no_trap() {
    let place = in_everybodys_directory();
    let path = place.path();
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let kept = |path: &Path| {
        let found = fs_err::metadata(path).unwrap();
        (found.mode(), found.uid(), found.gid())
    };
    let before = kept(&path);
    fs_err::hard_link(&path, path.with_file_name("target~")).unwrap();
    let commit = suffix().write(&path, NEW).unwrap();
    assert_eq!((commit.not_preserved().len(), kept(&path)), (0, before), "{commit:?}");

    // A name more, and it may be one.
    fs_err::remove_file(path.with_file_name("target~")).unwrap();
    fs_err::hard_link(&path, path.with_file_name("target~")).unwrap();
    fs_err::hard_link(&path, path.with_file_name("theirs")).unwrap();
    assert_ne!(suffix().write(&path, OLD).unwrap().not_preserved().len(), 0);
}

/// Whoever plants a trap may give it the name of the backup too, at the right moment.
#[test]
fn a_trap_is_one_whenever_it_gets_the_name_of_the_backup() {
    let planted = || linked(in_everybodys_directory(), "theirs");
    let plant = |path: &Path| fs_err::hard_link(path, path.with_file_name("target~")).unwrap();
    let clean = attempt(FRESH, backup).run_at(planted());
    let temp = clean.after(Op::CreateTemp, Op::CreateTemp);
    for at in 0..=temp {
        let run = attempt(FRESH, backup).while_others(When::At(at), plant).run_at(planted());
        let name = format!("before {:?}", clean.log[at]);
        assert_ne!(run.result.unwrap().not_preserved().len(), 0, "{name}");
    }
}

/// On Unix as well, the backup of a file that nobody may write to was a copy.
#[test]
fn the_backup_of_a_read_only_file_is_that_file() {
    for kept in [FRESH, OVER] {
        let place = Place::new(Before::File).with_earlier(Some(kept));
        let path = place.path();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
        let number = fs_err::metadata(&path).unwrap().ino();
        let commit = suffix().read_only(ReadOnly::Replace).write(&path, NEW).unwrap();
        assert_eq!(fs_err::metadata(commit.backup().unwrap()).unwrap().ino(), number, "{kept:?}");
    }
}

/// Which of the names of the old file are ours is asked for when its metadata is read.
#[test]
fn that_nobody_can_tell_which_names_are_ours_is_a_failure_of_its_own_step() {
    let linked = || linked(Place::new(Before::File), "target~");
    let clean = attempt(FRESH, backup).run_at(linked()).log;
    let listed = clean.iter().position(|op| *op == Op::ListXattrs).expect("they are read");
    let asked = clean[..listed].iter().rposition(|op| *op == Op::Look).expect("it is asked");
    // The second of the two names.
    assert_eq!(clean[asked - 1], Op::Look, "{clean:?}");
    let run = attempt(FRESH, backup).failing(asked - 1, io_error()).run_at(linked());
    check_told(&run.result.unwrap_err(), Step::Metadata);
    assert_eq!(run.place.contents().as_deref(), Some(OLD));
}

/// Somebody who knows of no lock has put a file at the name of the backup right after it was made.
/// When the sync of the backup or the publish failed, that was removed; and when nothing did, the
/// receipt gave it as the backup, and the old file was gone.
#[test]
fn what_others_put_at_the_name_of_a_fresh_backup_is_not_taken_for_it() {
    let clean = attempt(FRESH, backup).run();
    let linked = clean.after(Op::Link, Op::Link);
    let sync = clean.after(Op::Link, Op::SyncFile);
    for at in linked + 1..=sync {
        let name = format!("before {:?}", clean.log[at]);
        let failing = attempt(FRESH, backup).while_others(When::At(at), replace_backup);
        let failed = failing.failing(sync, io_error()).run();
        if let Err(error) = &failed.result {
            assert_eq!(failed.place.contents().as_deref(), Some(OLD), "{name}");
            assert_eq!(failed.place.backup(FRESH).as_deref(), Some(THEIRS), "{name}: {error:?}");
        }
        assert_eq!(others(&failed.place), Vec::<PathBuf>::new(), "{name}");
    }
    let look = clean.after(Op::Link, Op::Look);
    let replaced = attempt(FRESH, backup).while_others(When::At(look), replace_backup);
    let published = replaced.run();
    published.check_only(FRESH, NEW, Some(OLD), "theirs is an earlier one");
    let publish = published.publish();
    published.result.unwrap();
    let failed = replaced.failing(publish, io_error()).run();
    failed.check_only(FRESH, OLD, Some(THEIRS), "put back");
    check_told(&failed.result.unwrap_err(), Step::Publish);
}

/// Others write into the old file once it is linked, and replace the target: it is the backup
/// still.
#[test]
fn what_was_linked_is_the_backup_whatever_is_written_into_it() {
    let write = |path: &Path| {
        fs_err::write(path, "written in place").unwrap();
        replace(path);
    };
    let linked = attempt(FRESH, backup).run().after(Op::Link, Op::Link);
    let run = attempt(FRESH, backup).while_others(When::At(linked + 1), write).run();
    run.check_only(FRESH, NEW, Some(b"written in place"), "linked");
    run.result.unwrap();
}

/// The earlier backup was gone when it was to be exchanged, so that the new one got its name
/// without that; the publish failed, and the new one stayed.
#[test]
fn a_backup_in_the_place_of_one_that_has_gone_is_undone() {
    let remove = |path: &Path| fs_err::remove_file(path.with_file_name("target~")).unwrap();
    let exchange = attempt(OVER, backup).run().after(Op::Link, Op::Exchange);
    let gone = attempt(OVER, backup).while_others(When::At(exchange), remove);
    let publish = gone.run().publish();
    let run = gone.failing(publish, io_error()).run();
    run.check_only(OVER, OLD, None, "undone");
    check_told(&run.result.unwrap_err(), Step::Publish);
}

/// On a network file system, what is reported as failed may have been done: then the earlier backup
/// is back, and nothing of the new one is left.
#[test]
fn an_earlier_backup_is_put_back_if_it_was_whatever_is_reported() {
    let remove = |path: &Path| fs_err::remove_file(path.with_file_name("target~")).unwrap();
    for (is_removed, op) in [(false, Op::Exchange), (true, Op::RenameNoReplace)] {
        // The publish fails, and so do the renames after it.
        let mut failing = attempt(OVER, backup).lacking(&[Op::Rename]);
        let publish = failing.run().after(Op::Rename, Op::Rename);
        if is_removed {
            failing = failing.while_others(When::At(publish), remove);
        }
        let back = failing.run().after(Op::Rename, op);
        let done = Fault::DoneThenError(Errno::IO.raw_os_error());
        let run = failing.failing(back, done).run();
        run.check_only(OVER, OLD, OVER.before(), &format!("{op:?}"));
        let error = run.result.unwrap_err();
        check_told(&error, Step::Publish);
        assert_eq!(error.leftover(), None, "{op:?}: {error:?}");
    }
}

/// A process was killed when the backup was made and the target not yet replaced. The next save
/// failed, and the earlier backup was gone although nothing had been replaced.
#[test]
fn a_save_that_fails_after_a_killed_one_keeps_the_earlier_backup() {
    let clean = attempt(OVER, backup).run();
    let publish = clean.publish();
    let kill = || attempt(OVER, backup).failing(publish, Fault::Die).run().place;
    let again = attempt(OVER, backup).run_at(kill());
    assert_eq!(again.place.contents().as_deref(), Some(NEW));
    assert_eq!(again.place.backup(OVER).as_deref(), Some(OLD));
    let publish = again.publish();
    let run = attempt(OVER, backup).failing(publish, io_error()).run_at(kill());
    check_told(&run.result.unwrap_err(), Step::Publish);
    assert_eq!(run.place.contents().as_deref(), Some(OLD));
    let others = others(&run.place);
    let contents = Vec::from_iter(others.iter().map(|path| fs_err::read(path).unwrap()));
    assert!(contents.iter().any(|it| it == EARLIER), "{others:?}");
}

/// Nobody could lock for a moment, so that the earlier backup had the name of a temp file, and a
/// sweep took it for one. The publish failed, the new backup stayed, and the error did not say so.
#[test]
fn an_earlier_backup_that_a_sweep_has_taken_is_not_said_to_be_put_back() {
    let lock = attempt(OVER, backup).run().after(Op::OpenSideFile, Op::Lock);
    let unlocked = attempt(OVER, backup).failing(lock, Fault::Error(Errno::NOLCK.raw_os_error()));
    let publish = unlocked.run().publish();
    let sweep = |path: &Path| {
        let sweep = crate::sweep(path.parent().unwrap()).unwrap();
        assert_eq!(sweep.removed().len(), 1, "{sweep:?}");
        fs_err::remove_file(path).unwrap();
        fs_err::create_dir(path).unwrap();
    };
    let run = unlocked.while_others(When::At(publish), sweep).run();
    let error = run.result.unwrap_err();
    check_told(&error, Step::Publish);
    assert_eq!(run.place.backup(OVER).as_deref(), Some(OLD));
    assert_eq!(error.leftover(), Some(&*OVER.path(&run.place)), "{error:?}");
}
