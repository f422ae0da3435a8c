//! What a save writes, the same for every contender.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

/// What is streamed is handed over in pieces of this length.
const PIECE: usize = 64 << 10;
const LINES: usize = 10_000;
const RECORDS: usize = 1_000;

/// What to write, as a job names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Contents {
    /// So many bytes, handed over at once.
    Bytes(usize),
    /// So many bytes, handed over in pieces of 64 KiB.
    Stream(u64),
    /// 10,000 `writeln!` calls of 40 bytes each.
    Lines,
    /// `serde_json::to_writer` of 1,000 records.
    Json,
}

/// The same, made ready, so that making it is not measured.
#[derive(Debug)]
pub(crate) enum Payload {
    Bytes(Vec<u8>),
    Stream { piece: Vec<u8>, len: u64 },
    Lines,
    Json(Vec<Record>),
}

#[derive(Debug, Serialize)]
pub(crate) struct Record {
    id: usize,
    name: String,
    tags: [&'static str; 3],
    score: f64,
}

impl Contents {
    pub(crate) fn prepare(self) -> Payload {
        match self {
            Contents::Bytes(len) => Payload::Bytes(bytes(len)),
            Contents::Stream(len) => Payload::Stream { piece: bytes(PIECE), len },
            Contents::Lines => Payload::Lines,
            Contents::Json => Payload::Json(records()),
        }
    }
}

impl Payload {
    /// Writes it as a caller does who knows nothing about the writer.
    pub(crate) fn write_to(&self, writer: &mut impl Write) -> io::Result<()> {
        match self {
            Payload::Bytes(bytes) => writer.write_all(bytes),
            Payload::Stream { piece, len } => {
                let mut left = *len;
                while left > 0 {
                    let now = left.min(piece.len() as u64);
                    writer.write_all(&piece[..now as usize])?;
                    left -= now;
                }
                Ok(())
            }
            // Each reaches the writer in three pieces.
            Payload::Lines => (0..LINES).try_for_each(|line| {
                writeln!(writer, "record {} has thirty-nine characters", 10_000 + line)
            }),
            Payload::Json(records) => Ok(serde_json::to_writer(writer, records)?),
        }
    }

    /// All of it, for an interface that takes nothing else.
    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Payload::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Bytes that no file system can compress to nothing or take for a hole.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&next());
    }
    bytes.truncate(len);
    bytes
}

fn records() -> Vec<Record> {
    let record = |id| Record {
        id,
        name: format!("record number {id}"),
        tags: ["whole", "or", "not at all"],
        score: id as f64 / 7.0,
    };
    (0..RECORDS).map(record).collect()
}
