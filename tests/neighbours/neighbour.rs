//! The neighbour: plants at the names of targets and of temp files, and watches what it planted.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use std::{env, fs, io, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, linkat, mknodat, openat};

use crate::linux::{Counts, LIMIT, MARKER, count, has_enough};
use crate::victims;
use crate::watcher;
use crate::writer::{FRESH, STANDING};

/// In every file that it plants.
pub(crate) const PLANTED: &str = "planted by a neighbour";

/// So many things lie about at a time.
const MAX_PLANTS: usize = 48;
/// So many temp files' names are remembered.
const MAX_SEEN: usize = 32;

/// What the two threads share.
pub(crate) struct Shared {
    pub(crate) tries: AtomicU64,
    pub(crate) done: AtomicBool,
    /// The watcher has done what it must.
    pub(crate) has_attacked: AtomicBool,
    /// The writer has.
    has_saved: AtomicBool,
    /// The names of temp files, as they were seen.
    pub(crate) seen: Mutex<VecDeque<String>>,
    /// The names that the watcher itself removed: of its own plants, as root's stay.
    pub(crate) removed: Mutex<HashSet<String>>,
}

impl Shared {
    pub(crate) fn try_once(&self) -> u64 {
        self.tries.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn remember(&self, name: &str) {
        let mut seen = self.seen.lock().unwrap();
        seen.push_back(name.to_owned());
        if seen.len() > MAX_SEEN {
            seen.pop_front();
        }
    }
}

/// Tells the parent by its exit that something happened that must not.
#[track_caller]
pub(crate) fn breach(what: &str) -> ! {
    eprintln!("BREACH at {}: {what}", std::panic::Location::caller());
    std::process::exit(1);
}

pub(crate) fn main(tries: u64) {
    rustix::process::umask(Mode::empty());
    let shared = Shared {
        tries: AtomicU64::new(0),
        done: AtomicBool::new(false),
        has_attacked: AtomicBool::new(false),
        has_saved: AtomicBool::new(false),
        seen: Mutex::new(VecDeque::new()),
        removed: Mutex::new(HashSet::new()),
    };
    let watch = watcher::watch();
    println!("0 ready");
    let start = Instant::now();
    let counts = thread::scope(|scope| {
        let watcher = scope.spawn(|| watcher::run(&watch, &shared, tries));
        scope.spawn(|| {
            // The parent says when it has done enough.
            let _ = io::stdin().read(&mut [0]).unwrap();
            shared.has_saved.store(true, Ordering::Relaxed);
        });
        let mut planter = Planter::new();
        let others = [&shared.has_saved, &shared.has_attacked];
        while shared.try_once() < tries
            || start.elapsed() < LIMIT
                && !(others.iter().all(|it| it.load(Ordering::Relaxed))
                    && has_enough(&planter.counts, tries, "plants: "))
        {
            planter.plant(&shared);
        }
        shared.done.store(true, Ordering::Relaxed);
        let mut counts = planter.finish(&shared);
        let seen = watcher.join().unwrap_or_else(|_| breach("the watcher panicked"));
        seen.into_iter().for_each(|(what, n)| *counts.entry(what).or_default() += n);
        counts
    });
    println!("{} tries", shared.tries.load(Ordering::Relaxed));
    for (what, n) in counts {
        println!("{n} {what}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Symlink,
    Fifo,
    HardLink,
    Directory,
    File,
}

/// Something planted, held open as far as it can be.
struct Plant {
    name: String,
    kind: Kind,
    inode: u64,
    file: Option<File>,
}

struct Planter {
    victims: PathBuf,
    plants: VecDeque<Plant>,
    random: u64,
    counts: Counts,
}

impl Planter {
    fn new() -> Planter {
        let victims = env::var_os("WHOLEFILE_VICTIMS").unwrap().into();
        let random = 0x9e37_79b9_7f4a_7c15;
        Planter { victims, plants: VecDeque::new(), random, counts: Counts::new() }
    }

    fn random(&mut self, below: u64) -> u64 {
        // xorshift: it need not be good, only varied.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// A name that the writer might use next.
    fn name(&mut self, shared: &Shared) -> (&'static str, String) {
        match self.random(8) {
            0..4 => {
                let at = self.random(FRESH.len() as u64) as usize;
                ("at a target's name", FRESH[at].to_owned())
            }
            4 => {
                let at = self.random(STANDING.len() as u64) as usize;
                ("at a target's name", STANDING[at].to_owned())
            }
            5 => {
                let seen = shared.seen.lock().unwrap();
                // The latest: it may be in use still.
                match seen.back() {
                    Some(name) => ("at a temp file's name", name.clone()),
                    None => ("at a target's name", FRESH[0].to_owned()),
                }
            }
            6 => ("at a guessed name", format!(".wholefile-{}.tmp", self.guess())),
            _ => ("at a guessed name", format!("t{}", self.guess())),
        }
    }

    fn guess(&mut self) -> String {
        const LETTERS: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..12).map(|_| char::from(LETTERS[self.random(62) as usize])).collect()
    }

    fn plant(&mut self, shared: &Shared) {
        let (place, name) = self.name(shared);
        let kind = match self.random(10) {
            0..4 => Kind::Symlink,
            4..6 => Kind::Fifo,
            6 => Kind::HardLink,
            7 => Kind::Directory,
            _ => Kind::File,
        };
        match self.make(kind, &name) {
            Ok(file) => {
                count(&mut self.counts, format!("plants: {place}"));
                count(&mut self.counts, format!("plants: {kind:?}"));
                let inode = fs::symlink_metadata(&name).map_or(0, |metadata| metadata.ino());
                self.plants.push_back(Plant { name, kind, inode, file });
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                count(&mut self.counts, "plants: at a name in use");
            }
            Err(error) => count(&mut self.counts, format!("plants: {kind:?}: {}", error.kind())),
        }
        if self.plants.len() > MAX_PLANTS {
            self.retire(shared);
        }
        if self.random(1000) == 0 {
            // The writer's descriptors would give the names of its temp files.
            let fds = format!("/proc/{}/fd", rustix::process::getppid().unwrap().as_raw_pid());
            let what = if fs::read_dir(fds).is_ok() { "proc: readable" } else { "proc: denied" };
            count(&mut self.counts, what);
        }
    }

    fn make(&mut self, kind: Kind, name: &str) -> io::Result<Option<File>> {
        let victim = victims::NAMES[self.random(3) as usize];
        let victim = self.victims.join(victim);
        match kind {
            Kind::Symlink => {
                let text = match self.random(4) {
                    0 => self.victims.join("dangling"),
                    1 => Path::new("../victims").join(victim.file_name().unwrap()),
                    2 => PathBuf::from("secret"),
                    _ => victim,
                };
                symlink(text, name)?;
                Ok(None)
            }
            Kind::Fifo => {
                mknodat(CWD, name, FileType::Fifo, Mode::from_raw_mode(0o666), 0)?;
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
                Ok(openat(CWD, name, flags, Mode::empty()).ok().map(File::from))
            }
            Kind::HardLink => {
                linkat(CWD, &victim, CWD, name, rustix::fs::AtFlags::empty())?;
                Ok(None)
            }
            Kind::Directory => {
                fs::create_dir(name)?;
                Ok(None)
            }
            Kind::File => {
                // With a mode that would open a successor to everybody.
                let mut file =
                    File::options().read(true).write(true).create_new(true).open(name)?;
                file.write_all(PLANTED.as_bytes())?;
                Ok(Some(file))
            }
        }
    }

    /// Checks the oldest plant, and removes it.
    fn retire(&mut self, shared: &Shared) {
        let Some(Plant { name, kind, inode, file }) = self.plants.pop_front() else { return };
        match (kind, file) {
            (Kind::Fifo, Some(file)) => check_fifo(&name, file),
            (Kind::File, Some(file)) => check_file(&name, file),
            _ => {}
        }
        // Root replaces and removes what has a target's name, and cleans up the hard links.
        let removed = shared.removed.lock().unwrap();
        let may_be_gone =
            removed.contains(&name) || FRESH.contains(&&*name) || kind == Kind::HardLink;
        match fs::symlink_metadata(&name) {
            Ok(metadata) if metadata.ino() == inode => {
                let result = match kind {
                    Kind::Directory => fs::remove_dir(&name),
                    _ => fs::remove_file(&name),
                };
                if result.is_err() && !may_be_gone {
                    breach(&format!("{name} cannot be removed any more: {result:?}"));
                }
            }
            _ if may_be_gone => {}
            // It had been there for the file system to say that it exists.
            result => breach(&format!("{name}, {kind:?}, was removed: {result:?}")),
        }
    }

    fn finish(mut self, shared: &Shared) -> Counts {
        while !self.plants.is_empty() {
            self.retire(shared);
        }
        self.counts
    }
}

/// Nobody may have opened it for writing.
fn check_fifo(name: &str, mut fifo: File) {
    // The end of a writer shows as a hang-up, which a FIFO without any never has.
    let mut fds = [PollFd::new(&fifo, PollFlags::IN)];
    if poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0) {
        let mut bytes = String::new();
        let _ = fifo.read_to_string(&mut bytes);
        breach(&format!("the FIFO {name} was opened for writing: {bytes:?}"));
    }
}

/// It still is what was planted, whatever has its name by now.
fn check_file(name: &str, mut file: File) {
    let mut contents = String::new();
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut contents)).unwrap();
    let metadata = file.metadata().unwrap();
    let own = rustix::process::geteuid().as_raw();
    if contents != PLANTED || (metadata.uid(), metadata.mode() & 0o7777) != (own, 0o666) {
        let leaked = if contents.contains(MARKER) { ", and has a secret" } else { "" };
        breach(&format!("the file {name} was changed{leaked}: {metadata:?}"));
    }
}
