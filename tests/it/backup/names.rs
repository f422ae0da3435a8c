//! What cannot be the name of a backup.

use std::path::PathBuf;

use wholefile::{Backup, Builder, ErrorKind, Step, TargetState};

use super::{check, suffix, with};
use crate::dir::Dir;

#[track_caller]
fn check_refused(builder: &Builder, dir: &Dir, kind: ErrorKind) {
    let before = dir.names();
    let error = builder.open(dir.path("target")).unwrap_err();
    assert_eq!((error.kind(), error.step()), (kind, Step::Resolve), "{builder:?}: {error}");
    assert_eq!(error.target_state(), TargetState::Untouched);
    assert_eq!(error.leftover(), None);
    assert_eq!(dir.names(), before, "{builder:?}");
}

#[test]
fn what_cannot_be_its_name_is_refused_before_anything_is_made() {
    let dir = Dir::new();
    dir.write("target", "old");
    dir.make("directory");
    dir.make("target.d");
    let path = |name: &str| Backup::Path(dir.path(name));
    for (backup, kind) in [
        (suffix(""), ErrorKind::InvalidOption),
        (suffix("/x"), ErrorKind::InvalidOption),
        (suffix("\0"), ErrorKind::InvalidOption),
        (Backup::Numbered { keep: 0 }, ErrorKind::InvalidOption),
        (path("target"), ErrorKind::InvalidOption),
        (path("TARGET"), ErrorKind::InvalidOption), // where case does not matter it is the target
        (path("directory/../target"), ErrorKind::InvalidOption),
        (path(".wholefile-abcdefghijkl.tmp"), ErrorKind::InvalidOption),
        (path(".wholefile-0123456789abcdef.lock"), ErrorKind::InvalidOption),
        (path(".wholefile-0123456789abcdef.swap"), ErrorKind::InvalidOption),
        (path("missing/backup"), ErrorKind::NotFound),
        (path("directory/"), ErrorKind::InvalidPath),
        (path(".."), ErrorKind::InvalidPath),
        (Backup::Path(PathBuf::new()), ErrorKind::InvalidPath),
        (path("directory"), ErrorKind::IsADirectory),
        (suffix(".d"), ErrorKind::IsADirectory),
    ] {
        check_refused(&with(backup.clone()), &dir, kind);
        check_refused(with(backup).create_parents(true), &dir, kind);
    }
    // By the pattern that these options make.
    let mut builder = with(suffix("abcdefghijkl.new"));
    check_refused(
        builder.staging_prefix("target").staging_suffix(".new"),
        &dir,
        ErrorKind::InvalidOption,
    );
    dir.assert_only(&["directory", "target", "target.d"]);
}

/// A backup that a sweep would take for the temp file of a process that has died is none.
#[test]
fn numbers_by_which_the_backup_would_pass_for_a_temp_file_are_passed_over() {
    let (all_nines, next) = ("target.~999999999990~", "target.~1000000000000~");
    let dir = Dir::new();
    let target = dir.write("target", "old");
    dir.write(all_nines, "an earlier one");
    let mut builder = with(Backup::Numbered { keep: 2 });
    builder.staging_prefix("target.~").staging_suffix("~");
    let commit = builder.write(&target, "new").unwrap();
    check(&commit, &dir, Some((next, "old")));
    dir.assert_only(&["target", next, all_nines]);

    // No number that is near can be had.
    let dir = Dir::new();
    let (target, highest) = (dir.write("target", "old"), "target.~99999999999~");
    dir.write(highest, "an earlier one");
    let error = builder.write(&target, "new").unwrap_err();
    assert_eq!((error.step(), error.target_state()), (Step::Backup, TargetState::Untouched));
    dir.assert_only(&["target", highest]);
}
