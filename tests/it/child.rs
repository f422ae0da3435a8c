//! Running a test once more in a process of its own: for the umask, the current directory and the
//! user, which all threads share.
//!
//! The test asks [`given`] first. In the child that gives what the parent passed on, and the test
//! does the deed; in the parent it gives `None`, and the test prepares a directory and calls
//! [`Child::run`].

use std::env;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{self, Command, Stdio};

use rustix::fs::Mode;

use crate::dir::Dir;
use crate::system::{NOBODY, output, spawn};

/// What the child is to do.
pub(crate) struct Given {
    pub(crate) dir: Dir,
    pub(crate) case: String,
}

/// A run of a test in another process.
#[must_use]
pub(crate) struct Child {
    test: &'static str,
    umask: u32,
    user: Option<u32>,
    /// What a shell does before it becomes the child.
    prelude: &'static str,
}

/// What the parent passed on, if this is the child.
pub(crate) fn given() -> Option<Given> {
    let root = PathBuf::from(env::var_os("WHOLEFILE_CHILD_DIR")?);
    let umask = env::var("WHOLEFILE_CHILD_UMASK").unwrap().parse().unwrap();
    rustix::process::umask(Mode::from_raw_mode(umask));
    Some(Given { dir: Dir::of_parent(root), case: env::var("WHOLEFILE_CHILD_CASE").unwrap() })
}

/// A run of a test in another process that has come as far as it shall. Dropped, it is killed.
#[must_use]
pub(crate) struct Waiting(process::Child);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// What the child prints once it has come as far as it shall.
const HERE: &str = "the child has come as far as it shall";

/// Tells the parent, in the child, and waits to be killed.
pub(crate) fn wait_to_be_killed() {
    say_here();
    io::stdin().read_line(&mut String::new()).unwrap();
}

/// Tells the parent, in the child, which goes on until it is killed. Nobody reads what it says.
pub(crate) fn say_here() {
    println!("{HERE}");
}

impl Child {
    /// `test` is the full name of the calling test.
    pub(crate) fn of(test: &'static str) -> Child {
        Child { test, umask: 0o022, user: None, prelude: ":" }
    }

    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "for tests of Linux"))]
    pub(crate) fn umask(mut self, umask: u32) -> Child {
        self.umask = umask;
        self
    }

    pub(crate) fn nobody(mut self) -> Child {
        self.user = Some(NOBODY);
        self
    }

    /// Runs it after these commands of the shell, in the same process.
    pub(crate) fn after(mut self, prelude: &'static str) -> Child {
        self.prelude = prelude;
        self
    }

    pub(crate) fn command(&self, dir: &Dir, case: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{}; exec \"$@\"", self.prelude), "sh"])
            .arg(env::current_exe().unwrap())
            .args([self.test, "--exact", "--nocapture", "--test-threads=1"])
            .env("WHOLEFILE_CHILD_DIR", dir.root())
            .env("WHOLEFILE_CHILD_UMASK", self.umask.to_string())
            .env("WHOLEFILE_CHILD_CASE", case);
        if let Some(user) = self.user {
            // std drops the supplementary groups with the user.
            command.gid(user).uid(user);
        }
        command
    }

    /// Runs it until it waits to be killed, or has said that it is here.
    #[track_caller]
    pub(crate) fn run_until_it_is_here(&self, dir: &Dir, case: &str) -> Waiting {
        let mut command = self.command(dir, case);
        let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped())).unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let child = Waiting(child);
        assert!(lines.map_while(Result::ok).any(|line| line.contains(HERE)), "{}", self.test);
        child
    }

    /// Runs it to its end; its failure is the test's.
    #[track_caller]
    pub(crate) fn run(&self, dir: &Dir, case: &str) {
        let output = output(&mut self.command(dir, case));
        let output = output.expect("the test binary can be run by every user");
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let passed = output.status.success() && stdout.contains("1 passed");
        assert!(passed, "{} in its own process, case `{case}`:\n{stdout}{stderr}", self.test);
    }
}
