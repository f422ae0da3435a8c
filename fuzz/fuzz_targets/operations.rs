//! Any script of calls on a writer does what the same calls do to a file in memory.
#![no_main]

use std::io::SeekFrom;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use wholefile::Staging;

#[path = "../../tests/it/model.rs"]
mod model;

use model::{End, Op};

/// Long enough to cross the largest buffer below, short enough to be quick.
const MAX_LEN: u16 = 1 << 10;

#[derive(Arbitrary, Debug)]
enum Call {
    Write(u8, u16),
    WriteVectored(Vec<(u8, u16)>),
    FromStart(u16),
    FromCursor(i16),
    FromEnd(i16),
    Read(u16),
    SetLen(u16),
    Flush,
    ToDisk,
}

#[derive(Arbitrary, Debug)]
struct Script {
    calls: Vec<Call>,
    buffer_size: u16,
    unnamed: bool,
    commit: bool,
}

fn bytes((byte, len): (u8, u16)) -> Vec<u8> {
    vec![byte; usize::from(len % MAX_LEN)]
}

fn op(call: Call) -> Op {
    match call {
        Call::Write(byte, len) => Op::Write(bytes((byte, len))),
        Call::WriteVectored(pieces) => {
            Op::WriteVectored(pieces.into_iter().take(8).map(bytes).collect())
        }
        Call::FromStart(position) => Op::Seek(SeekFrom::Start(position.into())),
        Call::FromCursor(offset) => Op::Seek(SeekFrom::Current(offset.into())),
        Call::FromEnd(offset) => Op::Seek(SeekFrom::End(offset.into())),
        Call::Read(len) => Op::Read((len % MAX_LEN).into()),
        Call::SetLen(len) => Op::SetLen(len.into()),
        Call::Flush => Op::Flush,
        Call::ToDisk => Op::ToDisk,
    }
}

fuzz_target!(|script: Script| {
    let folder = tempfile::tempdir().unwrap();
    let ops: Vec<Op> = script.calls.into_iter().take(64).map(op).collect();
    let staging = if script.unnamed { Staging::Unnamed } else { Staging::Named };
    let end = if script.commit { End::Commit } else { End::Drop };
    model::check(folder.path(), &ops, usize::from(script.buffer_size) % 600, staging, end);
});
