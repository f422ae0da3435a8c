//! Opening the file that stands for a lock, which its last holder may just have removed.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_DELETE_PENDING, ERROR_SHARING_VIOLATION,
};

use super::ladder::PATIENCE;
use super::verdicts::is_one_of;
use super::{Directory, look};
use crate::sys::Origin;
use crate::sys::portable::open_or_create;

const PAUSE: Duration = Duration::from_millis(1);
/// As often may a real denial be one that was over before the look at its reason.
const MAX_DENIALS: usize = 100;

/// Why the file could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// It is about to go, or somebody has it open and does not share it.
    Passing,
    /// The caller may not, or it was about to go and is gone now.
    Denied,
    Other,
}

pub(crate) fn open_side_file(directory: &Directory, name: &OsStr) -> io::Result<(File, Origin)> {
    let deadline = Instant::now() + PATIENCE;
    let path = directory.join(name);
    let mut denials = 0;
    // Bounded by the deadline and by MAX_DENIALS.
    loop {
        let error = match open_or_create(&path) {
            Err(error) => error,
            opened => return opened,
        };
        match reason(&error, || look(directory, name).map(drop)) {
            Reason::Passing if Instant::now() < deadline => thread::sleep(PAUSE),
            Reason::Denied if denials < MAX_DENIALS => denials += 1,
            _ => return Err(error),
        }
    }
}

fn reason(error: &io::Error, look: impl FnOnce() -> io::Result<()>) -> Reason {
    if is_one_of(error, &[ERROR_SHARING_VIOLATION, ERROR_DELETE_PENDING]) {
        return Reason::Passing;
    }
    if !is_one_of(error, &[ERROR_ACCESS_DENIED]) {
        return Reason::Other;
    }
    // A file that was removed keeps its name until everybody has closed it, and denies even a look,
    // for which no right to the file is needed.
    match look() {
        Err(look) if is_one_of(&look, &[ERROR_ACCESS_DENIED, ERROR_DELETE_PENDING]) => {
            Reason::Passing
        }
        _ => Reason::Denied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windows_sys::Win32::Foundation::{ERROR_DISK_FULL, ERROR_FILE_NOT_FOUND};

    /// Who had no right to make files in a directory waited for two seconds before every update
    /// that asked for a lock, and was told only then.
    #[test]
    fn only_what_will_pass_is_waited_for() {
        let code = |code: u32| io::Error::from_raw_os_error(code as i32);
        for (open, look, expected) in [
            (ERROR_SHARING_VIOLATION, Ok(()), Reason::Passing),
            (ERROR_DELETE_PENDING, Err(ERROR_DELETE_PENDING), Reason::Passing),
            (ERROR_ACCESS_DENIED, Err(ERROR_ACCESS_DENIED), Reason::Passing),
            (ERROR_ACCESS_DENIED, Err(ERROR_DELETE_PENDING), Reason::Passing),
            (ERROR_ACCESS_DENIED, Err(ERROR_FILE_NOT_FOUND), Reason::Denied),
            (ERROR_ACCESS_DENIED, Ok(()), Reason::Denied),
            (ERROR_DISK_FULL, Ok(()), Reason::Other),
        ] {
            let seen = reason(&code(open), || look.map_err(code));
            assert_eq!(seen, expected, "open: {open}, look: {look:?}");
        }
    }
}
