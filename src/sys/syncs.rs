//! Syncs, and what is known of a file system about them, each behind its fault point.

use std::fs::File;
use std::io;

use super::{Directory, arm, run};
use crate::fault::{self, Op};
use crate::options::Durability;

pub(crate) use arm::Mount;

/// What a file system is known to do about syncs beyond what every one must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// Nothing.
    Unknown,
    /// One journal, on the same device, keeps in order what was written out, the metadata and the
    /// names: nothing later survives a power cut without what came before.
    Journalled,
    /// The same, but the blocks of a replaced file may get other contents before the journal has
    /// the new name: the order is kept for what ends with a sync, and for nothing else.
    #[allow(dead_code, reason = "known of ext4 alone")]
    JournalledNames,
}

impl FileSystem {
    /// Whether what was written out keeps this durability without a sync of its own.
    pub(crate) fn keeps_order(self, durability: Durability) -> bool {
        match self {
            FileSystem::Unknown => false,
            FileSystem::Journalled => true,
            FileSystem::JournalledNames => durability == Durability::Full,
        }
    }
}

/// Waits until the contents and the metadata of the file are on its device (`Full`), or until
/// nothing that comes later can overtake them (`Ordered`). Gives how far that is proven: less than
/// was asked where the system has only a weaker sync for this file.
pub(crate) fn sync_file(file: &File, durability: Durability) -> io::Result<Durability> {
    run(Op::SyncFile, || arm::sync_file(file, durability))
}

/// Waits until the names in the directory are on its device. Where the system cannot prove that
/// they are, the error is one of [`lacks_directory_sync`](super::lacks_directory_sync).
pub(crate) fn sync_directory(directory: &Directory) -> io::Result<()> {
    run(Op::SyncDirectory, || arm::sync_directory(directory))
}

/// Whether [`sync_directory`] is worth a try: not where the directory is held without the right to
/// read it.
pub(crate) fn can_be_synced(directory: &Directory) -> bool {
    arm::can_be_synced(directory)
}

/// Writes the contents of the file to its device and waits until the device has taken them, which
/// may have them in its cache only. Proves something only where [`FileSystem::keeps_order`].
pub(crate) fn write_out(file: &File) -> io::Result<()> {
    run(Op::WriteOut, || arm::write_out(file))
}

/// The mount that the directory is in, for as long as it is one.
pub(crate) fn mount_of(directory: &Directory) -> io::Result<Mount> {
    run(Op::Identify, || arm::mount_of(directory))
}

/// What is known of the file system that the directory is on. To be asked after something on it was
/// synced: before that, not every way of its own to do so shows.
pub(crate) fn file_system_of(directory: &Directory) -> io::Result<FileSystem> {
    match fault::pretends(Op::Identify) {
        true => run(Op::Identify, || Ok(FileSystem::Journalled)),
        false => run(Op::Identify, || arm::file_system_of(directory)),
    }
}
