//! A directory of its own for each test.

use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use tempfile::TempDir;
use wholefile::{Sweep, Sweeper};

/// A directory that is removed when it goes out of scope.
pub(crate) struct Dir {
    root: PathBuf,
    _temp: Option<TempDir>,
}

impl Dir {
    /// An empty directory that every user may enter.
    pub(crate) fn new() -> Dir {
        let parent = match env::var_os("WHOLEFILE_TEST_DIR") {
            Some(parent) => PathBuf::from(parent),
            None => env::current_dir().unwrap(),
        };
        let temp = tempfile::Builder::new().prefix("it-").tempdir_in(parent).unwrap();
        let root = temp.path().to_path_buf();
        #[cfg(unix)]
        crate::system::chmod(&root, 0o755);
        Dir { root, _temp: Some(temp) }
    }

    /// The directory of the test that started this process.
    #[cfg(unix)]
    pub(crate) fn of_parent(root: PathBuf) -> Dir {
        Dir { root, _temp: None }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// Everything in it, at any depth, sorted. On FUSE, once the daemon has heard that files which
    /// were removed while they were open are closed now: until then they have hidden names.
    #[track_caller]
    pub(crate) fn names(&self) -> Vec<String> {
        wait_until("nothing hidden is left", || self.hidden().is_empty());
        self.names_now()
    }

    /// The names that libfuse gave to files that were removed while they were open.
    #[track_caller]
    pub(crate) fn hidden(&self) -> Vec<String> {
        let is_hidden = |name: &String| name.contains(".fuse_hidden");
        self.names_now().into_iter().filter(is_hidden).collect()
    }

    #[track_caller]
    fn names_now(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                match entry.file_type() {
                    Ok(file_type) if file_type.is_dir() => folders.push(entry.path()),
                    // Where a listing has no types (sshfs), a hidden file may have gone before the
                    // question.
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    file_type => drop(file_type.unwrap()),
                }
                let path = entry.path();
                let name = path.strip_prefix(&self.root).unwrap().to_string_lossy();
                names.push(name.replace('\\', "/"));
            }
        }
        names.sort();
        names
    }

    #[track_caller]
    pub(crate) fn assert_only(&self, names: &[&str]) {
        assert_eq!(self.names(), names);
    }

    /// The names of the temp files that have the default pattern.
    pub(crate) fn temps(&self) -> Vec<String> {
        let is_temp = |name: &String| {
            let name = name.rsplit('/').next().unwrap_or_default();
            name.starts_with(".wholefile-") && name.ends_with(".tmp")
        };
        self.names().into_iter().filter(is_temp).collect()
    }

    /// Makes a plain file and gives its path.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        path
    }

    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8(fs::read(self.path(name)).unwrap()).unwrap()
    }

    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn mode(&self, name: &str) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        fs::symlink_metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    /// Makes a directory with all that lead to it.
    pub(crate) fn make(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

/// Far more than anything takes; reached only by what hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sweeps as soon as nobody holds what there is. A test that starts a process at this moment has
/// the locks of this one in it too, until it becomes another program: also those of a sweep.
#[track_caller]
pub(crate) fn sweep_when_free(sweeper: &Sweeper, folder: &Path) -> Sweep {
    let mut last = sweeper.run(folder).unwrap();
    wait_until("nobody holds the locks", || {
        let is_free = last.alive().is_empty();
        if !is_free {
            last = sweeper.run(folder).unwrap();
        }
        is_free
    });
    last
}

/// Tells another thread to stop when it goes out of scope, so that a panic here does not leave that
/// one running and the test waiting for it.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
