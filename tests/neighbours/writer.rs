//! Root's saves: every kind whose steps a neighbour could come between.

use std::fs;
use std::io::{ErrorKind as Io, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::umask;
use wholefile::{
    AtomicWriter, Builder, Commit, ErrorKind, Publish, Result, SpecialFiles, Staging, Symlinks,
    TargetState,
};

use crate::linux::{Counts, MARKER, chmod, count};
use crate::neighbour::PLANTED;

/// Root's, and always there.
pub(crate) const STANDING: [&str; 2] = ["config", "secret"];
/// Removed after each save, so that the neighbour can take the name.
pub(crate) const FRESH: [&str; 7] =
    ["fresh", "replace", "new", "through", "unchanged", "default", "unnamed"];
/// The beginning of the names that the neighbour gives to what it could link.
pub(crate) const STOLEN: &str = "stolen-";

/// A directory is looked through for leftovers every so many rounds.
const LOOK_THROUGH: u64 = 16;

pub(crate) struct Writer {
    dir: PathBuf,
    round: u64,
    /// How many were open at the first look.
    descriptors: Option<usize>,
    counts: Counts,
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn builder() -> Builder {
    AtomicWriter::builder()
}

/// Stages in many steps, so that the neighbour has time.
fn stream(builder: &mut Builder, path: &Path, contents: &str) -> Result<Commit> {
    let mut writer = builder.buffer_size(16).open(path)?;
    for piece in contents.as_bytes().chunks(40) {
        if writer.write_all(piece).is_err() {
            break; // commit gives the reason
        }
        std::thread::yield_now();
    }
    writer.commit()
}

impl Writer {
    pub(crate) fn new(dir: &Path) -> Writer {
        umask(Mode::from_raw_mode(0o022));
        for (name, mode) in STANDING.into_iter().zip([0o644, 0o600]) {
            fs::write(dir.join(name), "").unwrap();
            chmod(&dir.join(name), mode);
        }
        Writer { dir: dir.to_owned(), round: 0, descriptors: None, counts: Counts::new() }
    }

    /// A save of each kind.
    pub(crate) fn round(&mut self) {
        self.round += 1;
        let public = format!("public {}", self.round).repeat(20);
        let secret = format!("{MARKER} {}", self.round).repeat(20);
        self.standing(&public, &secret);
        self.fresh(&secret);
        if self.round % LOOK_THROUGH == 0 {
            self.look_through();
        }
    }

    /// Saves that nothing the neighbour may do can hinder.
    fn standing(&mut self, public: &str, secret: &str) {
        type Save<'a> = (&'a str, u32, &'a str, &'a dyn Fn(&Path, &str) -> Result<Commit>);
        let saves: [Save<'_>; 7] = [
            ("config", 0o644, public, &|path, new| wholefile::atomic_write(path, new)),
            ("config", 0o644, public, &|path, new| stream(&mut builder(), path, new)),
            ("config", 0o644, public, &|path, new| {
                stream(builder().staging_prefix("t").staging_suffix(""), path, new)
            }),
            ("config", 0o644, public, &|path, new| {
                stream(builder().publish(Publish::Existing), path, new)
            }),
            ("secret", 0o600, secret, &|path, new| stream(&mut builder(), path, new)),
            ("secret", 0o600, secret, &|path, new| {
                stream(builder().staging(Staging::Unnamed), path, new)
            }),
            ("secret", 0o600, secret, &|path, new| {
                let mut writer = builder().open(path)?;
                let _ = writer.write_all(new.as_bytes());
                writer.staging_path()?;
                writer.rollback()?;
                wholefile::atomic_write(path, new)
            }),
        ];
        for (name, mode, contents, save) in saves {
            let path = self.dir.join(name);
            save(&path, contents).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            count(&mut self.counts, "saves: ok");
            // A neighbour who can make hard links can narrow what the group and others may.
            check_saved(&path, &[mode, 0o600], contents);
        }
        chmod(&self.dir.join("config"), 0o644);
    }

    /// Saves to names that the neighbour may have taken.
    fn fresh(&mut self, secret: &str) {
        for name in FRESH {
            let path = self.dir.join(name);
            let mut builder = builder();
            // Of a file with another mode it would not be said that it has not changed.
            let mode = if name == "unchanged" { 0o644 } else { 0o600 };
            if mode == 0o600 {
                builder.mode(mode);
            }
            match name {
                "replace" => drop(builder.symlinks(Symlinks::Replace)),
                "new" => drop(builder.publish(Publish::CreateNew)),
                "through" => drop(builder.special_files(SpecialFiles::WriteThrough)),
                "unchanged" => drop(builder.skip_unchanged(true)),
                "unnamed" => drop(builder.staging(Staging::Unnamed)),
                _ => {}
            }
            let contents = if name == "unchanged" { PLANTED } else { secret };
            let result = if name == "default" {
                // Without a mode of its own, the umask keeps the secret.
                umask(Mode::from_raw_mode(0o077));
                let result = stream(&mut AtomicWriter::builder(), &path, contents);
                umask(Mode::from_raw_mode(0o022));
                result
            } else {
                stream(&mut builder, &path, contents)
            };
            match result {
                Ok(commit) => {
                    // A planted file may keep out more.
                    check_saved(&path, &[mode, 0o600], contents);
                    count(&mut self.counts, "saves: ok");
                    count(&mut self.counts, format!("saves: {}", commit.outcome()));
                    if !commit.not_preserved().is_empty() {
                        count(&mut self.counts, "saves: over a planted file");
                    }
                }
                Err(error) => {
                    assert!(is_expected(error.kind()), "{name}: {error:?}");
                    assert_eq!(error.target_state(), TargetState::Untouched, "{error:?}");
                    assert_eq!(error.leftover(), None, "{error:?}");
                    count(&mut self.counts, "saves: refused");
                    count(&mut self.counts, format!("saves: {:?}", error.kind()));
                }
            }
            remove(&path);
        }
    }

    /// Nothing of root's may be in the directory that is not a target.
    fn look_through(&mut self) {
        for entry in fs::read_dir(&self.dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.uid() != 0 || STANDING.contains(&name) {
                continue;
            }
            // A hard link that the neighbour made: of a victim, or of a target as it was.
            let is_link_of_a_victim = fs::read_dir(self.dir.with_file_name("victims"))
                .unwrap()
                .any(|victim| victim.unwrap().metadata().unwrap().ino() == metadata.ino());
            assert!(is_link_of_a_victim || name.starts_with(STOLEN), "{name} stayed behind");
            remove(&path);
        }
        let now = open_descriptors();
        assert_eq!(now, *self.descriptors.get_or_insert(now), "descriptors");
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The counts, after the neighbour has gone.
    pub(crate) fn finish(mut self) -> Counts {
        self.look_through();
        self.counts
    }
}

/// What a name that was taken may answer.
fn is_expected(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::PermissionDenied
            | ErrorKind::SpecialFile
            | ErrorKind::IsADirectory
            | ErrorKind::AlreadyExists
    )
}

/// The target is the new file, root's own, and open to nobody else.
#[track_caller]
fn check_saved(path: &Path, modes: &[u32], contents: &str) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let name = path.display();
    assert!(metadata.is_file(), "{name} is {:?}", metadata.file_type());
    assert_eq!((metadata.uid(), metadata.gid()), (0, 0), "{name}");
    let mode = metadata.mode() & 0o7777;
    assert!(modes.contains(&mode), "{name}: {mode:o}");
    assert_eq!(fs::read_to_string(path).unwrap(), contents, "{name}");
}

fn remove(path: &Path) {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return,
    };
    // The neighbour may remove or change what is its own at any moment.
    if let Err(error) = result {
        assert!([Io::NotFound, Io::NotADirectory, Io::IsADirectory].contains(&error.kind()));
    }
}
