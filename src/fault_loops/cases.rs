//! The option combinations that change the protocol, each with the file system that it meets.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::backups::Kept;
use crate::fault::Op;
use crate::{
    AtomicWriter, Builder, Commit, Durability, Error, ErrorKind, Lock, Metadata, Preserve, Publish,
    Result, SpecialFiles, Staging, SyncPlan, TargetState, Tracking, Version,
};

pub(super) const OLD: &[u8] = b"old contents";
pub(super) const NEW: &[u8] = b"new contents, longer than the old";

/// What is at the target before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    /// A file with an owner, an ACL and an xattr of its own, as far as the caller may set them.
    File,
    /// A plain file in a directory that gives an ACL to new files.
    DefaultAcl,
    /// A file with metadata of its own and with the new contents.
    Same,
    /// A symlink to such a file, through another directory.
    Symlink,
    /// A symlink to a device.
    Device,
    /// A directory that is missing on the way.
    NoParents,
}

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) before: Before,
    /// Operations that the file system does not have or denies.
    pub(super) lacking: &'static [Op],
    /// Operations that give the answer that no file system here would.
    pub(super) pretending: &'static [Op],
    /// Whether the thread has made such a save already.
    pub(super) is_known: bool,
    /// The backup that is to be made.
    pub(super) kept: Option<Kept>,
    pub(super) save: fn(&Path) -> Result<Commit>,
}

pub(super) const fn case(
    name: &'static str,
    before: Before,
    save: fn(&Path) -> Result<Commit>,
) -> Case {
    Case { name, before, lacking: &[], pretending: &[], is_known: false, kept: None, save }
}

impl Case {
    pub(super) const fn lacking(mut self, lacking: &'static [Op]) -> Case {
        self.lacking = lacking;
        self
    }

    pub(super) const fn pretending(mut self, pretending: &'static [Op]) -> Case {
        self.pretending = pretending;
        self
    }

    const fn known(mut self) -> Case {
        self.is_known = true;
        self
    }

    pub(super) const fn keeping(mut self, kept: Kept) -> Case {
        self.kept = Some(kept);
        self
    }
}

fn builder(durability: Durability) -> Builder {
    AtomicWriter::builder().durability(durability).clone()
}

pub(super) fn full() -> Builder {
    builder(Durability::Full)
}

fn plain(path: &Path) -> Result<Commit> {
    full().write(path, NEW)
}

fn ordered(path: &Path) -> Result<Commit> {
    builder(Durability::Ordered).write(path, NEW)
}

fn no_durability(path: &Path) -> Result<Commit> {
    builder(Durability::None).write(path, NEW)
}

fn required(path: &Path) -> Result<Commit> {
    full().require_durability(true).write(path, NEW)
}

fn fewest(path: &Path) -> Result<Commit> {
    full().sync_plan(SyncPlan::Fewest).write(path, NEW)
}

fn fewest_ordered(path: &Path) -> Result<Commit> {
    builder(Durability::Ordered).sync_plan(SyncPlan::Fewest).write(path, NEW)
}

fn fewest_unnamed(path: &Path) -> Result<Commit> {
    full().sync_plan(SyncPlan::Fewest).staging(Staging::Unnamed).write(path, NEW)
}

fn create_new(path: &Path) -> Result<Commit> {
    full().publish(Publish::CreateNew).write(path, NEW)
}

fn existing(path: &Path) -> Result<Commit> {
    full().publish(Publish::Existing).write(path, NEW)
}

fn unnamed(path: &Path) -> Result<Commit> {
    full().staging(Staging::Unnamed).write(path, NEW)
}

fn parents(path: &Path) -> Result<Commit> {
    full().create_parents(true).write(path, NEW)
}

fn reserved(path: &Path) -> Result<Commit> {
    full().reserve(1 << 20).write(path, NEW)
}

fn skip_unchanged(path: &Path) -> Result<Commit> {
    full().skip_unchanged(true).write(path, NEW)
}

fn skip_unchanged_required(path: &Path) -> Result<Commit> {
    full().skip_unchanged(true).require_durability(true).write(path, NEW)
}

fn skip_unchanged_streamed(path: &Path) -> Result<Commit> {
    stream(full().buffer_size(4).skip_unchanged(true), path)
}

fn times(path: &Path) -> Result<Commit> {
    full().preserve(Metadata::Times, Preserve::Try).write(path, NEW)
}

