//! What only Windows does: saves through the public interface, and the arm's own pieces.

mod files;
mod paths;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::windows::fs::{OpenOptionsExt, symlink_dir, symlink_file};
use std::path::Path;
use std::thread;
use std::time::Duration;

use windows_sys::Win32::Storage::FileSystem::{
    FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
};

use super::rename::{is_read_only, set_read_only};
use super::{Entry, FileKind, id_at, open_directory, wide};
use crate::{
    AtomicWriter, Backup, Durability, ErrorKind, Outcome, Publish, ReadOnly, Symlinks, TargetState,
    atomic_write,
};

#[track_caller]
fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory can be read");
    let name = |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name());
    let names = entries.map(|entry| name(entry).expect("an entry").into_string().expect("UTF-8"));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_save_creates_and_replaces_and_leaves_nothing_behind() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    assert_eq!(atomic_write(&path, "old")?.outcome(), Outcome::Created);
    let commit = atomic_write(&path, "new")?;
    assert_eq!(commit.outcome(), Outcome::Replaced);
    assert_ne!(commit.durability(), Durability::None);
    assert!(commit.not_preserved().is_empty(), "{:?}", commit.not_preserved());
    assert_eq!(fs::read(&path)?, b"new");
    assert_eq!(names_in(dir.path()), ["config"]);
    Ok(())
}

/// Whether the system can rename over a file that somebody has open: Windows 10 and later can.
fn replaces_open_files(directory: &Path) -> io::Result<bool> {
    let (from, to) = (directory.join("from"), directory.join("to"));
    fs::write(&from, "")?;
    fs::write(&to, "")?;
    let reader = File::open(&to)?;
    let renamed = fs::rename(&from, &to);
    drop(reader);
    match renamed {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
        result => Ok(result.is_ok()),
    }
}

#[test]
fn a_target_that_is_open_for_reading_is_replaced() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    fs::write(&path, "old")?;
    let reader = File::open(&path)?;
    if !replaces_open_files(dir.path())? {
        return Ok(()); // Wine, before it had FileRenameInfoEx
    }
    atomic_write(&path, "new")?;
    assert_eq!(io::read_to_string(reader)?, "old");
    assert_eq!(fs::read(&path)?, b"new");
    Ok(())
}

#[test]
fn the_read_only_attribute_refuses_or_is_handed_on() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    fs::write(&path, "old")?;
    set_read_only(&path, true)?;
    let refused = atomic_write(&path, "new").expect_err("the default is to refuse");
    assert_eq!(refused.kind(), ErrorKind::ReadOnly);

    AtomicWriter::builder().read_only(ReadOnly::Replace).write(&path, "new")?;
    assert_eq!(fs::read(&path)?, b"new");
    assert!(is_read_only(&path));
    assert_eq!(names_in(dir.path()), ["config"]);
    set_read_only(&path, false)
}

/// As a second name of the old file, the backup shared the attribute: it could not be synced, and
/// when it was removed again, the target was not read-only any more.
#[test]
fn the_backup_of_a_read_only_file_is_a_copy() -> io::Result<()> {
    for durability in [Durability::Full, Durability::None] {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("config");
        fs::write(&path, "old")?;
        set_read_only(&path, true)?;
        let directory = open_directory(None, dir.path())?;
        let id = |name: &str| id_at(Entry { directory: &directory, name: OsStr::new(name) });
        let old = id("config")?;
        let mut builder = AtomicWriter::builder();
        builder.read_only(ReadOnly::Replace).durability(durability);
        let commit = builder.backup(Backup::Suffix("~".into())).write(&path, "new")?;
        let backup = commit.backup().expect("a backup");
        assert_eq!((fs::read(&path)?, fs::read(backup)?), (b"new".into(), b"old".into()));
        assert!(is_read_only(&path), "{durability:?}");
        assert_ne!(id("config~")?, old, "{durability:?}");
        assert_eq!(names_in(dir.path()), ["config", "config~"]);
        set_read_only(&path, false)?;
        set_read_only(backup, false)?;
    }
    Ok(())
}

/// Without a backup such a reader was waited for or did not matter; to sync the backup, the old
/// file must be open for writing, and that failed at once.
#[test]
fn a_reader_that_keeps_writers_out_for_a_moment_is_waited_for_by_a_backup() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    fs::write(&path, "old")?;
    let share = FILE_SHARE_READ | FILE_SHARE_DELETE;
    let reader = OpenOptions::new().read(true).share_mode(share).open(&path)?;
    let reading = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        drop(reader);
    });
    let mut builder = AtomicWriter::builder();
    let commit = builder.backup(Backup::Suffix("~".into())).write(&path, "new")?;
    assert_eq!(fs::read(commit.backup().expect("a backup"))?, b"old");
    reading.join().expect("it ends");
    Ok(())
}

#[test]
fn a_rename_that_fails_leaves_the_read_only_attribute_as_it_was() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    fs::write(&path, "old")?;
    set_read_only(&path, true)?;
    // A reader that does not share its file for deletion.
    let reader = OpenOptions::new().read(true).share_mode(FILE_SHARE_READ).open(&path)?;
    let result = AtomicWriter::builder().read_only(ReadOnly::Replace).write(&path, "new");
    let error = result.expect_err("the file is in use");
    assert_eq!(error.target_state(), TargetState::Untouched);
    assert_eq!(io::read_to_string(reader)?, "old");
    assert!(is_read_only(&path));
    assert_eq!(names_in(dir.path()), ["config"]);
    set_read_only(&path, false)
}

