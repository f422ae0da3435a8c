//! Hard links, read-only targets, missing parents, and the name of the temp file.

use std::ffi::{OsStr, OsString};
use std::io::Write;

use fs_err as fs;
use wholefile::{
    AtomicWriter, Backup, Builder, Durability, ErrorKind, HardLinks, InUse, Lock, Metadata,
    Preserve, Publish, ReadOnly, SpecialFiles, Staging, Step, Symlinks, SyncPlan, TargetState,
    Tracking,
};

use crate::dir::Dir;
use crate::place::{Feature, lacks};
#[cfg(unix)]
use crate::system::chmod;

#[test]
fn each_setter_gives_the_builder_that_it_has_changed() {
    let setters: [fn(&mut Builder) -> &mut Builder; 20] = [
        |it| it.durability(Durability::None),
        |it| it.require_durability(true),
        |it| it.sync_plan(SyncPlan::Fewest),
        |it| it.publish(Publish::CreateNew),
        |it| it.symlinks(Symlinks::Refuse),
        |it| it.special_files(SpecialFiles::WriteThrough),
        |it| it.hard_links(HardLinks::Refuse),
        |it| it.read_only(ReadOnly::Replace),
        |it| it.in_use(InUse::TwoSteps),
        |it| it.preserve(Metadata::Times, Preserve::Try),
        |it| it.create_parents(true),
        |it| it.lock(Lock::Try),
        |it| it.tracking(Tracking::Metadata),
        |it| it.staging(Staging::Unnamed),
        |it| it.staging_prefix("prefix"),
        |it| it.staging_suffix("suffix"),
        |it| it.buffer_size(1),
        |it| it.reserve(1),
        |it| it.skip_unchanged(true),
        |it| it.backup(Backup::Suffix("~".into())),
    ];
    for (number, set) in setters.into_iter().enumerate() {
        let mut builder = AtomicWriter::builder();
        let before = format!("{builder:?}");
        let own: *const Builder = &builder;
        assert!(std::ptr::eq(set(&mut builder), own), "setter {number}");
        assert_ne!(format!("{builder:?}"), before, "setter {number}");
    }
}

#[test]
fn other_hard_links_keep_the_old_contents_or_make_it_refuse() {
    if lacks(&[Feature::HardLinks, Feature::LinkCounts]) {
        return;
    }
    let dir = Dir::new();
    dir.write("target", "old");
    fs::hard_link(dir.path("target"), dir.path("other")).unwrap();
    let mut builder = AtomicWriter::builder();
    let error = builder.hard_links(HardLinks::Refuse).open(dir.path("target")).unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::HardLinked, Step::Resolve));
    assert_eq!(dir.read("target"), "old");

    AtomicWriter::builder().write(dir.path("target"), "new").unwrap();
    assert_eq!((dir.read("target"), dir.read("other")), ("new".into(), "old".into()));
    // Neither of them has another name now.
    builder.write(dir.path("target"), "newer").unwrap();
    builder.write(dir.path("other"), "newer").unwrap();
    dir.assert_only(&["other", "target"]);
}

#[test]
fn a_hard_link_made_after_open_is_seen_at_commit() {
    if lacks(&[Feature::FreshLinkCounts]) {
        return;
    }
    let dir = Dir::new();
    dir.write("target", "old");
    let mut builder = AtomicWriter::builder();
    let writer = builder.hard_links(HardLinks::Refuse).open(dir.path("target")).unwrap();
    fs::hard_link(dir.path("target"), dir.path("other")).unwrap();
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HardLinked);
    assert_eq!(error.target_state(), TargetState::Untouched);
    assert_eq!(dir.read("target"), "old");
    dir.assert_only(&["other", "target"]);
}

#[cfg(unix)]
#[test]
fn a_read_only_target_is_refused_or_replaced_and_stays_read_only() {
    if lacks(&[Feature::Modes]) {
        return;
    }
    for mode in [0o444, 0o400, 0o555, 0o000] {
        let dir = Dir::new();
        let target = dir.write("target", "old");
        chmod(&target, mode);
        let error = AtomicWriter::builder().open(&target).unwrap_err();
        assert_eq!((error.kind(), error.step()), (ErrorKind::ReadOnly, Step::Resolve));
        assert_eq!(error.target_state(), TargetState::Untouched);

        let mut builder = AtomicWriter::builder();
        for len in [3, 100_000] {
            builder.read_only(ReadOnly::Replace).write(&target, vec![b'n'; len]).unwrap();
            assert_eq!(fs::metadata(&target).unwrap().len(), len as u64);
            assert_eq!(dir.mode("target"), mode);
        }
        dir.assert_only(&["target"]);
    }
}

#[test]
fn missing_parents_are_created() {
    for (made, path) in [("", "a/target"), ("", "a/b/c/target"), ("a", "a/b/c/target")] {
        let dir = Dir::new();
        dir.make(made);
        let error = AtomicWriter::builder().open(dir.path(path)).map(drop);
        if made.is_empty() {
            assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
        }
        let mut builder = AtomicWriter::builder();
        let commit = builder.create_parents(true).write(dir.path(path), "new").unwrap();
        assert_eq!(commit.durability(), Durability::Full);
        assert_eq!(dir.read(path), "new");
        builder.write(dir.path(path), "newer").unwrap();
        assert_eq!(dir.read(path), "newer");
        let depth = path.split('/').count();
        assert_eq!(dir.names().len(), depth);
    }
}

