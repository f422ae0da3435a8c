//! Links, names that are not UTF-8, and processes that are killed.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Instant;

use fs_err as fs;
use rustix::process::{Signal, getpid, kill_process};
use wholefile::{AtomicBatch, ErrorKind, Recovered, Step, Sweeper, recover};

use super::forged::journal_of as journal_text;
use super::refusals::{check_refused, stage_in};
use super::{
    NAMES, batch, cannot_be_written, check_contents, check_new, died, journal_of, old, quick,
};
use crate::child::{self, Child};
use crate::dir::{Dir, sweep_when_free};
use crate::place::{Feature, lacks};
use crate::system::{chmod, chown, is_root, output};

#[test]
fn no_link_that_appeared_since_is_followed() {
    if lacks(&[Feature::Symlinks]) {
        return;
    }
    // In place of a directory: it leads to one that has everything of the same name.
    let dir = died();
    fs::rename(dir.path("b"), dir.path("real")).unwrap();
    dir.make("planted/c");
    symlink("planted", dir.path("b")).unwrap();
    check_refused(&dir, ErrorKind::Unrecoverable, "not where it was");
    // To the same directory, it is the same directory.
    fs::remove_file(dir.path("b")).unwrap();
    symlink("real", dir.path("b")).unwrap();
    recover(journal_of(&dir)).unwrap();
    check_contents(&dir, NAMES.len());

    // In place of a staging directory, and of what is in it.
    let dir = died();
    let stage = stage_in(&dir, "b/c");
    fs::rename(&stage, dir.path("away")).unwrap();
    symlink(dir.path("away"), &stage).unwrap();
    check_refused(&dir, ErrorKind::Unrecoverable, "not staged any more");
    fs::remove_file(&stage).unwrap();
    fs::rename(dir.path("away"), &stage).unwrap();
    fs::rename(stage.join("0"), dir.path("away")).unwrap();
    symlink(dir.path("away"), stage.join("0")).unwrap();
    check_refused(&dir, ErrorKind::Unrecoverable, "not staged any more");

    // In place of a target: it is not written through, and not even replaced.
    let dir = died();
    let precious = dir.write("precious", "precious");
    fs::remove_file(dir.path(NAMES[2])).unwrap();
    symlink(&precious, dir.path(NAMES[2])).unwrap();
    check_refused(&dir, ErrorKind::Unrecoverable, "replaced or changed");

    // In place of the journal.
    let dir = died();
    fs::rename(journal_of(&dir), dir.path("real")).unwrap();
    symlink(dir.path("real"), journal_of(&dir)).unwrap();
    let error = recover(journal_of(&dir)).unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Symlink, Step::Resolve));
    let error = AtomicBatch::new().journal(journal_of(&dir)).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Symlink);
    check_contents(&dir, 2);
}

#[test]
fn a_name_that_is_not_utf_8_is_refused_before_anything_is_staged() {
    let dir = Dir::new();
    let odd = OsStr::from_bytes(b"\xff");
    if fs::create_dir(dir.path(odd)).is_err() {
        return; // no such names on this file system
    }
    let mut batch = AtomicBatch::new();
    batch.journal(journal_of(&dir)).map(drop).unwrap_err(); // there is no such directory
    batch.journal(dir.path("journal")).unwrap();
    let before = dir.names();
    for path in [dir.path(OsStr::from_bytes(b"file-\xff")), dir.path(odd).join("file")] {
        let error = batch.write(&path, "new").unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::InvalidPath, Step::Resolve));
        assert!(error.io_error().unwrap().to_string().contains("UTF-8"), "{error}");
        let error = AtomicBatch::new().journal(&path).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPath);
    }
    assert_eq!(dir.names(), before);
    batch.write(dir.path("file"), "new").unwrap();
    batch.commit().unwrap();
}

