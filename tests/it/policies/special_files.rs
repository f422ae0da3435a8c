//! FIFOs, sockets, devices and open descriptors.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use fs_err as fs;
use rustix::fs::{CWD, Mode, OFlags, openat};
use wholefile::{
    AtomicWriter, Builder, Durability, ErrorKind, Lock, Outcome, SpecialFiles, Step, TargetState,
};

use crate::child::{self, Child};
use crate::dir::Dir;
use crate::place::{Feature, lacks};
use crate::system::{NOBODY, chmod, chown, is_root, make_fifo, output, status};

fn through() -> Builder {
    let mut builder = AtomicWriter::builder();
    builder.special_files(SpecialFiles::WriteThrough);
    builder
}

#[track_caller]
fn check_refused(path: &Path) {
    let error = AtomicWriter::builder().open(path).unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::SpecialFile, Step::Resolve));
    assert_eq!(error.target_state(), TargetState::Untouched);
}

#[test]
fn special_files_are_refused_by_default() {
    if lacks(&[Feature::Fifos]) {
        return;
    }
    let dir = Dir::new();
    make_fifo(&dir.path("fifo"));
    let _listener = UnixListener::bind(dir.path("socket")).unwrap();
    let file = fs::File::create(dir.path("file")).unwrap();
    check_refused(&dir.path("fifo"));
    check_refused(&dir.path("socket"));
    for device in ["/dev/null", "/dev/zero", "/dev/full"] {
        check_refused(device.as_ref());
        assert!(fs::metadata(device).unwrap().file_type().is_char_device());
    }
    if cfg!(target_os = "linux") {
        check_refused(format!("/proc/self/fd/{}", file.as_raw_fd()).as_ref());
        check_refused(format!("/dev/fd/{}", file.as_raw_fd()).as_ref());
    }
    dir.assert_only(&["fifo", "file", "socket"]);
}

#[test]
fn a_fifo_gets_all_contents_at_commit() {
    if lacks(&[Feature::Fifos]) {
        return;
    }
    for len in [0, 10, 1 << 20] {
        let dir = Dir::new();
        let fifo = dir.path("fifo");
        make_fifo(&fifo);
        let contents: Vec<u8> = (0..len).map(|n| n as u8).collect();
        let mut writer = through().open(&fifo).unwrap();
        writer.write_all(&contents).unwrap();
        dir.assert_only(&["fifo"]); // what does not fit into the buffer is spooled elsewhere
        let reader = {
            let fifo = fifo.clone();
            thread::spawn(move || fs::read(fifo).unwrap())
        };
        let commit = writer.commit().unwrap();
        assert_eq!(commit.outcome(), Outcome::WrittenThrough);
        assert_eq!(commit.durability(), Durability::None);
        assert_eq!(commit.len(), len);
        assert!(reader.join().unwrap() == contents);
        assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
        dir.assert_only(&["fifo"]);
    }
}

#[test]
fn a_rollback_writes_nothing_into_a_fifo() {
    if lacks(&[Feature::Fifos]) {
        return;
    }
    let dir = Dir::new();
    let fifo = dir.path("fifo");
    make_fifo(&fifo);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut reader =
        fs::File::from_parts(openat(CWD, &fifo, flags, Mode::empty()).unwrap().into(), &fifo);
    let nothing = |reader: &mut fs::File| assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    for len in [10, 1 << 20] {
        let ends: [fn(AtomicWriter); 2] = [drop, |writer| writer.rollback().unwrap()];
        for end in ends {
            let mut writer = through().open(&fifo).unwrap();
            writer.write_all(&vec![1; len]).unwrap();
            nothing(&mut reader);
            end(writer);
            nothing(&mut reader);
        }
    }
    through().write(&fifo, "x").unwrap();
    assert_eq!(reader.read(&mut [0]).unwrap(), 1, "the reader would have seen it");
    dir.assert_only(&["fifo"]);
}

