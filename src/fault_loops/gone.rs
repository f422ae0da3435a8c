//! A file that somebody removes while it is open.

use std::io;
use std::path::{Path, PathBuf};

use super::cases::{Before, CASES, NEW};
use super::place::Place;
use super::run;
use crate::Step;
use crate::fault::{Fault, Interruption, Op, Plan, When, with_plan};
use crate::options::Options;
use crate::protocol::publish::{Unpublished, publish};
use crate::protocol::staging::Staged;
use crate::protocol::sync;
use crate::protocol::target::Target;
use crate::protocol::temp::Temp;
use crate::sys::{self, Creation};

/// Two writers of one target on sshfs, and one of them failed with "no such file": the other had
/// removed the file of the lock as its holder does, and fstat(2) and open(2) with O_CREAT did not
/// find it any more, since sftp knows files by their paths. A save or an update was lost. In the
/// same way a writer whose fresh temp file a sweeper had taken failed instead of making another.
#[test]
fn a_file_that_somebody_removes_meanwhile_is_made_anew() {
    #[track_caller]
    fn check(name: &str, at: (Op, Op)) {
        let case = CASES.iter().find(|case| case.name == name).expect("such a case");
        let (_, _, plan) = run(case, None);
        let made = plan.log.iter().position(|op| *op == at.0).expect("it is made");
        let index = made + plan.log[made..].iter().position(|op| *op == at.1).expect("asked for");
        for code in gone() {
            let (place, result, plan) = run(case, Some((index, Fault::Error(code))));
            result.unwrap_or_else(|error| panic!("{name}: {:?}: {error:?}", at.1));
            assert_eq!(plan.log.iter().filter(|op| **op == at.0).count(), 2, "{name}: made anew");
            assert_eq!(place.contents().as_deref(), Some(NEW));
            assert_eq!(place.others(), Vec::<PathBuf>::new());
        }
    }
    check("replace under the lock", (Op::OpenSideFile, Op::OpenSideFile));
    check("replace under the lock", (Op::OpenSideFile, Op::Inspect));
    check("replace streamed", (Op::CreateTemp, Op::Look));
    check("replace streamed", (Op::CreateTemp, Op::Inspect));
}

/// A sweeper that came between the creation of a temp file and its lock made the save fail on
/// bindfs and ntfs-3g: what is removed while it is open gets another name there, so that the count
/// of links did not tell, and the rename found no file.
#[test]
fn a_temp_file_that_got_another_name_is_made_anew() {
    let hide = |place: &Place, temp: PathBuf| {
        fs_err::rename(temp, place.folder().join(".fuse_hidden0000000100000001")).unwrap();
    };
    check_swept(hide, |place| assert_eq!(place.contents().as_deref(), place.old()));
}

/// Two writers of one target beside a sweeper: the sweeper took the temp file of one between its
/// creation and its lock, the other replaced the target, and since that was not what it had been,
/// the first failed with "no such file" and an unknown state of the target. Its save was lost.
#[test]
fn a_temp_file_that_was_swept_is_made_anew_when_others_replace_the_target() {
    let sweep = |place: &Place, temp: PathBuf| {
        fs_err::remove_file(temp).unwrap();
        fs_err::write(place.folder().join("other"), "another writer's").unwrap();
        fs_err::rename(place.folder().join("other"), place.path()).unwrap();
    };
    check_swept(sweep, |place| {
        assert_eq!(place.contents().as_deref(), Some(&b"another writer's"[..]));
    });
}

/// Publishing asks for another temp file after `meanwhile`, which is told the path of the first.
#[track_caller]
fn check_swept(meanwhile: impl Fn(&Place, PathBuf), untouched: impl Fn(&Place)) {
    let place = Place::new(Before::File);
    let options = Options::default();
    let target = Target::resolve(None, &place.path(), &options, None).unwrap();
    let temp = Temp::create(&target, &options, Creation::default()).unwrap();
    let path = place.folder().join(temp.name().unwrap());
    meanwhile(&place, path);
    let sealed = sync::seal(Staged { temp, len: 0 }, &target, &options).unwrap();
    match publish(sealed, target.destination(), &options) {
        Err(Unpublished::Swept(_, error)) => assert_eq!(error.step(), Step::Publish),
        result => panic!("{result:?}"),
    }
    untouched(&place);
}

