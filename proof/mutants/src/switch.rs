//! Compiled into the changed library as `crate::switch`: which change is on.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};

/// No change has these numbers.
const NOT_ASKED: usize = usize::MAX;
const NONE: usize = usize::MAX - 1;

static CHOSEN: AtomicUsize = AtomicUsize::new(NOT_ASKED);
/// Where it is noted which changes a test comes to, a byte for each. Null if nobody wants to know.
static REACHED: AtomicPtr<AtomicU8> = AtomicPtr::new(ptr::null_mut());

/// Whether the change of this number is on. Deprecated, so that the compiler tells of each use.
#[deprecated]
#[inline]
pub(crate) fn is(number: usize) -> bool {
    let mut chosen = CHOSEN.load(Ordering::Relaxed);
    if chosen == NOT_ASKED {
        chosen = ask();
    }
    let reached = REACHED.load(Ordering::Relaxed);
    if !reached.is_null() {
        // SAFETY: the map has a byte for every number, and is never taken away.
        unsafe { &*reached.add(number) }.store(1, Ordering::Relaxed);
    }
    chosen == number
}

#[cold]
fn ask() -> usize {
    static ANSWER: OnceLock<usize> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        if let Some(path) = std::env::var_os("WHOLEFILE_MUTANTS_REACHED") {
            let path = CString::new(path.into_vec()).unwrap_or_default();
            REACHED.store(map(path), Ordering::Relaxed);
        }
        let chosen = std::env::var("WHOLEFILE_MUTANT").ok().and_then(|it| it.parse().ok());
        let chosen = chosen.unwrap_or(NONE);
        CHOSEN.store(chosen, Ordering::Relaxed);
        chosen
    })
}

/// A map of the file, which takes neither descriptors nor system calls from the test. Every process
/// of the test has it.
fn map(path: CString) -> *mut AtomicU8 {
    // SAFETY: the path ends with a zero; the file stays as long as it is while tests run.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if file < 0 {
            return ptr::null_mut();
        }
        let len = libc::lseek(file, 0, libc::SEEK_END) as usize;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let map = libc::mmap(ptr::null_mut(), len, access, libc::MAP_SHARED, file, 0);
        libc::close(file);
        if map == libc::MAP_FAILED { ptr::null_mut() } else { map.cast() }
    }
}
