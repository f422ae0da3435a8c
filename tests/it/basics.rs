//! A save from its beginning to each of its ends.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use fs_err as fs;
use wholefile::{
    AtomicWriter, Builder, Commit, Durability, Error, ErrorKind, Outcome, Step, TargetState,
    atomic_write, atomic_write_with,
};

use crate::dir::Dir;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

#[track_caller]
fn check(old: Option<&[u8]>, len: usize, piece: usize) {
    let dir = Dir::new();
    let target = dir.path("target");
    if let Some(old) = old {
        dir.write("target", old);
    }
    let new = bytes(len);
    let commit = if piece == 0 {
        atomic_write(&target, &new).unwrap()
    } else {
        let mut writer = AtomicWriter::builder().open(&target).unwrap();
        for piece in new.chunks(piece) {
            writer.write_all(piece).unwrap();
        }
        assert_eq!(fs::read(&target).ok().as_deref(), old, "nothing is visible before the commit");
        writer.commit().unwrap()
    };
    let outcome = if old.is_some() { Outcome::Replaced } else { Outcome::Created };
    assert_eq!(commit.outcome(), outcome);
    assert_eq!(commit.len(), len as u64);
    assert_eq!(commit.path(), target);
    assert!(commit.not_preserved().is_empty());
    assert!(fs::read(&target).unwrap() == new, "{len} bytes in pieces of {piece}");
    dir.assert_only(&["target"]);
}

#[test]
fn contents_of_every_size_create_and_replace() {
    const BUFFER: usize = 64 << 10;
    let mut cases = 0;
    for old in [None, Some(&b""[..]), Some(b"old"), Some(&[7; 200_000])] {
        for len in [0, 1, 100, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER, (5 << 20) + 3] {
            for piece in [0, 1000, BUFFER, 1 << 20] {
                check(old, len, piece);
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 4 * 8 * 4);
}

#[test]
fn what_a_closure_writes_is_published() {
    let dir = Dir::new();
    let commit = atomic_write_with(dir.path("target"), |writer| {
        (0..100).try_for_each(|n| writeln!(writer, "{n}"))
    });
    assert_eq!(commit.unwrap().outcome(), Outcome::Created);
    assert_eq!(dir.read("target").lines().count(), 100);
    dir.assert_only(&["target"]);
}

#[track_caller]
fn check_closure_that_fails(f: impl Fn(&mut AtomicWriter) -> io::Result<()>) {
    for old in [None, Some("old")] {
        let dir = Dir::new();
        old.iter().for_each(|old| drop(dir.write("target", old)));
        let error = atomic_write_with(dir.path("target"), &f).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closure);
        assert_eq!(error.step(), Step::Write);
        assert_eq!(error.path(), dir.path("target"));
        assert_eq!(error.target_state(), TargetState::Untouched);
        assert!(error.io_error().is_some());
        assert_eq!(fs::read_to_string(dir.path("target")).ok().as_deref(), old);
        dir.assert_only(if old.is_some() { &["target"] } else { &[] });
    }
}

#[test]
fn a_closure_that_fails_leaves_the_old_file() {
    check_closure_that_fails(|_| Err(io::Error::other("no")));
    check_closure_that_fails(|writer| {
        writer.write_all(b"a part")?;
        Err(io::ErrorKind::InvalidData.into())
    });
    check_closure_that_fails(|writer| {
        writer.write_all(&bytes(1 << 20))?;
        Err(io::ErrorKind::NotFound.into())
    });
}

/// A save within the closure failed, and its error came out as if it were this save's: with the
/// other file's path and with what became of the other file, because any error of this crate was
/// passed on as it was. Whoever asked `target_state()` learnt about the wrong target.
#[test]
fn the_error_of_a_save_within_the_closure_is_not_taken_for_this_ones() {
    check_closure_that_fails(|writer| {
        writer.write_all(b"a part")?;
        atomic_write("no such directory/other", "contents")?;
        Ok(())
    });
}

#[test]
fn a_closure_that_panics_leaves_the_old_file() {
    for len in [10, 1 << 20] {
        let dir = Dir::new();
        let target = dir.write("target", "old");
        let panic = catch_unwind(AssertUnwindSafe(|| {
            atomic_write_with(&target, |writer| {
                writer.write_all(&bytes(len))?;
                std::panic::resume_unwind(Box::new("on purpose"));
            })
        }));
        assert!(panic.is_err());
        assert_eq!(dir.read("target"), "old");
        dir.assert_only(&["target"]);
    }
}

/// Calls `end` on a writer that holds `len` bytes, for each old contents.
fn for_each_writer(end: impl Fn(&Dir, AtomicWriter, &[u8])) {
    let mut cases = 0;
    for old in [None, Some("old")] {
        for len in [0, 10, 1 << 20] {
            let dir = Dir::new();
            old.iter().for_each(|old| drop(dir.write("target", old)));
            let mut writer = AtomicWriter::builder().open(dir.path("target")).unwrap();
            writer.write_all(&bytes(len)).unwrap();
            end(&dir, writer, &bytes(len));
            assert_eq!(fs::read_to_string(dir.path("target")).ok().as_deref(), old);
            cases += 1;
        }
    }
    assert_eq!(cases, 6);
}

#[test]
fn a_rollback_leaves_nothing() {
    for_each_writer(|dir, writer, _| {
        writer.rollback().unwrap();
        assert!(dir.names().iter().all(|name| name == "target"));
    });
}

#[test]
fn a_drop_rolls_back() {
    for_each_writer(|dir, writer, _| {
        drop(writer);
        assert!(dir.names().iter().all(|name| name == "target"));
    });
}

#[test]
fn keep_leaves_the_staged_file_beside_the_old_one() {
    for_each_writer(|dir, writer, new| {
        let (mut file, path) = writer.keep().unwrap();
        assert_eq!(dir.temps().len(), 1);
        assert!(fs::read(&path).unwrap() == new);
        let mut from_file = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut from_file).unwrap();
        assert!(from_file == new);
        assert_eq!(path.parent().unwrap(), dir.root());
    });
}

