//! What is done in processes of their own: the writer, and those who look at what it left. The
//! server of the disk must not be the one who waits for it.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use wholefile::{AtomicWriter, Durability, SyncPlan};

use crate::device::{Device, MOUNT_POINT};
use crate::disk::Disk;
use crate::file_system::FileSystem;
use crate::observe::{self, Observation, WORK};
use crate::scenario::{File, Place, Scenario};

/// What both need to know.
pub(crate) struct Job {
    /// Where the disk is served, or the file with the image.
    pub(crate) disk: PathBuf,
    pub(crate) file_system: &'static FileSystem,
    pub(crate) scenario: &'static Scenario,
    pub(crate) durability: Durability,
    pub(crate) sync_plan: SyncPlan,
}

/// Somebody else who writes to the same file system and syncs nothing.
const NEIGHBOUR: &str = "neighbour";

/// Makes a file system, and runs the scenario on it while the disk records.
pub(crate) fn write(job: &Job) -> Result<()> {
    let Job { durability, sync_plan, .. } = *job;
    let root = Path::new(MOUNT_POINT);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let device = Device::attach(&Disk::file(&job.disk))?;
    job.file_system.make(&device.path)?;
    let _mount = device.mount(job.file_system, root)?;
    let folder = root.join(WORK);
    fs::create_dir(&folder)?;
    fs::create_dir(root.join(NEIGHBOUR))?;
    for file in (job.scenario.before)() {
        let path = folder.join(&file.path);
        fs::create_dir_all(path.parent().expect("it is in the folder"))?;
        file.make(&path, 0)?;
    }
    sync_all_of(root)?;

    let control = |message: &str| {
        let file = fs::OpenOptions::new().write(true).open(Disk::control(&job.disk));
        file?.write_all(message.as_bytes()).with_context(|| format!("control: {message}"))
    };
    let mut builder = AtomicWriter::builder();
    builder.durability(durability).sync_plan(sync_plan);
    let mut place = Place { folder: &folder, builder, durability, sync_plan: None };
    let weakest = job.file_system.weakest;
    let is_promised = weakest.is_some_and(|weakest| durability >= weakest);
    control("begin")?;
    for commit in 1..=job.scenario.commits {
        disturb(root, commit)?;
        (job.scenario.commit)(&place, commit, &(job.scenario.files)(commit))
            .with_context(|| format!("commit {commit}"))?;
        control(&format!("acknowledged {commit}"))?;
        // What a file system can do shows with the first sync; an unnamed file is synced twice.
        place.sync_plan = Some(match sync_plan {
            SyncPlan::Fewest if is_promised => job.file_system.fewest,
            _ => SyncPlan::Portable,
        });
        // What nobody synced is written out from time to time, as the kernel does by itself.
        if commit % 5 == 0 {
            sync_all_of(root)?;
        }
    }
    sync_all_of(root)?;
    control("end")
}

/// Now and then somebody else writes a file, so that there is more to write out than what the
/// commit itself has made dirty.
fn disturb(root: &Path, commit: u32) -> Result<()> {
    if commit % 3 == 0 {
        let file = File::plain(format!("{NEIGHBOUR}/{}", commit % 9), commit);
        fs::write(root.join(&file.path), file.contents(commit))?;
    }
    Ok(())
}

fn sync_all_of(root: &Path) -> Result<()> {
    Ok(rustix::fs::syncfs(fs::File::open(root)?.file())?)
}

/// Looks at the disk whenever a line comes from standard input, and answers with a line.
pub(crate) fn look(job: &Job) -> Result<()> {
    let device = Device::attach(&job.disk)?;
    let mut answers = io::stdout().lock();
    writeln!(answers, "ready")?;
    for line in io::stdin().lock().lines() {
        ensure!(line? == "look", "only `look` is understood");
        device.forget()?;
        let reads = device.reads()?;
        let observation =
            look_once(job, &device).unwrap_or_else(|error| Observation::trouble(&error));
        // Had the kernel still known the last image, it would have been looked at again.
        ensure!(device.reads()? > reads, "nothing was read from the disk");
        let answer = serde_json::to_string(&observation)?;
        match writeln!(answers, "{answer}") {
            // Whoever asked was killed.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            result => result?,
        }
    }
    Ok(())
}

fn look_once(job: &Job, device: &Device) -> Result<Observation> {
    job.file_system.repair(&device.path)?;
    let root = Path::new(MOUNT_POINT);
    let _mount = device.mount(job.file_system, root)?;
    observe::observe(job.scenario, job.durability, root)
}
