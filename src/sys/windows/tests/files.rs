//! What the published file has of the old one, and files that are in use.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_INVALID_OWNER};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_HIDDEN, FILE_ATTRIBUTE_SYSTEM, FILE_ATTRIBUTE_TEMPORARY,
    FILE_FLAG_BACKUP_SEMANTICS, FILE_LIST_DIRECTORY, FILE_SHARE_READ, READ_CONTROL, WRITE_DAC,
};

use super::super::rename::open_with;
use super::super::security::Security;
use super::super::{look, open_directory, security_of, set_access_of};
use super::names_in;
use crate::fault::{Op, Plan, with_plan};
use crate::sys::Creation;
use crate::{
    AtomicWriter, Commit, Durability, ErrorKind, InUse, Metadata, Outcome, Preserve, Result,
    TargetState, atomic_write,
};

fn security(path: &Path) -> Security {
    let directory = open_directory(None, path.parent().expect("a parent")).expect("a directory");
    let name = path.file_name().expect("a name");
    let existing = look(&directory, name).expect("a file");
    security_of(&existing, &directory, name).expect("readable").expect("Windows has it")
}

/// Makes a file that lets in fewer than a new one does.
fn write_private(path: &Path, contents: &str) -> Security {
    fs::write(path, contents).expect("written");
    let private = security(path).without_the_last_entry();
    let file = open_with(path, READ_CONTROL | WRITE_DAC).expect("opened");
    set_access_of(&file, &private).expect("set");
    security(path)
}

#[test]
fn the_new_file_has_the_access_list_of_the_old_one_from_the_beginning() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let (path, other) = (dir.path().join("config"), dir.path().join("other"));
    let private = write_private(&path, "old");
    fs::write(&other, "")?;
    assert!(!security(&other).has_access_of(&private)?, "a new file is open to more");

    let mut writer = AtomicWriter::builder().open(&path)?;
    let staged = security(&writer.staging_path()?);
    assert!(staged.has_access_of(&private)?, "{staged:?}");
    let commit = writer.commit()?;
    assert!(commit.not_preserved().is_empty(), "{:?}", commit.not_preserved());
    let published = security(&path);
    assert!(published.has_access_of(&private)? && published.has_owner_of(&private)?);

    let mut builder = AtomicWriter::builder();
    builder.preserve(Metadata::Xattrs, Preserve::Skip).write(&path, "new")?;
    assert!(security(&path).has_access_of(&security(&other))?, "what any new file gets");
    Ok(())
}

#[track_caller]
fn check_loss(op: Op, code: u32, metadata: Metadata, name: Option<&str>) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("config");
    fs::write(&path, "old").expect("written");
    let plan = || Plan { lacking: vec![(op, code as i32)], ..Plan::default() };
    let mut builder = AtomicWriter::builder();
    let (commit, _) = with_plan(plan(), || builder.write(&path, "new"));
    let commit = commit.expect("Preserve::Try");
    let [loss] = commit.not_preserved() else { panic!("{:?}", commit.not_preserved()) };
    assert_eq!((loss.metadata(), loss.xattr().and_then(|name| name.to_str())), (metadata, name));

    builder.preserve(metadata, Preserve::Require);
    let (error, _) = with_plan(plan(), || builder.write(&path, "newer"));
    let error = error.expect_err("Preserve::Require");
    assert_eq!(error.kind(), ErrorKind::NotPreserved);
    assert_eq!(error.target_state(), TargetState::Untouched);
    assert_eq!(fs::read(&path).expect("read"), b"new");
    assert_eq!(names_in(dir.path()), ["config"]);
}

/// Of two writers of one file one failed with "not found": the other had replaced the file between
/// the look at it and the reading of its security, and that of another file was refused. A save was
/// lost, though there was a file to take the security from.
#[test]
fn a_file_that_was_replaced_after_the_look_has_the_security_of_the_new_one() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let (path, other) = (dir.path().join("config"), dir.path().join("other"));
    fs::write(&path, "old")?;
    let directory = open_directory(None, dir.path())?;
    let existing = look(&directory, "config".as_ref())?;
    let private = write_private(&other, "new");
    fs::rename(&other, &path)?;
    let security = security_of(&existing, &directory, "config".as_ref())?;
    assert!(security.expect("Windows has it").has_access_of(&private)?);
    Ok(())
}

#[test]
fn what_the_new_file_could_not_take_over_is_on_the_receipt() {
    check_loss(Op::SetOwner, ERROR_INVALID_OWNER, Metadata::Owner, None);
    check_loss(Op::SetOwner, ERROR_ACCESS_DENIED, Metadata::Owner, None);
    check_loss(Op::SetXattr, ERROR_ACCESS_DENIED, Metadata::Xattrs, Some("dacl"));
}

#[test]
fn the_published_file_is_never_a_temporary_one() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    for _ in 0..2 {
        let mut writer = AtomicWriter::builder().open(&path)?;
        let staged = fs::metadata(writer.staging_path()?)?.file_attributes();
        writer.commit()?;
        let published = fs::metadata(&path)?.file_attributes();
        assert_eq!((staged | published) & FILE_ATTRIBUTE_TEMPORARY, 0);
    }
    Ok(())
}

