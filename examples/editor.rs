//! A line editor that was open for an hour, and does not overwrite what others saved meanwhile.
//!
//! ```sh
//! cargo run --example editor -- notes.txt
//! ```
//!
//! It reads commands, one a line: `add TEXT`, `show`, `save`, `quit`. If somebody else has saved
//! the file since it was opened, `save` says so and leaves the choice: `reload`, `overwrite` or
//! `save as PATH`.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use wholefile::{AtomicWriter, Builder, Commit, Error, ErrorKind, Publish, Tracking, Version};

struct Editor {
    path: PathBuf,
    text: String,
    /// What `text` was made of.
    version: Version,
}

impl Editor {
    fn open(path: PathBuf) -> Result<Editor> {
        // The version first: what changes between the two is a conflict later, and not lost.
        let version = Version::of(&path)?;
        let text = match fs_err::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        Ok(Editor { path, text, version })
    }

    /// Saves over the version that was opened, or saved last, and over no other.
    fn save(&mut self) -> Result<Commit, Error> {
        let mut builder = AtomicWriter::builder();
        builder.expect(&self.version);
        self.write(&mut builder)
    }

    /// Saves over what is there now; not over what may come after that, which nobody has seen.
    fn overwrite(&mut self) -> Result<Commit, Error> {
        self.version = Version::of(&self.path)?;
        self.save()
    }

    /// Goes on with another file, which must not exist yet.
    fn save_as(&mut self, path: &Path) -> Result<Commit, Error> {
        let before = std::mem::replace(&mut self.path, path.to_path_buf());
        let commit = self.write(AtomicWriter::builder().publish(Publish::CreateNew));
        if commit.is_err() {
            self.path = before;
        }
        commit
    }

    fn write(&mut self, builder: &mut Builder) -> Result<Commit, Error> {
        let commit = builder.tracking(Tracking::Metadata).write(&self.path, &self.text)?;
        self.version = commit.version().expect("it is tracked").clone();
        Ok(commit)
    }

    fn obey(&mut self, command: &str) -> Result<()> {
        let (verb, argument) = command.split_once(' ').unwrap_or((command, ""));
        let saved = match (verb, argument) {
            ("add", text) => {
                self.text += &format!("{text}\n");
                return Ok(());
            }
            ("show", "") => {
                print!("{}", self.text);
                return Ok(());
            }
            ("reload", "") => {
                *self = Editor::open(self.path.clone())?;
                return Ok(());
            }
            ("save", "") => self.save(),
            ("overwrite", "") => self.overwrite(),
            ("save", argument) if argument.starts_with("as ") => {
                self.save_as(Path::new(&argument["as ".len()..]))
            }
            _ => bail!("the commands are: add TEXT, show, save, quit"),
        };
        match saved {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                bail!("{error}; you may reload, overwrite or save as PATH")
            }
            saved => println!("{} {}", saved?.outcome(), self.path.display()),
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let path = match std::env::args_os().nth(1) {
        Some(path) => PathBuf::from(path),
        // Cargo puts the program under target/, so that trying it out litters no checkout.
        None => std::env::current_exe()?.with_extension("txt"),
    };
    let mut editor = Editor::open(path)?;
    println!("opened {}", editor.path.display());
    for command in io::stdin().lines() {
        match &*command? {
            "quit" => break,
            // A save that fails is no reason to lose what was typed.
            command => editor.obey(command).unwrap_or_else(|error| println!("{error:#}")),
        }
    }
    Ok(())
}
