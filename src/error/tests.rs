//! What an error says, and what it becomes for `std::io`.

use super::*;

#[track_caller]
fn check(error: Error, sentence: &str, kind: io::ErrorKind) {
    assert_eq!(error.to_string(), sentence);
    let io_error = io::Error::from(error);
    assert_eq!(io_error.kind(), kind);
    assert_eq!(io_error.to_string(), sentence);
}

#[test]
fn a_sentence_names_operation_path_reason_and_aftermath() {
    let path = Path::new("/etc/app.toml");
    check(
        Error::refused(ErrorKind::HardLinked, Step::Resolve, path),
        "failed to resolve `/etc/app.toml`: it has other hard links",
        io::ErrorKind::Other,
    );
    check(
        Error::failed(Step::Write, path, io::ErrorKind::QuotaExceeded.into()),
        "failed to write the new contents of `/etc/app.toml`",
        io::ErrorKind::QuotaExceeded,
    );
    check(
        Error::failed(Step::SyncDirectory, path, io::ErrorKind::TimedOut.into())
            .with_state(TargetState::Replaced)
            .with_leftover(Some("/etc/.t".into())),
        "failed to sync the directory of `/etc/app.toml`; the new contents are in place, \
         their durability is not proven; the temp file `/etc/.t` stayed behind",
        io::ErrorKind::TimedOut,
    );
    check(
        Error::failed(Step::RemoveTemp, path, io::ErrorKind::ReadOnlyFilesystem.into())
            .with_leftover(Some("/etc/.t".into()))
            .with_leftover(Some("/etc/.t".into()))
            .with_leftover(Some("/etc/.u".into())),
        "failed to remove the temp file of `/etc/app.toml`; \
         the temp files `/etc/.u`, `/etc/.t` stayed behind",
        io::ErrorKind::ReadOnlyFilesystem,
    );
    check(
        Error::failed(Step::Publish, path, io::ErrorKind::ResourceBusy.into())
            .with_state(TargetState::Displaced)
            .with_leftover(Some("/etc/.t.old".into())),
        "failed to publish `/etc/app.toml`; it has lost its name; \
         the old contents are in `/etc/.t.old`",
        io::ErrorKind::ResourceBusy,
    );
    // The new ones, unless the target was touched.
    let conflict = |state| {
        Error::refused(ErrorKind::Conflict, Step::Publish, path)
            .with_state(state)
            .with_leftover(Some("/etc/.t".into()))
            .to_string()
    };
    assert!(conflict(TargetState::Untouched).ends_with("the temp file `/etc/.t` stayed behind"));
    assert!(conflict(TargetState::Unknown).ends_with("the old contents are in `/etc/.t`"));
    assert!(conflict(TargetState::Replaced).ends_with("the old contents are in `/etc/.t`"));
}

/// All kinds, each with what it becomes where no system call has failed.
const KINDS: &[(ErrorKind, io::ErrorKind)] = &[
    (ErrorKind::InvalidPath, io::ErrorKind::InvalidInput),
    (ErrorKind::InvalidOption, io::ErrorKind::InvalidInput),
    (ErrorKind::IsADirectory, io::ErrorKind::IsADirectory),
    (ErrorKind::NotADirectory, io::ErrorKind::NotADirectory),
    (ErrorKind::NotFound, io::ErrorKind::NotFound),
    (ErrorKind::AlreadyExists, io::ErrorKind::AlreadyExists),
    (ErrorKind::PermissionDenied, io::ErrorKind::PermissionDenied),
    (ErrorKind::ReadOnly, io::ErrorKind::PermissionDenied),
    (ErrorKind::ReadOnlyFilesystem, io::ErrorKind::ReadOnlyFilesystem),
    (ErrorKind::Symlink, io::ErrorKind::Other),
    (ErrorKind::SymlinkLoop, io::ErrorKind::Other),
    (ErrorKind::SpecialFile, io::ErrorKind::Unsupported),
    (ErrorKind::HardLinked, io::ErrorKind::Other),
    (ErrorKind::MountPoint, io::ErrorKind::ResourceBusy),
    (ErrorKind::StorageFull, io::ErrorKind::StorageFull),
    (ErrorKind::NotPreserved, io::ErrorKind::Unsupported),
    (ErrorKind::DurabilityUnavailable, io::ErrorKind::Unsupported),
    (ErrorKind::Locked, io::ErrorKind::ResourceBusy),
    (ErrorKind::Conflict, io::ErrorKind::Other),
    (ErrorKind::Deadlock, io::ErrorKind::Deadlock),
    (ErrorKind::Duplicate, io::ErrorKind::AlreadyExists),
    (ErrorKind::RecoveryNeeded, io::ErrorKind::AlreadyExists),
    (ErrorKind::InvalidJournal, io::ErrorKind::InvalidData),
    (ErrorKind::Unrecoverable, io::ErrorKind::Other),
    (ErrorKind::Cancelled, io::ErrorKind::Other),
    (ErrorKind::StagingReplaced, io::ErrorKind::Other),
    (ErrorKind::Poisoned, io::ErrorKind::Other),
    (ErrorKind::Closure, io::ErrorKind::Other),
    (ErrorKind::Unsupported, io::ErrorKind::Unsupported),
    (ErrorKind::Io, io::ErrorKind::Other),
];

