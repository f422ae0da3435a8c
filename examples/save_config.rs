//! Loads a TOML config, changes settings and saves it, so that no crash can leave half a config.
//!
//! ```sh
//! cargo run --example save_config                        # created; the second time: unchanged
//! cargo run --example save_config -- --set theme=dark    # replaced
//! cargo run --example save_config -- --file app.toml --set font_size=14 --set theme=dark
//! ```

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use serde::{Deserialize, Serialize};
use wholefile::{AtomicWriter, Commit, Durability, Outcome};

/// Loads a config, changes settings and saves it.
#[derive(Parser)]
struct Arguments {
    /// The config; without this, `save_config.toml` beside the program
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// A setting to change, for instance theme=dark; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

#[derive(Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    theme: String,
    font_size: u32,
    autosave: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config { theme: "light".to_owned(), font_size: 12, autosave: true }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let path = match arguments.file {
        Some(path) => path,
        // Cargo puts the program under target/, so that trying it out litters no checkout.
        None => std::env::current_exe()?.with_extension("toml"),
    };
    let mut config = load(&path)?;
    for (key, value) in &arguments.set {
        config = config.with(key, value)?;
    }
    report(&save(&path, &config)?);
    Ok(())
}

/// The config at `path`, or a default one where there is none yet. One that cannot be read is an
/// error: to save the defaults over it would destroy it.
fn load(path: &Path) -> Result<Config> {
    match fs_err::read_to_string(path) {
        Ok(text) => toml::from_str(&text)
            .with_context(|| format!("failed to understand the config `{}`", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Config::default()),
        Err(error) => Err(error.into()),
    }
}

/// The rest is up to the defaults: durable, through a symlink into a dotfile folder, and with the
/// owner and the permissions that the user gave to the old file.
fn save(path: &Path, config: &Config) -> Result<Commit> {
    let commit = AtomicWriter::builder()
        // The first save of an application often is the first file in its folder.
        .create_parents(true)
        // A config that did not change costs no write, and wakes no program that watches it.
        .skip_unchanged(true)
        .write(path, toml::to_string(config)?)?;
    Ok(commit)
}

/// A save can do less than was asked for and still be worth having; the receipt says what it did.
fn report(commit: &Commit) {
    println!("{} {}, {} bytes", commit.outcome(), commit.path().display(), commit.len());
    if commit.outcome() == Outcome::Unchanged {
        return; // nothing was written, so there is nothing to say of how well it was
    }
    let after_a_power_cut = match commit.durability() {
        Durability::Full => "it is there",
        Durability::Ordered => "it is there, or the old one is",
        _ => "it may be damaged",
    };
    println!("durability: {}, after a power cut {after_a_power_cut}", commit.durability());
    for lost in commit.not_preserved() {
        println!("could not keep the {lost}");
    }
}

impl Config {
    /// The config with `key` set to `value`, a string unless it reads as another TOML value.
    fn with(self, key: &str, value: &str) -> Result<Config> {
        let mut table = toml::Table::try_from(self)?;
        let parsed = value.parse().unwrap_or_else(|_| toml::Value::from(value));
        table.insert(key.to_owned(), parsed);
        // Through serde again: only a setting that exists, and only to a value that fits it.
        table.try_into().with_context(|| format!("failed to set `{key}` to `{value}`"))
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
