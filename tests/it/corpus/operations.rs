//! Any script of calls on a writer does what the same calls do to a file in memory.

use std::io::SeekFrom;
use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};
use wholefile::Staging;

use crate::model::{self, End, Op};

/// Long enough to cross the largest buffer below, short enough to be quick.
const MAX_LEN: u16 = 1 << 10;
const MAX_BUFFER_SIZE: usize = 600;
const MAX_CALLS: usize = 64;
const MAX_PIECES: usize = 8;

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
            Op::WriteVectored(pieces.into_iter().take(MAX_PIECES).map(bytes).collect())
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

/// Runs the script that `input` stands for in `root`, which is empty, and says how it ended. `None`
/// if it stands for none.
pub(crate) fn check(root: &Path, input: &[u8]) -> Option<String> {
    let script = Script::arbitrary_take_rest(Unstructured::new(input)).ok()?;
    let ops: Vec<Op> = script.calls.into_iter().take(MAX_CALLS).map(op).collect();
    let staging = if script.unnamed { Staging::Unnamed } else { Staging::Named };
    let end = if script.commit { End::Commit } else { End::Drop };
    let buffer_size = usize::from(script.buffer_size) % MAX_BUFFER_SIZE;
    let is_poisoned = model::check(root, &ops, buffer_size, staging, end);
    Some(format!("{end:?}, {}", if is_poisoned { "poisoned" } else { "sound" }))
}