#[test]
fn the_directory_is_synced_or_the_receipt_says_so() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    let can_sync = super::super::sync_directory(&open_directory(None, dir.path())?).is_ok();
    let expected = if can_sync { Durability::Full } else { Durability::Ordered };
    assert_eq!(atomic_write(&path, "new")?.durability(), expected);

    let plan =
        Plan { lacking: vec![(Op::SyncDirectory, ERROR_ACCESS_DENIED as i32)], ..Plan::default() };
    let (commit, _) = with_plan(plan, || atomic_write(&path, "new"));
    assert_eq!(commit?.durability(), Durability::Ordered);
    Ok(())
}

/// Saves "new" while another program has something `open` for a moment. If the machine was so busy
/// that the moment lasted longer than a save waits, it shows nothing, and is tried once more.
fn save_while(path: &Path, open: impl Fn() -> io::Result<File>) -> io::Result<Result<Commit>> {
    const MAX_TRIES: usize = 10;
    for _ in 0..MAX_TRIES {
        let (other, is_closed) = (open()?, AtomicBool::new(false));
        let (saved, was_closed) = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(200));
                drop(other);
                is_closed.store(true, Ordering::Release);
            });
            (atomic_write(path, "new"), is_closed.load(Ordering::Acquire))
        });
        if saved.is_ok() || was_closed {
            return Ok(saved);
        }
    }
    panic!("in {MAX_TRIES} tries nobody closed it in time");
}

/// An update failed with "durability not proven" while another program started in the same
/// directory: for a moment that had it open and did not share it for writing, which a handle that
/// can be flushed needs.
#[test]
fn a_directory_that_is_not_shared_for_a_moment_is_synced_afterwards() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    let expected = atomic_write(&path, "old")?.durability();
    let saved = save_while(&path, || {
        OpenOptions::new()
            .access_mode(FILE_LIST_DIRECTORY)
            .share_mode(FILE_SHARE_READ)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
            .open(dir.path())
    });
    assert_eq!(saved??.durability(), expected);
    Ok(())
}

/// Keeps the target open, shared for everything, while it is saved.
fn save_in_use(path: &Path, in_use: InUse) -> Result<Commit> {
    let reader = File::open(path).expect("opened");
    let result = AtomicWriter::builder().in_use(in_use).write(path, "new");
    assert_eq!(io::read_to_string(reader).expect("read"), "old");
    result
}

#[test]
fn two_steps_replace_a_file_that_is_open() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    fs::write(&path, "old")?;
    let start = Instant::now();
    match save_in_use(&path, InUse::Fail) {
        Ok(commit) => assert_eq!(commit.outcome(), Outcome::Replaced), // POSIX semantics
        Err(error) => {
            assert_eq!(error.target_state(), TargetState::Untouched);
            assert!(start.elapsed() > super::super::ladder::PATIENCE / 2, "it was waited for");
            assert_eq!(fs::read(&path)?, b"old");
            assert_eq!(save_in_use(&path, InUse::TwoSteps)?.outcome(), Outcome::Replaced);
        }
    }
    assert_eq!(fs::read(&path)?, b"new");
    assert_eq!(names_in(dir.path()), ["config"]);
    Ok(())
}

#[test]
fn who_closes_the_file_in_time_does_not_make_the_save_fail() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    fs::write(&path, "old")?;
    let open = || OpenOptions::new().read(true).share_mode(FILE_SHARE_READ).open(&path);
    assert_eq!(save_while(&path, open)??.outcome(), Outcome::Replaced);
    assert_eq!(fs::read(&path)?, b"new");
    assert_eq!(names_in(dir.path()), ["config"]);
    Ok(())
}

#[test]
fn another_name_is_taken_where_a_file_is_about_to_be_deleted() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("pending");
    fs::write(&path, "old")?;
    let open = File::open(&path)?;
    fs::remove_file(&path)?;
    let directory = open_directory(None, dir.path())?;
    match super::super::create_temp(&directory, "pending".as_ref(), Creation::default()) {
        Ok(_) => {} // Windows 10 and later remove the name at once
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error:?}"),
    }
    drop(open);
    Ok(())
}

fn set_attributes(path: &Path, attributes: u32) -> u32 {
    let file = OpenOptions::new().write(true).open(path).expect("opened");
    let _ = super::super::set_mode(&file, 0o666 | attributes << 16);
    fs::metadata(path).expect("there").file_attributes() & attributes
}

#[test]
fn a_hidden_file_stays_hidden() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    fs::write(&path, "old")?;
    let wanted = FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM;
    let had = set_attributes(&path, wanted);
    assert_eq!(had, wanted, "NTFS has both, and so has Wine where files have xattrs");
    let commit = atomic_write(&path, "new")?;
    assert!(commit.not_preserved().is_empty(), "{:?}", commit.not_preserved());
    assert_eq!(fs::metadata(&path)?.file_attributes() & wanted, had);
    AtomicWriter::builder().preserve(Metadata::Mode, Preserve::Skip).write(&path, "newer")?;
    assert_eq!(fs::metadata(&path)?.file_attributes() & wanted, 0);
    Ok(())
}