#[test]
fn create_new_never_replaces() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    let mut builder = AtomicWriter::builder();
    builder.publish(Publish::CreateNew);
    let late = builder.open(&path)?;
    builder.write(&path, "first")?;
    let error = late.commit().expect_err("somebody was faster");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path)?, b"first");

    let directory = open_directory(None, dir.path())?;
    fs::write(dir.path().join("second"), "second")?;
    let entry =
        |name: &'static str| crate::sys::Entry { directory: &directory, name: name.as_ref() };
    let renamed = super::rename_no_replace(entry("second"), entry("config"));
    assert_eq!(renamed.map_err(|error| error.kind()), Err(io::ErrorKind::AlreadyExists));
    assert_eq!(fs::read(&path)?, b"first");
    assert_eq!(names_in(dir.path()), ["config", "second"]);
    Ok(())
}

#[test]
fn existing_only_never_creates() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    let mut builder = AtomicWriter::builder();
    builder.publish(Publish::Existing);
    assert_eq!(builder.write(&path, "x").expect_err("none").kind(), ErrorKind::NotFound);
    fs::write(&path, "old")?;
    assert_eq!(builder.write(&path, "new")?.outcome(), Outcome::Replaced);
    assert_eq!(fs::read(&path)?, b"new");
    Ok(())
}

#[test]
fn another_program_can_write_to_the_staged_file() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    let mut writer = AtomicWriter::builder().open(&path)?;
    // As the C library opens files: not shared for deletion.
    let mut other = OpenOptions::new()
        .write(true)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
        .open(writer.staging_path()?)?;
    other.write_all(b"by another")?;
    drop(other);
    assert_eq!(writer.commit()?.len(), 10);
    assert_eq!(fs::read(&path)?, b"by another");
    Ok(())
}

#[test]
fn the_directory_stays_in_its_place_while_a_save_is_under_way() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    fs::create_dir(&here)?;
    let writer = AtomicWriter::builder().open(here.join("config"))?;
    fs::rename(&here, &there).expect_err("the directory is held");
    writer.commit()?;
    fs::rename(&here, &there)?;
    assert_eq!(names_in(&there), ["config"]);
    Ok(())
}

#[test]
fn a_rollback_removes_the_temp_file_and_the_directories() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("a").join("b").join("config");
    let mut builder = AtomicWriter::builder();
    let mut writer = builder.create_parents(true).open(&path)?;
    assert!(writer.staging_path()?.is_absolute());
    writer.rollback()?;
    assert_eq!(names_in(dir.path()), [""; 0]);
    drop(builder.open(&path)?);
    assert_eq!(names_in(dir.path()), [""; 0]);
    builder.write(&path, "new")?;
    assert_eq!(fs::read(&path)?, b"new");
    Ok(())
}

#[test]
fn reserved_space_does_not_lengthen_the_file() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config");
    let mut writer = AtomicWriter::builder().reserve(1 << 20).open(&path)?;
    assert_eq!(writer.as_file()?.metadata()?.len(), 0);
    writer.write_all(b"short")?;
    writer.commit()?;
    assert_eq!(fs::read(&path)?, b"short");
    Ok(())
}

#[test]
fn directories_and_devices_are_no_files() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let kind_of = |path: &Path| atomic_write(path, "x").expect_err("no file").kind();
    fs::write(dir.path().join("file"), "")?;
    assert_eq!(kind_of(dir.path()), ErrorKind::IsADirectory);
    assert_eq!(kind_of(&dir.path().join("file").join("x")), ErrorKind::NotADirectory);
    assert_eq!(kind_of(&dir.path().join("none").join("x")), ErrorKind::NotFound);
    let device = OpenOptions::new().write(true).open("NUL")?;
    assert_eq!(super::inspect(&device)?.kind, FileKind::Special);
    assert_eq!(kind_of(&dir.path().join("a|b")), ErrorKind::InvalidPath);
    Ok(())
}

#[test]
fn links_are_followed_from_where_they_really_are() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let real = dir.path().join("real").join("deep");
    fs::create_dir_all(&real)?;
    let made = symlink_file(r"..\file", real.join("link"))
        .and_then(|()| symlink_dir(&real, dir.path().join("short")));
    let link = dir.path().join("short").join("link");
    if made.is_err() || !fs::symlink_metadata(&link).is_ok_and(|metadata| metadata.is_symlink()) {
        return Ok(()); // Wine has no symlinks, and Windows may ask for a privilege.
    }
    atomic_write(&link, "new")?;
    assert_eq!(fs::read(dir.path().join("real").join("file"))?, b"new");
    AtomicWriter::builder().symlinks(Symlinks::Replace).write(&link, "own")?;
    assert_eq!(fs::read(real.join("link"))?, b"own");
    assert_eq!(fs::read(dir.path().join("real").join("file"))?, b"new");
    Ok(())
}

#[test]
fn a_long_path_needs_no_prefix() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let deep = dir.path().join("d".repeat(120)).join("e".repeat(120));
    let path = deep.join("config");
    let mut builder = AtomicWriter::builder();
    builder.create_parents(true).publish(Publish::CreateNew).write(&path, "new")?;
    assert_eq!(fs::read(&path)?, b"new");
    Ok(())
}

#[test]
fn a_path_gets_the_prefix_that_it_lacks() {
    #[track_caller]
    fn check(path: &str, expected: &str) {
        let expected: Vec<u16> = expected.encode_utf16().chain([0]).collect();
        assert_eq!(wide(Path::new(path)), expected);
    }
    let long = "x".repeat(250);
    check(r"C:\short", r"C:\short");
    check(&format!(r"C:\{long}"), &format!(r"\\?\C:\{long}"));
    check(&format!(r"\\host\share\{long}"), &format!(r"\\?\UNC\host\share\{long}"));
    check(&format!(r"\\?\C:\{long}"), &format!(r"\\?\C:\{long}"));
}
