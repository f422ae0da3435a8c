//! Many processes with many threads each update one counter, readers parse it without pause, and
//! one process after another is killed. No acknowledged update may be lost.
//!
//!     cargo test --release --test torture             # 4 processes, 4 threads, 50 updates
//!     cargo test --release --test torture -- 8 8 500  # the long form
//!     cargo test --release --test torture -- expect   # one of the two ways alone: lock, expect
//!
//! Each runs twice: once with updates under the lock, and once without it, by saves that expect the
//! version that was read, and start anew after a conflict.
//!
//! It runs itself as the workers. A worker acknowledges each update on its stdout, by one byte
//! written in one call, after the update has returned: when it is killed, each of its threads may
//! have done one that is not acknowledged.

#[cfg(unix)]
fn main() {
    torture::main();
}

#[cfg(not(unix))]
fn main() {
    eprintln!("SKIPPED torture: it kills processes by signal");
}

#[cfg(unix)]
mod torture {
    use std::io::{Read, Write};
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};
    use std::{env, io, thread};

    use fs_err as fs;
    use serde_json::{Value, json};
    use wholefile::{AtomicWriter, Durability, ErrorKind, Version, sweep};

    const TARGET: &str = "WHOLEFILE_TORTURE_TARGET";
    const KILL_EVERY: Duration = Duration::from_millis(50);
    const READERS: usize = 2;
    const FEWEST_READS: usize = 100;
    /// Far more than they take; reached only if a reader hangs.
    const LIMIT: Duration = Duration::from_secs(120);

    /// What keeps the updates apart.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Way {
        Lock,
        Expect,
    }

    impl Way {
        const ALL: [Way; 2] = [Way::Lock, Way::Expect];

        fn argument(self) -> &'static str {
            match self {
                Way::Lock => "lock",
                Way::Expect => "expect",
            }
        }

        fn update(self, target: &Path) {
            let mut builder = AtomicWriter::builder();
            builder.durability(Durability::None);
            match self {
                Way::Lock => drop(builder.update(target, increment).unwrap()),
                // Bounded: for each that fails another one has succeeded.
                Way::Expect => loop {
                    let version = Version::of(target).unwrap();
                    let old = match fs::read(target) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                        old => Some(old.unwrap()),
                    };
                    match builder.expect(&version).write(target, increment(old).unwrap()) {
                        Err(error) if error.kind() == ErrorKind::Conflict => {}
                        result => break drop(result.unwrap()),
                    }
                },
            }
        }
    }

    struct Size {
        way: Way,
        processes: usize,
        threads: usize,
        updates: usize,
    }

    struct Counts {
        acknowledged: AtomicUsize,
        kills: AtomicUsize,
        reads: AtomicUsize,
    }

    pub(super) fn main() {
        let arguments: Vec<String> = env::args().skip(1).collect();
        let numbers: Vec<usize> = arguments.iter().filter_map(|it| it.parse().ok()).collect();
        let (processes, threads, updates) = match numbers[..] {
            [processes, threads, updates] => (processes, threads, updates),
            _ => (4, 4, 50),
        };
        let is_asked_for = |way: &Way| arguments.iter().any(|it| it == way.argument());
        let is_any = Way::ALL.iter().any(is_asked_for);
        for way in Way::ALL.into_iter().filter(|way| !is_any || is_asked_for(way)) {
            let size = Size { way, processes, threads, updates };
            match env::var_os(TARGET) {
                Some(target) => work(Path::new(&target), &size),
                None => supervise(&size),
            }
        }
    }

    /// Every thread updates until it is through, and says so each time.
    fn work(target: &Path, size: &Size) {
        thread::scope(|scope| {
            for _ in 0..size.threads {
                scope.spawn(|| {
                    for _ in 0..size.updates {
                        size.way.update(target);
                        rustix::io::write(io::stdout(), b"|").unwrap();
                    }
                });
            }
        });
    }

    fn increment(old: Option<Vec<u8>>) -> io::Result<Vec<u8>> {
        let count = old.map_or(0, |old| count_in(&old));
        // As many digits as the count says, so that a mix of two versions shows.
        let filler = "x".repeat(count as usize % 1000);
        Ok(json!({ "count": count + 1, "filler": filler }).to_string().into_bytes())
    }

    fn count_in(contents: &[u8]) -> u64 {
        let value: Value = serde_json::from_slice(contents).expect("every version is whole");
        let count = value["count"].as_u64().expect("a count");
        let filler = value["filler"].as_str().expect("a filler").len() as u64;
        assert_eq!(filler, (count - 1) % 1000, "a mix of two versions");
        count
    }

    fn supervise(size: &Size) {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("counter.json");
        let counts = Counts {
            acknowledged: AtomicUsize::new(0),
            kills: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
        };
        let stop = AtomicBool::new(false);
        let end = Instant::now() + LIMIT;
        thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(|| read_until(&stop, &target, &counts));
            }
            let mut workers = Vec::new();
            for index in 0..size.processes {
                // One in four is killed again and again until it has had its share of kills.
                let kills = if index % 4 == 0 { size.updates / 5 } else { 0 };
                let (target, counts) = (&target, &counts);
                workers.push(scope.spawn(move || run_worker(target, size, kills, counts)));
            }
            workers.into_iter().for_each(|worker| worker.join().unwrap());
            let is_enough = || counts.reads.load(Ordering::Relaxed) >= FEWEST_READS;
            while !is_enough() && Instant::now() < end {
                run_worker(&target, size, 0, &counts);
            }
            stop.store(true, Ordering::Relaxed);
        });
        check(folder.path().to_path_buf(), &target, size, &counts);
    }

    fn read_until(stop: &AtomicBool, target: &Path, counts: &Counts) {
        let mut last = 0;
        while !stop.load(Ordering::Relaxed) {
            match fs::read(target) {
                Ok(contents) => {
                    let count = count_in(&contents);
                    assert!(count >= last, "an older version came back");
                    last = count;
                    counts.reads.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if last == 0 && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn spawn(target: &Path, size: &Size) -> Child {
        Command::new(env::current_exe().unwrap())
            .arg(size.way.argument())
            .args([size.processes, size.threads, size.updates].map(|number| number.to_string()))
            .env(TARGET, target)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs a worker to its end, after it was killed in the middle `kills` times.
    fn run_worker(target: &Path, size: &Size, kills: usize, counts: &Counts) {
        for round in 0..=kills {
            let mut worker = spawn(target, size);
            let mut output = worker.stdout.take().unwrap();
            let acknowledgements = thread::spawn(move || {
                let mut bytes = Vec::new();
                output.read_to_end(&mut bytes).unwrap();
                bytes.iter().filter(|byte| **byte == b'|').count()
            });
            let is_last = round == kills;
            if !is_last {
                thread::sleep(KILL_EVERY);
                worker.kill().unwrap();
                counts.kills.fetch_add(1, Ordering::Relaxed);
            }
            let status = worker.wait().unwrap();
            assert!(status.success() || !is_last, "{status}");
            counts.acknowledged.fetch_add(acknowledgements.join().unwrap(), Ordering::Relaxed);
        }
    }

    fn check(folder: PathBuf, target: &Path, size: &Size, counts: &Counts) {
        let acknowledged = counts.acknowledged.load(Ordering::Relaxed);
        let kills = counts.kills.load(Ordering::Relaxed);
        let reads = counts.reads.load(Ordering::Relaxed);
        let count = count_in(&fs::read(target).unwrap()) as usize;
        let (mut temps, mut others) = (0, Vec::new());
        for entry in fs::read_dir(&folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            match name.as_str() {
                "counter.json" => {}
                name if name.ends_with(".tmp") => temps += 1,
                _ => others.push(name),
            }
        }
        println!(
            "{:?}: {acknowledged} acknowledged updates, {count} counted, {kills} kills, {reads} \
             reads, {temps} orphans",
            size.way
        );
        io::stdout().flush().unwrap();
        assert!(count >= acknowledged, "{} updates were lost", acknowledged - count);
        // A worker's threads may each have done one that it could no longer acknowledge.
        assert!(count - acknowledged <= kills * size.threads, "more than was done");
        assert!(acknowledged >= size.processes * size.threads * size.updates);
        // Under the lock one thread at a time has a temp file.
        let at_once = if size.way == Way::Lock { 1 } else { size.threads };
        assert!(temps <= kills * at_once, "a temp file stayed that nobody was killed over");
        // A killed worker's lock is taken over, and removed, by the next.
        assert_eq!(others, Vec::<String>::new());
        let swept = sweep(&folder).unwrap();
        assert_eq!((swept.removed().len(), swept.errors().len()), (temps, 0));
        let left: Vec<_> =
            fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["counter.json"], "the sweep left something");
        assert!(kills > 0 && reads >= FEWEST_READS, "too little was tried");
        println!("1 passed, 0 failed");
    }
}