const STEPS: &[Step] = &[
    Step::Resolve,
    Step::CreateParents,
    Step::Lock,
    Step::CreateTemp,
    Step::Reserve,
    Step::Write,
    Step::Read,
    Step::Metadata,
    Step::SyncFile,
    Step::Publish,
    Step::SyncDirectory,
    Step::RemoveTemp,
    Step::Sweep,
    Step::Save,
    Step::RemoveJournal,
    Step::Recover,
];

/// Each has words of its own, which complete a sentence.
#[track_caller]
fn check_words(all: &[String]) {
    for words in all {
        assert_eq!(all.iter().filter(|it| *it == words).count(), 1, "{words}");
        assert!(words.starts_with(|first: char| first.is_ascii_lowercase()), "{words}");
        assert!(words.ends_with(|last: char| last.is_ascii_alphabetic()), "{words}");
    }
}

#[test]
fn each_kind_and_each_step_has_its_own_words() {
    let path = Path::new("/target");
    let refused = |kind| Error::refused(kind, Step::Publish, path).to_string();
    let reason = |kind| {
        let sentence = refused(kind);
        sentence.strip_prefix("failed to publish `/target`: ").expect("a reason").to_owned()
    };
    check_words(&Vec::from_iter(KINDS.iter().map(|(kind, _)| reason(*kind))));
    check_words(&Vec::from_iter(STEPS.iter().map(Step::to_string)));
    for (kind, io_kind) in KINDS {
        check(Error::refused(*kind, Step::Publish, path), &refused(*kind), *io_kind);
    }
}

/// What a system error is, is said by a kind that has the same name.
#[test]
fn a_kind_that_std_has_too_is_the_same() {
    let is_same =
        |kind: &ErrorKind, io_kind: io::ErrorKind| format!("{kind:?}") == format!("{io_kind:?}");
    let mut count = 0;
    for (kind, io_kind) in KINDS.iter().filter(|(kind, io_kind)| is_same(kind, *io_kind)) {
        let error = Error::failed(Step::Publish, Path::new("/target"), (*io_kind).into());
        let expected = if *kind == ErrorKind::Deadlock { ErrorKind::Io } else { *kind };
        assert_eq!(error.kind(), expected);
        count += 1;
    }
    assert_eq!(count, 9);
}

#[test]
fn a_backup_that_stays_is_no_temp_file_and_what_is_in_its_place_is_named() {
    let path = Path::new("/target");
    let failed = || Error::failed(Step::Backup, path, io::ErrorKind::PermissionDenied.into());
    let replaced =
        failed().with_state(TargetState::Replaced).with_backup(Some("/target.~1~".into()));
    let sentence = replaced.to_string();
    let after = "; the new contents and the backup are in place";
    assert!(sentence.contains(after) && sentence.contains("`/target.~1~`"), "{sentence}");
    assert!(!sentence.contains("temp file"), "{sentence}");
    let backup = Path::new("/backup");
    for (kind, what) in [
        (io::ErrorKind::IsADirectory, "is a directory"),
        (io::ErrorKind::Other, "is a FIFO, a device or a socket"),
    ] {
        let cause = no_place_for_backup(backup, kind);
        assert_eq!(cause.kind(), kind);
        assert_eq!(cause.to_string(), format!("`/backup`, where the backup is to be, {what}"));
    }
}

/// Whoever is told that nothing can be recovered must learn of each file why.
#[test]
fn each_obstacle_has_its_own_words() {
    let reasons = [
        Obstacle::Moved,
        Obstacle::Replaced,
        Obstacle::Gone,
        Obstacle::Changed,
        Obstacle::Directory,
        Obstacle::Displaced,
        Obstacle::Exists,
        Obstacle::Alike,
        Obstacle::Missing,
    ]
    .map(|it| {
        let sentence = obstacle(Path::new("/target"), it, 0).to_string();
        let of_three = obstacle(Path::new("/target"), it, 2).to_string();
        assert_eq!(of_three, format!("{sentence}; and 2 more of its files are not as they were"));
        sentence.strip_prefix("`/target`: ").expect("a reason").to_owned()
    });
    check_words(&reasons);
}