#[test]
fn where_the_journal_is_does_not_change_with_the_current_directory() {
    const TEST: &str =
        "journal::unix::where_the_journal_is_does_not_change_with_the_current_directory";
    let Some(child::Given { dir, .. }) = child::given() else {
        if !cannot_be_written() {
            Child::of(TEST).run(&old(), "");
        }
        return;
    };
    std::env::set_current_dir(dir.root()).unwrap();
    let mut batch = AtomicBatch::new();
    batch.options(&quick()).journal("state/journal").unwrap();
    for name in NAMES {
        batch.write(name, format!("new {name}")).unwrap();
    }
    std::env::set_current_dir("/").unwrap();
    super::die_after(batch, 2);
    assert!(journal_of(&dir).exists());
    recover(journal_of(&dir)).unwrap();
    check_new(&dir);
}

const FILES: usize = 20;

fn file(dir: &Dir, index: usize) -> std::path::PathBuf {
    dir.path(format!("{}/{index}", index % 3))
}

/// A batch that brings all files to that generation.
fn generation(dir: &Dir, number: usize) -> AtomicBatch {
    let mut batch = AtomicBatch::new();
    batch.options(quick().create_parents(true)).journal(dir.path("journal")).unwrap();
    for index in 0..FILES {
        batch.write(file(dir, index), format!("{number}")).unwrap();
    }
    batch
}

/// Recovers, and gives the generation that all files have.
#[track_caller]
fn recovered_generation(dir: &Dir) -> usize {
    let mut sweeper = Sweeper::new();
    sweeper.recursive(true);
    sweep_when_free(&sweeper, dir.root());
    recover(dir.path("journal")).unwrap();
    let contents: Vec<_> =
        (0..FILES).map(|index| fs::read_to_string(file(dir, index)).unwrap()).collect();
    assert!(contents.iter().all(|it| *it == contents[0]), "a mix: {contents:?}");
    sweep_when_free(&sweeper, dir.root());
    assert_eq!(dir.names().len(), 3 + FILES, "{:?}", dir.names());
    contents[0].parse().unwrap()
}

#[test]
fn a_commit_that_is_killed_at_any_step_is_completed_or_was_never_begun() {
    const TEST: &str =
        "journal::unix::a_commit_that_is_killed_at_any_step_is_completed_or_was_never_begun";
    if let Some(child::Given { dir, case }) = child::given() {
        let mut steps_left: usize = case.parse().unwrap();
        let committed = generation(&dir, 2).commit_with(|_| {
            if steps_left == 0 {
                kill_process(getpid(), Signal::KILL).unwrap();
            }
            steps_left -= 1;
            ControlFlow::Continue(())
        });
        return drop(committed.unwrap());
    }
    if cannot_be_written() {
        return;
    }
    let (mut old, mut new) = (0, 0);
    // One before it is published, and one for each file.
    for step in 0..=FILES + 1 {
        let dir = Dir::new();
        generation(&dir, 1).commit().unwrap();
        let output = output(&mut Child::of(TEST).command(&dir, &step.to_string())).unwrap();
        match recovered_generation(&dir) {
            1 => old += 1,
            _ => new += 1,
        }
        assert_eq!(output.status.success(), step == FILES + 1, "{step}");
    }
    assert_eq!((old, new), (1, FILES + 1));
}

