//! Single faults, and what they once led to.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::cases::{Before, CASES, Case, NEW, OLD};
use super::place::{Place, not_to_be_had_here};
use super::run;
use crate::fault::{Fault, Interruption, Op, Plan, When, with_plan};
use crate::{
    AtomicBatch, AtomicDir, AtomicWriter, Builder, ErrorKind, HardLinks, Metadata, Preserve, Step,
    Swap, SyncPlan, TargetState, sys,
};

#[test]
fn the_fewest_syncs_are_made_where_they_are_known_to_be_enough() {
    for (name, plan, syncs) in [
        ("replace with the fewest syncs", SyncPlan::Fewest, &[Op::WriteOut, Op::SyncDirectory][..]),
        (
            "replace with the fewest syncs, the first time",
            SyncPlan::Portable,
            &[Op::SyncFile, Op::SyncDirectory],
        ),
        (
            "replace with the fewest syncs where that is no use",
            SyncPlan::Portable,
            &[Op::SyncFile, Op::SyncDirectory],
        ),
        ("replace with the fewest syncs, ordered", SyncPlan::Fewest, &[Op::WriteOut]),
    ] {
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        let (_, result, log) = run(case, None);
        assert_eq!(result.unwrap().sync_plan(), plan, "{name}");
        let is_sync = |op: &&Op| [Op::SyncFile, Op::WriteOut, Op::SyncDirectory].contains(op);
        assert_eq!(
            log.log.iter().filter(is_sync).collect::<Vec<_>>(),
            syncs.iter().collect::<Vec<_>>()
        );
    }
}

#[test]
fn an_update_reads_the_old_contents_once_whatever_else_is_compared() {
    let read_by = |builder: &mut Builder| {
        let place = Place::new(Before::File);
        let update = || builder.update(place.path(), |_| Ok(OLD.to_ascii_uppercase()));
        let (result, plan) = with_plan(Plan::default(), update);
        result.unwrap();
        plan.log.iter().filter(|op| **op == Op::OpenTarget).count()
    };
    let once = read_by(&mut AtomicWriter::builder());
    assert_eq!(read_by(AtomicWriter::builder().skip_unchanged(true)), once);
}

/// A user who could open the temp file, as everybody can for a target that everybody may read,
/// could lock it before its writer did. The writer then took another name and left the file to
/// whoever had the lock, believing that to be the sweeper: a neighbour who kept at it filled the
/// directory with files that belonged to the writer, up to 65,536 in one save.
#[test]
fn a_temp_file_that_somebody_else_locked_does_not_stay() {
    let case = CASES.iter().find(|case| case.name == "replace").unwrap();
    let (_, _, plan) = run(case, None);
    let lock = plan.log.iter().position(|op| *op == Op::Lock).unwrap();
    let would_block = sys::errors_of(Op::Lock)
        .into_iter()
        .find(|code| io::Error::from_raw_os_error(*code).kind() == io::ErrorKind::WouldBlock)
        .unwrap();
    let (place, result, plan) = run(case, Some((lock, Fault::Error(would_block))));
    assert_eq!(plan.log.iter().filter(|op| **op == Op::CreateTemp).count(), 2);
    let commit = result.as_ref().unwrap();
    assert!(commit.not_preserved().is_empty(), "{commit:?}");
    assert_eq!(place.contents().as_deref(), Some(NEW), "{result:?}");
    assert_eq!(place.others(), Vec::<PathBuf>::new());
}

/// Whoever locked the first one had opened it. The next one is closed to them until its metadata is
/// set, or they could go on and on.
#[test]
fn the_temp_file_after_one_that_somebody_locked_is_its_owners_alone() {
    let place = Place::new(Before::File);
    let save = || AtomicWriter::builder().write(place.path(), NEW);
    let (_, clean) = with_plan(Plan::default(), save);
    let lock = clean.log.iter().position(|op| *op == Op::Lock).unwrap();
    let is_private = |target: &Path| {
        let folder = fs_err::read_dir(target.parent().unwrap()).unwrap();
        let others = folder.map(|it| it.unwrap().path()).filter(|path| path != target);
        let modes = others.map(|path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777);
        assert_eq!(Vec::from_iter(modes), [0o600]);
    };
    let when = When::BeforeEach(Op::Write);
    let interruptions = vec![Interruption { when, action: is_private, path: place.path() }];
    let at = Some((lock, Fault::Error(Errno::AGAIN.raw_os_error())));
    with_plan(Plan { at, interruptions, ..Plan::default() }, save).0.unwrap();
}

