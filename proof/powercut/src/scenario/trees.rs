//! Directories that are replaced whole.

use std::path::Path;

use anyhow::{Result, ensure};
use wholefile::{AtomicDir, AtomicDirBuilder, Copying, DirCommit, Durability, Swap};

use super::sound::OVERWRITE;
use super::{File, Kind, Place, Scenario, Unit, sync_directory};

/// The base of all of them: all of a tree is made anew, and the two directories are exchanged.
pub(super) const REPLACE: Scenario = Scenario {
    name: "dir-replace",
    commits: 24,
    before: || tree(root().marked(), 0),
    files: |commit| tree(root().marked(), commit),
    removed: |commit| gone(&tree(root(), commit - 1), &tree(root(), commit)),
    commit: replace,
    unit: Unit::Commit,
    ..OVERWRITE
};

/// Each commit makes another directory.
pub(super) const CREATE: Scenario = Scenario {
    name: "dir-create",
    before: Vec::new,
    files: |commit| tree(File::directory(format!("{TREE}-{commit}")), commit),
    removed: |_| Vec::new(),
    ..REPLACE
};

/// The target is a link, which is switched.
pub(super) const LINK: Scenario = Scenario {
    name: "dir-link",
    before: Vec::new,
    files: |commit| tree(root(), commit),
    removed: |commit| match commit {
        1 => Vec::new(),
        _ => gone(&tree(root(), commit - 1), &tree(root(), commit)),
    },
    commit: switch,
    ..REPLACE
};

/// A little of a copy is changed.
pub(super) const EDIT: Scenario = Scenario {
    name: "dir-edit",
    before: || tree(root().marked(), LARGE),
    files: changes,
    removed: |commit| match commit {
        1 => Vec::new(),
        _ => vec![added(commit - 1).path],
    },
    commit: edit,
    ..REPLACE
};

const TREE: &str = "tree";
/// So many files are in one directory of a tree that one sync replaces those of the files.
const PAGES: u32 = 8;
/// A commit that makes a large tree.
const LARGE: u32 = 1;

fn root() -> File {
    File::directory(TREE)
}

/// All that is below `root` after `commit`. Every third tree is so small that each file is synced.
fn tree(root: File, commit: u32) -> Vec<File> {
    let path = |name: &str| format!("{}/{name}", root.path);
    let mut files = vec![
        File::plain(path("page"), commit),
        File::directory(path("below")).marked(),
        File::plain(path("below/page"), commit + 1).marked(),
        File::symlink(path("below/link")),
    ];
    if commit % 3 != 0 {
        files.push(File::directory(path("below/deeper")));
        let pages =
            (0..PAGES).map(|page| File::plain(page_in(&root, page), commit + page).marked());
        files.extend(pages);
        files.push(File::plain(path(&format!("below/deeper/of-{commit}")), commit));
        files.push(File::directory(path("empty")));
    }
    files.insert(0, root);
    files
}

fn page_in(root: &File, page: u32) -> String {
    format!("{}/below/deeper/page-{page}", root.path)
}

/// The paths that only the first of two trees has.
fn gone(old: &[File], new: &[File]) -> Vec<String> {
    let is_kept = |path: &String| new.iter().any(|file| file.path == *path);
    old.iter().map(|file| file.path.clone()).filter(|path| !is_kept(path)).collect()
}

/// The root, a file that is replaced, and a new one.
fn changes(commit: u32) -> Vec<File> {
    let replaced = File::plain(page_in(&root(), commit % PAGES), commit).marked();
    vec![root().marked(), replaced, added(commit)]
}

fn added(commit: u32) -> File {
    File::plain(format!("{TREE}/below/new-{commit}"), commit)
}

fn builder(place: &Place<'_>) -> AtomicDirBuilder {
    let mut builder = AtomicDir::builder();
    builder.durability(place.durability);
    builder
}

fn replace(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    check(place, &make(&builder(place), place, commit, files)?)
}

fn switch(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    check(place, &make(builder(place).swap(Swap::Link), place, commit, files)?)
}

fn make(
    builder: &AtomicDirBuilder,
    place: &Place<'_>,
    commit: u32,
    files: &[File],
) -> Result<DirCommit> {
    let (root, files) = files.split_first().expect("a tree has a root");
    let staged = builder.open(place.path(root))?;
    root.stamp(staged.path(), commit)?;
    for file in files {
        let inside = Path::new(&file.path).strip_prefix(&root.path)?;
        match (file.kind, file.xattr) {
            (Kind::File(_), None) => staged.write(inside, file.contents(commit))?,
            _ => file.make(&staged.path().join(inside), commit)?,
        }
    }
    Ok(staged.commit()?)
}

fn edit(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    change(&builder(place), place, commit, files)
}

pub(super) fn edit_links(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    change(builder(place).copying(Copying::HardLinks), place, commit, files)
}

fn change(
    builder: &AtomicDirBuilder,
    place: &Place<'_>,
    commit: u32,
    files: &[File],
) -> Result<()> {
    let (root, files) = files.split_first().expect("a tree has a root");
    let staged = builder.edit(place.path(root))?;
    root.stamp(staged.path(), commit)?;
    for file in files {
        let inside = Path::new(&file.path).strip_prefix(&root.path)?;
        staged.write(inside, file.contents(commit))?;
    }
    if commit > 1 {
        let old = added(commit - 1);
        staged.remove_all(Path::new(&old.path).strip_prefix(&root.path)?)?;
    }
    check(place, &staged.commit()?)
}

fn check(place: &Place<'_>, receipt: &DirCommit) -> Result<()> {
    let (achieved, lost) = (receipt.durability(), receipt.not_preserved());
    ensure!(achieved == place.durability, "only {achieved} was achieved");
    ensure!(lost.is_empty(), "{lost:?} was lost");
    ensure!(receipt.leftover().is_none(), "the old tree stayed");
    Ok(())
}

/// Nothing of the tree is synced, only the name that it gets.
pub(super) fn never_synced(place: &Place<'_>, commit: u32, files: &[File]) -> Result<()> {
    make(AtomicDir::builder().durability(Durability::None), place, commit, files)?;
    sync_directory(place.folder)
}