fn all_required(path: &Path) -> Result<Commit> {
    let mut builder = full();
    for metadata in [Metadata::Owner, Metadata::Mode, Metadata::Xattrs, Metadata::Times] {
        builder.preserve(metadata, Preserve::Require);
    }
    builder.write(path, NEW)
}

fn write_through(path: &Path) -> Result<Commit> {
    full().special_files(SpecialFiles::WriteThrough).write(path, NEW)
}

fn write_through_without_durability(path: &Path) -> Result<Commit> {
    builder(Durability::None).special_files(SpecialFiles::WriteThrough).write(path, NEW)
}

fn write_through_spooled(path: &Path) -> Result<Commit> {
    stream(full().special_files(SpecialFiles::WriteThrough).buffer_size(4), path)
}

fn update(path: &Path) -> Result<Commit> {
    full().update(path, |old| {
        assert!(old.is_none_or(|old| [OLD, NEW].contains(&&*old)));
        Ok(NEW.to_vec())
    })
}

fn update_by_much(path: &Path) -> Result<Commit> {
    full().buffer_size(4).update(path, |_| Ok(NEW.to_vec()))
}

fn update_required(path: &Path) -> Result<Commit> {
    full().require_durability(true).update(path, |_| Ok(NEW.to_vec()))
}

fn expected(path: &Path) -> Result<Commit> {
    full().expect(&Version::of(path)?).write(path, NEW)
}

fn expected_in_contents(path: &Path) -> Result<Commit> {
    let version = Version::with_contents_of(path)?;
    full().expect(&version).tracking(Tracking::Contents).write(path, NEW)
}

fn expected_unchanged(path: &Path) -> Result<Commit> {
    let version = Version::with_contents_of(path)?;
    full().expect(&version).tracking(Tracking::Contents).skip_unchanged(true).write(path, NEW)
}

fn expected_and_locked(path: &Path) -> Result<Commit> {
    full().expect(&Version::of(path)?).lock(Lock::Wait).write(path, NEW)
}

fn expected_streamed(path: &Path) -> Result<Commit> {
    let version = Version::of(path)?;
    stream(full().expect(&version).buffer_size(4).staging(Staging::Unnamed), path)
}

fn locked(path: &Path) -> Result<Commit> {
    full().lock(Lock::Timeout(std::time::Duration::from_secs(60))).write(path, NEW)
}

fn streamed(path: &Path) -> Result<Commit> {
    stream(full().buffer_size(4), path)
}

fn streamed_unnamed(path: &Path) -> Result<Commit> {
    stream(full().buffer_size(4).staging(Staging::Unnamed), path)
}

/// Writes [`NEW`] in pieces, with every other call that a writer has in between.
fn stream(builder: &mut Builder, path: &Path) -> Result<Commit> {
    let mut writer = builder.open(path)?;
    match pieces(&mut writer) {
        Ok(()) => writer.commit(),
        Err(error) => {
            // Whoever goes on regardless cannot publish what is incomplete.
            let poisoned = writer.commit().expect_err("a poisoned writer does not commit");
            assert_eq!(poisoned.kind(), ErrorKind::Poisoned);
            assert_eq!(poisoned.target_state(), TargetState::Untouched);
            Err(error.downcast::<Error>().expect("the writer's errors are the crate's"))
        }
    }
}

fn pieces(writer: &mut AtomicWriter) -> std::io::Result<()> {
    let (head, tail) = NEW.split_at(NEW.len() - 2);
    for piece in head.chunks(3) {
        writer.write_all(piece)?;
    }
    writer.seek(SeekFrom::Start(0))?;
    let mut read = Vec::new();
    writer.read_to_end(&mut read)?;
    assert_eq!(read, head);
    writer.set_len(NEW.len() as u64 - 3)?;
    writer.seek(SeekFrom::End(0))?;
    writer.write_all(&head[head.len() - 1..])?;
    writer.write_all(tail)?;
    writer.flush()
}

/// As on a file system that needs no more syncs than these.
pub(super) const FEWEST: &[Op] = &[Op::Identify];

