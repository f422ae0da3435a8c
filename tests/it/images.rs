//! File systems of the test's own, on loop devices, for root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use fs_err as fs;
use tempfile::TempDir;

use crate::system::{is_root, output, run, skipped, status, unequipped};

/// A file system in an image, mounted. Dropped, it is unmounted.
pub(crate) struct Image {
    dir: TempDir,
    mounted: PathBuf,
    /// Devices that only this file system uses, beside its own.
    loops: Vec<String>,
}

/// How a file system is made and mounted; `JOURNAL` stands for a second device.
pub(crate) struct Recipe {
    pub(crate) make: &'static str,
    pub(crate) options: &'static str,
}

const JOURNAL: &str = "JOURNAL";

impl Image {
    /// `None`, and said so, where it cannot be made.
    pub(crate) fn new(test: &str, recipe: &Recipe) -> Option<Image> {
        if !is_root(test) {
            return None;
        }
        let program = recipe.make.split(' ').next().unwrap();
        if output(Command::new(program).arg("-V")).is_err() {
            unequipped(test, &format!("there is no {program}"));
            return None;
        }
        // Not in the directory of the tests, whose file system may know no holes.
        let dir = tempfile::tempdir().unwrap();
        let mounted = dir.path().join("mounted");
        fs::create_dir(&mounted).unwrap();
        let file = sparse(&dir, "image");
        let mut image = Image { dir, mounted, loops: Vec::new() };
        let mut journal = String::new();
        if recipe.make.contains(JOURNAL) {
            let file = sparse(&image.dir, "journal");
            journal = run("losetup", &["--find".as_ref(), "--show".as_ref(), file.as_os_str()]);
            image.loops.push(journal.trim().to_owned());
            if program == "mkfs.ext4" {
                run(program, &["-q", "-F", "-O", "journal_dev", "-b", "4096", journal.trim()]);
            }
        }
        let make = recipe.make.replace(JOURNAL, journal.trim());
        let mut arguments: Vec<&str> = make.split(' ').skip(1).collect();
        let mut options = recipe.options.replace(JOURNAL, journal.trim());
        // The kernel does nothing by itself that would be counted as somebody's flush.
        if program == "mkfs.ext4" {
            arguments.extend(["-E", "lazy_itable_init=0,lazy_journal_init=0"]);
            if !make.contains("^has_journal") {
                options += ",commit=3600";
            }
        }
        arguments.push(file.to_str().unwrap());
        run(program, &arguments);
        options += ",loop";
        let (file, mounted) = (file.as_os_str(), image.mounted.as_os_str());
        let mut mount = Command::new("mount");
        let output = output(mount.args(["-o", &options]).args([file, mounted])).unwrap();
        if !output.status.success() {
            skipped(test, &format!("{}: {}", make, String::from_utf8_lossy(&output.stderr)));
            return None;
        }
        Some(image)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.mounted
    }

    /// As many flushes as its device was asked for so far.
    pub(crate) fn flushes(&self) -> u64 {
        let device = run(
            "findmnt",
            &["-n".as_ref(), "-o".as_ref(), "SOURCE".as_ref(), self.mounted.as_os_str()],
        );
        let name = device.trim().trim_start_matches("/dev/");
        let stat = fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
        // The 16th number (Documentation/block/stat.rst).
        stat.split_whitespace().nth(15).unwrap().parse().unwrap()
    }
}

fn sparse(dir: &TempDir, name: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::File::create(&path).unwrap().set_len(400 << 20).unwrap();
    path
}

impl Drop for Image {
    fn drop(&mut self) {
        // It is busy for a moment when another test starts a program, whose process has all that is
        // open here until it becomes that program.
        for _ in 0..100 {
            match status(Command::new("umount").arg("-q").arg(&self.mounted)) {
                Ok(status) if !status.success() => thread::sleep(Duration::from_millis(20)),
                _ => break,
            }
        }
        for device in &self.loops {
            let _ = status(Command::new("losetup").args(["-d", device]));
        }
    }
}
