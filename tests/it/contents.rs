//! The writer as a file: what is written, sought, read and cut comes out as in a model of one.

use std::io::{IoSlice, Read, Seek, SeekFrom, Write};

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::TestCaseError;
use wholefile::{AtomicWriter, ErrorKind, Staging, Step, TargetState};

use crate::dir::Dir;
use crate::draws::runner;
use crate::model::{self, End, Op};

const BUFFER: usize = 64 << 10;

#[track_caller]
fn check(ops: &[Op], buffer_size: usize, staging: Staging, end: End) -> bool {
    model::check(Dir::new().root(), ops, buffer_size, staging, end)
}

/// Under every size of the buffer and both kinds of staging. How often the writer was poisoned.
#[track_caller]
fn check_everywhere(ops: &[Op]) -> usize {
    let mut poisoned = 0;
    for buffer_size in [0, 1, 7, BUFFER] {
        for staging in [Staging::Named, Staging::Unnamed] {
            for end in [End::Commit, End::Drop] {
                poisoned += usize::from(check(ops, buffer_size, staging, end));
            }
        }
    }
    poisoned
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 17 % 253 + 1) as u8).collect()
}

/// What is saved may be a secret, and a log is no place for it.
#[test]
fn what_is_printed_for_debugging_has_the_length_and_not_the_bytes() {
    let dir = Dir::new();
    let mut writer = AtomicWriter::builder().open(dir.path("target")).unwrap();
    writer.write_all(b"hunter2").unwrap();
    let text = format!("{writer:?}");
    assert!(text.contains("buffered: 7, position: 7"), "{text}");
    let bytes = format!("{:?}", b"hunter2");
    assert!(!text.contains("hunter2") && !text.contains(bytes.trim_matches(['[', ']'])), "{text}");
}

#[test]
fn writes_add_up_on_both_sides_of_the_border() {
    for len in [0, 1, 6, 7, 8, 13, 14, 15, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER + 1] {
        let write = Op::Write(bytes(len));
        assert_eq!(check_everywhere(std::slice::from_ref(&write)), 0);
        assert_eq!(check_everywhere(&[Op::Write(bytes(3)), write.clone(), write]), 0);
        let pieces = [0, 1, len, 2, 0, len].map(bytes).to_vec();
        let vectored = Op::WriteVectored(pieces);
        assert_eq!(check_everywhere(&[vectored.clone(), Op::Write(bytes(2)), vectored]), 0);
    }
    assert_eq!(check_everywhere(&[Op::WriteVectored(vec![])]), 0);
    // Behind what waits in the buffer, once the rest is on disk.
    let behind = [Op::ToDisk, Op::Write(bytes(2)), Op::WriteVectored(vec![bytes(1), bytes(2)])];
    assert_eq!(check_everywhere(&behind), 0);
}

#[test]
fn a_seek_beyond_the_end_makes_zeros_once_something_is_written() {
    for at in [1, 7, 8, 1000, BUFFER as u64 - 2, BUFFER as u64, 3 * BUFFER as u64] {
        let seek = Op::Seek(SeekFrom::Start(at));
        assert_eq!(check_everywhere(std::slice::from_ref(&seek)), 0);
        assert_eq!(check_everywhere(&[seek.clone(), Op::Write(vec![])]), 0);
        assert_eq!(check_everywhere(&[seek.clone(), Op::Read(10), Op::Write(bytes(5))]), 0);
        let back = Op::Seek(SeekFrom::Current(-1));
        assert_eq!(check_everywhere(&[Op::Write(bytes(4)), seek, back, Op::Write(bytes(5))]), 0);
    }
}

#[test]
fn what_was_written_is_read_back_and_overwritten_in_place() {
    for len in [5, 100, BUFFER, BUFFER + 100] {
        let half = len as u64 / 2;
        let ops = [
            Op::Write(bytes(len)),
            Op::Seek(SeekFrom::Start(half)),
            Op::Read(10),
            Op::Write(vec![0xff; 9]),
            Op::Read(1000),
            Op::Seek(SeekFrom::End(-3)),
            Op::Read(2),
            Op::Write(bytes(BUFFER)),
            Op::Seek(SeekFrom::Start(0)),
            Op::Read(3 * BUFFER),
        ];
        assert_eq!(check_everywhere(&ops), 0);
    }
}

#[test]
fn the_length_can_be_cut_and_extended() {
    for len in [0, 1, 6, 7, 8, 100, BUFFER as u64, BUFFER as u64 + 1, 1 << 20] {
        let set_len = Op::SetLen(len);
        assert_eq!(check_everywhere(std::slice::from_ref(&set_len)), 0);
        let ops = [Op::Write(bytes(50)), set_len.clone(), Op::Read(60), Op::Write(bytes(3))];
        assert_eq!(check_everywhere(&ops), 0);
        let ops = [Op::Write(bytes(50)), Op::ToDisk, Op::Write(bytes(3)), set_len, Op::Flush];
        assert_eq!(check_everywhere(&ops), 0);
    }
}

