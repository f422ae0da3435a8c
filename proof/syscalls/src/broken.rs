//! Writers that are broken on purpose, each in one way: the proof of the proof, since each must be
//! caught.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;

use crate::place::Before;
use crate::report::{Ending, FileReport, Report};

pub(crate) struct Broken {
    pub(crate) name: &'static str,
    pub(crate) before: Before,
    pub(crate) save: fn(&Path, &[u8]) -> io::Result<()>,
    /// Part of the sentence by which it must be caught.
    pub(crate) caught: &'static str,
}

const fn broken(
    name: &'static str,
    save: fn(&Path, &[u8]) -> io::Result<()>,
    caught: &'static str,
) -> Broken {
    Broken { name, before: Before::Plain, save, caught }
}

const fn of_a_file_with_metadata(mut broken: Broken) -> Broken {
    broken.before = Before::File;
    broken
}

pub(crate) const BROKEN: &[Broken] = &[
    broken("fs::write", in_place, TORN),
    broken("unlink, then rename", unlink_and_rename, "the target is gone"),
    broken("swallows the errors of its writes", swallows_writes, TORN),
    broken("writes once, however little is taken", writes_once, TORN),
    broken("rename without a sync", without_sync, "without a sync of the file"),
    broken("no sync of the directory", without_directory_sync, "without a sync of the directory"),
    broken("syncs again after a failed sync", syncs_again, "published after a failed sync"),
    broken("swallows the directory's sync", swallows_directory_sync, "without a sync of the dir"),
    broken("leaves its temp file after an error", leaves_temp, "stayed behind"),
    broken("a temp file that no sweep knows", unknown_temp, "the sweep removed"),
    broken("gives up at EINTR", gives_up, "interrupted"),
    broken("says untouched once it has replaced", says_untouched, "Untouched, but"),
    broken("sets the mode after the rename", mode_afterwards, "metadata"),
    of_a_file_with_metadata(broken("forgets the metadata", without_metadata, "metadata")),
];

const TORN: &str = "neither the old contents nor the new";

/// What such a writer says: that all was done as it should be, or that nothing was.
pub(crate) fn report(path: &Path, result: io::Result<()>) -> Report {
    let (state, end) = match result {
        Ok(()) => {
            ("Replaced", Ending::Ok { durability: "Full".into(), sync_plan: "Portable".into() })
        }
        Err(error) => {
            let (code, sentence) = (error.raw_os_error(), error.to_string());
            let (kind, step) = ("Io".into(), "Write".into());
            ("Untouched", Ending::Err { kind, step, leftovers: Vec::new(), code, sentence })
        }
    };
    let file = FileReport { path: path.into(), state: state.into(), lost: Vec::new() };
    Report { files: vec![file], end }
}

const TEMP: &str = ".wholefile-broken000000.tmp";

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

/// The right way, but for a step that is the caller's to get wrong.
fn replace(
    path: &Path,
    temp: &str,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let temp = path.with_file_name(temp);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temp)?;
    let done = fill(&mut file).and_then(|()| fs::rename(&temp, path));
    if done.is_err() {
        fs::remove_file(&temp)?;
    }
    done
}

fn in_place(path: &Path, new: &[u8]) -> io::Result<()> {
    fs::write(path, new)?;
    File::open(path)?.sync_all()?;
    sync_directory(path)
}

fn unlink_and_rename(path: &Path, new: &[u8]) -> io::Result<()> {
    fs::remove_file(path)?;
    replace(path, TEMP, |file| file.write_all(new).and_then(|()| file.sync_all()))?;
    sync_directory(path)
}

fn swallows_writes(path: &Path, new: &[u8]) -> io::Result<()> {
    replace(path, TEMP, |file| {
        let _ = file.write_all(new);
        file.sync_all()
    })?;
    sync_directory(path)
}

fn writes_once(path: &Path, new: &[u8]) -> io::Result<()> {
    replace(path, TEMP, |file| file.write(new).and_then(|_| file.sync_all()))?;
    sync_directory(path)
}

fn without_sync(path: &Path, new: &[u8]) -> io::Result<()> {
    replace(path, TEMP, |file| file.write_all(new))?;
    sync_directory(path)
}

fn without_directory_sync(path: &Path, new: &[u8]) -> io::Result<()> {
    replace(path, TEMP, |file| file.write_all(new).and_then(|()| file.sync_all()))
}

fn swallows_directory_sync(path: &Path, new: &[u8]) -> io::Result<()> {
    without_directory_sync(path, new)?;
    let _ = sync_directory(path);
    Ok(())
}

fn syncs_again(path: &Path, new: &[u8]) -> io::Result<()> {
    replace(path, TEMP, |file| {
        file.write_all(new)?;
        file.sync_all().or_else(|_| file.sync_all())
    })?;
    sync_directory(path)
}

fn leaves_temp(path: &Path, new: &[u8]) -> io::Result<()> {
    let temp = path.with_file_name(TEMP);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temp)?;
    file.write_all(new)?;
    file.sync_all()?;
    fs::rename(&temp, path)?;
    sync_directory(path)
}

fn unknown_temp(path: &Path, new: &[u8]) -> io::Result<()> {
    replace(path, "target.tmp", |file| file.write_all(new).and_then(|()| file.sync_all()))?;
    sync_directory(path)
}

fn gives_up(path: &Path, new: &[u8]) -> io::Result<()> {
    replace(path, TEMP, |file| match file.write(new)? {
        len if len == new.len() => file.sync_all(),
        len => file.write_all(&new[len..]).and_then(|()| file.sync_all()),
    })?;
    sync_directory(path)
}

fn says_untouched(path: &Path, new: &[u8]) -> io::Result<()> {
    without_directory_sync(path, new)?;
    sync_directory(path)
}

fn mode_afterwards(path: &Path, new: &[u8]) -> io::Result<()> {
    replace(path, TEMP, |file| {
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
        file.write_all(new).and_then(|()| file.sync_all())
    })?;
    fs::set_permissions(path, PermissionsExt::from_mode(0o644))?;
    sync_directory(path)
}

fn without_metadata(path: &Path, new: &[u8]) -> io::Result<()> {
    without_directory_sync(path, new)?;
    sync_directory(path)
}
