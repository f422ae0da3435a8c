//! Names and paths that only Windows has.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::names_in;
use crate::{AtomicWriter, ErrorKind, Step, TargetState, atomic_write};

/// Saves to `path` work, twice, and `file` has the contents.
#[track_caller]
fn check_works(path: &Path, file: &Path) {
    for contents in ["old", "new"] {
        atomic_write(path, contents).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(fs::read_to_string(file).expect("it is there"), contents);
    }
}

#[track_caller]
fn check_refused(path: &Path) {
    for create_parents in [false, true] {
        let mut builder = AtomicWriter::builder();
        let error = builder.create_parents(create_parents).open(path).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidPath, "{path:?}");
        assert_eq!((error.step(), error.target_state()), (Step::Resolve, TargetState::Untouched));
    }
}

#[test]
fn a_name_that_stands_for_something_else_is_refused() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let names = [
        "CON",
        "con",
        "con.txt",
        "CON .txt",
        "NUL",
        "nul.tar.gz",
        "COM1",
        "com9.log",
        "LPT1",
        "AUX",
        "prn",
        "CONIN$",
        "CONOUT$",
        "a.",
        "a ",
        "a..",
        "a. ",
        "...",
        "ab:c",
        "ab::$DATA",
        "a?",
        "a*",
        "a<b",
        "a>b",
        "a|b",
        "a\"b",
        "a\tb",
        "\u{1}",
    ];
    for name in names {
        check_refused(&dir.path().join(name));
        check_refused(&dir.path().join("none").join(name));
    }
    for path in
        ["NUL", "con.txt", "C:", "C:.", "C:..", r"C:\", r"\\server\share", r"\\server\share\"]
    {
        check_refused(Path::new(path));
    }
    assert_eq!(names_in(dir.path()), [""; 0]);
    Ok(())
}

#[test]
fn names_that_only_look_like_devices_are_names() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    for name in ["console", "COM0", "COM10", "a.con", ".config", " a", "..a"] {
        let path = dir.path().join(name);
        check_works(&path, &path);
        fs::remove_file(path)?;
    }
    assert_eq!(names_in(dir.path()), [""; 0]);
    Ok(())
}

#[test]
fn a_verbatim_path_means_what_it_says() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let verbatim = fs::canonicalize(dir.path())?;
    assert!(verbatim.to_str().expect("UTF-8").starts_with(r"\\?\"));
    let path = verbatim.join("config");
    check_works(&path, &dir.path().join("config"));
    // A device's name is none there.
    let path = verbatim.join("CON");
    check_works(&path, &path);
    fs::remove_file(path)?;
    check_refused(&verbatim.join("ab:c"));
    assert_eq!(names_in(dir.path()), ["config"]);
    Ok(())
}

#[test]
fn paths_of_more_than_260_characters_need_no_prefix() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    for len in [200, 220, 232, 233, 240, 247, 248, 255, 300] {
        let room = len - 1;
        let deep = dir.path().join("d".repeat(room.min(120)));
        let deep = if room > 120 { deep.join("e".repeat(room - 120)) } else { deep };
        let path = deep.join("config");
        AtomicWriter::builder().create_parents(true).write(&path, "first")?;
        check_works(&path, &path);
        let mut builder = AtomicWriter::builder();
        builder.publish(crate::Publish::CreateNew).write(deep.join("other"), "new")?;
        assert_eq!(names_in(&deep), ["config", "other"], "{len}");
    }
    Ok(())
}

#[test]
fn a_path_relative_to_a_drive_counts_from_the_current_directory_there() -> io::Result<()> {
    let here = env::current_dir()?;
    let dir = tempfile::tempdir_in(&here)?;
    let drive = here.to_str().expect("UTF-8").get(..2).expect("a drive").to_owned();
    assert!(drive.ends_with(':'), "{drive}");
    let folder = dir.path().file_name().expect("a name").to_str().expect("UTF-8");
    let path = PathBuf::from(format!(r"{drive}{folder}\config"));
    assert!(path.is_relative());
    check_works(&path, &dir.path().join("config"));
    assert_eq!(names_in(dir.path()), ["config"]);
    Ok(())
}

#[test]
fn a_share_that_is_not_there_is_an_error() {
    let error = atomic_write(r"\\no-such-host.invalid\share\config", "x").expect_err("refused");
    assert_eq!((error.step(), error.target_state()), (Step::Resolve, TargetState::Untouched));
}

#[test]
fn a_temp_name_that_is_none_is_an_invalid_option() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    for suffix in [":stream", ".", " ", "?"] {
        let mut builder = AtomicWriter::builder();
        let error =
            builder.staging_suffix(suffix).open(dir.path().join("config")).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{suffix:?}");
    }
    let mut builder = AtomicWriter::builder();
    let error =
        builder.staging_prefix("con.").open(dir.path().join("config")).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    Ok(())
}
