//! What is tried: a scenario on a file system, with a durability and a sync plan.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use fs_err as fs;
use wholefile::{Durability, SyncPlan};

use crate::device::ROOT;
use crate::file_system::FileSystem;
use crate::plan::Wish;
use crate::scenario::Scenario;

#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) file_system: &'static FileSystem,
    pub(crate) scenario: &'static Scenario,
    pub(crate) durability: Durability,
    pub(crate) sync_plan: SyncPlan,
    pub(crate) wish: Wish,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let durability = format!("{:?}", self.durability).to_lowercase();
        let (file_system, scenario) = (self.file_system.name, self.scenario.name);
        write!(f, "{file_system:<21} {scenario:<17} {durability:<7} {:<8}", self.sync_plan)
    }
}

impl Case {
    /// Whether anything can be violated: else what is wrong is only counted.
    pub(crate) fn is_promised(&self) -> bool {
        self.file_system.weakest.is_some_and(|weakest| self.durability >= weakest)
    }

    pub(crate) fn disk_size(&self) -> u64 {
        self.file_system.size(self.scenario.bytes())
    }

    /// The path for a disk that is not there yet.
    pub(crate) fn disk(&self) -> Result<PathBuf> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(ROOT).join(number.to_string());
        fs::create_dir(&folder)?;
        Ok(folder.join("disk"))
    }

    /// This program again, to do `what` with `disk`, in a mount namespace of its own.
    pub(crate) fn child(&self, what: &str, disk: &Path) -> Result<Command> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]).arg(env::current_exe()?);
        command.args(["child", what]).arg(disk);
        command.args([self.file_system.name, self.scenario.name]);
        command.arg(format!("{:?}", self.durability).to_lowercase());
        command.arg(self.sync_plan.to_string());
        Ok(command)
    }
}
