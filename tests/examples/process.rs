//! Running an example, and looking at what it left.

use std::collections::BTreeMap;
use std::env::consts::EXE_SUFFIX;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Far more than any example needs; reached only by one that hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// The files of a directory with their contents, and its subdirectories with a `/` at the end.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// How an example ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// An example under way. A test that fails leaves none behind.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The directory in which cargo built this test; the examples are in `examples/` there.
pub(crate) fn build_directory() -> PathBuf {
    let this_test = std::env::current_exe().expect("this test has a path");
    this_test.ancestors().nth(2).expect("it is in deps/").to_owned()
}

#[track_caller]
pub(crate) fn program(example: &str) -> PathBuf {
    let path = build_directory().join("examples").join(format!("{example}{EXE_SUFFIX}"));
    assert!(path.exists(), "no {}: run `cargo build --examples` first", path.display());
    path
}

pub(crate) fn spawn(program: &Path, arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env_remove("RUST_BACKTRACE");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    // Bounded by the deadline.
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for the end, without giving the example any more input and without closing its stdin.
#[track_caller]
pub(crate) fn wait(mut running: Running) -> Ended {
    let child = &mut running.0;
    let mut status = None;
    wait_until("the example ends", || {
        status = child.try_wait().expect("it can be waited for");
        status.is_some()
    });
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).expect("stdout is text");
    child.stderr.take().unwrap().read_to_string(&mut stderr).expect("stderr is text");
    Ended { code: status.and_then(|status| status.code()), stdout, stderr }
}

/// Starts it; on a busy machine Wine fails to now and then.
fn start(command: &mut Command) -> io::Result<Child> {
    const ERROR_INTERNAL_ERROR: i32 = 1359;
    for _ in 0..8 {
        match command.spawn() {
            Err(error) if cfg!(windows) && error.raw_os_error() == Some(ERROR_INTERNAL_ERROR) => {}
            result => return result,
        }
    }
    command.spawn()
}

#[track_caller]
pub(crate) fn run(mut command: Command, stdin: &[u8]) -> Ended {
    let mut running = Running(start(&mut command).expect("the example runs"));
    let mut pipe = running.0.stdin.take().unwrap();
    // It fails if the example ends without reading, as some should.
    let _ = pipe.write_all(stdin);
    drop(pipe);
    wait(running)
}

pub(crate) fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = tempfile::tempdir().expect("a temp directory");
    for (name, contents) in files {
        fs_err::write(directory.path().join(name), contents).unwrap();
    }
    directory
}

pub(crate) fn files_in(directory: &Path) -> Files {
    let mut files = Files::new();
    for entry in fs_err::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().expect("the name is text");
        if entry.file_type().unwrap().is_dir() {
            files.insert(format!("{name}/"), Vec::new());
            let inside = files_in(&entry.path()).into_iter();
            files.extend(inside.map(|(inner, contents)| (format!("{name}/{inner}"), contents)));
        } else {
            files.insert(name, fs_err::read(entry.path()).unwrap());
        }
    }
    files
}

/// Checks that exactly `expected` is there, hidden files included.
#[track_caller]
pub(crate) fn check_files(directory: &Path, expected: &[(&str, &[u8])]) {
    let found = files_in(directory);
    let expected: BTreeMap<&str, &[u8]> = expected.iter().copied().collect();
    assert!(
        found.keys().eq(expected.keys()),
        "{:?} instead of {:?}",
        found.keys(),
        expected.keys()
    );
    for (name, contents) in expected {
        let found = String::from_utf8_lossy(&found[name]);
        assert_eq!(found, String::from_utf8_lossy(contents), "the contents of {name}");
    }
}

/// Runs an example in `directory`, and checks that it ends with `code`, that its stdout (or its
/// stderr, if it fails) begins with `says`, and that it leaves exactly `files`.
#[track_caller]
pub(crate) fn check(
    directory: &TempDir,
    command: &[&str],
    stdin: &[u8],
    (code, says): (i32, &str),
    files: &[(&str, &[u8])],
) {
    let [example, arguments @ ..] = command else { panic!("no example") };
    let ended = run(spawn(&program(example), arguments, directory.path()), stdin);
    assert_eq!(ended.code, Some(code), "{command:?} {ended:?}");
    let said = if code == 0 { &ended.stdout } else { &ended.stderr };
    assert!(said.starts_with(says), "{command:?} {ended:?}");
    check_files(directory.path(), files);
}
