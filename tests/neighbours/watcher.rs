//! The neighbour's other half: attacks every temp file as soon as inotify tells of it.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, XattrFlags, chmodat, flock, inotify, linkat,
    openat, renameat, setxattr, unlinkat,
};
use rustix::io::Errno;

use crate::linux::{Counts, MARKER, count, has_enough};
use crate::neighbour::{Shared, breach};
use crate::writer::STOLEN;

/// So many temp files are held open, and locked, at a time.
const MAX_HELD: usize = 24;

/// Without O_NONBLOCK, a FIFO of the neighbour's own would hold it up.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Begins to watch the current directory.
pub(crate) fn watch() -> OwnedFd {
    let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
    let watch = inotify::init(flags).unwrap();
    let events = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&watch, ".", events).unwrap();
    watch
}

pub(crate) fn run(watch: &OwnedFd, shared: &Shared, tries: u64) -> Counts {
    let mut attacker = Attacker { shared, held: VecDeque::new(), counts: Counts::new() };
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(watch, &mut buffer);
    while !shared.done.load(Ordering::Relaxed) {
        match reader.next() {
            Ok(event) => {
                let name = event.file_name().and_then(|name| name.to_str().ok().map(str::to_owned));
                if let Some(name) = name.filter(|name| is_temp(name)) {
                    attacker.attack(&name);
                    let has_attacked = has_enough(&attacker.counts, tries, "temps: ");
                    shared.has_attacked.store(has_attacked, Ordering::Relaxed);
                }
            }
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(watch, PollFlags::IN)];
                let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 10_000_000 }));
            }
            Err(error) => breach(&format!("inotify: {error}")),
        }
    }
    while attacker.release() {}
    attacker.counts
}

fn is_temp(name: &str) -> bool {
    name.starts_with(".wholefile-") || name.starts_with('t') && name.len() == 13
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    Taken,
    Denied,
}

struct Attacker<'a> {
    shared: &'a Shared,
    /// Temp files that could be opened, to be read again once they are complete.
    held: VecDeque<(File, Lock)>,
    counts: Counts,
}

impl Attacker<'_> {
    fn note(&mut self, what: &str) {
        count(&mut self.counts, format!("temps: {what}"));
    }

    fn attack(&mut self, name: &str) {
        self.shared.try_once();
        // The quickest first: the lock, before the writer has it.
        let opened = openat(CWD, name, READ, Mode::empty()).map(File::from);
        let locked = opened
            .as_ref()
            .is_ok_and(|file| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok());
        let Some(own_handle) = roots(name, opened.as_ref().ok()) else { return };
        self.shared.remember(name);
        self.note("seen");
        match opened {
            Ok(file) => {
                self.read(&file);
                self.held.push_back((file, if locked { Lock::Taken } else { Lock::Denied }));
                if self.held.len() > MAX_HELD {
                    self.release();
                }
            }
            Err(Errno::ACCESS) => self.note("opening a secret denied"),
            Err(_) => {}
        }
        self.change(name, &own_handle);
    }

    /// Everything that the sticky bit and the mode forbid.
    fn change(&mut self, name: &str, handle: &File) {
        // By the handle, so that it is not something of the neighbour's own by now.
        let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let attempts: [(&str, &dyn Fn() -> rustix::io::Result<()>); 4] = [
            ("writing", &|| openat(CWD, &*path, OFlags::RDWR, Mode::empty()).map(drop)),
            ("truncating", &|| {
                openat(CWD, &*path, OFlags::WRONLY | OFlags::TRUNC, Mode::empty()).map(drop)
            }),
            ("chmod", &|| chmodat(CWD, &*path, Mode::from_raw_mode(0o666), AtFlags::empty())),
            ("xattr", &|| setxattr(&*path, "user.neighbour", b"", XattrFlags::empty())),
        ];
        for (what, attempt) in attempts {
            self.shared.try_once();
            match attempt() {
                Ok(()) => breach(&format!("{what}: {name}")),
                Err(_) => self.note(&format!("{what} denied")),
            }
        }
        let stolen = format!("{STOLEN}{name}");
        // By the name, under which something of the neighbour's own may be by now. That root's was
        // not moved, root sees by its save.
        let attempts: [(&str, &dyn Fn() -> rustix::io::Result<()>); 3] = [
            ("unlinking", &|| unlinkat(CWD, name, AtFlags::empty())),
            ("renaming", &|| renameat(CWD, name, CWD, &*stolen)),
            ("linking", &|| linkat(CWD, name, CWD, &*stolen, AtFlags::empty())),
        ];
        for (what, attempt) in attempts {
            self.shared.try_once();
            let mut removed = self.shared.removed.lock().unwrap();
            let result = attempt();
            if result.is_ok() {
                removed.insert(name.to_owned());
            }
            drop(removed);
            match result {
                Ok(()) => self.note(&format!("{what} done")),
                Err(Errno::PERM | Errno::ACCESS) => self.note(&format!("{what} denied")),
                Err(_) => {}
            }
        }
        if let Ok(file) = openat(CWD, &*stolen, READ, Mode::empty()) {
            self.read(&File::from(file));
        }
        // It may be one of the neighbour's own: then it need not lie about.
        let _ = unlinkat(CWD, &*stolen, AtFlags::empty());
    }

    fn read(&mut self, mut file: &File) {
        let mut contents = Vec::new();
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut contents));
        if contents.windows(MARKER.len()).any(|window| window == MARKER.as_bytes()) {
            breach("a secret was read");
        }
        if read.is_ok() {
            self.note("read, not secret");
        }
    }

    /// Reads the oldest once more, and lets it go.
    fn release(&mut self) -> bool {
        let Some((file, lock)) = self.held.pop_front() else { return false };
        self.read(&file);
        let is_gone = file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        // What was published became lockable when its writer closed it; what was not was given up.
        self.note(match lock {
            Lock::Taken if is_gone => "locked before the writer did",
            Lock::Taken => "locked after the save",
            Lock::Denied => "lock denied",
        });
        true
    }
}

/// A handle of the file, if it is root's and no victim: they have a name of their own too.
fn roots(name: &str, opened: Option<&File>) -> Option<File> {
    let handle = match opened {
        Some(file) => file.try_clone().ok()?,
        None => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            File::from(openat(CWD, name, flags, Mode::empty()).ok()?)
        }
    };
    let metadata = handle.metadata().ok()?;
    let victims = fs::read_dir(std::env::var_os("WHOLEFILE_VICTIMS").unwrap()).unwrap();
    let is_victim =
        victims.flatten().any(|it| it.metadata().is_ok_and(|it| it.ino() == metadata.ino()));
    (metadata.uid() == 0 && metadata.is_file() && !is_victim).then_some(handle)
}