#[test]
fn a_rollback_of_what_is_gone_already_has_nothing_to_do() {
    let place = Place::new(Before::File);
    let mut writer = AtomicWriter::builder().open(place.path()).unwrap();
    fs_err::remove_file(writer.staging_path().unwrap()).unwrap();
    writer.rollback().unwrap();
    assert_eq!(place.others(), Vec::<PathBuf>::new());
}

/// With `create_parents`, a directory that another program made at the same moment counted as
/// created by this save, and a rollback removed it while it was still empty: the other program's
/// next step in it failed.
#[test]
fn a_rollback_leaves_the_directories_that_somebody_else_made() {
    let case = CASES.iter().find(|case| case.name == "create with parents").unwrap();
    let (_, _, plan) = run(case, None);
    let made: Vec<usize> =
        (0..plan.log.len()).filter(|index| plan.log[*index] == Op::MakeDirectory).collect();
    assert_eq!(made.len(), 2, "a, a/b");
    let exists = sys::errors_of(Op::MakeDirectory)
        .into_iter()
        .find(|code| io::Error::from_raw_os_error(*code).kind() == io::ErrorKind::AlreadyExists)
        .unwrap();
    let fault = Fault::DoneThenError(exists); // as if somebody else had done it
    let doomed = Case {
        save: |path| {
            let writer = crate::AtomicWriter::builder().create_parents(true).open(path)?;
            Err(writer.abandon(ErrorKind::Closure, Step::Write, io::ErrorKind::Other.into()))
        },
        ..*case
    };
    for (at, left) in [(made[0], &["a"][..]), (made[1], &["a", "a/b"])] {
        let (place, result, _) = run(&doomed, Some((at, fault)));
        result.unwrap_err();
        for directory in ["a", "a/b"] {
            let is_there = place.folder().join(directory).is_dir();
            assert_eq!(is_there, left.contains(&directory), "{directory} after {at}");
        }
    }
    let (place, result, _) = run(&doomed, None);
    result.unwrap_err();
    assert!(!place.folder().join("a").exists(), "its own directories go");
}

/// A neighbour who guessed the name of a temp file, and planted something there, would have the
/// contents written through it.
#[test]
fn a_temp_file_is_never_made_of_what_is_there() {
    let place = Place::new(Before::File);
    let folder = place.folder();
    let directory = sys::open_directory(None, folder).unwrap();
    rustix::fs::symlink("target", folder.join("link")).unwrap();
    rustix::fs::symlink("nothing", folder.join("dangling")).unwrap();
    fs_err::hard_link(folder.join("target"), folder.join("hard link")).unwrap();
    fs_err::create_dir(folder.join("directory")).unwrap();
    for name in ["target", "link", "dangling", "hard link", "directory"] {
        let creation = sys::Creation { mode: Some(0o600), owner_of: None, access_of: None };
        let error = sys::create_temp(&directory, OsStr::new(name), creation).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{name}");
    }
    assert_eq!(place.contents().as_deref(), place.old());
    assert!(!folder.join("nothing").exists());
}

/// An error and a receipt had room for one path. When the disk became read-only in the middle of a
/// batch in two directories, or of the switch of a link, one of the staging directories that stayed
/// was named, and whoever removed that believed that nothing else was left.
#[test]
fn all_that_stays_behind_is_named() {
    let root = tempfile::tempdir().unwrap();
    let lacking = [Op::RemoveDirectory, Op::MoveDirectory].map(|op| (op, sys::lacking_error(op)));
    let plan = || Plan { lacking: lacking.into(), ..Plan::default() };
    let stays = || {
        let entries = fs_err::read_dir(root.path())
            .unwrap()
            .chain(fs_err::read_dir(root.path().join("a")).unwrap());
        let paths = entries.map(|entry| entry.unwrap().path());
        let is_staging = |path: &PathBuf| path.to_string_lossy().contains(".wholefile-");
        let mut paths: Vec<PathBuf> = paths.filter(is_staging).collect();
        paths.sort();
        paths
    };
    fs_err::create_dir(root.path().join("a")).unwrap();
    let batch = AtomicBatch::new();
    for path in ["one", "a/two"] {
        batch.write(root.path().join(path), "contents").unwrap();
    }
    let (error, _) = with_plan(plan(), || batch.rollback().unwrap_err());
    let mut named: Vec<PathBuf> = error.leftovers().map(PathBuf::from).collect();
    named.sort();
    assert_eq!((named.len(), &named), (2, &stays()), "{error}");
    crate::Sweeper::new().recursive(true).run(root.path()).unwrap();

    let open = || AtomicDir::builder().swap(Swap::Link).open(root.path().join("site")).unwrap();
    open().commit().unwrap();
    let (commit, _) = with_plan(plan(), || open().commit().unwrap());
    let mut named: Vec<PathBuf> = commit.leftovers().map(PathBuf::from).collect();
    named.sort();
    let published = fs_err::read_link(root.path().join("site")).unwrap();
    let others = Vec::from_iter(stays().into_iter().filter(|path| !path.ends_with(&published)));
    assert_eq!((named.len(), named), (2, others), "{commit:?}");
}