#[test]
fn created_parents_are_removed_with_the_rollback() {
    let ends: [fn(AtomicWriter); 2] = [drop, |writer| writer.rollback().unwrap()];
    // The hidden name of a temp file would keep the directories from being removed.
    let lens = &[10, 100_000][..if lacks(&[Feature::OneStep]) { 1 } else { 2 }];
    for (end, len) in ends.into_iter().flat_map(|end| lens.iter().map(move |len| (end, *len))) {
        let dir = Dir::new();
        dir.make("a");
        let mut builder = AtomicWriter::builder();
        let mut writer = builder.create_parents(true).open(dir.path("a/b/c/d/target")).unwrap();
        writer.write_all(&vec![1; len]).unwrap();
        assert!(dir.path("a/b/c/d").is_dir());
        end(writer);
        dir.assert_only(&["a"]);
    }
}

#[test]
fn created_parents_that_somebody_else_uses_stay() {
    let dir = Dir::new();
    let mut builder = AtomicWriter::builder();
    let writer = builder.create_parents(true).open(dir.path("a/b/c/target")).unwrap();
    dir.write("a/b/theirs", "theirs");
    drop(writer);
    dir.assert_only(&["a", "a/b", "a/b/theirs"]);
}

#[test]
fn a_parent_that_is_no_directory_is_an_error_and_nothing_is_made() {
    let dir = Dir::new();
    dir.write("file", "old");
    for create_parents in [false, true] {
        let mut builder = AtomicWriter::builder();
        builder.create_parents(create_parents);
        for path in ["file/target", "file/a/target"] {
            let error = builder.open(dir.path(path)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotADirectory);
            assert_eq!(error.target_state(), TargetState::Untouched);
        }
    }
    let mut builder = AtomicWriter::builder();
    let too_long = format!("a/b/{}/target", "n".repeat(256));
    builder.create_parents(true).open(dir.path(too_long)).unwrap_err();
    dir.assert_only(&["file"]);
}

/// A name of its own for the temp file, or an error before anything is made.
#[track_caller]
fn check_name(prefix: Option<&OsStr>, suffix: Option<&OsStr>, expected: Result<(), ErrorKind>) {
    let dir = Dir::new();
    let mut builder = AtomicWriter::builder();
    prefix.into_iter().for_each(|prefix| drop(builder.staging_prefix(prefix).clone()));
    suffix.into_iter().for_each(|suffix| drop(builder.staging_suffix(suffix).clone()));
    match builder.open(dir.path("target")) {
        Err(error) => {
            assert_eq!(Err(error.kind()), expected);
            assert_eq!(
                (error.step(), error.target_state()),
                (Step::Resolve, TargetState::Untouched)
            );
        }
        Ok(mut writer) => {
            assert_eq!(Ok(()), expected);
            let staging = writer.staging_path().unwrap();
            let name = staging.file_name().unwrap().as_encoded_bytes();
            let (prefix, suffix) =
                (prefix.unwrap_or(".wholefile-".as_ref()), suffix.unwrap_or(".tmp".as_ref()));
            assert!(name.starts_with(prefix.as_encoded_bytes()), "{staging:?}");
            assert!(name.ends_with(suffix.as_encoded_bytes()), "{staging:?}");
            assert_eq!(name.len(), prefix.len() + 12 + suffix.len());
            writer.commit().unwrap();
            dir.assert_only(&["target"]);
            return;
        }
    }
    dir.assert_only(&[]);
}

#[test]
fn the_temp_files_name_can_be_chosen_within_what_a_name_can_be() {
    let long = |len| OsString::from("n".repeat(len));
    let some = |text: &'static str| Some(OsStr::new(text));
    check_name(None, None, Ok(()));
    check_name(some(".app-"), None, Ok(()));
    check_name(None, some(".part"), Ok(()));
    check_name(some(""), some(""), Ok(()));
    check_name(some("größe "), some("~"), Ok(()));
    check_name(Some(&long(239)), None, Ok(()));
    check_name(Some(&long(240)), None, Err(ErrorKind::InvalidOption));
    check_name(Some(&long(100)), Some(&long(143)), Ok(()));
    check_name(Some(&long(100)), Some(&long(144)), Err(ErrorKind::InvalidOption));
    for bad in ["a/b", "/", "../", "nul\0", "\0"] {
        check_name(some(bad), None, Err(ErrorKind::InvalidOption));
        check_name(None, some(bad), Err(ErrorKind::InvalidOption));
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_is_open_is_replaced_in_one_step_whatever_is_asked_for() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    for in_use in [InUse::Fail, InUse::TwoSteps] {
        let mut open = fs::File::open(&target).unwrap();
        let old = dir.read("target");
        let new = format!("{in_use:?}");
        AtomicWriter::builder().in_use(in_use).write(&target, &new).unwrap();
        assert_eq!((std::io::read_to_string(&mut open).unwrap(), dir.read("target")), (old, new));
        drop(open);
        dir.assert_only(&["target"]);
    }
}
