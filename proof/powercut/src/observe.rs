//! What is on the disk, once its file system has recovered and the program has restarted.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use wholefile::Durability;

use crate::scenario::{File, History, Kind, Scenario, VERSION, XATTR};

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
pub(crate) fn observe(
    scenario: &Scenario,
    durability: Durability,
    root: &Path,
) -> Result<Observation> {
    let work = root.join(WORK);
    (scenario.restart)(&work, durability)?;
    let histories = scenario.histories();
    let files = histories.iter().map(|(path, history)| look(&work.join(path), history)).collect();
    let mut strangers = Vec::new();
    find_strangers(&work, "", &histories, &mut strangers)?;
    Ok(Observation { files, strangers, trouble: None })
}

fn look(path: &Path, history: &History) -> Seen {
    let kind = history.values().flatten().map(|file| file.kind).next();
    match contents_of(path, kind.unwrap_or(Kind::Directory)) {
        Ok(contents) => recognize(path, &contents, history),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Absent,
        Err(error) => Seen::Torn(error.to_string()),
    }
}

/// What tells its version. A link to a tree is as good as the tree.
fn contents_of(path: &Path, kind: Kind) -> io::Result<Vec<u8>> {
    match kind {
        Kind::File(_) => fs::read(path),
        Kind::Symlink => Ok(fs::read_link(path)?.into_os_string().into_vec()),
        Kind::Directory => match xattr_of(path, VERSION)? {
            Some(version) => Ok(version),
            None => Ok(Vec::new()),
        },
    }
}

fn xattr_of(path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = [0; 256];
    match rustix::fs::getxattr(path, name, &mut buffer) {
        Ok(len) => Ok(Some(buffer[..len].to_vec())),
        Err(rustix::io::Errno::NODATA) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn recognize(path: &Path, contents: &[u8], history: &History) -> Seen {
    let len = contents.len();
    let mut versions =
        history.iter().filter_map(|(version, file)| Some((*version, file.as_ref()?)));
    let claimed = versions.find(|(version, file)| {
        let heading = file.heading(*version);
        contents.starts_with(heading.as_bytes())
    });
    let Some((version, file)) = claimed else {
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
    let found = match file.kind {
        Kind::File(_) | Kind::Symlink => fs::symlink_metadata(path)?,
        Kind::Directory => fs::metadata(path)?,
    };
    let mode = found.mode() & 0o7777;
    ensure!(mode == file.mode, "mode {mode:o} instead of {:o}", file.mode);
    let owner = (found.uid(), found.gid());
    ensure!(owner == (file.owner, file.group), "owner {owner:?}");
    if file.kind == Kind::Symlink {
        return Ok(()); // which has no xattrs of a user
    }
    let value = xattr_of(path, XATTR)?;
    ensure!(value.as_deref() == file.xattr.map(str::as_bytes), "xattr {value:?}");
    Ok(())
}

/// Collects what is below `folder` and is neither known nor on the way to something known.
fn find_strangers(
    folder: &Path,
    prefix: &str,
    known: &BTreeMap<String, History>,
    strangers: &mut Vec<String>,
) -> Result<()> {
    let path_of = |entry: &fs::DirEntry| format!("{prefix}{}", entry.file_name().to_string_lossy());
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    // A link that is known brings along what it leads to.
    let linked: Vec<PathBuf> = entries
        .iter()
        .filter(|entry| known.contains_key(&path_of(entry)))
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .collect();
    for entry in &entries {
        let path = path_of(entry);
        let inside = format!("{path}/");
        let is_directory = || fs::metadata(entry.path()).is_ok_and(|it| it.is_dir());
        let leads_on = known.keys().any(|known| known.starts_with(&inside));
        if leads_on || (known.contains_key(&path) && is_directory()) {
            find_strangers(&entry.path(), &inside, known, strangers)?;
        } else if !known.contains_key(&path) && !linked.contains(&entry.file_name().into()) {
            strangers.push(path);
        }
    }
    Ok(())
}
