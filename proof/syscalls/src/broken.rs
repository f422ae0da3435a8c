//! Writers that are broken on purpose, each in one way: the proof of the proof, since each must be
//! caught.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::Value;

use crate::backups::{self, Kept};
use crate::journals::{self, Death, JOURNAL, TARGETS};
use crate::place::Before;
use crate::report::{Ending, FileReport, Report};

pub(crate) struct Broken {
    pub(crate) name: &'static str,
    pub(crate) before: Before,
    /// The backup that it is to make.
    pub(crate) kept: Option<Kept>,
    /// For one that recovers.
    pub(crate) death: Option<Death>,
    pub(crate) save: fn(&Path, &[u8]) -> io::Result<()>,
    /// Part of the sentence by which it must be caught.
    pub(crate) caught: &'static str,
}

const fn broken(
    name: &'static str,
    save: fn(&Path, &[u8]) -> io::Result<()>,
    caught: &'static str,
) -> Broken {
    Broken { name, before: Before::Plain, kept: None, death: None, save, caught }
}

impl Broken {
    const fn before(mut self, before: Before) -> Broken {
        self.before = before;
        self
    }

    const fn keeping(mut self, kept: Kept) -> Broken {
        self.kept = Some(kept);
        self
    }

    const fn after(mut self, death: Death) -> Broken {
        self.death = Some(death);
        self.before(Before::Twenty)
    }
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
    broken("forgets the metadata", without_metadata, "metadata").before(Before::File),
    broken("a backup after the target", backup_afterwards, "its backup is not there")
        .keeping(backups::SUFFIX),
    broken("a backup that is not undone", backup_left, "is not undone").keeping(backups::SUFFIX),
    broken("two renames of trees", two_renames, "the target is gone").before(Before::Tree),
    broken("a tree copied in place", copied_in_place, TORN).before(Before::Tree),
    broken("forgets the tree's metadata", plain_tree, "metadata").before(Before::Tree),
    broken("no journal while it publishes", without_journal, SPLIT).before(Before::Twenty),
    broken("recovers without the journal", recovers_without_journal, SPLIT).after(Death::Halfway),
];

const SPLIT: &str = "some files are new, and some old";
const TORN: &str = "neither the old contents nor the new";

/// What such a writer says: that all was done as it should be, or that nothing was.
pub(crate) fn report(paths: &[PathBuf], result: io::Result<()>) -> Report {
    let state = if result.is_ok() { "Replaced" } else { "Untouched" };
    let file = |path: &PathBuf| FileReport {
        path: path.clone(),
        state: state.into(),
        lost: Vec::new(),
        backup: None,
    };
    let report = Report::of_files(paths.iter().map(file).collect());
    let Err(error) = result else { return report };
    let (code, sentence) = (error.raw_os_error(), error.to_string());
    let (kind, step) = ("Io".into(), "Write".into());
    Report { end: Ending::Err { kind, step, code, sentence }, ..report }
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

fn backup_afterwards(path: &Path, new: &[u8]) -> io::Result<()> {
    let aside = path.with_file_name(ASIDE);
    fs::hard_link(path, &aside)?;
    without_directory_sync(path, new)?;
    fs::rename(aside, path.with_file_name("target~"))?;
    sync_directory(path)
}

fn backup_left(path: &Path, new: &[u8]) -> io::Result<()> {
    fs::hard_link(path, path.with_file_name("target~"))?;
    without_directory_sync(path, new)?;
    sync_directory(path)
}

/// Fills a directory as the sound writers of trees do. The old tree they leave to a sweep.
fn fill(root: &Path, new: &[u8]) -> io::Result<()> {
    fs::create_dir_all(root.join("a/c"))?;
    for path in ["index", "a/c/page", "by hand"] {
        fs::write(root.join(path), new)?;
    }
    Ok(())
}

const STAGE: &str = ".wholefile-brokenstage0.tmp";
const ASIDE: &str = ".wholefile-brokenaside0.tmp";

fn two_renames(path: &Path, new: &[u8]) -> io::Result<()> {
    let (stage, aside) = (path.with_file_name(STAGE), path.with_file_name(ASIDE));
    fs::create_dir(&stage)?;
    fill(&stage, new)?;
    fs::rename(path, &aside)?;
    fs::rename(&stage, path)?;
    sync_directory(path)
}

fn plain_tree(path: &Path, new: &[u8]) -> io::Result<()> {
    let stage = path.with_file_name(STAGE);
    fs::create_dir(&stage)?;
    fill(&stage, new)?;
    renameat_with(CWD, &stage, CWD, path, RenameFlags::EXCHANGE)?;
    sync_directory(path)
}

fn copied_in_place(path: &Path, new: &[u8]) -> io::Result<()> {
    fill(path, new)?;
    sync_directory(path)
}

/// Stages all files, and publishes one after the other.
fn without_journal(path: &Path, _: &[u8]) -> io::Result<()> {
    let mut renames = Vec::new();
    for (index, target) in TARGETS.iter().map(|it| path.with_file_name(it)).enumerate() {
        let temp = target.with_file_name(format!(".wholefile-broken{index:06}.tmp"));
        fs::write(&temp, journals::contents_of(&target, 'n'))?;
        renames.push((temp, target));
    }
    publish_each(renames)
}

fn publish_each(renames: Vec<(PathBuf, PathBuf)>) -> io::Result<()> {
    for (from, to) in renames {
        fs::rename(from, &to)?;
        sync_directory(&to)?;
    }
    Ok(())
}

/// Removes the journal before it has done what that says.
fn recovers_without_journal(path: &Path, _: &[u8]) -> io::Result<()> {
    let journal = path.with_file_name(JOURNAL);
    let text = fs::read_to_string(&journal)?;
    fs::remove_file(journal)?;
    let intent: Value = serde_json::from_str(text.lines().nth(1).unwrap_or_default())?;
    let of = |value: &Value, key: &str| PathBuf::from(value[key].as_str().unwrap_or_default());
    let mut renames = Vec::new();
    for file in intent["files"].as_array().into_iter().flatten() {
        let index = file["folder"].as_u64().unwrap_or_default() as usize;
        let folder = &intent["folders"][index];
        let (parent, stage) = (of(folder, "path"), of(folder, "stage"));
        let from = parent.join(stage).join(of(file, "staged"));
        renames.push((from, parent.join(of(file, "name"))));
    }
    renames.retain(|(from, _)| from.exists());
    publish_each(renames)
}