#[test]
fn commits_and_recoveries_that_are_killed_at_any_moment_leave_no_mix() {
    const TEST: &str =
        "journal::unix::commits_and_recoveries_that_are_killed_at_any_moment_leave_no_mix";
    if let Some(child::Given { dir, .. }) = child::given() {
        child::say_here();
        recover(dir.path("journal")).unwrap();
        let first: usize = fs::read_to_string(file(&dir, 0)).unwrap().parse().unwrap();
        for number in first + 1..first + 100_000 {
            generation(&dir, number).commit().unwrap();
        }
        panic!("nobody has killed it");
    }
    // Where a number is that of a name (sshfs), a file that is looked for anew can have another.
    if cannot_be_written() || lacks(&[Feature::LinkNumbers]) {
        return;
    }
    let dir = Dir::new();
    let started = Instant::now();
    generation(&dir, 1).commit().unwrap();
    let mut took = started.elapsed();
    // Some file systems take a thousand times as long as others.
    let rounds = (20.0 / took.as_secs_f64()).clamp(10.0, 60.0) as u32;
    let (mut last, mut journals) = (1, 0);
    for round in 0..8 * rounds {
        if round > 0 && round % rounds == 0 {
            if last > 1 && journals > 0 {
                break;
            }
            took *= 2; // whatever else the machine does now, it did not before
        }
        let child = Child::of(TEST).run_until_it_is_here(&dir, "");
        // Spread over the time in which it recovers and commits: as long as that takes here, now.
        std::thread::sleep(took * (round * 7_919 % 2_000) / 1_000);
        drop(child);
        journals += usize::from(dir.path("journal").exists());
        // Every other time the next child finds what is left.
        if round % 2 == 1 {
            let now = recovered_generation(&dir);
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
    }
    eprintln!(
        "{rounds} killed after up to {:?}, {journals} with a journal, {last} generations",
        took * 2
    );
    assert!(last > 1 && journals > 0, "{last} generations, {journals} journals");
}

/// A journal says what is to be published where: who could plant one in a directory of everybody's
/// would have root publish it.
#[test]
fn a_journal_that_another_user_planted_is_not_believed() {
    const TEST: &str = "journal::unix::a_journal_that_another_user_planted_is_not_believed";
    if lacks(&[Feature::Owners, Feature::Modes]) || !is_root(TEST) {
        return;
    }
    let dir = died();
    chmod(dir.path("state"), 0o1777);
    chown(journal_of(&dir), 12345, 12345);
    let error = recover(journal_of(&dir)).unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::PermissionDenied, Step::Recover));
    assert!(journal_of(&dir).exists());
    chown(journal_of(&dir), 0, 0);
    recover(journal_of(&dir)).unwrap();
    check_contents(&dir, NAMES.len());
}

/// A journal names files and folders that only their owner may know of. One that can only be read,
/// as a backup may leave it, is recovered like any other.
#[test]
fn a_journal_is_private_and_need_not_be_writable() {
    if cannot_be_written() || lacks(&[Feature::Modes]) {
        return;
    }
    let dir = died();
    assert_eq!(dir.mode("state/journal"), 0o600);
    chmod(journal_of(&dir), 0o400);
    recover(journal_of(&dir)).unwrap();
    check_new(&dir);
}

/// A file that is to be published, and was never staged.
const FORGED: &str = concat!(
    r#"{"folder":0,"name":"forged","staged":"0","how":"replace","#,
    r#""new":{"id":1,"len":2,"modified":[3,4]},"old":null}"#
);