#[test]
fn a_device_is_written_into_and_stays() {
    for len in [0, 10, 1 << 20] {
        let commit = through().write("/dev/null", vec![1; len]).unwrap();
        assert_eq!((commit.outcome(), commit.len()), (Outcome::WrittenThrough, len as u64));
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }
    let error = through().write("/dev/full", "contents").unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::StorageFull, Step::Publish));
    assert_eq!(error.target_state(), TargetState::Unknown);
}

#[test]
fn durability_that_a_special_file_cannot_give_is_refused_before_anything_is_written() {
    let error = through().require_durability(true).write("/dev/null", "contents").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DurabilityUnavailable);
    assert_eq!(error.target_state(), TargetState::Untouched);
}

#[test]
fn a_socket_cannot_be_written_through_and_stays() {
    if lacks(&[Feature::Fifos]) {
        return;
    }
    let dir = Dir::new();
    let _listener = UnixListener::bind(dir.path("socket")).unwrap();
    let error = through().write(dir.path("socket"), "contents").unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::Io, Step::Publish));
    assert_eq!(error.target_state(), TargetState::Untouched);
    dir.assert_only(&["socket"]);
}

#[test]
fn the_staged_file_of_a_special_file_has_no_path() {
    let mut writer = through().open("/dev/null").unwrap();
    writer.write_all(b"contents").unwrap();
    assert_eq!(writer.staging_path().unwrap_err().kind(), ErrorKind::Unsupported);
    // That is no failure of what was written: the answer was `Poisoned`.
    assert_eq!(writer.commit().unwrap().len(), 8);
    let error = through().open("/dev/null").unwrap().keep().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let mut writer = through().open("/dev/null").unwrap();
    let stdout = writer.as_file().unwrap().try_clone().unwrap();
    let said = status(std::process::Command::new("echo").stdout(stdout));
    assert!(said.unwrap().success());
    assert_eq!(writer.commit().unwrap().len(), 1);
}

#[test]
fn a_file_that_takes_the_place_of_a_fifo_is_not_written_into() {
    if lacks(&[Feature::Fifos]) {
        return;
    }
    let dir = Dir::new();
    let fifo = dir.path("fifo");
    make_fifo(&fifo);
    let mut writer = through().open(&fifo).unwrap();
    writer.write_all(b"contents").unwrap();
    fs::remove_file(&fifo).unwrap();
    dir.write("fifo", "theirs");
    let error = writer.commit().unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::SpecialFile, Step::Publish));
    assert_eq!(error.target_state(), TargetState::Untouched);
    assert_eq!(dir.read("fifo"), "theirs");
    dir.assert_only(&["fifo"]);
}

#[test]
fn a_fifo_that_takes_the_place_of_a_file_is_refused_or_written_into() {
    if lacks(&[Feature::Fifos]) {
        return;
    }
    for len in [10, 100_000] {
        let dir = Dir::new();
        let open = |builder: &Builder| {
            let target = dir.write("target", "old");
            let mut writer = builder.open(&target).unwrap();
            writer.write_all(&vec![b'n'; len]).unwrap();
            fs::remove_file(&target).unwrap();
            make_fifo(&target);
            writer
        };
        let error = open(&AtomicWriter::builder()).commit().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SpecialFile);
        dir.assert_only(&["target"]);
        fs::remove_file(dir.path("target")).unwrap();

        let writer = open(&through());
        let target = dir.path("target");
        let reader = thread::spawn(move || fs::read(target).unwrap());
        assert_eq!(writer.commit().unwrap().outcome(), Outcome::WrittenThrough);
        assert_eq!(reader.join().unwrap(), vec![b'n'; len]);
        dir.assert_only(&["target"]);
    }
}

#[cfg(unix)]
#[test]
fn an_open_descriptor_to_a_file_is_appended_to() {
    let dir = Dir::new();
    dir.write("log", "before ");
    let log = fs::OpenOptions::new().append(true).open(dir.path("log")).unwrap();
    for (place, text) in [("/proc/self/fd", "one "), ("/dev/fd", "two ")] {
        let path = format!("{place}/{}", log.as_raw_fd());
        let commit = through().write(path, text).unwrap();
        assert_eq!(commit.outcome(), Outcome::WrittenThrough);
        assert_eq!(commit.durability(), Durability::Full, "the descriptor is a regular file's");
    }
    // Who insists on durability learns before anything is written whether it can be had.
    let path = format!("/proc/self/fd/{}", log.as_raw_fd());
    let commit = through().require_durability(true).write(&path, "three ").unwrap();
    assert_eq!(commit.durability(), Durability::Full);
    assert_eq!(dir.read("log"), "before one two three ");
    dir.assert_only(&["log"]);
    // There is no place for the file of a lock beside it, and no other writer of this descriptor.
    through().lock(Lock::Try).write(path, "four").unwrap();
}

