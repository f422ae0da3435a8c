//! Replaces a certificate and its key as one, again and again, while a reader looks at both without
//! pause and never uses a pair that does not match.
//!
//! ```sh
//! cargo run --example rotate_certificates               # in a folder beside the program
//! cargo run --example rotate_certificates -- --folder tls --rotations 100
//! cargo run --example rotate_certificates -- --crash    # dies between the two files
//! cargo run --example rotate_certificates               # recovers, and goes on
//! ```
//!
//! The journal makes the two files one commit: a process that dies between them leaves what the
//! next one needs to complete it. It does not make them one moment. A reader that opens both while
//! they are published, or after a crash and before the recovery, can get the certificate of one
//! generation and the key of another. Here the two tell that they belong together, as real ones do
//! (a certificate holds the public key), so that the reader looks again until they match. A server
//! that can only ever load them once should get a folder that is swapped whole, or be told to load
//! them after the commit.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use fs_err as fs;
use wholefile::{AtomicBatch, AtomicWriter, Step, recover};

/// As often as this in a row the reader may meet a rotation.
const MAX_LOOKS: usize = 100_000;

#[derive(Parser)]
struct Arguments {
    /// Where certificate.pem and key.pem are. Default: a folder beside the program.
    #[arg(long)]
    folder: Option<PathBuf>,
    #[arg(long, default_value_t = 20)]
    rotations: u64,
    /// Die after the first file of the first rotation is published.
    #[arg(long)]
    crash: bool,
}

/// A certificate and its key. They stand for real ones: the fingerprint is of the key.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new(generation: u64) -> Pair {
        let key = format!("secret {generation} {:016x}\n", fingerprint(&generation.to_string()));
        let certificate = format!("generation {generation}\nkey {:016x}\n", fingerprint(&key));
        Pair { certificate, key }
    }

    /// Reads both, and again as long as they do not match.
    fn read(folder: &Path) -> anyhow::Result<(Pair, usize)> {
        for looks in 1..=MAX_LOOKS {
            let certificate = fs::read_to_string(folder.join("certificate.pem"))?;
            let key = fs::read_to_string(folder.join("key.pem"))?;
            let pair = Pair { certificate, key };
            if pair.is_match() {
                return Ok((pair, looks));
            }
            thread::yield_now(); // somebody is publishing the other one
        }
        bail!("the certificate and the key in {} do not match", folder.display())
    }

    fn is_match(&self) -> bool {
        self.certificate.ends_with(&format!("\nkey {:016x}\n", fingerprint(&self.key)))
    }

    fn generation(&self) -> anyhow::Result<u64> {
        let number = self.certificate.strip_prefix("generation ").and_then(|it| it.lines().next());
        number.and_then(|it| it.parse().ok()).context("the certificate has no generation")
    }
}

/// Not for keys that are secret.
fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// Publishes both files as one commit.
fn rotate(folder: &Path, pair: &Pair, crash: bool) -> anyhow::Result<()> {
    let mut batch = AtomicBatch::new();
    #[cfg_attr(not(unix), allow(unused_mut, reason = "only Unix has modes"))]
    let mut options = AtomicWriter::builder();
    #[cfg(unix)]
    options.mode(0o600); // the key is its owner's alone
    batch.options(&options).journal(folder.join("rotation.journal"))?;
    batch.write(folder.join("key.pem"), &pair.key)?;
    batch.options(&AtomicWriter::builder()); // the certificate is everybody's
    batch.write(folder.join("certificate.pem"), &pair.certificate)?;
    batch.commit_with(|progress| {
        if crash && progress.step() == Step::Publish && progress.files_done() == 1 {
            process::exit(3); // nothing is cleaned up
        }
        ControlFlow::Continue(())
    })?;
    Ok(())
}

/// What the reader has seen.
#[derive(Default)]
struct Seen {
    reads: usize,
    again: usize,
    last: u64,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pairs read, all matched; {} looks were in between", self.reads, self.again)
    }
}

/// Reads the pair until it is told to stop, and then once more.
fn watch(folder: &Path, stop: &AtomicBool) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut is_last = false;
    // Bounded by the rotations.
    while !is_last {
        is_last = stop.load(Ordering::Acquire);
        let (pair, looks) = Pair::read(folder)?;
        let generation = pair.generation()?;
        ensure!(generation >= seen.last, "generation {generation} after {}", seen.last);
        seen = Seen { reads: seen.reads + 1, again: seen.again + looks - 1, last: generation };
    }
    Ok(seen)
}

fn main() -> anyhow::Result<()> {
    let Arguments { folder, rotations, crash } = Arguments::parse();
    let folder = match folder {
        Some(folder) => folder,
        // Cargo puts the program under target/, so that trying it out litters no checkout.
        None => std::env::current_exe()?.with_file_name("rotate_certificates-output"),
    };
    fs::create_dir_all(&folder)?;
    // Before anything is read: what an earlier run may have begun.
    let recovered = recover(folder.join("rotation.journal"))?.files().len();
    if recovered > 0 {
        println!("recovered {recovered} files, which an earlier run had begun to publish");
    }
    match (folder.join("key.pem").try_exists()?, folder.join("certificate.pem").try_exists()?) {
        (true, true) => {}
        (false, false) => rotate(&folder, &Pair::new(1), false)?,
        _ => bail!("one of the two files is missing in {}", folder.display()),
    }
    let (pair, _) = Pair::read(&folder)?;
    let first = pair.generation()?;
    let stop = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let reader = scope.spawn(|| watch(&folder, &stop));
        let rotated = (first + 1..=first + rotations)
            .try_for_each(|generation| rotate(&folder, &Pair::new(generation), crash));
        stop.store(true, Ordering::Release);
        let seen = reader.join().expect("the reader does not panic");
        rotated.and(seen)
    })?;
    ensure!(seen.last == first + rotations, "the reader has not seen the last generation");
    println!("rotated {rotations} times, from generation {first} to {}", seen.last);
    println!("{seen}");
    Ok(())
}
