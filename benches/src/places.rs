//! Where is measured: tmpfs, the machine's own disk, and file systems on loop devices, whose flush
//! requests the kernel counts.
//!
//! The images of the loop devices are files on the machine's own disk, written in full beforehand
//! and read and written past its page cache. So a flush of the loop device is an fsync of a file
//! that has neither dirty pages nor blocks to allocate: it costs what a flush of the disk costs.
//! Where only counts are of interest, the images are in memory.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use crate::contenders::bare;

const MIB: u64 = 1 << 20;
/// Room for three times 100,000 files, and as many staged.
const IMAGE_LEN: u64 = 3 << 30;
/// The number of flush requests that the device has completed, in /sys/block/*/stat
/// (Documentation/block/stat.rst).
const FLUSHES: usize = 15;

pub(crate) const TMPFS: &str = "tmpfs";
pub(crate) const DISK: &str = "own disk";
pub(crate) const EXT4: &str = "ext4";
pub(crate) const XFS: &str = "xfs";
pub(crate) const BTRFS: &str = "btrfs";
pub(crate) const LOOPS: [&str; 3] = [EXT4, XFS, BTRFS];
pub(crate) const ALL: [&str; 5] = [TMPFS, DISK, EXT4, XFS, BTRFS];

/// Where the images of loop devices are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Images {
    /// In files on the machine's own disk, so that a flush costs what it costs.
    OnDisk,
    /// In a tmpfs.
    InMemory,
}

/// A folder on a file system, for the benchmark alone.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) folder: PathBuf,
    /// Where the kernel counts what the device did.
    statistics: Option<PathBuf>,
    _mount: Option<Mount>,
}

impl Place {
    /// A folder on the disk that `scratch` is on.
    pub(crate) fn disk(scratch: &Path) -> Result<Place> {
        let folder = scratch.join("disk");
        fs::create_dir_all(&folder)?;
        Ok(Place { name: DISK, folder, statistics: None, _mount: None })
    }

    pub(crate) fn tmpfs(scratch: &Path) -> Result<Place> {
        let folder = scratch.join(TMPFS);
        let mount = Mount::make(&["-t", TMPFS, "-o", "size=8g", TMPFS], &folder, None)?;
        Ok(Place { name: TMPFS, folder, statistics: None, _mount: Some(mount) })
    }

    /// A new file system of the kind `name` on a loop device.
    pub(crate) fn on_loop(name: &'static str, scratch: &Path, images: Images) -> Result<Place> {
        let device = Loop::make(&scratch.join(format!("{name}.image")), images)?;
        // Discarding what the image has would punch holes into it.
        let (make, options): (&[&str], &str) = match name {
            EXT4 => (&["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0"], "nodiscard"),
            XFS => (&["mkfs.xfs", "-q", "-f", "-K"], "nodiscard"),
            _ => (&["mkfs.btrfs", "-q", "-f", "-K"], "nodiscard"),
        };
        let (program, arguments) = make.split_first().context("no program")?;
        run(Command::new(program).args(arguments).args(inodes(name, images)).arg(&device.path))?;
        let folder = scratch.join(name);
        let path = device.path.clone();
        let disk = Path::new(&path).file_name().context("no device")?;
        let statistics = Some(Path::new("/sys/block").join(disk).join("stat"));
        let mount = Mount::make(&["-o", options, &path], &folder, Some(device))?;
        Ok(Place { name, folder, statistics, _mount: Some(mount) })
    }

    /// The flush requests that the device has completed so far, where the kernel counts them.
    pub(crate) fn flushes(&self) -> Result<Option<u64>> {
        let Some(statistics) = &self.statistics else { return Ok(None) };
        let text = fs::read_to_string(statistics)?;
        let field = text.split_whitespace().nth(FLUSHES).context("no flushes are counted")?;
        Ok(Some(field.parse()?))
    }

    /// Waits until nothing of what was done before is left to be written.
    pub(crate) fn settle(&self) -> Result<()> {
        Ok(bare::sync_all_of(&self.folder)?)
    }
}

/// Room for as many files as the largest case has. In memory only small ones are counted, and the
/// tables take memory too.
fn inodes(name: &str, images: Images) -> &'static [&'static str] {
    match images {
        Images::OnDisk if name == EXT4 => &["-N", "1200000"],
        Images::InMemory if name == EXT4 => &["-N", "20000"],
        _ => &[],
    }
}

/// A loop device. Dropped, it is detached and its image removed.
#[derive(Debug)]
struct Loop {
    path: String,
    image: PathBuf,
}

impl Loop {
    fn make(image: &Path, images: Images) -> Result<Loop> {
        detach(image);
        let mut file = fs::File::create(image)?;
        let mut options = vec!["--find", "--show"];
        match images {
            Images::InMemory => file.set_len(IMAGE_LEN)?,
            Images::OnDisk => {
                let zeros = vec![0; MIB as usize];
                (0..IMAGE_LEN / MIB).try_for_each(|_| file.write_all(&zeros))?;
                file.sync_all()?;
                options.push("--direct-io=on");
            }
        }
        let path = run(Command::new("losetup").args(options).arg(image))?.trim().to_owned();
        Ok(Loop { path, image: image.to_owned() })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = run(Command::new("losetup").arg("--detach").arg(&self.path));
        let _ = fs::remove_file(&self.image);
    }
}

/// Detaches what a run that was killed has left attached to the image.
fn detach(image: &Path) {
    let list = ["--noheadings", "--output", "NAME", "-j"];
    let devices = run(Command::new("losetup").args(list).arg(image)).unwrap_or_default();
    for device in devices.lines() {
        let _ = run(Command::new("losetup").args(["--detach", device.trim()]));
    }
}

/// A mounted file system. Dropped, it is unmounted.
#[derive(Debug)]
struct Mount {
    folder: PathBuf,
    /// Detached after it is unmounted.
    _device: Option<Loop>,
}

impl Mount {
    fn make(arguments: &[&str], folder: &Path, device: Option<Loop>) -> Result<Mount> {
        fs::create_dir_all(folder)?;
        // What a run that was killed has left there.
        let _ = run(Command::new("umount").arg(folder));
        run(Command::new("mount").args(arguments).arg(folder))?;
        Ok(Mount { folder: folder.to_owned(), _device: device })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg(&self.folder));
    }
}

/// Runs it, and gives what it prints.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("failed to run {command:?}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", stderr.trim());
    Ok(String::from_utf8(output.stdout)?)
}