/// Writes to its own stdout, as a program does that is told `-o /dev/stdout`.
#[cfg(unix)]
#[test]
fn stdout_takes_the_contents_whatever_it_is() {
    if child::given().is_some() {
        let commit = through().write("/dev/stdout", "[the contents]").unwrap();
        assert_eq!(commit.outcome(), Outcome::WrittenThrough);
        std::process::exit(0); // before the test harness goes on to write there too
    }
    let dir = Dir::new();
    let child = Child::of("policies::special_files::stdout_takes_the_contents_whatever_it_is");
    let check = |stdout: &str, before: &str| {
        assert!(stdout.starts_with(before) && stdout.ends_with("[the contents]"), "{stdout}");
        assert_eq!(stdout.matches("[the contents]").count(), 1);
    };
    let output = output(&mut child.command(&dir, "")).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check(&String::from_utf8(output.stdout).unwrap(), "");

    dir.write("log", "before ");
    let log = fs::OpenOptions::new().append(true).open(dir.path("log")).unwrap();
    let log = log.into_parts().0;
    assert!(status(child.command(&dir, "").stdout(log)).unwrap().success());
    check(&dir.read("log"), "before ");
    dir.assert_only(&["log"]);
}

/// A program that root had write its report with `-o /tmp/report` gave it to whoever had made a
/// FIFO of that name and waited at its other end (the kernel's own fs.protected_fifos is only for
/// opening with O_CREAT).
#[test]
fn a_fifo_that_another_user_planted_gets_nothing() {
    if lacks(&[Feature::Owners, Feature::Modes, Feature::Fifos]) {
        return;
    }
    const TEST: &str = "policies::special_files::a_fifo_that_another_user_planted_gets_nothing";
    if !is_root(TEST) {
        return;
    }
    let dir = Dir::new();
    chmod(dir.root(), 0o1777);
    let fifo = dir.path("fifo");
    make_fifo(&fifo);
    let reader = openat(CWD, &fifo, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    let mut reader = fs::File::from_parts(reader.into(), &fifo);
    let nothing_came = |reader: &mut fs::File| reader.read(&mut [0; 100]).unwrap() == 0;
    // It becomes somebody else's after the look at it.
    let mut writer = through().open(&fifo).unwrap();
    writer.write_all(b"secret").unwrap();
    chown(&fifo, NOBODY, NOBODY);
    let error = writer.commit().unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::PermissionDenied, Step::Publish));
    assert_eq!(error.target_state(), TargetState::Untouched);
    assert!(nothing_came(&mut reader));
    // It is somebody else's from the beginning.
    let error = through().write(&fifo, "secret").unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::PermissionDenied, Step::Resolve));
    assert!(nothing_came(&mut reader));
    // It is the one of the directory's owner.
    chown(dir.root(), NOBODY, NOBODY);
    assert_eq!(through().write(&fifo, "no secret").unwrap().outcome(), Outcome::WrittenThrough);
    assert!(!nothing_came(&mut reader));
    dir.assert_only(&["fifo"]);
}

/// What is read from it is not there any more.
#[test]
fn what_is_written_through_cannot_be_updated() {
    if lacks(&[Feature::Fifos]) {
        return;
    }
    let dir = Dir::new();
    let fifo = dir.path("fifo");
    make_fifo(&fifo);
    let error = through().update(&fifo, |_| panic!("nothing was read")).unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::SpecialFile, Step::Read));
    assert_eq!(error.target_state(), TargetState::Untouched);
    dir.assert_only(&["fifo"]);
}
