//! Copies a file or stdin of any size to a target, with a progress bar and in constant memory. A
//! Ctrl-C in the middle leaves the old target, and nothing beside it.
//!
//! ```sh
//! cargo run --example stream_large -- --from disk.img copy.img
//! curl https://example.com/big.iso | cargo run --example stream_large -- big.iso
//! ```

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use wholefile::AtomicWriter;

/// Copies a file or stdin to a target, whole or not at all.
#[derive(Parser)]
struct Arguments {
    /// The file to copy; without this, stdin
    #[arg(long, value_name = "PATH")]
    from: Option<PathBuf>,
    /// The file to replace
    target: PathBuf,
}

/// Larger than the writer's own buffer, which such a chunk therefore bypasses.
const CHUNK_LEN: usize = 256 << 10;
/// How far the reader may be ahead of the writer. With `CHUNK_LEN` this bounds the memory.
const CHUNKS_AHEAD: usize = 4;

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// All that the copying can meet with.
enum Event {
    Chunk(Vec<u8>),
    End,
    Failed(io::Error),
    Interrupted,
}

fn main() -> Result<ExitCode> {
    let Arguments { from, target } = Arguments::parse();
    let (events, inbox) = mpsc::sync_channel(CHUNKS_AHEAD);

    // Before there is a temp file: from here on, Ctrl-C is an event like any other and does not end
    // the process, which would have no time to clean up.
    let interrupts = events.clone();
    ctrlc::set_handler(move || drop(interrupts.send(Event::Interrupted)))?;

    let (source, len) = open(from)?;
    let mut writer = AtomicWriter::builder()
        // A disk that is too small is an error now and not after an hour.
        .reserve(len.unwrap_or(0))
        .open(&target)?;

    // Reading has a thread of its own, since a read from a terminal or a pipe may never return. So
    // what waits for input is that thread alone, and this one is always there for a Ctrl-C.
    thread::spawn(move || read_all(source, &events));

    let bar = progress_bar(len);
    loop {
        match inbox.recv()? {
            Event::Chunk(chunk) => {
                writer.write_all(&chunk)?;
                bar.inc(chunk.len() as u64);
            }
            Event::End => break,
            // Here as at every `?`, the writer is dropped, and a drop rolls back.
            Event::Failed(error) => return Err(error).context("failed to read the source"),
            Event::Interrupted => {
                bar.abandon();
                // Said aloud all the same: a rollback, unlike a drop, can tell whether it worked.
                writer.rollback()?;
                eprintln!("interrupted; {} is as it was", target.display());
                return Ok(ExitCode::from(INTERRUPTED));
            }
        }
    }

    // A Ctrl-C comes too late now: the target is replaced, or an error says why not.
    bar.set_message("syncing");
    let commit = writer.commit()?;
    bar.finish_and_clear();
    println!("{} {}, {} bytes", commit.outcome(), commit.path().display(), commit.len());
    Ok(ExitCode::SUCCESS)
}

/// What is copied, and its length where that is known beforehand.
fn open(path: Option<PathBuf>) -> Result<(Box<dyn Read + Send>, Option<u64>)> {
    let Some(path) = path else { return Ok((Box::new(io::stdin()), None)) };
    let file = fs_err::File::open(path)?;
    let metadata = file.metadata()?;
    let len = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), len))
}

/// Sends all of `source` in chunks. It stops early if nobody receives them any more.
fn read_all(mut source: impl Read, events: &SyncSender<Event>) {
    loop {
        let mut chunk = vec![0; CHUNK_LEN];
        let event = match source.read(&mut chunk) {
            Ok(0) => Event::End,
            Ok(len) => {
                chunk.truncate(len);
                Event::Chunk(chunk)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Event::Failed(error),
        };
        let is_last = !matches!(event, Event::Chunk(_));
        if events.send(event).is_err() || is_last {
            return;
        }
    }
}

/// It is drawn on stderr, and only if that is a terminal.
fn progress_bar(len: Option<u64>) -> ProgressBar {
    let (bar, template) = match len {
        Some(len) => {
            let template = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
            (ProgressBar::new(len), template)
        }
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec} {msg}"),
    };
    bar.enable_steady_tick(Duration::from_millis(100));
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