/// A journal that names `folder` and, as what was staged in it, the directory `stage` there, with
/// the numbers that anybody can learn by stat(2), and those files.
fn forge(dir: &Dir, folder: &str, stage: &str, files: &str) {
    let number = |path| fs::metadata(path).unwrap().ino();
    let path = fs::canonicalize(dir.path(folder)).unwrap();
    let (id, stage_id) = (number(path.clone()), number(path.join(stage)));
    let folder = format!(
        r#"{{"path":{:?},"id":{id},"stage":{stage:?},"stage_id":{stage_id}}}"#,
        path.to_str().unwrap()
    );
    let body = format!(r#"{{"folders":[{folder}],"files":[{files}]}}"#);
    fs::write(journal_of(dir), journal_text(1, body.as_bytes())).unwrap();
}

/// A recovery removed any directory, with all that was in it, that the journal called a staging
/// directory: it looked at nothing but its number. Whoever could write to the directory of a
/// journal of root's could have root remove whatever they liked.
#[test]
fn a_directory_that_is_not_marked_for_the_journal_is_not_removed() {
    let not_ours = "not the staging directory of this journal";
    let dir = old();
    dir.make("home/Documents/letters");
    dir.write("home/Documents/letters/1", "precious");
    forge(&dir, "home", "Documents", FORGED);
    check_refused(&dir, ErrorKind::Unrecoverable, not_ours);
    // Nor one whose mark is none.
    dir.make("home/Documents/journal");
    forge(&dir, "home", "Documents", FORGED);
    check_refused(&dir, ErrorKind::Unrecoverable, not_ours);
    fs::remove_dir(dir.path("home/Documents/journal")).unwrap();
    // One that has nothing to publish removes nothing either.
    forge(&dir, "home", "Documents", "");
    assert_eq!(recover(journal_of(&dir)).unwrap().files().len(), 0);
    assert_eq!(dir.read("home/Documents/letters/1"), "precious");
    forge(&dir, "home", "Documents", FORGED);
    for mark in ["", "journal", "{}\n"] {
        dir.write("home/Documents/journal", mark);
        check_refused(&dir, ErrorKind::Unrecoverable, not_ours);
    }
    // An empty one may have been ours, but does not look like it.
    dir.make("home/empty");
    forge(&dir, "home", "empty", "");
    assert_eq!(recover(journal_of(&dir)).unwrap().files().len(), 0);
    assert!(dir.path("home/empty").exists() && !journal_of(&dir).exists());
    if cannot_be_written() {
        return;
    }
    // One that another journal needs, whose name or whose directory is another.
    for needed_by in ["state/other", "a/journal"] {
        let dir = old();
        let mut batch = AtomicBatch::new();
        batch.options(&quick()).journal(dir.path(needed_by)).unwrap();
        for name in ["b/file", "b/more"] {
            batch.write(dir.path(name), "new").unwrap();
        }
        super::die_after(batch, 1);
        let stage = stage_in(&dir, "b");
        forge(&dir, "b", stage.file_name().unwrap().to_str().unwrap(), FORGED);
        check_refused(&dir, ErrorKind::Unrecoverable, not_ours);
        recover(dir.path(needed_by)).unwrap();
        assert_eq!(dir.read("b/more"), "new");
    }
}

/// The mark is the last to go: who died between that and the end of its directory has left an empty
/// one, and that must not be in the way of the next recovery.
#[test]
fn a_staging_directory_that_was_all_but_removed_is_no_obstacle() {
    if cannot_be_written() {
        return;
    }
    for prefix in [None, Some("mine-")] {
        let dir = old();
        let mut builder = quick();
        prefix.map(|prefix| builder.staging_prefix(prefix));
        super::die_after(batch(&dir, &builder), NAMES.len());
        let stage = match prefix {
            None => stage_in(&dir, "b/c"),
            Some(prefix) => {
                let is_stage = |name: &String| name.contains(prefix) && name.ends_with("/journal");
                let mark = dir.names().into_iter().find(|it| it.contains("b/c/") && is_stage(it));
                dir.path(mark.unwrap()).parent().unwrap().to_path_buf()
            }
        };
        fs::remove_file(stage.join("journal")).unwrap();
        recover(journal_of(&dir)).unwrap();
        // It does not show that it is ours where only a sweeper knows how those are named.
        assert_eq!(stage.exists(), prefix.is_some());
        if let Some(prefix) = prefix {
            Sweeper::new().staging_prefix(prefix).run(dir.path("b/c")).unwrap();
        }
        check_new(&dir);
    }
}

/// Where a file that is removed while it is open only gets another name (NFS, libfuse), a staging
/// directory may not be empty although its mark is gone. It was taken for one of somebody else's
/// then, and the journal could never be recovered, although all files were new.
#[test]
fn a_staging_directory_that_cannot_be_emptied_is_no_obstacle_once_all_are_published() {
    if cannot_be_written() {
        return;
    }
    let dir = old();
    super::die_after(batch(&dir, &quick()), NAMES.len());
    let stage = stage_in(&dir, "b/c");
    fs::remove_file(stage.join("journal")).unwrap();
    fs::write(stage.join(".nfs000000000000000100000001"), "open").unwrap();
    let recovery = recover(journal_of(&dir)).unwrap();
    assert!(recovery.files().all(|(_, how)| how == Recovered::Before));
    let swept = sweep_when_free(&Sweeper::new(), &dir.path("b/c"));
    assert_eq!(swept.removed(), [stage]);
    check_new(&dir);
}
