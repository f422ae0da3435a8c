//! What somebody else does at the worst moment.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use super::batches::portable;
use super::cases::{Before, NEW, OLD};
use super::place::{Place, replace};
use crate::fault::{Fault, Interruption, Op, Plan, When, with_plan};
use crate::{
    AtomicBatch, AtomicWriter, ErrorKind, Lock, Outcome, Publish, Result, SpecialFiles, Step,
    TargetState, Version,
};

/// `rm settings; mkdir settings` between the last look at a target that must exist and its publish:
/// the exchange took the directory, with all that had been put into it, to where a batch, or the
/// next sweep, removes what is staged. With a journal the commit even returned `Ok`.
#[test]
fn a_directory_that_took_the_name_of_the_target_is_put_back() {
    check("a file", |path| existing().write(path, NEW).map(drop));
    check("a batch", |path| batch(path, None));
    check("a batch with a journal", |path| batch(path, Some("journal")));
}

fn existing() -> crate::Builder {
    portable().publish(Publish::Existing).clone()
}

fn batch(path: &Path, journal: Option<&str>) -> Result<()> {
    let mut batch = AtomicBatch::new();
    batch.options(&existing());
    if let Some(journal) = journal {
        batch.journal(path.with_file_name(journal))?;
    }
    batch.write(path, NEW)?;
    batch.commit().map(drop)
}

#[track_caller]
fn check(name: &str, save: fn(&Path) -> Result<()>) {
    let deed = |path: &Path| {
        fs_err::remove_file(path).unwrap();
        fs_err::create_dir(path).unwrap();
        fs_err::write(path.join("theirs"), "theirs").unwrap();
    };
    let (place, result) = run_while(Op::Exchange, deed, save);
    let error = result.unwrap_err();
    let became = (error.kind(), error.target_state());
    assert_eq!(became, (ErrorKind::IsADirectory, TargetState::Untouched), "{name}: {error:?}");
    let theirs = fs_err::read(place.path().join("theirs")).unwrap();
    assert_eq!(theirs, b"theirs", "{name}");
    let sweep = super::place::sweep_when_free(place.folder());
    assert!(sweep.errors().is_empty(), "{name}: {sweep:?}");
    assert!(place.path().join("theirs").exists(), "{name}");
}

/// Runs `save` while somebody else does `deed` right before an operation, if one is given.
fn run<T: Send>(
    save: impl Fn(&Path) -> Result<T> + Sync,
    deed: fn(&Path),
    before: Option<usize>,
) -> (Place, Result<T>, Plan) {
    let place = Place::new(Before::File);
    let path: PathBuf = place.path();
    let interruption =
        |index| Interruption { when: When::At(index), action: deed, path: path.clone() };
    let interruptions = before.map(interruption).into_iter().collect();
    let plan = Plan { interruptions, ..Plan::default() };
    // What is known of the file systems is known by thread.
    let (result, plan) =
        thread::scope(|scope| scope.spawn(|| with_plan(plan, || save(&path))).join().unwrap());
    (place, result, plan)
}

/// `-o /dev/stdout` into a log: what another program appended between the look for the end of the
/// log and the write was written over.
#[test]
fn what_others_append_to_a_redirected_file_stays() {
    let place = Place::new(Before::File);
    let append = |path: &Path| {
        let log = fs_err::OpenOptions::new().append(true).open(path);
        log.unwrap().write_all(b"theirs").unwrap();
    };
    let log = fs_err::OpenOptions::new().append(true).open(place.path()).unwrap();
    let when = When::BeforeEach(Op::WriteThrough);
    let interruptions = vec![Interruption { when, action: append, path: place.path() }];
    let descriptor = format!("/proc/self/fd/{}", log.file().as_raw_fd());
    let through = portable().special_files(SpecialFiles::WriteThrough).clone();
    let plan = Plan { interruptions, ..Plan::default() };
    let (result, _) = with_plan(plan, || through.write(descriptor, NEW));
    result.unwrap();
    assert_eq!(place.contents().unwrap(), [OLD, b"theirs", NEW].concat());
}

/// Runs `save` while somebody else does `deed` right before its first operation of a kind.
fn run_while<T: Send>(
    op: Op,
    deed: fn(&Path),
    save: impl Fn(&Path) -> Result<T> + Sync,
) -> (Place, Result<T>) {
    let (_, clean, plan) = run(&save, deed, None);
    assert!(clean.is_ok());
    let index = plan.log.iter().position(|it| *it == op).expect("it does that");
    let (place, result, _) = run(save, deed, Some(index));
    (place, result)
}

