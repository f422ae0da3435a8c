//! The saves that are killed and failed at each of their calls.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fs_err as fs;
use nix::errno::Errno;
use nix::libc;
use wholefile::{
    AtomicBatch, AtomicWriter, Builder, Commit, Durability, Error, ErrorKind, Lock, Metadata,
    Preserve, Publish, Staging, SyncPlan, Version,
};

use crate::broken::{self, BROKEN, Broken};
use crate::calls::{Call, Group};
use crate::place::{Before, contents, prepare};
use crate::report::Report;
use crate::tracer::{self, Lacking};

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
    save: Save,
}

#[derive(Clone, Copy)]
pub(crate) enum Save {
    /// By the crate.
    Whole(fn(&mut Builder, &Path, &[u8]) -> wholefile::Result<Commit>),
    /// By a batch of the crate's.
    Batch(fn(&mut Builder, &Path, &[u8]) -> Report),
    /// By a writer that is broken on purpose.
    Broken(fn(&Path, &[u8]) -> io::Result<()>),
}

const SHORT: usize = 1600;
/// More than fits into the buffer.
const LONG: usize = 200_000;

const fn scenario(name: &'static str, before: Before, save: Save) -> Scenario {
    Scenario { name, before, durability: Durability::Full, len: SHORT, lacking: nothing, save }
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

fn unnamed_files(call: &Call) -> Option<Errno> {
    (call.group() == Group::CreateUnnamed).then_some(Errno::EOPNOTSUPP)
}

/// A batch syncs its files on several threads, and on one where it gets no others. On one, its
/// calls have an order.
fn threads(call: &Call) -> Option<Errno> {
    matches!(call.number, libc::SYS_clone | libc::SYS_clone3).then_some(Errno::EAGAIN)
}

fn locks(call: &Call) -> Option<Errno> {
    (call.group() == Group::Lock).then_some(Errno::ENOLCK)
}

const KINDS: &[Scenario] = &[
    scenario("create", Before::Nothing, Save::Whole(write)),
    scenario("overwrite", Before::File, Save::Whole(write)),
    scenario("overwrite a shared file", Before::Shared, Save::Whole(write)),
    scenario("overwrite through a symlink", Before::Symlink, Save::Whole(write)),
    long(scenario("overwrite by 200 kB", Before::File, Save::Whole(write))),
    scenario("CreateNew", Before::Nothing, Save::Whole(create_new)),
    scenario("Existing", Before::File, Save::Whole(existing)),
    lacking(
        scenario("CreateNew without flags of renames", Before::Nothing, Save::Whole(create_new)),
        rename_flags,
    ),
    lacking(
        scenario("Existing without flags of renames", Before::File, Save::Whole(existing)),
        rename_flags,
    ),
    scenario("create unnamed", Before::Nothing, Save::Whole(unnamed)),
    scenario("overwrite unnamed", Before::File, Save::Whole(unnamed)),
    lacking(
        scenario("unnamed without unnamed files", Before::File, Save::Whole(unnamed)),
        unnamed_files,
    ),
    lacking(scenario("overwrite without locks", Before::File, Save::Whole(write)), locks),
    scenario("overwrite streamed", Before::File, Save::Whole(streamed)),
    scenario("overwrite streamed unnamed", Before::File, Save::Whole(streamed_unnamed)),
    scenario("create by update under the lock", Before::Nothing, Save::Whole(update)),
    scenario("update under the lock", Before::File, Save::Whole(update)),
    scenario("overwrite under the lock", Before::File, Save::Whole(locked)),
    scenario("create with two parents", Before::NoParents, Save::Whole(with_parents)),
    scenario("create with a reservation", Before::Nothing, Save::Whole(reserved)),
    scenario("skip_unchanged, changed", Before::File, Save::Whole(unless_unchanged)),
    scenario("skip_unchanged, unchanged", Before::Same, Save::Whole(unless_unchanged)),
    scenario("overwrite with the fewest syncs", Before::File, Save::Whole(fewest_syncs)),
    lacking(scenario("batch of three", Before::Three, Save::Batch(batch)), threads),
    lacking(
        scenario("batch of three, fewest syncs", Before::Three, Save::Batch(batch_fewest)),
        threads,
    ),
    scenario("expected version", Before::File, Save::Whole(expected)),
    lacking(
        scenario("expected version without flags", Before::File, Save::Whole(expected)),
        rename_flags,
    ),
    scenario("all metadata required", Before::File, Save::Whole(all_required)),
    scenario("durability required", Before::File, Save::Whole(durability_required)),
];

fn write(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.write(path, new)
}

fn create_new(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.publish(Publish::CreateNew).write(path, new)
}

fn existing(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.publish(Publish::Existing).write(path, new)
}

fn unnamed(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.staging(Staging::Unnamed).write(path, new)
}

fn streamed(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    let mut writer = builder.buffer_size(64).open(path)?;
    let mut pieces = new.chunks(new.len().div_ceil(3));
    let Err(first) = pieces.try_for_each(|piece| writer.write_all(piece)) else {
        return writer.commit();
    };
    // Whoever goes on regardless must not publish what is incomplete. The first error tells what
    // was wrong, and the second what stayed behind.
    match (writer.commit(), first.downcast::<Error>()) {
        (Err(refused), Ok(first))
            if refused.kind() == ErrorKind::Poisoned && refused.leftover().is_none() =>
        {
            Err(first)
        }
        (result, _) => result,
    }
}

fn streamed_unnamed(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    streamed(builder.staging(Staging::Unnamed), path, new)
}

fn update(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.update(path, |_| Ok(new.to_vec()))
}

fn locked(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.lock(Lock::Timeout(Duration::from_millis(5))).write(path, new)
}

fn with_parents(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.create_parents(true).write(path, new)
}

fn reserved(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.reserve(1 << 20).write(path, new)
}

fn unless_unchanged(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.skip_unchanged(true).write(path, new)
}

fn fewest_syncs(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.sync_plan(SyncPlan::Fewest).write(path, new)
}

fn expected(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    let version = Version::of(path)?;
    builder.expect(&version).write(path, new)
}

fn batch(builder: &mut Builder, path: &Path, new: &[u8]) -> Report {
    let mut batch = AtomicBatch::new();
    batch.options(builder);
    let mut targets = Before::Three.targets().iter();
    match targets.try_for_each(|target| batch.write(path.with_file_name(target), new)) {
        Ok(()) => batch.commit().into(),
        Err(error) => Report::of_rollback(error, batch.rollback()),
    }
}

fn batch_fewest(builder: &mut Builder, path: &Path, new: &[u8]) -> Report {
    batch(builder.sync_plan(SyncPlan::Fewest), path, new)
}

fn all_required(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    for metadata in [Metadata::Owner, Metadata::Mode, Metadata::Xattrs] {
        builder.preserve(metadata, Preserve::Require);
    }
    builder.write(path, new)
}

fn durability_required(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    builder.require_durability(true).write(path, new)
}

/// Every kind of save in every durability.
pub(crate) fn all() -> Vec<Scenario> {
    let durabilities = [Durability::Full, Durability::Ordered, Durability::None];
    let with =
        |scenario: &Scenario| durabilities.map(|it| Scenario { durability: it, ..*scenario });
    KINDS.iter().flat_map(with).collect()
}

/// The writers that are broken on purpose, each with part of the sentence that must catch it.
pub(crate) fn broken() -> Vec<(Scenario, &'static str)> {
    let scenario = |it: &Broken| (scenario(it.name, it.before, Save::Broken(it.save)), it.caught);
    BROKEN.iter().map(scenario).collect()
}

impl Scenario {
    pub(crate) fn new_contents(&self) -> Vec<u8> {
        contents('n', self.len)
    }

    pub(crate) fn label(&self) -> String {
        match self.save {
            Save::Whole(_) | Save::Batch(_) => format!("{}, {:?}", self.name, self.durability),
            Save::Broken(_) => self.name.to_owned(),
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
        let warm = dir.join("warm");
        fs::create_dir(&warm)?;
        prepare(&warm, self.before, &new)?;
        self.save(&warm.join(self.before.path()), &new);
        let path = dir.join("place").join(self.before.path());
        tracer::begin()?;
        let report = self.save(&path, &new);
        tracer::stop()?;
        Ok(serde_json::to_writer(io::stdout(), &report)?)
    }

    fn save(&self, path: &Path, new: &[u8]) -> Report {
        match self.save {
            Save::Whole(save) => {
                let mut builder = AtomicWriter::builder();
                save(builder.durability(self.durability), path, new).into()
            }
            Save::Batch(save) => {
                let mut builder = AtomicWriter::builder();
                save(builder.durability(self.durability), path, new)
            }
            Save::Broken(save) => broken::report(path, save(path, new)),
        }
    }
}