pub(super) const CASES: &[Case] = &[
    case("create", Before::Nothing, plain),
    case("replace", Before::File, plain),
    case("create ordered", Before::Nothing, ordered),
    case("replace ordered", Before::File, ordered),
    case("create without durability", Before::Nothing, no_durability),
    case("replace without durability", Before::File, no_durability),
    case("replace with required durability", Before::File, required),
    case("replace with required durability on a file system that cannot", Before::File, required)
        .lacking(&[Op::SyncDirectory]),
    case("replace where directories cannot be synced", Before::File, plain)
        .lacking(&[Op::SyncDirectory]),
    case("replace without locks", Before::File, plain).lacking(&[Op::Lock]),
    case("replace without xattrs", Before::File, plain).lacking(&[
        Op::ListXattrs,
        Op::SetXattr,
        Op::RemoveXattr,
    ]),
    case("replace without the right to give files away", Before::File, plain)
        .lacking(&[Op::SetOwner]),
    case("replace with the times", Before::File, times),
    case("replace with all metadata required", Before::File, all_required),
    case("replace with the fewest syncs", Before::File, fewest).pretending(FEWEST).known(),
    case("replace with the fewest syncs, the first time", Before::File, fewest).pretending(FEWEST),
    case("replace with the fewest syncs where that is no use", Before::File, fewest).known(),
    case("replace with the fewest syncs, ordered", Before::File, fewest_ordered)
        .pretending(FEWEST)
        .known(),
    case("create unnamed with the fewest syncs", Before::Nothing, fewest_unnamed)
        .pretending(FEWEST)
        .known(),
    case("replace through a symlink", Before::Symlink, plain),
    case("replace where new files get an ACL", Before::DefaultAcl, plain),
    case("create with parents", Before::NoParents, parents),
    case("create new", Before::Nothing, create_new),
    case("create new without rename flags", Before::Nothing, create_new)
        .lacking(&[Op::RenameNoReplace]),
    case("replace existing", Before::File, existing),
    case("replace existing without rename flags", Before::File, existing).lacking(&[Op::Exchange]),
    case("create unnamed", Before::Nothing, unnamed),
    case("replace unnamed", Before::File, unnamed),
    case("replace unnamed where there is no such thing", Before::File, unnamed)
        .lacking(&[Op::CreateUnnamed]),
    case("create with a reservation", Before::Nothing, reserved),
    case("changed contents", Before::File, skip_unchanged),
    case("unchanged contents", Before::Same, skip_unchanged),
    case("unchanged contents, streamed", Before::Same, skip_unchanged_streamed),
    case("unchanged contents, durability required", Before::Same, skip_unchanged_required),
    case("create by an update", Before::Nothing, update),
    case("update", Before::File, update),
    case("update that changes nothing", Before::Same, update),
    case("update that changes nothing, durability required", Before::Same, update_required),
    case("update by more than the buffer takes", Before::File, update_by_much),
    case("update through a symlink", Before::Symlink, update),
    case("replace under the lock", Before::File, locked),
    case("replace under the lock without locks", Before::File, locked).lacking(&[Op::Lock]),
    case("create where nothing is expected", Before::Nothing, expected),
    case("create where nothing is expected, without rename flags", Before::Nothing, expected)
        .lacking(&[Op::RenameNoReplace]),
    case(
        "create where nothing is expected, in no other way than by a rename",
        Before::Nothing,
        expected,
    )
    .lacking(&[Op::RenameNoReplace, Op::Link]),
    case("replace the expected", Before::File, expected),
    case("replace the expected without rename flags", Before::File, expected)
        .lacking(&[Op::Exchange]),
    case("replace the expected without locks", Before::File, expected).lacking(&[Op::Lock]),
    case("replace the expected with neither", Before::File, expected)
        .lacking(&[Op::Exchange, Op::Lock]),
    case("replace the expected contents", Before::File, expected_in_contents),
    case("replace the expected contents without rename flags", Before::File, expected_in_contents)
        .lacking(&[Op::Exchange]),
    case("replace the expected under the lock", Before::Symlink, expected_and_locked),
    case("replace the expected, streamed", Before::File, expected_streamed),
    case("expected and unchanged", Before::Same, expected_unchanged),
    case("create streamed", Before::Nothing, streamed),
    case("replace streamed", Before::File, streamed),
    case("replace streamed and unnamed", Before::File, streamed_unnamed),
    case("replace where the temp file cannot be removed", Before::File, plain)
        .lacking(&[Op::RemoveTemp]),
    case("write through", Before::Device, write_through),
    case("write through without durability", Before::Device, write_through_without_durability),
    case("write through, spooled", Before::Device, write_through_spooled),
];
