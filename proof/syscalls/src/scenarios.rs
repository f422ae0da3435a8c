//! The saves that are killed and failed at each of their calls.

use std::env;
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::libc;
use wholefile::{AtomicWriter, Builder, Commit, Copying, Durability, Lock, Publish, Swap};

use crate::backups::{self, Kept};
use crate::broken::{self, BROKEN, Broken};
use crate::calls::Call;
use crate::groups::Group;
use crate::journals::{self, Death};
use crate::place::{self, Before, contents, prepare};
use crate::plans::Extent;
use crate::report::Report;
use crate::saves;
use crate::tracer::{self, Lacking};
use crate::trees::{self, Set, Start};

/// The scenario that this process is to run, and the directory that it does so in.
const SCENARIO: &str = "WHOLEFILE_SYSCALLS_SCENARIO";
const DIR: &str = "WHOLEFILE_SYSCALLS_DIR";

/// A save that takes longer is taken for one that hangs.
const TIME_LIMIT: u32 = 30;

#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) before: Before,
    pub(crate) durability: Durability,
    /// The length of the new contents.
    len: usize,
    pub(crate) lacking: Lacking,
    /// For a recovery: when the commit died.
    pub(crate) death: Option<Death>,
    /// The backup that it makes.
    pub(crate) kept: Option<Kept>,
    pub(crate) save: Save,
}

type SaveOne = fn(&mut Builder, &Path, &[u8]) -> wholefile::Result<Commit>;

#[derive(Clone, Copy)]
pub(crate) enum Save {
    /// By the crate.
    Whole(SaveOne),
    /// By a batch of the crate's.
    Batch(fn(&mut Builder, &Path, &[u8]) -> Report),
    /// By a tree of the crate's.
    Tree(Start, Set),
    /// Of nothing: in a directory for the time being.
    Scratch,
    /// By a writer that is broken on purpose.
    Broken(fn(&Path, &[u8]) -> io::Result<()>),
}

const SHORT: usize = 1600;
/// More than fits into the buffer.
const LONG: usize = 200_000;

const fn scenario(name: &'static str, before: Before, save: Save) -> Scenario {
    Scenario {
        name,
        before,
        durability: Durability::Full,
        len: SHORT,
        lacking: nothing,
        death: None,
        kept: None,
        save,
    }
}

/// A batch and a tree sync on several threads, and on one where they get no others. On one, their
/// calls have an order.
const fn many(name: &'static str, before: Before, save: Save) -> Scenario {
    lacking(scenario(name, before, save), threads)
}

const fn tree(name: &'static str, before: Before, start: Start, set: Set) -> Scenario {
    many(name, before, Save::Tree(start, set))
}

const fn backup(name: &'static str, before: Before, kept: Kept, save: SaveOne) -> Scenario {
    let mut scenario = scenario(name, before, Save::Whole(save));
    scenario.kept = Some(kept);
    scenario
}

const fn recovery(name: &'static str, death: Death) -> Scenario {
    let mut scenario = many(name, Before::Twenty, Save::Batch(journals::recover_all));
    scenario.death = Some(death);
    scenario
}

const fn long(mut scenario: Scenario) -> Scenario {
    scenario.len = LONG;
    scenario
}

/// On a file system that does not have everything.
const fn lacking(mut scenario: Scenario, lacking: Lacking) -> Scenario {
    scenario.lacking = lacking;
    scenario
}

fn nothing(_: &Call) -> Option<Errno> {
    None
}

fn rename_flags(call: &Call) -> Option<Errno> {
    (call.number == libc::SYS_renameat2).then_some(Errno::EINVAL)
}

fn links(call: &Call) -> Option<Errno> {
    (call.number == libc::SYS_linkat).then_some(Errno::EPERM)
}

fn unnamed_files(call: &Call) -> Option<Errno> {
    (call.group() == Group::CreateUnnamed).then_some(Errno::EOPNOTSUPP)
}

fn threads(call: &Call) -> Option<Errno> {
    matches!(call.number, libc::SYS_clone | libc::SYS_clone3).then_some(Errno::EAGAIN)
}

fn threads_and_rename_flags(call: &Call) -> Option<Errno> {
    threads(call).or_else(|| rename_flags(call))
}

fn locks(call: &Call) -> Option<Errno> {
    (call.group() == Group::Lock).then_some(Errno::ENOLCK)
}

