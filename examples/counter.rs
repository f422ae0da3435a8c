//! Counts its own runs in a file. However many run at once, none is forgotten.
//!
//! ```sh
//! cargo run --example counter                # in a file beside the program
//! cargo run --example counter -- visits.txt
//! ```

use std::io;
use std::path::PathBuf;

use wholefile::atomic_update;

fn main() -> anyhow::Result<()> {
    let path = match std::env::args_os().nth(1) {
        Some(path) => PathBuf::from(path),
        // Cargo puts the program under target/, so that trying it out litters no checkout.
        None => std::env::current_exe()?.with_extension("txt"),
    };
    let mut count = 0_u64;
    // The lock is held from before the old contents are read until the new ones are published.
    atomic_update(&path, |old| {
        if let Some(old) = old {
            let text = String::from_utf8(old).map_err(io::Error::other)?;
            count = text.trim().parse().map_err(io::Error::other)?;
        }
        count += 1;
        Ok(format!("{count}\n").into_bytes())
    })?;
    println!("run {count}, counted in {}", path.display());
    Ok(())
}