/// A lock that could not be asked for leaves no file behind, unless it is another's by then:
/// without it, whoever waits for that lock would meet nobody.
#[test]
fn the_file_of_somebody_elses_lock_stays() {
    let theirs = |path: &Path| {
        let folder = fs_err::read_dir(path.parent().unwrap()).unwrap();
        let mut paths = folder.map(|entry| entry.unwrap().path());
        let lock = paths.find(|path| path.extension().is_some_and(|it| it == "lock"));
        let lock = lock.expect("the file of a lock");
        fs_err::remove_file(&lock).unwrap();
        fs_err::write(&lock, "").unwrap();
    };
    let save = |plan, place: &Place| {
        let path = place.path();
        with_plan(plan, || AtomicWriter::builder().lock(Lock::Wait).write(path, NEW))
    };
    let clean = save(Plan::default(), &Place::new(Before::File)).1.log;
    let lock = clean.iter().position(|op| *op == Op::Lock).expect("it is locked");
    let at = Some((lock, Fault::Error(rustix::io::Errno::IO.raw_os_error())));
    let place = Place::new(Before::File);
    let (result, plan) = save(Plan { at, ..Plan::default() }, &place);
    assert_eq!(result.unwrap_err().step(), Step::Lock);
    assert_eq!(place.others(), Vec::<PathBuf>::new());
    let look = lock + plan.log[lock..].iter().position(|op| *op == Op::Look).expect("a look");

    let place = Place::new(Before::File);
    let (when, path) = (When::At(look), place.path());
    let interruptions = vec![Interruption { when, action: theirs, path }];
    let (result, _) = save(Plan { at, interruptions, ..Plan::default() }, &place);
    assert_eq!(result.unwrap_err().step(), Step::Lock);
    assert_eq!(place.others().len(), 1);
}

/// Somebody who knows nothing of locks replaced the target between the look at it and its opening:
/// the answer was "not found", of a file that never ceased to be there. A program that writes its
/// defaults where there is no file would have written them over what was saved.
#[test]
fn what_is_replaced_before_it_is_open_is_looked_at_again() {
    let update = |path: &Path| {
        portable().update(path, |old| Ok([old.unwrap_or_default(), NEW.to_vec()].concat()))
    };
    let (place, result) = run_while(Op::OpenTarget, replace, update);
    result.unwrap();
    assert_eq!(place.contents().unwrap(), [b"theirs", NEW].concat());

    let see = |path: &Path| Version::with_contents_of(path);
    let (_place, result) = run_while(Op::OpenTarget, replace, see);
    assert!(result.unwrap().is_current().unwrap());

    // What is removed is not there, and that is no error.
    let (place, result) =
        run_while(Op::OpenTarget, |path| fs_err::remove_file(path).unwrap(), update);
    result.unwrap();
    assert_eq!(place.contents().as_deref(), Some(NEW));
}

/// btrfs changes the mode before it has the ACL that the mode belongs to, so that its mask would
/// count as the rights of the group for a moment: the first ACL that the temp file gets lets nobody
/// in.
#[test]
fn an_acl_is_there_for_the_owner_alone_before_it_is_there_for_others() {
    if super::place::not_to_be_had_here().contains(&Op::SetXattr) {
        return;
    }
    let place = Place::new(Before::File);
    let save = || portable().write(place.path(), NEW);
    let (result, plan) = with_plan(Plan::default(), save);
    assert!(result.unwrap().not_preserved().is_empty());
    let set = plan.log.iter().filter(|op| **op == Op::SetXattr).count();
    let file = fs_err::File::open(place.path()).unwrap().into_parts().0;
    let kept = crate::sys::list_xattrs(&file).unwrap();
    assert_eq!(set, kept.len() + 1, "each of {kept:?}, and the closed ACL");
}

/// An update that changes nothing opens the file once more if it is to say how durable that is.
/// Replaced by then, it is not the one that was compared.
#[test]
fn what_is_replaced_before_it_is_synced_is_not_said_to_be_unchanged() {
    let update = |path: &Path| {
        portable().require_durability(true).update(path, |old| Ok(old.unwrap_or_default()))
    };
    let (_, result, clean) = run(update, replace, None);
    assert_eq!(result.unwrap().outcome(), Outcome::Unchanged);
    let last = clean.log.iter().rposition(|op| *op == Op::OpenTarget).expect("it is opened");
    let (_, result, _) = run(update, replace, Some(last));
    assert_eq!(result.unwrap().outcome(), Outcome::Replaced);
    // That it cannot be opened says nothing of that.
    let place = Place::new(Before::File);
    let code = rustix::io::Errno::IO.raw_os_error();
    let plan = Plan { at: Some((last, Fault::Error(code))), ..Plan::default() };
    let error = with_plan(plan, || update(&place.path())).0.unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Io, Step::Read), "{error:?}");
}

