//! The file systems, and how each is made and mounted.

use std::ops::Range;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use wholefile::{Durability, SyncPlan};

#[derive(Debug)]
pub(crate) struct FileSystem {
    pub(crate) name: &'static str,
    /// As mount(2) and mkfs call it.
    pub(crate) kind: &'static str,
    /// For mkfs.
    features: &'static [&'static str],
    pub(crate) options: &'static str,
    size: u64,
    /// Where its superblock is, which it mounts by, and which has one checksum: it asks the disk to
    /// write that whole or not at all, while all else may be torn at every sector.
    pub(crate) superblock: Range<u64>,
    recovery: Recovery,
    pub(crate) mounting: Mounting,
    /// The weakest durability that it lets a writer keep, if any.
    pub(crate) weakest: Option<Durability>,
    /// The plan that wholefile must use where the fewest syncs are asked for.
    pub(crate) fewest: SyncPlan,
}

/// How it becomes consistent after a power cut.
#[derive(Clone, Copy, Debug)]
enum Recovery {
    /// By itself, when it is mounted.
    Mount,
    /// By the guesses of this program.
    Repair(&'static [&'static str]),
}

/// Whether two images of one file system may be mounted at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mounting {
    Together,
    /// btrfs knows a file system by its UUID, and all images of a run have the same: it gives one
    /// that comes second another UUID (`temp_fsid`), but not if it finds the two while it mounts
    /// either.
    OneByOne,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// With the block size of large disks, which mkfs.ext4 does not choose for a small one.
const EXT4: FileSystem = FileSystem {
    name: "ext4",
    kind: "ext4",
    features: &["-b", "4096"],
    options: "",
    size: 64 * MIB,
    superblock: 1024..2048,
    recovery: Recovery::Mount,
    mounting: Mounting::Together,
    weakest: Some(Durability::Ordered),
    fewest: SyncPlan::Fewest,
};

const XFS: FileSystem = FileSystem {
    name: "xfs",
    kind: "xfs",
    features: &[],
    // Many images of one file system are mounted at once.
    options: "nouuid",
    size: 320 * MIB,
    superblock: 0..512,
    ..EXT4
};

const BTRFS: FileSystem = FileSystem {
    name: "btrfs",
    kind: "btrfs",
    features: &[],
    size: 160 * MIB,
    superblock: 64 * KIB..68 * KIB,
    mounting: Mounting::OneByOne,
    fewest: SyncPlan::Portable,
    ..EXT4
};

pub(crate) static FILE_SYSTEMS: &[FileSystem] = &[
    EXT4,
    // It gives the blocks of a file that was replaced to the next one at once (mballoc.c,
    // `ext4_free_blocks`): until the journal has the new name, the old one may get other contents.
    FileSystem {
        name: "ext4-writeback",
        options: "data=writeback",
        weakest: Some(Durability::Full),
        ..EXT4
    },
    FileSystem { name: "ext4-1k", features: &["-b", "1024"], ..EXT4 },
    FileSystem { name: "ext4-nodioread_nolock", options: "nodioread_nolock", ..EXT4 },
    // Without the flush of the old file's replacement that hides a missing sync.
    FileSystem { name: "ext4-noauto_da_alloc", options: "noauto_da_alloc", ..EXT4 },
    FileSystem {
        name: "ext4-no-journal",
        features: &["-b", "4096", "-O", "^has_journal"],
        recovery: Recovery::Repair(&["e2fsck", "-y", "-f"]),
        weakest: None,
        fewest: SyncPlan::Portable,
        ..EXT4
    },
    XFS,
    BTRFS,
];

impl FileSystem {
    pub(crate) fn named(name: &str) -> Option<&'static FileSystem> {
        FILE_SYSTEMS.iter().find(|file_system| file_system.name == name)
    }

    /// The size of the disk for a scenario that keeps so many bytes on it.
    pub(crate) fn size(&self, needed: u64) -> u64 {
        self.size.max((4 * needed).next_multiple_of(MIB))
    }

    /// Makes the file system on `device`.
    pub(crate) fn make(&self, device: &Path) -> Result<()> {
        let mkfs = format!("mkfs.{}", self.kind);
        // Nothing is left to a kernel thread that would write for as long as it is mounted.
        let always: &[&str] = match self.kind {
            "ext4" => &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
            _ => &["-q", "-f"],
        };
        run(&[&[&*mkfs], always, self.features].concat(), device, &[0])
    }

    /// Does what must be done before it is mounted after a power cut.
    pub(crate) fn repair(&self, device: &Path) -> Result<()> {
        match self.recovery {
            Recovery::Mount => Ok(()),
            // e2fsck(8): 1 and 2 are errors that were corrected.
            Recovery::Repair(command) => run(command, device, &[0, 1, 2]),
        }
    }
}

fn run(command: &[&str], device: &Path, good: &[i32]) -> Result<()> {
    let (program, arguments) = command.split_first().expect("a command has a name");
    let output = Command::new(program).args(arguments).arg(device).output();
    let output = output.map_err(|error| anyhow::anyhow!("failed to run {program}: {error}"))?;
    if !output.status.code().is_some_and(|code| good.contains(&code)) {
        let said = [output.stdout, output.stderr].concat();
        bail!("{program}: {}: {}", output.status, String::from_utf8_lossy(&said).trim());
    }
    Ok(())
}
