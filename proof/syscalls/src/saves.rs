//! The saves of files, and of a few files together.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use wholefile::{
    AtomicBatch, Builder, Commit, Error, ErrorKind, Lock, Metadata, Preserve, Publish, Staging,
    SyncPlan, Version,
};

use crate::place::Before;
use crate::report::Report;

pub(crate) fn write(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.write(path, new)
}

pub(crate) fn create_new(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    builder.publish(Publish::CreateNew).write(path, new)
}

pub(crate) fn existing(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    builder.publish(Publish::Existing).write(path, new)
}

pub(crate) fn unnamed(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.staging(Staging::Unnamed).write(path, new)
}

pub(crate) fn streamed(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
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

pub(crate) fn streamed_unnamed(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    streamed(builder.staging(Staging::Unnamed), path, new)
}

pub(crate) fn update(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.update(path, |_| Ok(new.to_vec()))
}

pub(crate) fn locked(builder: &mut Builder, path: &Path, new: &[u8]) -> wholefile::Result<Commit> {
    builder.lock(Lock::Timeout(Duration::from_millis(5))).write(path, new)
}

pub(crate) fn with_parents(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    builder.create_parents(true).write(path, new)
}

pub(crate) fn reserved(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    builder.reserve(1 << 20).write(path, new)
}

pub(crate) fn unless_unchanged(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    builder.skip_unchanged(true).write(path, new)
}

pub(crate) fn fewest_syncs(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    builder.sync_plan(SyncPlan::Fewest).write(path, new)
}

pub(crate) fn expected(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    let version = Version::of(path)?;
    builder.expect(&version).write(path, new)
}

pub(crate) fn batch(builder: &mut Builder, path: &Path, new: &[u8]) -> Report {
    let mut batch = AtomicBatch::new();
    batch.options(builder);
    let mut targets = Before::Three.targets().iter();
    match targets.try_for_each(|target| batch.write(path.with_file_name(target), new)) {
        Ok(()) => batch.commit().into(),
        Err(error) => Report::of_rollback(error, batch.rollback()),
    }
}

pub(crate) fn batch_fewest(builder: &mut Builder, path: &Path, new: &[u8]) -> Report {
    batch(builder.sync_plan(SyncPlan::Fewest), path, new)
}

pub(crate) fn all_required(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    for metadata in [Metadata::Owner, Metadata::Mode, Metadata::Xattrs] {
        builder.preserve(metadata, Preserve::Require);
    }
    builder.write(path, new)
}

pub(crate) fn durability_required(
    builder: &mut Builder,
    path: &Path,
    new: &[u8],
) -> wholefile::Result<Commit> {
    builder.require_durability(true).write(path, new)
}