/// The errors of that meaning.
fn gone() -> Vec<i32> {
    let is_gone = |code: &i32| sys::is_gone(&io::Error::from_raw_os_error(*code));
    let codes: Vec<i32> = sys::errors_of(Op::Inspect).into_iter().filter(is_gone).collect();
    assert_eq!(codes.len(), 2, "ENOENT and ESTALE");
    codes
}

/// A sweep beside living writers on sshfs reported their temp files as errors.
#[test]
fn a_sweep_has_nothing_to_say_about_a_file_that_is_gone() {
    for op in [Op::OpenOrphan, Op::Inspect] {
        for code in gone() {
            let place = Place::new(Before::File);
            fs_err::write(place.folder().join(".wholefile-abcDEF012345.tmp"), "").unwrap();
            let plan = Plan { lacking: vec![(op, code)], ..Plan::default() };
            let (swept, plan) = with_plan(plan, || crate::sweep(place.folder()).unwrap());
            assert!(plan.log.contains(&op));
            assert_eq!((swept.errors().len(), swept.removed().len()), (0, 0), "{swept:?}");
        }
    }
}

/// Whoever staged it published it, gave it up, or another sweep took it, at any moment of a sweep:
/// that is no error, and what has its name by then is nobody's orphan.
#[test]
fn what_goes_while_it_is_swept_is_neither_an_error_nor_removed() {
    const TEMP: &str = ".wholefile-abcDEF012345.tmp";
    let remove = |path: &Path| fs_err::remove_file(path).unwrap();
    let replace = |path: &Path| {
        fs_err::rename(path, path.with_file_name("published")).unwrap();
        fs_err::write(path, "another").unwrap();
    };
    for (deed, stays) in [(remove as fn(&Path), false), (replace, true)] {
        let sweep_while = |when| {
            let place = Place::new(Before::File);
            let path = place.folder().join(TEMP);
            fs_err::write(&path, "staged").unwrap();
            let deed = |when| Interruption { when, action: deed, path: path.clone() };
            let interruptions = Option::map(when, deed).into_iter().collect();
            let plan = Plan { interruptions, ..Plan::default() };
            let (swept, plan) = with_plan(plan, || crate::sweep(place.folder()).unwrap());
            assert!(swept.errors().is_empty(), "{when:?}: {swept:?}");
            (swept, plan.log, path.exists())
        };
        let (swept, log, _) = sweep_while(None);
        assert_eq!(swept.removed().len(), 1);
        let open = log.iter().position(|op| *op == Op::OpenOrphan).expect("it is opened");
        let last = log.iter().rposition(|op| *op == Op::RemoveTemp).expect("it is removed");
        // A file of the same name that comes after the last look cannot be told from it.
        let last_look = log[..last].iter().rposition(|op| *op == Op::Look).expect("a last look");
        let end = if stays { last_look } else { last };
        for (at, op) in log.iter().enumerate().take(end + 1).skip(open + 1) {
            let (swept, _, exists) = sweep_while(Some(When::At(at)));
            let became = (swept.removed().len(), exists);
            assert_eq!(became, (0, stays), "before {op:?}: {swept:?}");
        }
    }
}

/// A sweeper took the fresh temp file for an orphan, had its lock when the writer asked for it, and
/// had removed it when the writer gave it up: that is no reason to fail.
#[test]
fn a_temp_file_that_its_sweeper_has_removed_is_made_anew() {
    let place = Place::new(Before::Nothing);
    let save = || crate::AtomicWriter::builder().write(place.path(), NEW);
    let (result, clean) = with_plan(Plan::default(), save);
    result.unwrap();
    fs_err::remove_file(place.path()).unwrap();
    let lock = clean.log.iter().position(|op| *op == Op::Lock).expect("it is locked");
    let sweep = |target: &Path| {
        let folder = fs_err::read_dir(target.parent().unwrap()).unwrap();
        let removed = folder.map(|entry| fs_err::remove_file(entry.unwrap().path()).unwrap());
        assert_eq!(removed.count(), 1, "the temp file");
    };
    let when = When::At(lock + 1);
    let interruptions = vec![Interruption { when, action: sweep, path: place.path() }];
    let at = Some((lock, Fault::Error(rustix::io::Errno::AGAIN.raw_os_error())));
    let (result, plan) = with_plan(Plan { at, interruptions, ..Plan::default() }, save);
    assert_eq!(plan.log[lock + 1], Op::RemoveTemp);
    result.unwrap();
    assert_eq!((place.contents().as_deref(), place.others()), (Some(NEW), Vec::new()));
}
