//! What is on the disk, once its file system has recovered and the program has restarted.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, ensure};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::scenario::{File, History, Scenario, XATTR};

/// The folder that the scenario has for itself, on the mounted disk.
pub(crate) const WORK: &str = "work";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Seen {
    Absent,
    Whole {
        version: u32,
        /// What is wrong with its metadata.
        wrong: Option<String>,
    },
    /// It is none of its versions.
    Torn(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Observation {
    /// One for each of `Scenario::histories`, in its order. Empty if there was trouble.
    pub(crate) files: Vec<Seen>,
    /// What is there and should not be.
    pub(crate) strangers: Vec<String>,
    /// It could not be mounted, or the program could not restart.
    pub(crate) trouble: Option<String>,
}

impl Observation {
    pub(crate) fn trouble(error: &anyhow::Error) -> Observation {
        let trouble = Some(format!("{error:#}"));
        Observation { files: Vec::new(), strangers: Vec::new(), trouble }
    }
}

/// Restarts the program on the file system that is mounted at `root`, and looks.
pub(crate) fn observe(scenario: &Scenario, root: &Path) -> Result<Observation> {
    let work = root.join(WORK);
    (scenario.restart)(&work)?;
    let histories = scenario.histories();
    let files = histories.iter().map(|(path, history)| look(&work.join(path), history)).collect();
    let mut strangers = Vec::new();
    let expected: Vec<&String> = histories.keys().collect();
    find_strangers(&work, "", &expected, &mut strangers)?;
    Ok(Observation { files, strangers, trouble: None })
}

fn look(path: &Path, history: &History) -> Seen {
    match fs::read(path) {
        Ok(contents) => recognize(path, &contents, history),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Absent,
        Err(error) => Seen::Torn(error.to_string()),
    }
}

fn recognize(path: &Path, contents: &[u8], history: &History) -> Seen {
    let len = contents.len();
    let claimed = history.iter().find(|(version, file)| {
        let heading = file.heading(**version);
        contents.starts_with(heading.as_bytes())
    });
    let Some((&version, file)) = claimed else {
        return Seen::Torn(format!("{len} bytes that begin like no version"));
    };
    let expected = file.contents(version);
    if contents == expected {
        let wrong = check_metadata(path, file).err().map(|error| format!("{error:#}"));
        return Seen::Whole { version, wrong };
    }
    let good = contents.iter().zip(&expected).take_while(|(one, two)| one == two).count();
    let zeroes = contents[good..].iter().take_while(|byte| **byte == 0).count();
    let whole = expected.len();
    Seen::Torn(format!(
        "{len} bytes: {good} of the {whole} of version {version}, then {zeroes} zeroes"
    ))
}

fn check_metadata(path: &Path, file: &File) -> Result<()> {
    let found = fs::symlink_metadata(path)?;
    let mode = found.mode() & 0o7777;
    ensure!(mode == file.mode, "mode {mode:o} instead of {:o}", file.mode);
    let owner = (found.uid(), found.gid());
    ensure!(owner == (file.owner, file.group), "owner {owner:?}");
    let mut buffer = [0; 64];
    let value = match rustix::fs::getxattr(path, XATTR, &mut buffer) {
        Ok(len) => Some(&buffer[..len]),
        Err(rustix::io::Errno::NODATA) => None,
        Err(error) => return Err(error.into()),
    };
    ensure!(value == file.xattr.map(str::as_bytes), "xattr {value:?}");
    Ok(())
}

/// Collects what is below `folder` and is neither expected nor on the way to something expected.
fn find_strangers(
    folder: &Path,
    prefix: &str,
    expected: &[&String],
    strangers: &mut Vec<String>,
) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let inside = format!("{path}/");
        if expected.iter().any(|expected| expected.starts_with(&inside)) {
            find_strangers(&entry.path(), &inside, expected, strangers)?;
        } else if !expected.iter().any(|expected| **expected == path) {
            strangers.push(path);
        }
    }
    Ok(())
}
