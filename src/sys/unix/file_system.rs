//! What is known of a file system about syncs. In any doubt, nothing.
//!
//! ext4 and XFS keep one journal for all metadata. What was written out before a transaction is
//! committed is on the device before the transaction is, since a commit begins by flushing the
//! device's cache (jbd2 writes its commit record with `REQ_PREFLUSH`, XFS flushes before it writes
//! the commit record of a checkpoint). So a sync of the directory that a file was renamed in makes
//! the file's contents durable with its name. That holds only where journal and contents are on the
//! same device, so not with an external journal or log nor for XFS's realtime files; and not where
//! commits are made in another way: fast commits, or commits without waiting for the flush.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{AtFlags, StatxFlags, fstatfs, major, makedev, minor, statx};
use rustix::ioctl::{Getter, Opcode, ioctl, opcode};

use super::{Access, Directory};
use crate::sys::FileSystem;

/// A mount, by a number that is never given again where the kernel has such a thing (Linux 6.8),
/// and its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    id: u64,
    device: u64,
}

pub(crate) fn mount_of(directory: &Directory) -> io::Result<Mount> {
    // linux/stat.h; without it the kernel leaves `stx_mnt_id` at 0 or gives one that may recur.
    const STATX_MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let wanted = StatxFlags::MNT_ID | STATX_MNT_ID_UNIQUE;
    let stat = statx(directory.fd(), "", AtFlags::EMPTY_PATH, wanted)?;
    if stat.stx_mask & wanted.bits() == 0 {
        // Older than Linux 5.8, and perhaps than 5.2: before that, sync_file_range(2) could pass
        // over what was being written already.
        return Err(io::ErrorKind::Unsupported.into());
    }
    let device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
    Ok(Mount { id: stat.stx_mnt_id, device })
}

// linux/magic.h
const EXT_SUPER_MAGIC: u64 = 0xef53;
const XFS_SUPER_MAGIC: u64 = 0x5846_5342;

pub(crate) fn file_system_of(directory: &Directory) -> io::Result<FileSystem> {
    if directory.access != Access::Read {
        return Ok(FileSystem::Unknown); // it cannot be synced at all
    }
    #[allow(clippy::unnecessary_cast, reason = "the type differs between architectures")]
    let magic = fstatfs(directory.fd())?.f_type as u64;
    match magic {
        EXT_SUPER_MAGIC => ext(directory),
        XFS_SUPER_MAGIC if xfs_is_on_one_device(directory)? => Ok(FileSystem::Journalled),
        _ => Ok(FileSystem::Unknown),
    }
}

/// The drivers of ext2, ext3 and ext4 share the magic number. Only that of ext4 is known.
fn ext(directory: &Directory) -> io::Result<FileSystem> {
    let stat = rustix::fs::fstat(directory.fd())?;
    let link = format!("/sys/dev/block/{}:{}", major(stat.st_dev), minor(stat.st_dev));
    let Ok(device) = fs::read_link(link) else { return Ok(FileSystem::Unknown) };
    let Some(device) = device.file_name() else { return Ok(FileSystem::Unknown) };
    let of_ext4 = Path::new("/proc/fs/ext4").join(device);
    let Ok(options) = fs::read_to_string(of_ext4.join("options")) else {
        return Ok(FileSystem::Unknown);
    };
    // The journal in inode 8 of the file system itself.
    let mut journal = device.to_owned();
    journal.push("-8");
    let is_internal = Path::new("/proc/fs/jbd2").join(journal).is_dir();
    let fast_commits = fs::read_to_string(of_ext4.join("fc_info"));
    let is_known = is_internal && has_no_fast_commits(fast_commits);
    Ok(if is_known { with_options(&options) } else { FileSystem::Unknown })
}

/// What is known with these options in effect, one on each line.
fn with_options(options: &str) -> FileSystem {
    let has = |wanted: &[&str]| options.lines().any(|option| wanted.contains(&option.trim()));
    // A debug build's name for fast commits, and others that they may get.
    let has_fast_commits = options
        .lines()
        .any(|option| option.contains("fc_debug_force") || option.contains("fast_commit"));
    if !has(&["barrier"]) || has(&["journal_async_commit"]) || has_fast_commits {
        return FileSystem::Unknown;
    }
    // What a file of data=writeback frees may be allocated again before the transaction is
    // committed (fs/ext4/mballoc.c: `ext4_mb_clear_bb`, once `ext4_free_blocks`).
    match (has(&["data=ordered"]), has(&["data=writeback"])) {
        (true, false) => FileSystem::Journalled,
        (false, true) => FileSystem::JournalledNames,
        _ => FileSystem::Unknown,
    }
}