/// A system may write nothing and report no error. A caller of `write` was told of 0 bytes, and the
/// commit after it published a file without them.
#[test]
fn a_write_of_nothing_has_failed() {
    let write = |at| {
        let place = Place::new(Before::File);
        with_plan(Plan { at, ..Plan::default() }, || {
            let mut writer = AtomicWriter::builder().buffer_size(4).open(place.path()).unwrap();
            let written = writer.write(NEW).map_err(|error| error.kind());
            (written, writer.commit())
        })
    };
    let ((written, committed), clean) = write(None);
    assert_eq!((written, committed.is_ok()), (Ok(NEW.len()), true));
    let first = clean.log.iter().position(|op| *op == Op::Write).unwrap();
    let ((written, committed), _) = write(Some((first, Fault::Nothing)));
    assert_eq!(written, Err(io::ErrorKind::WriteZero));
    assert_eq!(committed.unwrap_err().kind(), ErrorKind::Poisoned);
}

/// A network file system says when a file is closed that there was no room for what was written to
/// it. Without durability nothing else asks for it, and nobody listened: the save succeeded, and
/// the file was short.
#[test]
fn what_was_not_whole_when_it_was_closed_is_told() {
    for name in [
        "create without durability",
        "replace without durability",
        "write through without durability",
    ] {
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        let (_, result, plan) = run(case, None);
        result.unwrap();
        let closes: Vec<_> =
            (0..plan.log.len()).filter(|index| plan.log[*index] == Op::Close).collect();
        let [close] = closes[..] else { panic!("{name}: {:?}", plan.log) };
        let full = rustix::io::Errno::DQUOT.raw_os_error();
        let (_, result, _) = run(case, Some((close, Fault::DoneThenError(full))));
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::StorageFull, Step::Write), "{name}");
        assert_eq!(error.target_state(), TargetState::Replaced, "{name}");
        assert!(error.to_string().ends_with("in place, and may be incomplete"), "{error}");
        // The descriptor is gone by then, and may be another thread's: it is not closed again.
        let interrupted = rustix::io::Errno::INTR.raw_os_error();
        let (_, result, plan) = run(case, Some((close, Fault::DoneThenError(interrupted))));
        result.unwrap();
        assert_eq!(plan.log.iter().filter(|op| **op == Op::Close).count(), 1, "{name}");
    }
}

/// If nobody can tell whether a file had an ACL, whose mask the group's bits would be, its
/// successor gives its group no more than others have. The successor of a planted file may do no
/// more than that did, which may have shut somebody out: it gives nobody anything. Where a file
/// system has no ACLs there was none.
#[test]
fn an_acl_of_which_nothing_is_known_gives_the_group_no_more_than_others() {
    const STRANGER: u32 = 65534;
    let myself = rustix::process::geteuid().as_raw();
    for (owner, errno, mode) in [
        (myself, Errno::OPNOTSUPP, 0o664),
        (myself, Errno::ACCESS, 0o644),
        (STRANGER, Errno::OPNOTSUPP, 0o644),
        (STRANGER, Errno::ACCESS, 0o600),
    ] {
        if owner == STRANGER && myself != 0 {
            eprintln!("SKIPPED: only root can plant a file");
            continue;
        }
        let place = Place::new(Before::Nothing);
        let target = place.folder().join("target");
        fs_err::set_permissions(place.folder(), PermissionsExt::from_mode(0o1777)).unwrap();
        fs_err::write(&target, "old").unwrap();
        fs_err::set_permissions(&target, PermissionsExt::from_mode(0o664)).unwrap();
        if owner == STRANGER {
            std::os::unix::fs::chown(&target, Some(owner), Some(owner)).unwrap();
        }
        let lacking = vec![(Op::ListXattrs, errno.raw_os_error())];
        let plan = Plan { lacking, ..Plan::default() };
        let (result, _) = with_plan(plan, || crate::atomic_write(&target, "new"));
        result.unwrap();
        let now = fs_err::metadata(&target).unwrap().permissions().mode();
        assert_eq!(now & 0o7777, mode, "{owner}, {errno}");
    }
}

thread_local! {
    /// How many looks at a temp file there were.
    static LOOKS: Cell<usize> = const { Cell::new(0) };
}