#[test]
fn bytes_written_counts_what_was_overwritten_too() {
    let dir = Dir::new();
    let mut writer = AtomicWriter::builder().buffer_size(4).open(dir.path("target")).unwrap();
    assert_eq!(writer.bytes_written(), 0);
    for round in 1..=3 {
        writer.rewind().unwrap();
        writer.write_all(b"abcdef").unwrap();
        assert_eq!(writer.bytes_written(), 6 * round);
    }
    assert_eq!(writer.path(), dir.path("target"));
    assert_eq!(writer.commit().unwrap().len(), 6);
    assert_eq!(dir.read("target"), "abcdef");
}

#[test]
fn another_handle_writes_through_the_staging_path() {
    let dir = Dir::new();
    dir.write("target", "old");
    let mut writer = AtomicWriter::builder().open(dir.path("target")).unwrap();
    writer.write_all(b"one ").unwrap();
    let staging = writer.staging_path().unwrap();
    assert!(staging.is_absolute());
    assert_eq!(staging.parent(), Some(dir.root()));
    assert_eq!(writer.staging_path().unwrap(), staging, "it has one name");
    assert_eq!(fs::read(&staging).unwrap(), b"one ", "what was written is in it");
    fs::write(&staging, "all of it is another's").unwrap();
    let commit = writer.commit().unwrap();
    assert_eq!(commit.len(), 22);
    assert_eq!(dir.read("target"), "all of it is another's");
    dir.assert_only(&["target"]);
}

#[cfg(unix)]
#[test]
fn another_process_writes_through_the_staging_path() {
    use std::process::{Command, Stdio};
    use wholefile::Staging;

    use crate::system::spawn;

    for staging in [Staging::Named, Staging::Unnamed] {
        let dir = Dir::new();
        let mut writer = AtomicWriter::builder().staging(staging).open(dir.path("target")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "cat > \"$1\"", "sh"]).arg(writer.staging_path().unwrap());
        let mut cat = spawn(command.stdin(Stdio::piped())).unwrap();
        cat.stdin.take().unwrap().write_all(&bytes(300_000)).unwrap();
        assert!(cat.wait().unwrap().success());
        assert_eq!(writer.commit().unwrap().len(), 300_000);
        assert!(fs::read(dir.path("target")).unwrap() == bytes(300_000));
        dir.assert_only(&["target"]);
    }
}

#[cfg(unix)]
#[test]
fn the_staged_file_is_a_childs_stdout() {
    let dir = Dir::new();
    let mut writer = AtomicWriter::builder().open(dir.path("target")).unwrap();
    write!(writer, "before ").unwrap();
    for word in ["one ", "two "] {
        let stdout = writer.as_file().unwrap().try_clone().unwrap();
        let mut command = std::process::Command::new("printf");
        let said = crate::system::status(command.arg(word).stdout(stdout));
        assert!(said.unwrap().success());
        write!(writer, "after {word}").unwrap();
    }
    writer.commit().unwrap();
    assert_eq!(dir.read("target"), "before one after one two after two ");
    dir.assert_only(&["target"]);
}

/// `{:?}` of a writer printed its whole buffer, up to 64 KiB of contents that may be a secret, into
/// whatever log the caller keeps.
#[test]
fn debug_shows_the_path_and_not_the_contents() {
    let dir = Dir::new();
    for len in [0, 3] {
        let mut writer = AtomicWriter::builder().open(dir.path("a target")).unwrap();
        writer.write_all(&[201, 202, 203][..len]).unwrap();
        let text = format!("{writer:?}");
        assert!(text.contains("AtomicWriter") && text.contains("a target"), "{text}");
        assert!(!text.contains("201, 202"), "{text}");
    }
}

#[test]
fn one_builder_makes_many_saves_and_a_copy_is_independent() {
    let dir = Dir::new();
    let mut builder = AtomicWriter::builder();
    builder.durability(Durability::None);
    for n in 0..20 {
        let commit = builder.write(dir.path(format!("{n}")), format!("contents {n}")).unwrap();
        assert_eq!(commit.durability(), Durability::None);
    }
    assert_eq!(dir.names().len(), 20);
    assert_eq!(dir.read("7"), "contents 7");
    let mut copy = builder.clone();
    copy.durability(Durability::Ordered);
    assert_eq!(builder.write(dir.path("a"), "").unwrap().durability(), Durability::None);
    assert_eq!(copy.write(dir.path("a"), "").unwrap().durability(), Durability::Ordered);
    assert!(format!("{builder:?}").contains("None"));
}

#[test]
fn a_writer_moves_between_threads() {
    fn is_send_and_sync<T: Send + Sync + 'static>() {}
    is_send_and_sync::<AtomicWriter>();
    is_send_and_sync::<Builder>();
    is_send_and_sync::<Commit>();
    is_send_and_sync::<Error>();
    let dir = Dir::new();
    let mut writer = AtomicWriter::builder().open(dir.path("target")).unwrap();
    writer.write_all(b"one ").unwrap();
    let end = thread::spawn(move || {
        writer.write_all(b"two").unwrap();
        writer.commit().unwrap()
    });
    assert_eq!(end.join().unwrap().len(), 7);
    assert_eq!(dir.read("target"), "one two");
}
