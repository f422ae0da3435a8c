//! A loop device on the disk, and what is mounted from it.
//!
//! The process that serves the disk must not hold one: it could be waiting for itself, and if it
//! were killed then it would never end.

use std::ffi::CString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::fs::{Advice, CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::file_system::{FileSystem, Mounting};

/// Everything is mounted below here, on a tmpfs that only this run can see.
pub(crate) const ROOT: &str = "/mnt";
/// Where each child mounts its disk, in a mount namespace of its own: a journal has the paths of
/// its files, so they must be the same for whoever looks.
pub(crate) const MOUNT_POINT: &str = "/mnt/here";
/// A mount is busy for as long as something that was just closed is not quite gone.
const MAX_UNMOUNTS: usize = 500;

pub(crate) struct Device {
    pub(crate) path: PathBuf,
    open: File,
}

impl Device {
    /// Attaches a loop device to `disk`. It goes when the last process that has it open does,
    /// however that one ends.
    pub(crate) fn attach(disk: &Path) -> Result<Device> {
        let output = losetup(&["--find", "--show"], disk)?;
        let path = PathBuf::from(output.trim());
        let open = fs_err::File::open(&path)?.into_parts().0;
        // udevd looks at no device that somebody has locked (systemd, BLOCK_DEVICE_LOCKING): what
        // it reads would be counted, and what it has open stays attached.
        flock(&open, FlockOperation::LockExclusive)?;
        // LOOP_CLR_FD of a device that somebody has open lets it go at the last close (loop(4),
        // LO_FLAGS_AUTOCLEAR).
        losetup(&["--detach"], &path)?;
        Ok(Device { path, open })
    }

    /// Forgets what the kernel has cached of the device, since the disk is now another.
    pub(crate) fn forget(&self) -> Result<()> {
        Ok(rustix::fs::fadvise(&self.open, 0, None, Advice::DontNeed)?)
    }

    /// How often something was read from it (Documentation/block/stat.rst in the kernel's source).
    pub(crate) fn reads(&self) -> Result<u64> {
        let name = self.path.file_name().context("a device without a name")?;
        let statistics = Path::new("/sys/block").join(name).join("stat");
        let statistics = fs_err::read_to_string(statistics)?;
        let reads = statistics.split_whitespace().next().context("empty statistics")?;
        Ok(reads.parse()?)
    }

    /// Mounts the device at `at`, which recovers the file system.
    pub(crate) fn mount<'a>(&self, file_system: &FileSystem, at: &'a Path) -> Result<Mount<'a>> {
        let options = CString::new(file_system.options)?;
        let flags = MountFlags::NOATIME;
        let turn = match file_system.mounting {
            Mounting::Together => None,
            Mounting::OneByOne => Some(take_turn()?),
        };
        rustix::mount::mount(&self.path, at, file_system.kind, flags, &*options)
            .with_context(|| format!("failed to mount {}", file_system.name))?;
        drop(turn);
        let mount = Mount { at };
        let mounted = source_of(at)?;
        ensure!(mounted == self.path, "{} was mounted instead", mounted.display());
        Ok(mount)
    }
}

/// Waits until nobody else in this run mounts.
fn take_turn() -> Result<File> {
    let path = Path::new(ROOT).join("lock");
    let lock = File::from(openat(CWD, path, OFlags::CREATE | OFlags::RDWR, Mode::RUSR)?);
    flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}

/// The device that is mounted at `at`, as /proc/self/mountinfo has it (proc_pid_mountinfo(5)).
fn source_of(at: &Path) -> Result<PathBuf> {
    let at = at.to_str().context("a mount point with an odd name")?;
    let mounts = fs_err::read_to_string("/proc/self/mountinfo")?;
    let line = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some(at));
    let source = line.and_then(|line| line.split_once(" - ")?.1.split(' ').nth(1));
    Ok(source.context("what was mounted is not among the mounts")?.into())
}

fn losetup(arguments: &[&str], file: &Path) -> Result<String> {
    let output = Command::new("losetup").args(arguments).arg(file).output();
    let output = output.context("failed to run losetup")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "losetup {arguments:?}: {}", said.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// Dropped, it is unmounted.
#[must_use = "dropped, it is unmounted"]
pub(crate) struct Mount<'a> {
    at: &'a Path,
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        for _ in 0..MAX_UNMOUNTS {
            match rustix::mount::unmount(self.at, UnmountFlags::empty()) {
                Err(Errno::BUSY) => thread::sleep(Duration::from_millis(2)),
                result => return result.expect("what was mounted can be unmounted"),
            }
        }
        panic!("{} stays busy", self.at.display());
    }
}