#[test]
fn a_seek_before_the_start_fails_and_poisons() {
    let offsets = [SeekFrom::Current(-1), SeekFrom::End(-51), SeekFrom::End(i64::MIN)];
    for to in offsets {
        let ops = [Op::Write(bytes(50)), Op::Seek(SeekFrom::Start(0)), Op::Seek(to)];
        assert_eq!(check_everywhere(&ops), 16, "{to:?}");
    }
}

#[test]
fn a_poisoned_writer_refuses_everything_but_a_rollback() {
    for buffer_size in [0, BUFFER] {
        let dir = Dir::new();
        let mut builder = AtomicWriter::builder();
        let mut writer = builder.buffer_size(buffer_size).open(dir.path("target")).unwrap();
        writer.write_all(b"contents").unwrap();
        writer.seek(SeekFrom::Current(-9)).unwrap_err();
        let kind = |error: std::io::Error| error.downcast::<wholefile::Error>().unwrap().kind();
        assert_eq!(kind(writer.write(b"more").unwrap_err()), ErrorKind::Poisoned);
        assert_eq!(kind(writer.flush().unwrap_err()), ErrorKind::Poisoned);
        assert_eq!(kind(writer.read(&mut [0; 4]).unwrap_err()), ErrorKind::Poisoned);
        assert_eq!(kind(writer.rewind().unwrap_err()), ErrorKind::Poisoned);
        assert_eq!(writer.set_len(3).unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(writer.as_file().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(writer.staging_path().unwrap_err().step(), Step::Write);
        writer.rollback().unwrap();
        dir.assert_only(&[]);
    }
}

#[test]
fn a_position_that_no_file_can_have_is_an_error_and_not_a_panic() {
    for buffer_size in [0, 7, BUFFER] {
        for to in [SeekFrom::Start(u64::MAX), SeekFrom::Start(i64::MAX as u64)] {
            let dir = Dir::new();
            let mut builder = AtomicWriter::builder();
            let mut writer = builder.buffer_size(buffer_size).open(dir.path("target")).unwrap();
            writer.write_all(b"contents").unwrap();
            // Some file systems let it be sought, but none written.
            let written = writer.seek(to).and_then(|_| writer.write_all(b"more"));
            written.and_then(|()| writer.flush()).unwrap_err();
            assert_eq!(writer.commit().unwrap_err().kind(), ErrorKind::Poisoned);
            dir.assert_only(&[]);
        }
        let dir = Dir::new();
        let mut builder = AtomicWriter::builder();
        let mut writer = builder.buffer_size(buffer_size).open(dir.path("target")).unwrap();
        writer.set_len(u64::MAX).unwrap_err();
        assert_eq!(writer.commit().unwrap_err().kind(), ErrorKind::Poisoned);
        dir.assert_only(&[]);
    }
}

/// Symptom: the process was aborted. Mechanism: with a buffer of any size, a seek far beyond the
/// end and a write stayed in memory, which was asked for a gap of petabytes. Lost: everything that
/// the process had not saved.
#[test]
fn no_buffer_is_so_large_that_a_gap_of_petabytes_fits_into_it() {
    let dir = Dir::new();
    let mut builder = AtomicWriter::builder();
    let mut writer = builder.buffer_size(usize::MAX).open(dir.path("target")).unwrap();
    writer.seek(SeekFrom::Start(1 << 50)).unwrap();
    let _ = writer.write_all(b"x").and_then(|()| Ok(writer.set_len(1 << 50)?));
    drop(writer);
    dir.assert_only(&[]);
}

#[test]
fn a_small_save_makes_no_temp_file_before_the_commit() {
    for len in [0, 1, BUFFER - 1, BUFFER] {
        let dir = Dir::new();
        let mut writer = AtomicWriter::builder().open(dir.path("target")).unwrap();
        writer.write_all(&bytes(len)).unwrap();
        writer.flush().unwrap();
        writer.rewind().unwrap();
        writer.read_to_end(&mut Vec::new()).unwrap();
        writer.set_len(BUFFER as u64).unwrap();
        dir.assert_only(&[]);
        drop(writer);
        dir.assert_only(&[]);
    }
}

#[track_caller]
fn check_makes_a_temp(force: impl FnOnce(&mut AtomicWriter)) {
    let dir = Dir::new();
    let mut writer = AtomicWriter::builder().open(dir.path("target")).unwrap();
    writer.write_all(b"contents").unwrap();
    dir.assert_only(&[]);
    force(&mut writer);
    let temps = dir.temps();
    assert_eq!((temps.len(), dir.names().len()), (1, 1));
    assert_eq!(temps[0].len(), 27, "the documented pattern: {}", temps[0]);
    drop(writer);
    dir.assert_only(&[]);
}

#[test]
fn a_temp_file_is_made_when_it_is_needed() {
    check_makes_a_temp(|writer| drop(writer.as_file().unwrap().metadata()));
    check_makes_a_temp(|writer| drop(writer.staging_path().unwrap()));
    check_makes_a_temp(|writer| writer.write_all(&bytes(BUFFER)).unwrap());
    check_makes_a_temp(|writer| writer.set_len(BUFFER as u64 + 1).unwrap());
}

#[cfg(unix)]
#[test]
fn an_unnamed_staging_has_no_name_until_one_is_asked_for() {
    if crate::place::lacks(&[crate::place::Feature::Unnamed]) {
        return;
    }
    let dir = Dir::new();
    let mut builder = AtomicWriter::builder();
    let mut writer = builder.staging(Staging::Unnamed).open(dir.path("target")).unwrap();
    writer.write_all(&bytes(BUFFER + 1)).unwrap();
    writer.as_file().unwrap();
    dir.assert_only(&[]);
    let staging = writer.staging_path().unwrap();
    assert_eq!(fs_err::read(staging).unwrap(), bytes(BUFFER + 1));
    assert_eq!(dir.temps().len(), 1);
    writer.rollback().unwrap();
    dir.assert_only(&[]);
}

/// Of more slices than a call takes (IOV_MAX) the first were all empty: nothing was written, and
/// that was an error.
#[test]
fn empty_slices_are_passed_over() {
    let dir = Dir::new();
    let target = dir.path("target");
    let large = bytes(BUFFER + 1);
    let mut slices = vec![IoSlice::new(b""); 3000];
    slices.push(IoSlice::new(&large));
    let mut writer = AtomicWriter::builder().open(&target).unwrap();
    assert_eq!(writer.write_vectored(&slices).unwrap(), large.len());
    assert_eq!(writer.write_vectored(&slices[..3000]).unwrap(), 0);
    assert_eq!(writer.bytes_written(), large.len() as u64);
    assert!(format!("{writer:?}").contains("buffered: 0,"), "it is too much for the buffer");
    writer.commit().unwrap();
    assert_eq!(fs_err::read(&target).unwrap(), large);
}

/// `sed -i` and many editors put another file in the place of the one that they are given. That was
/// published, neither synced nor with the metadata, and with a receipt that said otherwise.
#[test]
fn a_staged_file_that_was_replaced_is_not_published() {
    let dir = Dir::new();
    let target = dir.write("target", "old");
    let mut writer = AtomicWriter::builder().open(&target).unwrap();
    writer.write_all(b"new").unwrap();
    let staging = writer.staging_path().unwrap();
    let other = dir.write("other", "edited");
    match fs_err::rename(other, staging) {
        Ok(()) => {}
        Err(error) if cfg!(windows) => return eprintln!("it cannot be replaced here: {error}"),
        Err(error) => panic!("{error}"),
    }
    let error = writer.commit().unwrap_err();
    assert_eq!((error.kind(), error.step()), (ErrorKind::StagingReplaced, Step::SyncFile));
    assert_eq!(error.target_state(), TargetState::Untouched);
    assert_eq!(dir.read("target"), "old");
    dir.assert_only(&["target"]);
}

fn any_op() -> impl Strategy<Value = Op> {
    let some_bytes = || (any::<u8>(), 0..200_usize).prop_map(|(byte, len)| vec![byte; len]);
    let seek = prop_oneof![
        4 => (0..700_u64).prop_map(SeekFrom::Start),
        4 => (0..100_i64).prop_map(SeekFrom::Current),
        2 => (-20..0_i64).prop_map(SeekFrom::Current),
        4 => (-30..60_i64).prop_map(SeekFrom::End),
    ];
    prop_oneof![
        6 => some_bytes().prop_map(Op::Write),
        3 => proptest::collection::vec(some_bytes(), 0..5).prop_map(Op::WriteVectored),
        4 => seek.prop_map(Op::Seek),
        3 => (0..300_usize).prop_map(Op::Read),
        2 => (0..700_u64).prop_map(Op::SetLen),
        2 => Just(Op::Flush),
        1 => Just(Op::ToDisk),
    ]
}

#[test]
fn any_sequence_of_calls_does_what_a_file_in_memory_does() {
    let sizes = prop_oneof![Just(0), Just(1), Just(7), 2..600_usize, Just(BUFFER)];
    let stagings = prop_oneof![Just(Staging::Named), Just(Staging::Unnamed)];
    let ends = prop_oneof![3 => Just(End::Commit), 1 => Just(End::Drop)];
    let cases = (proptest::collection::vec(any_op(), 0..25), sizes, stagings, ends);
    let (poisoned, committed) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let run = runner(1000).run(&cases, |(ops, buffer_size, staging, end)| {
        let was_poisoned = check(&ops, buffer_size, staging, end);
        poisoned.set(poisoned.get() + usize::from(was_poisoned));
        committed.set(committed.get() + usize::from(!was_poisoned && end == End::Commit));
        Ok::<(), TestCaseError>(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
    let (poisoned, committed) = (poisoned.get(), committed.get());
    assert!(poisoned >= 20 && committed >= 200, "{poisoned} poisoned, {committed} committed");
}
