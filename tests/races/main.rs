//! Everything at once: writers of each kind, readers, sweepers, somebody who renames the parent
//! directory and plants a symlink in its place, and somebody who plants symlinks at targets.
//!
//!     cargo test --release --test races         # for 3 seconds
//!     cargo test --release --test races -- 60   # for so many
//!
//! All along:
//!
//! - a reader never misses a target, and sees one whole version, never an older one than before;
//! - a directory that is replaced as a whole never shows files of two versions;
//! - no save, lock, sweep or rollback fails, but for what its own rules refuse;
//! - what a writer opened in the directory lands there, wherever that is by then and whatever
//!   stands in its place, and nothing lands behind a planted symlink.
//!
//! At the end no acknowledged update is lost, and nothing is left over.

#[cfg(unix)]
mod arena;
#[cfg(unix)]
mod players;

#[cfg(not(unix))]
fn main() {
    eprintln!("SKIPPED races: the readers hold on to a directory that is renamed");
}

#[cfg(unix)]
fn main() {
    use std::time::Duration;

    let seconds = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(3);
    let arena = arena::Arena::new();
    let counts = players::play(&arena, Duration::from_secs(seconds));
    arena.check_the_end(counts["update under the lock"]);
    for (what, count) in &counts {
        println!("{count:>9} {what}");
        assert!(*count > 0, "nothing was tried: {what}");
    }
    println!("{} kinds of players, {seconds} s, 0 violations", counts.len());
    println!("1 passed, 0 failed");
}
