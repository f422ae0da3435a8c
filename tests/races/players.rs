//! Who plays: each does one thing again and again until the time is over, and counts.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wholefile::{
    AtomicBatch, AtomicDir, AtomicWriter, Durability, ErrorKind, Lock, Staging, Sweeper, Symlinks,
};

use crate::arena::{Arena, COUNTER, FILES, PAGES, PAIR, PLANTED, contents, read_in, version_of};

/// How long the directory is away each time: several saves.
const AWAY: Duration = Duration::from_millis(2);

/// One turn of a player, which is told how many it has had.
type Turn = fn(&Arena, u64);

/// Some play twice at once.
const PLAYERS: &[(&str, Turn)] = &[
    ("streamed save", |arena, turn| save(arena, FILES[0], Staging::Named, turn)),
    ("unnamed save", |arena, turn| save(arena, FILES[1], Staging::Unnamed, turn)),
    ("update under the lock", update),
    ("update under the lock", update),
    ("batch of two", batch),
    ("directory", directory),
    ("rollback", roll_back),
    ("save over a planted symlink", save_over_planted),
    ("planted symlink", |arena, _| arena.plant()),
    ("renamed directory", |arena, _| {
        arena.away(|| thread::sleep(AWAY));
        thread::sleep(AWAY);
    }),
    ("sweep", sweep),
    ("sweep", sweep),
    ("read of a planted name", read_planted),
];

/// Who has not had a turn when the time is over may take this long.
const LIMIT: Duration = Duration::from_secs(120);

/// Plays until the time is over and everybody has had a turn; how often each has had its turn.
pub(crate) fn play(arena: &Arena, time: Duration) -> BTreeMap<&'static str, u64> {
    let done = AtomicBool::new(false);
    let counts: Vec<(&str, AtomicU64)> =
        PLAYERS.iter().map(|(name, _)| (*name, AtomicU64::new(0))).collect();
    let reads = [AtomicU64::new(0), AtomicU64::new(0)];
    thread::scope(|scope| {
        // Also when one of them panics, so that the others end.
        let stop = Stop(&done);
        let mut players = Vec::new();
        for ((_, turn), (_, count)) in PLAYERS.iter().zip(&counts) {
            let done = &done;
            players.push(scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    turn(arena, count.fetch_add(1, Ordering::Relaxed) + 1);
                }
            }));
        }
        players.push(scope.spawn(|| read_files(arena, &done, &reads[0])));
        players.push(scope.spawn(|| read_tree(arena, &done, &reads[1])));
        let is_idle = |count: &AtomicU64| count.load(Ordering::Relaxed) == 0;
        let is_anyone_idle =
            || counts.iter().any(|(_, count)| is_idle(count)) || reads.iter().any(is_idle);
        let start = Instant::now();
        while start.elapsed() < time || is_anyone_idle() && start.elapsed() < time + LIMIT {
            if players.iter().any(|player| player.is_finished()) {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        drop(stop);
        players.into_iter().for_each(|player| player.join().expect("a violation"));
    });
    let mut sums = BTreeMap::new();
    for (name, count) in counts {
        *sums.entry(name).or_default() += count.into_inner();
    }
    let [files, tree] = reads.map(AtomicU64::into_inner);
    sums.insert("read of a file", files);
    sums.insert("read of a directory, all of it of one version", tree);
    sums
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn builder() -> wholefile::Builder {
    let mut builder = AtomicWriter::builder();
    builder.durability(Durability::None);
    builder
}

fn open(arena: &Arena, name: &str, builder: &wholefile::Builder) -> AtomicWriter {
    let (_guard, home) = arena.home();
    builder.open(home.join(name)).unwrap()
}

fn save(arena: &Arena, name: &str, staging: Staging, turn: u64) {
    let mut writer = open(arena, name, builder().staging(staging));
    writer.write_all(&contents(turn)).unwrap();
    writer.commit().unwrap();
}

/// One after the other, by the lock: each goes on from what the last one has left.
fn update(arena: &Arena, _: u64) {
    let mut writer = open(arena, COUNTER, builder().lock(Lock::Wait));
    let version = version_of(&arena.read(COUNTER).unwrap());
    writer.write_all(&contents(version + 1)).unwrap();
    writer.commit().unwrap();
}

fn batch(arena: &Arena, turn: u64) {
    let mut batch = AtomicBatch::new();
    batch.options(&builder());
    {
        let (_guard, home) = arena.home();
        for name in PAIR {
            batch.write(home.join(name), contents(turn)).unwrap();
        }
    }
    batch.commit().unwrap();
}

fn directory(arena: &Arena, turn: u64) {
    let mut builder = AtomicDir::builder();
    let staged = {
        let (_guard, home) = arena.home();
        builder.durability(Durability::None).open(home.join(crate::arena::TREE)).unwrap()
    };
    for page in PAGES {
        staged.write(page, contents(turn)).unwrap();
    }
    let receipt = staged.commit().unwrap();
    assert_eq!(receipt.leftover(), None);
}

/// Nothing of it may ever be seen.
fn roll_back(arena: &Arena, turn: u64) {
    let mut writer = open(arena, FILES[0], &builder());
    writer.write_all(b"torn").unwrap();
    if turn % 2 == 0 { writer.rollback().unwrap() } else { drop(writer) }
}

/// Refused if the link is seen in time, and else it is the link that is replaced.
fn save_over_planted(arena: &Arena, turn: u64) {
    let symlinks = if turn % 2 == 0 { Symlinks::Replace } else { Symlinks::Refuse };
    let (_guard, home) = arena.home();
    match builder().symlinks(symlinks).write(home.join(PLANTED), contents(turn)) {
        Err(error) if error.kind() == ErrorKind::Symlink => assert_eq!(turn % 2, 1, "{error}"),
        result => drop(result.unwrap()),
    }
}

fn read_planted(arena: &Arena, _: u64) {
    match arena.read(PLANTED) {
        Ok(contents) if contents.starts_with(b"nobody") => {}
        Ok(contents) => drop(version_of(&contents)),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
    }
}

fn sweep(arena: &Arena, turn: u64) {
    let (_guard, home) = arena.home();
    let swept = Sweeper::new().recursive(turn % 2 == 0).run(home).unwrap();
    assert!(swept.errors().is_empty(), "{:?}", swept.errors());
}

fn read_files(arena: &Arena, done: &AtomicBool, reads: &AtomicU64) {
    let mut last = BTreeMap::new();
    while !done.load(Ordering::Relaxed) {
        for name in FILES.into_iter().chain(PAIR).chain([COUNTER]) {
            let version = version_of(&arena.read(name).expect("a target never disappears"));
            let last = last.entry(name).or_insert(0);
            assert!(version >= *last, "{name}: version {version} came back after {last}");
            *last = version;
            reads.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn read_tree(arena: &Arena, done: &AtomicBool, reads: &AtomicU64) {
    let mut last = 0;
    while !done.load(Ordering::Relaxed) {
        let tree = arena.tree();
        let pages: io::Result<Vec<_>> = PAGES.iter().map(|page| read_in(&tree, page)).collect();
        let pages = match pages {
            // The version that was opened has been replaced since, and is being removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            pages => pages.unwrap(),
        };
        let versions: Vec<u64> = pages.iter().map(|page| version_of(page)).collect();
        assert!(versions.iter().all(|it| *it == versions[0]), "a mix of versions {versions:?}");
        assert!(versions[0] >= last, "version {} came back after {last}", versions[0]);
        last = versions[0];
        reads.fetch_add(1, Ordering::Relaxed);
    }
}