const KINDS: &[Scenario] = &[
    scenario("create", Before::Nothing, Save::Whole(saves::write)),
    scenario("overwrite", Before::File, Save::Whole(saves::write)),
    scenario("overwrite a shared file", Before::Shared, Save::Whole(saves::write)),
    scenario("overwrite through a symlink", Before::Symlink, Save::Whole(saves::write)),
    long(scenario("overwrite by 200 kB", Before::File, Save::Whole(saves::write))),
    scenario("CreateNew", Before::Nothing, Save::Whole(saves::create_new)),
    scenario("Existing", Before::File, Save::Whole(saves::existing)),
    lacking(
        scenario(
            "CreateNew without flags of renames",
            Before::Nothing,
            Save::Whole(saves::create_new),
        ),
        rename_flags,
    ),
    lacking(
        scenario("Existing without flags of renames", Before::File, Save::Whole(saves::existing)),
        rename_flags,
    ),
    scenario("create unnamed", Before::Nothing, Save::Whole(saves::unnamed)),
    scenario("overwrite unnamed", Before::File, Save::Whole(saves::unnamed)),
    lacking(
        scenario("unnamed without unnamed files", Before::File, Save::Whole(saves::unnamed)),
        unnamed_files,
    ),
    lacking(scenario("overwrite without locks", Before::File, Save::Whole(saves::write)), locks),
    scenario("overwrite streamed", Before::File, Save::Whole(saves::streamed)),
    scenario("overwrite streamed unnamed", Before::File, Save::Whole(saves::streamed_unnamed)),
    scenario("create by update under the lock", Before::Nothing, Save::Whole(saves::update)),
    scenario("update under the lock", Before::File, Save::Whole(saves::update)),
    scenario("overwrite under the lock", Before::File, Save::Whole(saves::locked)),
    scenario("create with two parents", Before::NoParents, Save::Whole(saves::with_parents)),
    scenario("create with a reservation", Before::Nothing, Save::Whole(saves::reserved)),
    scenario("skip_unchanged, changed", Before::File, Save::Whole(saves::unless_unchanged)),
    scenario("skip_unchanged, unchanged", Before::Same, Save::Whole(saves::unless_unchanged)),
    scenario("overwrite with the fewest syncs", Before::File, Save::Whole(saves::fewest_syncs)),
    many("batch of three", Before::Three, Save::Batch(saves::batch)),
    many("batch of three, fewest syncs", Before::Three, Save::Batch(saves::batch_fewest)),
    scenario("expected version", Before::File, Save::Whole(saves::expected)),
    lacking(
        scenario("expected version without flags", Before::File, Save::Whole(saves::expected)),
        rename_flags,
    ),
    scenario("all metadata required", Before::File, Save::Whole(saves::all_required)),
    scenario("durability required", Before::File, Save::Whole(saves::durability_required)),
    backup("backup", Before::File, backups::SUFFIX, backups::suffix),
    backup("backup over an earlier one", Before::Backups, backups::SUFFIX, backups::suffix),
    lacking(
        backup("backup without flags", Before::Backups, backups::REPLACED, backups::suffix),
        rename_flags,
    ),
    backup("backup of the expected", Before::Backups, backups::SUFFIX, backups::expected),
    backup("backup elsewhere", Before::Backups, backups::ELSEWHERE, backups::elsewhere),
    backup("backup with a number", Before::Backups, backups::NUMBERED, backups::numbered),
    lacking(backup("backup by a copy", Before::File, backups::SUFFIX, backups::suffix), links),
    lacking(
        backup("backup by a copy, over another", Before::Backups, backups::SUFFIX, backups::suffix),
        links,
    ),
    lacking(
        backup("backup by a copy, numbered", Before::Backups, backups::NUMBERED, backups::numbered),
        links,
    ),
    COMMIT,
    tree("tree, created", Before::NoTree, Start::Empty, |it| it),
    tree("tree, replaced", Before::Tree, Start::Empty, |it| it),
    tree("tree, edited", Before::Tree, Start::Copy, |it| it),
    tree("tree, edited by hard links", Before::Tree, Start::Copy, |it| {
        it.copying(Copying::HardLinks)
    }),
    tree("tree, replaced under the lock", Before::Tree, Start::Empty, |it| it.lock(Lock::Try)),
    tree("tree, CreateNew", Before::NoTree, Start::Empty, |it| it.publish(Publish::CreateNew)),
    lacking(
        tree("tree, CreateNew without flags of renames", Before::NoTree, Start::Empty, |it| {
            it.publish(Publish::CreateNew)
        }),
        threads_and_rename_flags,
    ),
    tree("tree, Existing", Before::Tree, Start::Empty, |it| it.publish(Publish::Existing)),
    tree("link, created", Before::NoTree, Start::Empty, |it| it.swap(Swap::Link)),
    tree("link, switched", Before::Link, Start::Empty, |it| it.swap(Swap::Link)),
    tree("link, edited", Before::Link, Start::Copy, |it| it.swap(Swap::Link)),
    lacking(
        tree("link, CreateNew without flags of renames", Before::NoTree, Start::Empty, |it| {
            it.swap(Swap::Link).publish(Publish::CreateNew)
        }),
        threads_and_rename_flags,
    ),
];

const COMMIT: Scenario =
    many("twenty with a journal", Before::Twenty, Save::Batch(journals::commit));

