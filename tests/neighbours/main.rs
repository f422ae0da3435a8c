//! Saves as root in a directory of everybody's, while an unprivileged neighbour does what it can.
//!
//!     cargo test --release --test neighbours -- --long
//!
//! The neighbour, this program again under another user, plants symlinks, FIFOs, hard links,
//! directories and files at the names of the targets and of temp files, and attacks every temp file
//! that it sees. No byte may land outside the target, no foreign file may be opened for writing,
//! changed or removed, no secret may become readable, and no file may stay behind.
//!
//! 100,000 tries by default, a million with `--long`. With `--sysctl`, once with the kernel's own
//! protections (fs.protected_*) on and once with them off; it sets them for the whole machine, and
//! sets them back.

#[cfg(target_os = "linux")]
mod neighbour;
#[cfg(target_os = "linux")]
mod sysctl;
#[cfg(target_os = "linux")]
mod victims;
#[cfg(target_os = "linux")]
mod watcher;
#[cfg(target_os = "linux")]
mod writer;

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("SKIPPED neighbours: it sees the temp files by inotify");
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};
    use std::{env, fs};

    use crate::{neighbour, sysctl, victims::Victims, writer::Writer};

    /// The neighbour's user.
    const NOBODY: u32 = 65534;
    /// In every secret.
    pub(crate) const MARKER: &str = "MARKER-of-a-secret";
    pub(crate) const NEIGHBOUR: &str = "WHOLEFILE_NEIGHBOUR";
    /// Far longer than a run takes; reached only where nothing happens any more.
    pub(crate) const LIMIT: Duration = Duration::from_secs(300);

    /// What the two programs counted.
    pub(crate) type Counts = BTreeMap<String, u64>;

    pub(crate) fn count(counts: &mut Counts, what: impl Into<String>) {
        *counts.entry(what.into()).or_default() += 1;
    }

    pub(super) fn main() {
        if let Some(tries) = env::var_os(NEIGHBOUR) {
            return neighbour::main(tries.to_str().unwrap().parse().unwrap());
        }
        if !rustix::process::geteuid().is_root() {
            assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "neighbours needs root");
            return eprintln!("SKIPPED neighbours: needs root");
        }
        let has = |argument: &str| env::args().any(|it| it == argument);
        let tries = if has("--long") { 1_000_000 } else { 100_000 };
        let mut places = vec![env::current_dir().unwrap()];
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            places.push(memory.into());
        }
        let protections: &[Option<u8>] =
            if has("--sysctl") { &[Some(1), Some(0)] } else { &[None] };
        let share = tries / (places.len() * protections.len()) as u64;
        for protection in protections {
            let _restore = protection.map(sysctl::Setting::set_all);
            for place in &places {
                println!("{}, {}", place.display(), sysctl::describe());
                let counts = run(place, share);
                for (what, n) in &counts {
                    println!("    {n:>9} {what}");
                }
                check(&counts, share);
            }
        }
        println!("1 passed");
    }

    /// One directory, one writer, one neighbour. Each goes on until the other has done enough too,
    /// however the system shares out its time.
    fn run(place: &Path, tries: u64) -> Counts {
        let root = tempfile::Builder::new().prefix("neighbours-").tempdir_in(place).unwrap();
        chmod(root.path(), 0o755);
        let shared = root.path().join("shared");
        fs::create_dir(&shared).unwrap();
        chmod(&shared, 0o1777);
        let victims = Victims::new(&root.path().join("victims"));
        let mut writer = Writer::new(&shared);
        let mut neighbour = spawn(&shared, victims.folder(), tries);
        let mut stdout = BufReader::new(neighbour.0.stdout.take().unwrap());
        // It is at its post once it says so.
        stdout.read_line(&mut String::new()).unwrap();
        let start = Instant::now();
        let mut is_done = false;
        // Bounded by the neighbour, which has a deadline.
        loop {
            writer.round();
            victims.check();
            let is_enough = has_enough(writer.counts(), tries, "saves: ");
            if !is_done && (is_enough || start.elapsed() > LIMIT) {
                is_done = true;
                // The pipe stays open, since the writer counts its descriptors.
                let _ = neighbour.0.stdin.as_mut().unwrap().write_all(b"it may end");
            }
            if neighbour.0.try_wait().unwrap().is_some() {
                break;
            }
        }
        let mut counts = writer.finish();
        for line in stdout.lines() {
            let line = line.unwrap();
            let (n, what) = line.split_once(' ').expect("a number and what it counts");
            *counts.entry(what.to_owned()).or_default() += n.parse::<u64>().unwrap();
        }
        assert!(neighbour.0.wait().unwrap().success(), "the neighbour saw a breach");
        counts
    }

    /// A test that fails leaves no neighbour behind.
    struct Neighbour(Child);

    impl Drop for Neighbour {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn spawn(shared: &Path, victims: &Path, tries: u64) -> Neighbour {
        let program: PathBuf = env::current_exe().unwrap();
        let child = Command::new(program)
            .current_dir(shared)
            .env(NEIGHBOUR, tries.to_string())
            .env("WHOLEFILE_VICTIMS", victims)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // std drops the supplementary groups with the user.
            .gid(NOBODY)
            .uid(NOBODY)
            .spawn();
        Neighbour(child.expect("the test binary can be run by every user"))
    }

    pub(crate) fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    /// That nothing happened proves something only where much was tried.
    fn minima(tries: u64) -> [(&'static str, u64); 9] {
        [
            ("tries", tries),
            ("saves: ok", tries / 2_000),
            ("saves: refused", tries / 20_000),
            ("plants: at a target's name", tries / 4_000),
            ("plants: at a name in use", tries / 100),
            ("temps: seen", tries / 4_000),
            ("temps: opening a secret denied", 10),
            ("temps: unlinking denied", 10),
            ("temps: read, not secret", 10),
        ]
    }

    /// Whether there is enough of all whose names begin with `part`.
    pub(crate) fn has_enough(counts: &Counts, tries: u64, part: &str) -> bool {
        let mut minima = minima(tries).into_iter().filter(|(what, _)| what.starts_with(part));
        minima.all(|(what, at_least)| counts.get(what).is_some_and(|n| *n >= at_least))
    }

    fn check(counts: &Counts, tries: u64) {
        for (what, at_least) in minima(tries) {
            let n = counts.get(what).copied().unwrap_or_default();
            assert!(n >= at_least, "only {n} of `{what}`, expected {at_least}");
        }
    }
}