/// Who expected no file finds one that came at the last moment. That is a conflict, as an earlier
/// one is, by whatever way a file system creates files that must not be there.
#[test]
fn a_file_that_comes_where_none_was_expected_is_a_conflict() {
    let create = |path: &Path| fs_err::write(path, "theirs").unwrap();
    let neither = &[Op::RenameNoReplace, Op::Link];
    for lacking in [&[][..], &[Op::RenameNoReplace], neither] {
        let place = Place::new(Before::Nothing);
        let path = place.path();
        let version = Version::of(&path).unwrap();
        let save = |interruptions| {
            let lacking = lacking.iter().map(|op| (*op, crate::sys::lacking_error(*op))).collect();
            let plan = Plan { lacking, interruptions, ..Plan::default() };
            let save = || portable().expect(&version).write(&path, NEW);
            thread::scope(|scope| scope.spawn(|| with_plan(plan, save)).join().unwrap())
        };
        let (clean, log) = save(Vec::new());
        assert_eq!(clean.unwrap().outcome(), Outcome::Created, "{lacking:?}");
        fs_err::remove_file(&path).unwrap();
        let index = log.log.iter().rposition(|op| *op == Op::RenameNoReplace).unwrap();
        let when = When::At(index);
        let (result, _) = save(vec![Interruption { when, action: create, path: path.clone() }]);
        let error = result.unwrap_err();
        let became = (error.kind(), error.target_state());
        assert_eq!(became, (ErrorKind::Conflict, TargetState::Untouched), "{lacking:?}: {error:?}");
        assert_eq!(place.contents().as_deref(), Some(&b"theirs"[..]), "{lacking:?}");
        assert_eq!(place.others(), Vec::<PathBuf>::new(), "{lacking:?}");
    }
    // Where only the lock is left, and that is missing too, nothing can be promised.
    let place = Place::new(Before::Nothing);
    let version = Version::of(place.path()).unwrap();
    let lacking = [Op::RenameNoReplace, Op::Link, Op::Lock];
    let lacking = lacking.map(|op| (op, crate::sys::lacking_error(op))).into();
    let save = || portable().expect(&version).write(place.path(), NEW);
    let (result, _) = with_plan(Plan { lacking, ..Plan::default() }, save);
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Unsupported, Step::Lock));
    assert_eq!((place.contents(), place.others()), (None, Vec::new()));
}

/// While an update waited for its lock, the target became a link to another file, which that update
/// did not follow: it took the link for an empty file, and what it made of that replaced the link.
#[test]
fn a_link_that_takes_the_name_is_not_taken_for_an_empty_file() {
    let deed = |path: &Path| {
        let other = path.with_file_name("other");
        fs_err::rename(path, &other).unwrap();
        std::os::unix::fs::symlink(&other, path).unwrap();
    };
    let update = |path: &Path| portable().update(path, |old| Ok(old.unwrap_or_default()));
    let (place, result) = run_while(Op::Lock, deed, update);
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Symlink, Step::Read));
    assert_eq!(place.contents().as_deref(), Some(OLD));
}

/// Two programs saved the same file at a time on macOS: one of them failed with "not found", since
/// the file whose owner and mode it was about to keep had been replaced since it was looked at, and
/// is opened by its name there.
#[test]
fn the_metadata_is_that_of_whoever_bears_the_name_by_now() {
    let place = Place::new(Before::File);
    let path = place.path();
    let save = |plan| with_plan(plan, || portable().write(&path, NEW));
    let (_, clean) = save(Plan::default());
    let index = clean.log.iter().position(|it| *it == Op::ListXattrs).expect("it asks for them");
    let gone = Fault::Error(rustix::io::Errno::NOENT.raw_os_error());
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let (result, plan) = save(Plan { at: Some((index, gone)), ..Plan::default() });
    result.unwrap();
    assert_eq!(plan.log[index + 1], Op::Look);
    let mode = || fs_err::metadata(&path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(), 0o640);

    // If nobody bears it any more, there is nothing to keep.
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o1600)).unwrap();
    let remove = |path: &Path| fs_err::remove_file(path).unwrap();
    let removed = Interruption { when: When::At(index + 1), action: remove, path: path.clone() };
    let at = Some((index, gone));
    save(Plan { at, interruptions: vec![removed], ..Plan::default() }).0.unwrap();
    assert_eq!(place.contents().as_deref(), Some(NEW));
    assert_eq!(mode() & 0o1000, 0);
}

/// Whoever asks what became of the target when the rename failed finds files that are neither the
/// old nor the new one under both names: then nobody knows what happened.
#[test]
fn nothing_is_claimed_of_names_that_others_have_taken() {
    let place = Place::new(Before::File);
    let path = place.path();
    let save = |plan| with_plan(plan, || portable().write(&path, NEW));
    let (_, clean) = save(Plan::default());
    let rename = clean.log.iter().position(|it| *it == Op::Rename).expect("it renames");
    let take_both = |path: &Path| {
        let folder = fs_err::read_dir(path.parent().unwrap()).unwrap();
        let names: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(names.len(), 2, "target and temp file: {names:?}");
        names.iter().for_each(|name| replace(name));
    };
    let interruption =
        Interruption { when: When::At(rename), action: take_both, path: path.clone() };
    let at = Some((rename, Fault::Error(rustix::io::Errno::IO.raw_os_error())));
    let plan = Plan { at, interruptions: vec![interruption], ..Plan::default() };
    let error = save(plan).0.unwrap_err();
    assert_eq!((error.step(), error.target_state()), (Step::Publish, TargetState::Unknown));
    assert_eq!(place.contents().as_deref(), Some(&b"theirs"[..]));
}
