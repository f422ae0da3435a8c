//! The file systems, and how each is made and mounted.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use wholefile::{Durability, SyncPlan};

use crate::image::{BLOCK, SECTOR};

#[derive(Debug)]
pub(crate) struct FileSystem {
    pub(crate) name: &'static str,
    /// As mount(2) calls it.
    pub(crate) kind: &'static str,
    make: &'static [&'static str],
    pub(crate) options: &'static str,
    size: u64,
    /// The bytes that a disk writes whole or not at all. btrfs keeps its superblock in 4096 bytes
    /// under one checksum and mounts by that alone, so it asks for no less.
    pub(crate) atom: u64,
    recovery: Recovery,
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

const MIB: u64 = 1 << 20;
const LAZY: &str = "lazy_itable_init=0,lazy_journal_init=0";

/// With the block size of large disks, which mkfs.ext4 does not choose for a small one. Nothing is
/// left to a kernel thread that would write for as long as it is mounted.
const EXT4: FileSystem = FileSystem {
    name: "ext4",
    kind: "ext4",
    make: &["mkfs.ext4", "-q", "-F", "-b", "4096", "-E", LAZY],
    options: "",
    size: 64 * MIB,
    atom: SECTOR as u64,
    recovery: Recovery::Mount,
    weakest: Some(Durability::Ordered),
    fewest: SyncPlan::Fewest,
};

const XFS: FileSystem = FileSystem {
    name: "xfs",
    kind: "xfs",
    make: &["mkfs.xfs", "-q", "-f"],
    // Many images of one file system are mounted at once.
    options: "nouuid",
    size: 320 * MIB,
    atom: SECTOR as u64,
    recovery: Recovery::Mount,
    weakest: Some(Durability::Ordered),
    fewest: SyncPlan::Fewest,
};

const BTRFS: FileSystem = FileSystem {
    name: "btrfs",
    kind: "btrfs",
    make: &["mkfs.btrfs", "-q", "-f"],
    options: "",
    size: 160 * MIB,
    atom: BLOCK as u64,
    recovery: Recovery::Mount,
    weakest: Some(Durability::Ordered),
    fewest: SyncPlan::Portable,
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
    FileSystem {
        name: "ext4-1k",
        make: &["mkfs.ext4", "-q", "-F", "-b", "1024", "-E", LAZY],
        ..EXT4
    },
    FileSystem { name: "ext4-nodioread_nolock", options: "nodioread_nolock", ..EXT4 },
    // Without the flush of the old file's replacement that hides a missing sync.
    FileSystem { name: "ext4-noauto_da_alloc", options: "noauto_da_alloc", ..EXT4 },
    FileSystem {
        name: "ext4-no-journal",
        make: &["mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^has_journal", "-E", LAZY],
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
        run(self.make, device, &[0])
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