/// What has no durability of its own.
const OTHERS: &[Scenario] = &[
    recovery("recovery, the journal was there", Death::Declared),
    recovery("recovery, half was published", Death::Halfway),
    recovery("recovery, all was published", Death::Published),
    recovery("recovery, the journal was still there", Death::Removed),
    scenario("scratch directory", Before::Scratch, Save::Scratch),
];

/// Every kind of save in every durability.
pub(crate) fn all() -> Vec<Scenario> {
    let durabilities = [Durability::Full, Durability::Ordered, Durability::None];
    let with =
        |scenario: &Scenario| durabilities.map(|it| Scenario { durability: it, ..*scenario });
    KINDS.iter().flat_map(with).chain(OTHERS.iter().copied()).collect()
}

/// The writers that are broken on purpose, each with part of the sentence that must catch it.
pub(crate) fn broken() -> Vec<(Scenario, &'static str)> {
    let scenario = |it: &Broken| {
        let scenario = scenario(it.name, it.before, Save::Broken(it.save));
        (Scenario { death: it.death, kept: it.kept, ..scenario }, it.caught)
    };
    BROKEN.iter().map(scenario).collect()
}

impl Scenario {
    pub(crate) fn new_contents(&self) -> Vec<u8> {
        contents('n', self.len)
    }

    pub(crate) fn new_contents_of(&self, target: &Path) -> Vec<u8> {
        match self.has_journal() {
            true => journals::contents_of(target, 'n'),
            false => self.new_contents(),
        }
    }

    pub(crate) fn has_journal(&self) -> bool {
        self.before == Before::Twenty
    }

    /// What is tried where time is short: of many calls that are alike, few of their errors do.
    pub(crate) fn short_extent(&self) -> Extent {
        let is_large = self.has_journal() || self.before.is_tree();
        match (is_large, self.durability) {
            (false, _) => Extent::Short,
            (true, Durability::Full) => Extent::Sparse(1),
            (true, _) => Extent::Sparse(3),
        }
    }

    /// What its new tree starts from.
    pub(crate) fn start(&self) -> Start {
        if let Save::Tree(start, _) = self.save { start } else { Start::Empty }
    }

    /// The options of the next tree.
    pub(crate) fn set_of_tree(&self) -> Set {
        if let Save::Tree(_, set) = self.save { set } else { |it| it }
    }

    /// For a recovery: the commit that dies.
    pub(crate) fn commit(&self) -> Option<(Scenario, Death)> {
        self.death.map(|death| (COMMIT, death))
    }

    pub(crate) fn label(&self) -> String {
        match self.save {
            Save::Broken(_) | Save::Scratch => self.name.to_owned(),
            _ if self.death.is_some() => self.name.to_owned(),
            _ => format!("{}, {:?}", self.name, self.durability),
        }
    }

    /// The program that runs this scenario, and no other, in `dir/place`.
    pub(crate) fn command(&self, dir: &Path) -> Result<Command> {
        let mut command = Command::new(env::current_exe()?);
        command.env(SCENARIO, self.label()).env(DIR, dir);
        Ok(command)
    }

    /// Runs it if this process was started to do so.
    pub(crate) fn run_if_asked() -> Option<Result<()>> {
        let (label, dir) = (env::var(SCENARIO).ok()?, env::var_os(DIR)?);
        let scenario = all()
            .into_iter()
            .chain(broken().into_iter().map(|it| it.0))
            .find(|it| it.label() == label);
        Some(scenario.context("no such scenario").and_then(|it| it.run(Path::new(&dir))))
    }

    fn run(&self, dir: &Path) -> Result<()> {
        nix::unistd::alarm::set(TIME_LIMIT);
        let new = self.new_contents();
        // Once elsewhere: what a thread does for the first time only is not to be counted.
        let warm = tempfile::Builder::new().prefix("warm").tempdir_in(dir)?;
        prepare(warm.path(), self.before, &new)?;
        self.save(&warm.path().join(self.before.path()), &new);
        let path = dir.join("place").join(self.before.path());
        tracer::begin()?;
        let report = self.save(&path, &new);
        tracer::stop()?;
        place::open_up(warm.path())?;
        Ok(serde_json::to_writer(io::stdout(), &report)?)
    }

    fn save(&self, path: &Path, new: &[u8]) -> Report {
        let mut builder = AtomicWriter::builder();
        let builder = builder.durability(self.durability);
        match self.save {
            Save::Whole(save) => save(builder, path, new).into(),
            Save::Batch(save) => save(builder, path, new),
            Save::Tree(start, set) => trees::publish(self.durability, (start, set), path, new),
            Save::Scratch => trees::scratch(path, new),
            Save::Broken(save) => {
                let targets = self.before.targets().iter();
                let targets: Vec<_> = targets.map(|target| path.with_file_name(target)).collect();
                broken::report(&targets, save(path, new))
            }
        }
    }
}
