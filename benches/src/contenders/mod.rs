//! Whom is measured, and what each of them promises.

pub(crate) mod bare;
pub(crate) mod batch;
#[cfg(feature = "peers")]
mod peers;
/// Nobody, in the build that only counts.
#[cfg(not(feature = "peers"))]
mod peers {
    use super::Contender;

    pub(super) const ALL: &[Contender] = &[];
    pub(super) const ROLLED_BACK: &[Contender] = &[];
    pub(super) const UNCHANGED: &[Contender] = &[];
}
pub(crate) mod tree;
pub(crate) mod update;
mod wholefile;

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use self::batch::Batch;
use self::tree::Tree;
use self::update::Updater;
use crate::payload::Payload;

/// What survives a power cut once the save has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survives {
    /// Whole old or new, and new once it has returned: file and directory are synced.
    Full,
    /// Whole old or new: the file is synced before it is renamed.
    Ordered,
    /// Nothing is promised.
    Nothing,
    /// Nothing is promised, and readers see half a file while it is written.
    NotEvenReaders,
}

/// In which build of the benchmark a contender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    This,
    /// The one with the feature `unnamed`.
    #[cfg_attr(not(feature = "peers"), allow(dead_code, reason = "only a peer has it"))]
    Unnamed,
}

/// One way to save a file.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) survives: Survives,
    /// What of the old file's metadata the new one has.
    pub(crate) keeps: &'static str,
    pub(crate) build: Build,
    pub(crate) save: fn(&Path, &Payload) -> io::Result<()>,
}

pub(crate) const EVERYTHING: &str = "owner, mode, xattrs";
pub(crate) const NOTHING: &str = "nothing";

/// How wholefile is called in every table.
pub(crate) const FULL: &str = "wholefile, Full";
pub(crate) const FEWEST: &str = "wholefile, Full with the fewest flushes";
const UNNAMED: &str = "wholefile, Full, staged unnamed";
pub(crate) const ORDERED: &str = "wholefile, Ordered";
pub(crate) const NONE: &str = "wholefile, None";
pub(crate) const BARE_FULL: &str = "bare system calls, Full";
const BARE_UNNAMED: &str = "bare system calls, no metadata, unnamed until its one sync, Full";
pub(crate) const BARE_NONE: &str = "bare system calls, None";
pub(crate) const AWF: &str = "atomic-write-file";
pub(crate) const AWF_BUFFERED: &str = "atomic-write-file in a BufWriter";
pub(crate) const PERSIST: &str = "tempfile + persist";

impl Contender {
    const fn new(
        name: &'static str,
        survives: Survives,
        keeps: &'static str,
        save: fn(&Path, &Payload) -> io::Result<()>,
    ) -> Self {
        Contender { name, survives, keeps, build: Build::This, save }
    }
}

/// What a contender does, by its kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    Save(&'static Contender),
    Batch(&'static Batch),
    Tree(&'static Tree),
    Update(&'static Updater),
}

impl Task {
    pub(crate) fn build(self) -> Build {
        match self {
            Task::Save(it) => it.build,
            Task::Batch(_) | Task::Tree(_) | Task::Update(_) => Build::This,
        }
    }

    /// What it promises, for a table.
    pub(crate) fn guarantee(self) -> String {
        let (survives, keeps) = match self {
            Task::Save(it) => (it.survives, it.keeps),
            Task::Batch(it) => (it.survives, it.keeps),
            Task::Tree(it) => (it.survives, it.keeps),
            Task::Update(it) => (it.survives, it.keeps),
        };
        let survives = match survives {
            Survives::Full => "durable",
            Survives::Ordered => "old or new after a power cut",
            Survives::Nothing => "atomic, nothing after a power cut",
            Survives::NotEvenReaders => "not atomic",
        };
        format!("{survives}; keeps {keeps}")
    }
}

/// This library first in each group, then the bare calls. The peers follow in [`all`].
const OURS_AND_BARE: &[Contender] = &[
    Contender::new(FULL, Survives::Full, EVERYTHING, wholefile::full),
    Contender::new(FEWEST, Survives::Full, EVERYTHING, wholefile::fewest),
    Contender::new(UNNAMED, Survives::Full, EVERYTHING, wholefile::unnamed),
    Contender::new(BARE_FULL, Survives::Full, EVERYTHING, bare::full),
    Contender::new("bare system calls, no metadata, Full", Survives::Full, NOTHING, bare::plain),
    Contender::new(BARE_UNNAMED, Survives::Full, NOTHING, bare::plain_unnamed),
    Contender::new(ORDERED, Survives::Ordered, EVERYTHING, wholefile::ordered),
    Contender::new("bare system calls, Ordered", Survives::Ordered, EVERYTHING, bare::ordered),
    Contender::new(NONE, Survives::Nothing, EVERYTHING, wholefile::none),
    Contender::new(BARE_NONE, Survives::Nothing, EVERYTHING, bare::none),
];

const ROLLED_BACK: &[Contender] = &[
    Contender::new(ROLLS_BACK, Survives::Full, EVERYTHING, wholefile::rolled_back),
    Contender::new("bare system calls, dropped", Survives::Full, EVERYTHING, bare::dropped),
];

const UNCHANGED: &[Contender] = &[
    Contender::new(SKIPS, Survives::Full, EVERYTHING, wholefile::unchanged),
    Contender::new("std::fs::read, compare", Survives::Full, EVERYTHING, bare::unchanged),
];

pub(crate) const ROLLS_BACK: &str = "wholefile, rolled back";
pub(crate) const SKIPS: &str = "wholefile, skip_unchanged";

/// All that replace a file.
pub(crate) fn all() -> impl Iterator<Item = &'static Contender> {
    OURS_AND_BARE.iter().chain(peers::ALL)
}

/// All that write a file and then think better of it.
pub(crate) fn rolled_back() -> impl Iterator<Item = &'static Contender> {
    ROLLED_BACK.iter().chain(peers::ROLLED_BACK)
}

/// All that are given what the file has already.
pub(crate) fn unchanged() -> impl Iterator<Item = &'static Contender> {
    UNCHANGED.iter().chain(peers::UNCHANGED)
}

/// The contender that is called so.
pub(crate) fn find(name: &str) -> Option<Task> {
    let saves = all().chain(rolled_back()).chain(unchanged());
    let save = saves.map(|it| (it.name, Task::Save(it)));
    let batch = batch::ALL.iter().map(|it| (it.name, Task::Batch(it)));
    let trees = [tree::EDITS, tree::NEW_ONES].into_iter().flatten();
    let tree = trees.map(|it| (it.name, Task::Tree(it)));
    let update = update::ALL.iter().map(|it| (it.name, Task::Update(it)));
    let mut all = save.chain(batch).chain(tree).chain(update);
    all.find(|(it, _)| *it == name).map(|(_, task)| task)
}

fn parent_and_name(path: &Path) -> io::Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
