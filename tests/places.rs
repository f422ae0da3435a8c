//! One save, told in one line: for `ci/filesystems.sh`, which mounts the places that break
//! libraries and knows what the line must be.
//!
//!     places [options] TARGET
//!
//! On success the line says outcome, durability and what was not preserved, or what was recovered;
//! on failure kind, step, state of the target and whether a leftover was named.

#[cfg(not(unix))]
fn main() {
    eprintln!("SKIPPED places: the cases are those of Linux");
}

#[cfg(unix)]
fn main() -> anyhow::Result<()> {
    unix::main()
}

#[cfg(unix)]
mod unix {
    use std::io::Write;
    use std::ops::ControlFlow;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use anyhow::ensure;
    use clap::{Parser, ValueEnum};
    use fs_err as fs;
    use wholefile::{
        AtomicBatch, AtomicDir, AtomicWriter, Builder, Commit, Error, Progress, Publish, Staging,
        Step, Swap, recover,
    };

    #[derive(Parser)]
    struct Arguments {
        /// The file to replace.
        target: PathBuf,
        /// The file that has the new contents.
        #[arg(long)]
        contents: Option<PathBuf>,
        #[arg(long, value_enum, default_value = "save")]
        way: Way,
        #[arg(long, value_enum, default_value = "replace")]
        publish: To,
        #[arg(long)]
        unnamed: bool,
        #[arg(long)]
        require_durability: bool,
        #[arg(long, default_value_t = 0)]
        reserve: u64,
        #[arg(long, value_parser = |text: &str| u32::from_str_radix(text, 8))]
        mode: Option<u32>,
        /// A command of the shell, run once the writer is open.
        #[arg(long)]
        once_open: Option<String>,
        /// A command of the shell, run once all contents are in the temp file.
        #[arg(long)]
        once_staged: Option<String>,
    }

    #[derive(Clone, Copy, ValueEnum)]
    enum Way {
        /// All at once.
        Save,
        /// Piece by piece.
        Stream,
        /// The directory that the target is in, as a tree that is exchanged.
        Tree,
        /// The same, as one that a link leads to.
        Link,
        /// With another file, by a batch that has a journal.
        Batch,
        /// The same, but the process ends before the target is published.
        Die,
        /// By the journal of a batch.
        Recover,
    }

    #[derive(Clone, Copy, ValueEnum)]
    enum To {
        Replace,
        CreateNew,
        Existing,
    }

    pub(super) fn main() -> anyhow::Result<()> {
        if std::env::var_os("WHOLEFILE_PLACES").is_none() {
            // `cargo test` runs this too, perhaps with options for the other tests.
            eprintln!("SKIPPED places: `bash ci/filesystems.sh` mounts them and runs this");
            return Ok(());
        }
        let arguments = Arguments::parse();
        let target = &arguments.target;
        let contents = match &arguments.contents {
            Some(path) => fs::read(path)?,
            None => b"new".to_vec(),
        };
        let told = match arguments.way {
            Way::Save | Way::Stream => {
                save(&arguments, target, &contents).map(|commit| succeeded(&commit))
            }
            Way::Tree => publish_tree(Swap::Exchange, target, &contents),
            Way::Link => publish_tree(Swap::Link, target, &contents),
            Way::Batch => commit_batch(target, &contents, |_| ControlFlow::Continue(())),
            Way::Die => commit_batch(target, &contents, |progress| {
                if progress.step() == Step::Publish && progress.files_done() == 1 {
                    std::process::exit(0);
                }
                ControlFlow::Continue(())
            }),
            Way::Recover => recover_batch(target),
        };
        match told {
            Ok(line) => println!("{line}"),
            Err(error) => {
                eprintln!("{error}: {:?}", error.io_error());
                println!("{}", failed(&error));
            }
        }
        Ok(())
    }

    fn builder(arguments: &Arguments) -> Builder {
        let mut builder = AtomicWriter::builder();
        builder
            .publish(match arguments.publish {
                To::Replace => Publish::Replace,
                To::CreateNew => Publish::CreateNew,
                To::Existing => Publish::Existing,
            })
            .staging(if arguments.unnamed { Staging::Unnamed } else { Staging::Named })
            .require_durability(arguments.require_durability)
            .reserve(arguments.reserve);
        if let Some(mode) = arguments.mode {
            builder.mode(mode);
        }
        builder
    }

    fn save(arguments: &Arguments, target: &Path, contents: &[u8]) -> Result<Commit, Error> {
        let builder = builder(arguments);
        let streams = matches!(arguments.way, Way::Stream);
        if !streams && arguments.once_open.is_none() && arguments.once_staged.is_none() {
            return builder.write(target, contents);
        }
        let mut writer = builder.open(target)?;
        run(arguments.once_open.as_deref());
        // A write that fails poisons the writer, and the commit tells.
        if streams {
            let _ = contents.chunks(10_000).try_for_each(|piece| writer.write_all(piece));
        } else {
            let _ = writer.write_all(contents);
        }
        if arguments.once_staged.is_some() && writer.as_file().is_ok() {
            run(arguments.once_staged.as_deref());
        }
        writer.commit()
    }

    fn publish_tree(swap: Swap, target: &Path, contents: &[u8]) -> Result<String, Error> {
        let (folder, name) = (target.parent(), target.file_name());
        let staged = AtomicDir::builder().swap(swap).open(folder.unwrap_or(target))?;
        staged.write(name.unwrap_or_default(), contents)?;
        let commit = staged.commit()?;
        let left = if commit.leftover().is_some() { ", leftover named" } else { "" };
        Ok(format!("{} {}{left}", commit.outcome(), commit.durability()))
    }

    fn commit_batch(
        target: &Path,
        contents: &[u8],
        progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<String, Error> {
        let mut batch = AtomicBatch::new();
        batch.journal(target.with_extension("journal"))?;
        batch.write(target.with_extension("first"), contents)?;
        batch.write(target, contents)?;
        let commit = batch.commit_with(progress)?;
        Ok(commit.commits().iter().map(succeeded).collect::<Vec<_>>().join(", "))
    }

    fn recover_batch(target: &Path) -> Result<String, Error> {
        let recovery = recover(target.with_extension("journal"))?;
        let files: Vec<_> = recovery.files().map(|(_, when)| format!("{when:?}")).collect();
        Ok(format!("recovered {}", files.join(", ")))
    }

    fn run(command: Option<&str>) {
        let Some(command) = command else { return };
        let result = Command::new("sh").args(["-c", command]).status();
        let result = result.map_err(anyhow::Error::from);
        let done = result.and_then(|status| {
            ensure!(status.success(), "{status}");
            Ok(())
        });
        done.unwrap_or_else(|error| panic!("{command}: {error}"));
    }

    fn succeeded(commit: &Commit) -> String {
        let lost: Vec<_> = commit.not_preserved().iter().map(ToString::to_string).collect();
        let lost =
            if lost.is_empty() { String::new() } else { format!(", lost {}", lost.join(", ")) };
        format!("{} {}{lost}", commit.outcome(), commit.durability())
    }

    fn failed(error: &Error) -> String {
        let (kind, step, state) = (error.kind(), error.step(), error.target_state());
        let named = if error.leftover().is_some() { ", leftover named" } else { "" };
        format!("{kind:?} at {step:?}, {state:?}{named}")
    }
}