fn look_whether_it_is_the_owners_alone(folder: &Path) {
    for entry in fs_err::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_name().as_encoded_bytes().starts_with(b".wholefile-") {
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "the temp file has mode {mode:o}");
            LOOKS.set(LOOKS.get() + 1);
        }
    }
}

/// Symptom: a secret was saved with `mode(0o600)`, or by a user who could keep neither the owner
/// nor the group, over a file with an ACL, and for a moment the temp file had the mode 640.
/// Mechanism: the old ACL was set with all of its mask, and only the mode that followed took rights
/// from it. Lost: the secret, to whom the old ACL named and the new mode shut out; what was opened
/// in that moment can be read for as long as it is open.
#[test]
fn an_acl_lets_nobody_in_whom_the_mode_will_shut_out() {
    if [Op::SetOwner, Op::SetXattr].iter().any(|op| not_to_be_had_here().contains(op)) {
        return;
    }
    let with_mode: fn() -> Builder = || AtomicWriter::builder().mode(0o600).clone();
    let without_owner: fn() -> Builder =
        || AtomicWriter::builder().preserve(Metadata::Owner, Preserve::Skip).clone();
    for builder in [with_mode, without_owner] {
        let place = Place::new(Before::File);
        let path = place.folder().to_path_buf();
        let interruptions = Op::ALL.iter().map(|op| Interruption {
            when: When::BeforeEach(*op),
            action: look_whether_it_is_the_owners_alone,
            path: path.clone(),
        });
        let plan = Plan { interruptions: interruptions.collect(), ..Plan::default() };
        LOOKS.set(0);
        let (result, plan) = with_plan(plan, || builder().write(place.path(), NEW));
        result.unwrap();
        let sets = plan.log.iter().filter(|op| [Op::SetXattr, Op::SetMode].contains(op)).count();
        assert!(LOOKS.get() > sets && sets > 1, "{:?}", plan.log);
        let end = fs_err::metadata(place.path()).unwrap().permissions().mode();
        assert_eq!(end & 0o7777, 0o600);
    }
}

const NEW_MODE: u32 = 0o600;

fn make_private(path: &Path) {
    fs_err::set_permissions(path, PermissionsExt::from_mode(NEW_MODE)).unwrap();
}

fn make_read_only(path: &Path) {
    fs_err::set_permissions(path, PermissionsExt::from_mode(0o400)).unwrap();
}

/// Right before each write, and so perhaps more than once.
fn give_a_second_name(path: &Path) {
    let _ = fs_err::hard_link(path, path.with_file_name("another name"));
}

/// Whether a save of much by `save` sees what `action` does to the target while it writes.
#[track_caller]
fn check_seen(
    action: fn(&Path),
    refused: Option<ErrorKind>,
    save: impl FnOnce(&Path, &[u8]) -> crate::Result<()>,
) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("target");
    fs_err::write(&path, OLD).unwrap();
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let new = vec![b'n'; 300_000];
    let when = When::BeforeEach(Op::Write);
    let interruptions = vec![Interruption { when, action, path: path.clone() }];
    let plan = Plan { interruptions, ..Plan::default() };
    let (result, plan) = with_plan(plan, || save(&path, &new));
    assert!(plan.log.contains(&Op::Write), "{:?}", plan.log);
    assert_eq!(result.err().map(|error| error.kind()), refused);
    let contents = fs_err::read(&path).unwrap();
    assert!(contents == if refused.is_some() { OLD } else { &new });
    if refused.is_none() {
        let mode = fs_err::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, NEW_MODE);
    }
}

/// Symptom: somebody made a file private while gigabytes were saved over it in one call, and the
/// new file was everybody's to read again; one that had become read-only, or had got a second name,
/// was replaced although the options refuse that. Mechanism: one call that opens and commits did
/// not look at the target a second time, even where writing the contents had taken seconds. Lost:
/// the change of the permissions, and what the policy was to protect.
#[test]
fn what_becomes_of_the_target_while_much_is_written_counts() {
    let builder = AtomicWriter::builder().hard_links(HardLinks::Refuse).clone();
    for (action, refused) in [
        (make_private as fn(&Path), None),
        (make_read_only, Some(ErrorKind::ReadOnly)),
        (give_a_second_name, Some(ErrorKind::HardLinked)),
    ] {
        check_seen(action, refused, |path, new| builder.write(path, new).map(drop));
        check_seen(action, refused, |path, new| {
            let mut batch = AtomicBatch::new();
            batch.options(&builder).write(path, new)?;
            batch.commit().map(drop)
        });
    }
}