/// Only a debug build lists the option, but every sync adds to the counts if fast commits are on.
fn has_no_fast_commits(info: io::Result<String>) -> bool {
    match info {
        Ok(info) => {
            let is_zero = |what: &str| info.lines().any(|line| line.trim() == what);
            is_zero("0 commits") && is_zero("0 ineligible")
        }
        // Older than fast commits.
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// `struct xfs_fsop_geom_v1` of xfs_fs.h.
#[repr(C)]
#[allow(dead_code, reason = "the kernel fills in all of it")]
struct XfsGeometry {
    sizes: [u32; 8],
    data_blocks: u64,
    realtime_blocks: u64,
    realtime_extents: u64,
    /// 0 if the log is on another device.
    log_start: u64,
    uuid: [u8; 16],
    rest: [u32; 7],
}

#[allow(unsafe_code, reason = "rustix has no ioctl of XFS")]
fn xfs_is_on_one_device(directory: &Directory) -> io::Result<bool> {
    // XFS_IOC_FSGEOMETRY_V1, which is _IOR('X', 100, struct xfs_fsop_geom_v1).
    const GEOMETRY: Opcode = opcode::read::<XfsGeometry>(b'X', 100);
    // SAFETY: the request is one that fills in exactly that struct, whose size is part of it.
    let getter = unsafe { Getter::<GEOMETRY, XfsGeometry>::new() };
    // SAFETY: as above, and any bytes are such a struct.
    let geometry = unsafe { ioctl(directory.fd(), getter) }?;
    Ok(geometry.realtime_blocks == 0 && geometry.log_start != 0)
}

/// With fewer of them the call does not wait for what is being written (sync_file_range(2)).
const WRITE_AND_WAIT: libc::c_uint = libc::SYNC_FILE_RANGE_WAIT_BEFORE
    | libc::SYNC_FILE_RANGE_WRITE
    | libc::SYNC_FILE_RANGE_WAIT_AFTER;

#[allow(unsafe_code, reason = "rustix has no sync_file_range")]
pub(crate) fn write_out(file: &File) -> io::Result<()> {
    // SAFETY: the call takes a descriptor, which is open for as long as `file` is borrowed, and
    // numbers; it touches no memory of this process.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, WRITE_AND_WAIT) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERED: &str = "rw\nbsddf\njournal_checksum\nbarrier\ncommit=5\ndata=ordered\n";

    #[track_caller]
    fn check(options: &str, expected: FileSystem) {
        assert_eq!(with_options(options), expected, "{options}");
    }

    #[test]
    fn only_known_options_are_trusted() {
        check(ORDERED, FileSystem::Journalled);
        check(&ORDERED.replace("ordered", "writeback"), FileSystem::JournalledNames);
        check(&ORDERED.replace("ordered", "journal"), FileSystem::Unknown);
        check(&ORDERED.replace("data=ordered\n", ""), FileSystem::Unknown);
        check(&ORDERED.replace("barrier", "nobarrier"), FileSystem::Unknown);
        check(&format!("{ORDERED}journal_async_commit\n"), FileSystem::Unknown);
        check(&format!("{ORDERED}fc_debug_force\n"), FileSystem::Unknown);
        check(&format!("{ORDERED}fast_commit\n"), FileSystem::Unknown);
        check("", FileSystem::Unknown);
    }

    #[test]
    fn fast_commits_show_in_their_counts() {
        let info = |text: &str| Ok(format!("fc stats:\n{text}\n0 numblks\n"));
        assert!(has_no_fast_commits(info("0 commits\n0 ineligible")));
        assert!(!has_no_fast_commits(info("10 commits\n0 ineligible")));
        assert!(!has_no_fast_commits(info("0 commits\n1 ineligible")));
        assert!(!has_no_fast_commits(Ok(String::new())));
        assert!(has_no_fast_commits(Err(io::ErrorKind::NotFound.into())));
        assert!(!has_no_fast_commits(Err(io::ErrorKind::PermissionDenied.into())));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sync_file_range(2)")]
    fn what_is_written_out_is_waited_for() {
        assert_eq!(WRITE_AND_WAIT, 0b111); // linux/fs.h
        let null = File::open("/dev/null").expect("a device");
        let error = write_out(&null).expect_err("it has nothing to be written out");
        assert_eq!(error.kind(), io::ErrorKind::NotSeekable);
    }

    #[test]
    fn the_size_of_the_geometry_is_that_of_the_kernel() {
        assert_eq!(std::mem::size_of::<XfsGeometry>(), 112);
    }
}
