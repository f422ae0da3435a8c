//! A sweep removes what the documents describe, if nobody holds it, and nothing else, whatever
//! names and kinds of files there are.
//!
//! What is to be removed is told here by the sentences of the documents, from the folder as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use arbitrary::{Arbitrary, Unstructured};
use fs_err as fs;
use rustix::fs::{FlockOperation, flock};
use wholefile::{ErrorKind, Sweep, Sweeper};

use crate::snapshot::{Node, snapshot};

const MAX_ENTRIES: usize = 12;
const OURS: &[u8] = b".wholefile-";
/// The journal that marks speak of. No temp file has a name with a space in it.
const JOURNAL: &str = "the journal";

/// A part of a name: some are parts of ours.
#[derive(Arbitrary, Debug)]
enum Part {
    Ours,
    /// Twelve letters and digits.
    Letters(u8),
    /// Sixteen hexadecimal digits.
    Digits(u8),
    Tmp,
    Lock,
    Swap,
    Tree,
    OwnPrefix,
    OwnSuffix,
    /// The name of the mark in a staging directory.
    Mark,
    Bytes(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Kind {
    File(Contents),
    HeldFile,
    Folder,
    HeldFolder,
    Link(Vec<u8>),
    /// To what was made before it.
    LinkTo(u8),
    Socket,
}

#[derive(Arbitrary, Debug)]
enum Contents {
    /// Too short to be a mark of this version's.
    Short([u8; 4]),
    /// That of a journal in the root.
    Mark,
    /// That of one in a directory that had the path of the root once.
    MarkOfOther,
}

#[derive(Arbitrary, Debug)]
struct Entry {
    /// One of the folders that were made before it.
    folder: u8,
    name: Vec<Part>,
    kind: Kind,
}

#[derive(Arbitrary, Debug)]
struct Scene {
    entries: Vec<Entry>,
    has_journal: bool,
    prefix: Option<Vec<Part>>,
    suffix: Option<Vec<Part>>,
    recursive: bool,
    dry_run: bool,
    spares_the_young: bool,
}

/// What temp files' names begin and end with.
#[derive(Debug)]
struct Affixes {
    prefix: Vec<u8>,
    suffix: Vec<u8>,
}

fn text_of(parts: Vec<Part>, own: &Affixes) -> Vec<u8> {
    let text_of = |part| match part {
        Part::Ours => OURS.to_vec(),
        Part::Letters(number) => format!("abcXYZ{number:06}").into_bytes(),
        Part::Digits(number) => format!("{number:016x}").into_bytes(),
        Part::Tmp => b".tmp".to_vec(),
        Part::Lock => b".lock".to_vec(),
        Part::Swap => b".swap".to_vec(),
        Part::Tree => b".tree".to_vec(),
        Part::OwnPrefix => own.prefix.clone(),
        Part::OwnSuffix => own.suffix.clone(),
        Part::Mark => b"journal".to_vec(),
        Part::Bytes(bytes) => bytes,
    };
    parts.into_iter().flat_map(text_of).collect()
}

/// What there is before the sweep.
struct Made {
    root: PathBuf,
    folders: Vec<PathBuf>,
    all: Vec<PathBuf>,
    /// What somebody has locked, open for that.
    held: BTreeMap<PathBuf, fs::File>,
}

impl Made {
    /// Makes it, unless the system does not take the name, or it is taken.
    fn make(&mut self, entry: Entry, own: &Affixes) {
        let name = text_of(entry.name, own);
        if name.is_empty() || name.contains(&b'/') || name == b"." || name == b".." {
            return;
        }
        let folder = &self.folders[usize::from(entry.folder) % self.folders.len()];
        let path = folder.join(OsStr::from_bytes(&name));
        if path.symlink_metadata().is_ok() {
            return;
        }
        let is_held = matches!(entry.kind, Kind::HeldFile | Kind::HeldFolder);
        let made = match entry.kind {
            Kind::File(contents) => fs::write(&path, self.text_of(contents)),
            Kind::HeldFile => fs::write(&path, ""),
            Kind::Folder | Kind::HeldFolder => fs::create_dir(&path),
            Kind::Link(text) => symlink(OsStr::from_bytes(&text), &path),
            Kind::LinkTo(index) => match self.all.get(usize::from(index)) {
                Some(to) => symlink(to.file_name().unwrap(), &path),
                None => return,
            },
            Kind::Socket => UnixListener::bind(&path).map(drop),
        };
        if made.is_err() {
            return;
        }
        if is_held {
            let file = fs::File::open(&path).unwrap();
            flock(file.file(), FlockOperation::NonBlockingLockExclusive).unwrap();
            self.held.insert(path.clone(), file);
        }
        if path.symlink_metadata().unwrap().is_dir() {
            self.folders.push(path.clone());
        }
        self.all.push(path);
    }

    fn text_of(&self, contents: Contents) -> Vec<u8> {
        let number = fs::metadata(&self.root).unwrap().ino();
        let mark = |number: u64| {
            let root = self.root.to_str().unwrap();
            let born = fs::metadata(&self.root).unwrap().created().ok();
            let born = born.map_or("null".to_owned(), |born| {
                let born = born.duration_since(UNIX_EPOCH).unwrap();
                format!("[{},{}]", born.as_secs(), born.subsec_nanos())
            });
            format!(r#"{{"directory":"{root}","directory_id":{number},"directory_born":{born},"#,)
                + &format!(r#""journal":"{JOURNAL}"}}"#)
        };
        match contents {
            Contents::Short(text) => text.to_vec(),
            Contents::Mark => (mark(number) + "\n").into_bytes(),
            Contents::MarkOfOther => (mark(number + 1) + "\n").into_bytes(),
        }
    }

    /// Whether a journal may need the staging directory `stage`, by what the mark in it says.
    fn is_needed(&self, stage: &Path) -> bool {
        match fs::read(stage.join("journal")) {
            Ok(text) if stage.join("journal").symlink_metadata().unwrap().is_file() => {
                let is_of_root = text == self.text_of(Contents::Mark);
                let is_whole = text.ends_with(b"\n");
                is_whole && (!is_of_root || self.root.join(JOURNAL).exists())
            }
            _ => stage.join("journal").symlink_metadata().is_ok(),
        }
    }
}

/// What a sweep is to say of each path.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdicts {
    orphans: BTreeSet<PathBuf>,
    alive: BTreeSet<PathBuf>,
    kept: BTreeSet<PathBuf>,
    failed: BTreeSet<PathBuf>,
}

/// Whether `name` is `prefix`, as many bytes that are all `is_right`, and `suffix`.
fn has_form(name: &[u8], prefix: &[u8], len: usize, is_right: fn(&u8) -> bool, end: &[u8]) -> bool {
    name.len() == prefix.len() + len + end.len()
        && name.starts_with(prefix)
        && name.ends_with(end)
        && name[prefix.len()..][..len].iter().all(is_right)
}

struct Judge<'a> {
    made: &'a Made,
    own: &'a Affixes,
    recursive: bool,
    verdicts: Verdicts,
}

impl Judge<'_> {
    fn judge_folder(&mut self, folder: &Path) {
        let nodes: BTreeMap<PathBuf, Node> = snapshot(folder)
            .into_iter()
            .filter(|(path, _)| path.parent() == Some(folder))
            .collect();
        for (path, node) in &nodes {
            let name = path.file_name().unwrap();
            match node {
                Node::File(_) => self.judge_file(path, name.as_bytes(), &nodes),
                Node::Folder => {
                    let is_linked = nodes.values().any(|node| *node == Node::Link(name.into()));
                    self.judge_subfolder(path, name.as_bytes(), is_linked);
                }
                Node::Link(_) | Node::Special => {}
            }
        }
    }

    fn judge_file(&mut self, path: &Path, name: &[u8], beside: &BTreeMap<PathBuf, Node>) {
        let has_side_form = |end| has_form(name, OURS, 16, is_hexadecimal, end);
        let has_own_lock = self.is_temp(name) || has_side_form(b".lock");
        let lists = &mut self.verdicts;
        if has_side_form(b".swap") {
            let lock = path.with_extension("lock");
            let list = match beside.get(&lock) {
                Some(Node::File(_)) if self.made.held.contains_key(&lock) => &mut lists.alive,
                Some(Node::Folder | Node::Link(_) | Node::Special) => &mut lists.failed,
                _ if self.made.held.contains_key(path) => &mut lists.alive,
                _ => &mut lists.orphans,
            };
            list.insert(path.to_path_buf());
        } else if has_own_lock {
            let is_held = self.made.held.contains_key(path);
            let list = if is_held { &mut lists.alive } else { &mut lists.orphans };
            list.insert(path.to_path_buf());
        }
    }

    fn judge_subfolder(&mut self, path: &Path, name: &[u8], is_linked: bool) {
        let is_temp = self.is_temp(name);
        let is_generation = has_form(name, &self.own.prefix, 12, is_alphanumeric, b".tree");
        let lists = &mut self.verdicts;
        let list = if (is_temp || is_generation) && self.made.held.contains_key(path) {
            &mut lists.alive
        } else if is_temp && self.made.is_needed(path) {
            &mut lists.kept
        } else if is_temp || (is_generation && !is_linked) {
            &mut lists.orphans
        } else {
            if self.recursive {
                self.judge_folder(path);
            }
            return;
        };
        list.insert(path.to_path_buf());
    }

    fn is_temp(&self, name: &[u8]) -> bool {
        has_form(name, &self.own.prefix, 12, is_alphanumeric, &self.own.suffix)
    }
}

fn is_hexadecimal(byte: &u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)
}

fn is_alphanumeric(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Whether they make a name that is that of a temp file and of nothing else.
fn are_affixes(own: &Affixes) -> bool {
    let is_legal = |byte: &u8| ![0, b'/'].contains(byte);
    own.prefix.iter().chain(&own.suffix).all(is_legal)
        && own.prefix.len() + own.suffix.len() + 12 <= 255
        && own.suffix != b".tree"
}

/// Makes the scene that `input` stands for in `root`, which is empty, sweeps it, and says what came
/// of it. `None` if it stands for none.
pub(crate) fn check(root: &Path, input: &[u8]) -> Option<String> {
    let scene = Scene::arbitrary_take_rest(Unstructured::new(input)).ok()?;
    let mut sweeper = Sweeper::new();
    sweeper.recursive(scene.recursive).dry_run(scene.dry_run);
    if scene.spares_the_young {
        sweeper.min_age(Duration::from_secs(3600));
    }
    let none = Affixes { prefix: Vec::new(), suffix: Vec::new() };
    let mut own = Affixes { prefix: OURS.to_vec(), suffix: b".tmp".to_vec() };
    if let Some(prefix) = scene.prefix {
        own.prefix = text_of(prefix, &none);
        sweeper.staging_prefix(OsString::from_vec(own.prefix.clone()));
    }
    if let Some(suffix) = scene.suffix {
        own.suffix = text_of(suffix, &none);
        sweeper.staging_suffix(OsString::from_vec(own.suffix.clone()));
    }
    if scene.has_journal {
        fs::write(root.join(JOURNAL), "").unwrap();
    }
    let (root, folders) = (root.to_path_buf(), vec![root.to_path_buf()]);
    let mut made = Made { root, folders, all: Vec::new(), held: BTreeMap::new() };
    for entry in scene.entries.into_iter().take(MAX_ENTRIES) {
        made.make(entry, &own);
    }

    let before = snapshot(&made.root);
    let (recursive, verdicts) = (scene.recursive, Verdicts::default());
    let mut judge = Judge { made: &made, own: &own, recursive, verdicts };
    judge.judge_folder(&made.root);
    let expected = judge.verdicts;
    let result = sweeper.run(&made.root);
    let mut after = snapshot(&made.root);
    if !are_affixes(&own) {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidOption);
        assert_eq!(after, before);
        return Some("refused".to_owned());
    }
    let sweep = result.unwrap();
    assert_eq!(told(&sweep, scene.spares_the_young), expected, "{sweep:?}");
    let is_gone = |path: &Path| {
        let is_removed = !scene.dry_run && !scene.spares_the_young;
        is_removed && path.ancestors().any(|path| expected.orphans.contains(path))
    };
    for (path, node) in &before {
        assert_eq!(after.remove(path), (!is_gone(path)).then(|| node.clone()), "{path:?}");
    }
    assert!(after.is_empty(), "it left {after:?}");
    Some(summary(&expected))
}

/// What the sweep says, where all its orphans are young or none is.
fn told(sweep: &Sweep, all_are_young: bool) -> Verdicts {
    let (orphans, others) = match all_are_young {
        true => (sweep.young(), sweep.removed()),
        false => (sweep.removed(), sweep.young()),
    };
    assert!(others.is_empty() && sweep.unknown().is_empty(), "{sweep:?}");
    let set = |list: &[PathBuf]| {
        let set: BTreeSet<PathBuf> = list.iter().cloned().collect();
        assert_eq!(set.len(), list.len(), "{sweep:?}");
        set
    };
    let failed: Vec<_> = sweep.errors().iter().map(|error| error.path().to_path_buf()).collect();
    Verdicts {
        orphans: set(orphans),
        alive: set(sweep.alive()),
        kept: set(sweep.kept()),
        failed: set(&failed),
    }
}

fn summary(verdicts: &Verdicts) -> String {
    let Verdicts { orphans, alive, kept, failed } = verdicts;
    let lists = [("orphans", orphans), ("alive", alive), ("kept", kept), ("failed", failed)];
    let met = lists.iter().filter(|(_, list)| !list.is_empty()).map(|(name, _)| *name);
    met.collect::<Vec<_>>().join(", ")
}
