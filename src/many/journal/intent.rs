//! What a journal says, and its text.
//!
//! ```text
//! {"format":"wholefile journal","version":1,"checksum":1234}
//! {"folders":[…],"files":[…]}
//! ```
//!
//! The checksum is of the second line. It tells damage, not malice: who can write to the journal
//! may do as its owner, and what it says is held against what is on disk before anything is done,
//! as are the marks in the staging directories (`mark.rs`), so that no other directory is emptied.
//! The text has only one form, so that no byte of it can change unseen.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::fnv::fnv_1a;
use crate::options::{Publish, ReadOnly};
use crate::protocol::target;
use crate::sys::{self, Info};

const FORMAT: &str = "wholefile journal";
const VERSION: u64 = 1;

/// All that is needed to publish what is staged.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::many) struct Intent {
    pub(in crate::many) folders: Vec<Folder>,
    pub(in crate::many) files: Vec<File>,
}

/// A directory that targets are in, and the staging directory in it.
///
/// Of a directory or file, only the number is recorded and not the device: that of a file system
/// may be another each time it is mounted (btrfs, device mapper, NFS).
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::many) struct Folder {
    pub(in crate::many) path: Utf8PathBuf,
    pub(in crate::many) id: u64,
    pub(in crate::many) stage: String,
    pub(in crate::many) stage_id: u64,
}

/// A file to be published.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::many) struct File {
    /// The number of its folder.
    pub(in crate::many) folder: usize,
    pub(in crate::many) name: String,
    /// Its name in the staging directory.
    pub(in crate::many) staged: String,
    pub(in crate::many) how: How,
    pub(in crate::many) new: Identity,
    /// The target, if there was one.
    pub(in crate::many) old: Option<Identity>,
}

/// How it is published: [`Publish`] and [`ReadOnly`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::many) enum How {
    Replace,
    ReplaceReadOnly,
    CreateNew,
    Existing,
    ExistingReadOnly,
}

/// What tells a file from every other, and shows that its contents were changed. Times are seconds
/// and nanoseconds since 1970. Not the time when its status changed: the rename that published a
/// file has set that one, and no sync has made it durable since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::many) struct Identity {
    pub(in crate::many) id: u64,
    pub(in crate::many) len: u64,
    pub(in crate::many) modified: (i64, i64),
}

impl How {
    pub(in crate::many) fn new(publish: Publish, read_only: ReadOnly) -> How {
        match (publish, read_only) {
            (Publish::Replace, ReadOnly::Refuse) => How::Replace,
            (Publish::Replace, ReadOnly::Replace) => How::ReplaceReadOnly,
            (Publish::CreateNew, _) => How::CreateNew,
            (Publish::Existing, ReadOnly::Refuse) => How::Existing,
            (Publish::Existing, ReadOnly::Replace) => How::ExistingReadOnly,
        }
    }

    pub(super) fn publish(self) -> Publish {
        match self {
            How::Replace | How::ReplaceReadOnly => Publish::Replace,
            How::CreateNew => Publish::CreateNew,
            How::Existing | How::ExistingReadOnly => Publish::Existing,
        }
    }

    pub(super) fn read_only(self) -> ReadOnly {
        match self {
            How::ReplaceReadOnly | How::ExistingReadOnly => ReadOnly::Replace,
            How::Replace | How::CreateNew | How::Existing => ReadOnly::Refuse,
        }
    }
}

impl Identity {
    pub(super) fn is_of(&self, info: &Info) -> bool {
        self.id == info.id.file && self.is_like(info)
    }

    /// Whether all but the number is as it was.
    pub(super) fn is_like(&self, info: &Info) -> bool {
        (self.len, self.modified) == (info.len, info.times.modified)
    }
}

impl From<&Info> for Identity {
    fn from(info: &Info) -> Identity {
        let Info { id, len, times, .. } = info;
        Identity { id: id.file, len: *len, modified: times.modified }
    }
}

/// Why a text is no journal that can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    /// It is something else.
    Foreign,
    /// Another version of this crate wrote it.
    Version(u64),
    /// It is not what was written.
    Damaged,
    /// It says what no journal says.
    Absurd,
}

impl Invalid {
    pub(super) fn reason(self) -> String {
        match self {
            Invalid::Foreign => "it is not the journal of a batch".to_owned(),
            Invalid::Version(version) => {
                format!("it is of version {version}, and only version {VERSION} is known")
            }
            Invalid::Damaged => "it is not as it was written".to_owned(),
            Invalid::Absurd => "it says what no journal says".to_owned(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u64,
    checksum: u64,
}

impl Intent {
    pub(super) fn text(&self) -> serde_json::Result<String> {
        let body = serde_json::to_string(self)?;
        let checksum = fnv_1a(body.as_bytes());
        let header = Header { format: FORMAT.to_owned(), version: VERSION, checksum };
        Ok(format!("{}\n{body}\n", serde_json::to_string(&header)?))
    }

    pub(super) fn parse(text: &[u8]) -> Result<Intent, Invalid> {
        let end = text.iter().position(|byte| *byte == b'\n').ok_or(Invalid::Foreign)?;
        let header: Header = serde_json::from_slice(&text[..end]).map_err(|_| Invalid::Foreign)?;
        if header.format != FORMAT {
            return Err(Invalid::Foreign);
        }
        if header.version != VERSION {
            return Err(Invalid::Version(header.version));
        }
        let body = text[end + 1..].strip_suffix(b"\n").ok_or(Invalid::Damaged)?;
        if fnv_1a(body) != header.checksum {
            return Err(Invalid::Damaged);
        }
        let intent: Intent = serde_json::from_slice(body).map_err(|_| Invalid::Absurd)?;
        if intent.text().ok().as_deref().map(str::as_bytes) != Some(text) {
            return Err(Invalid::Damaged);
        }
        if intent.is_sound() { Ok(intent) } else { Err(Invalid::Absurd) }
    }

    /// Whether each name is one, each folder is there, and no file is named twice.
    fn is_sound(&self) -> bool {
        let is_name = |folder: &Folder, name: &str| {
            target::require_one_component(Path::new(name)).is_ok()
                && sys::may_name_file(folder.path.as_std_path(), OsStr::new(name))
        };
        let (mut targets, mut staged) = (HashSet::new(), HashSet::new());
        self.folders.iter().all(|it| it.path.is_absolute() && is_name(it, &it.stage))
            && self.files.iter().all(|file| {
                self.folders.get(file.folder).is_some_and(|folder| {
                    is_name(folder, &file.name)
                        && is_name(folder, &file.staged)
                        && targets.insert((file.folder, &file.name))
                        && staged.insert((file.folder, &file.staged))
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent() -> Intent {
        let new = Identity { id: 1, len: 2, modified: (3, 4) };
        let path = if cfg!(windows) { r"C:\folder" } else { "/folder" };
        let odd = if cfg!(windows) { "\u{2764} three" } else { "\u{2764} \n \" three" };
        let stage = ".wholefile-abcDEF012345.tmp".to_owned();
        let file = |name: &str, how, old| {
            let (name, staged) = (name.to_owned(), name.to_owned());
            File { folder: 0, name, staged, how, new, old }
        };
        Intent {
            folders: vec![Folder { path: path.into(), id: 7, stage, stage_id: u64::MAX }],
            files: vec![
                file("one", How::Replace, Some(new)),
                file("two", How::CreateNew, None),
                file(odd, How::ExistingReadOnly, Some(new)),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for intent in [Intent::default(), intent()] {
            assert_eq!(Intent::parse(intent.text().unwrap().as_bytes()), Ok(intent));
        }
    }

    #[test]
    fn how_a_file_is_published_stays_what_it_was() {
        for publish in [Publish::Replace, Publish::Existing, Publish::CreateNew] {
            for read_only in [ReadOnly::Refuse, ReadOnly::Replace] {
                let how = How::new(publish, read_only);
                assert_eq!(how.publish(), publish);
                // What is not there cannot be read-only.
                let is_moot = publish == Publish::CreateNew;
                assert!(how.read_only() == read_only || is_moot, "{how:?}");
            }
        }
    }

    #[test]
    fn the_text_of_this_version_never_changes() {
        let empty = Intent::default().text().unwrap();
        let expected = r#"{"format":"wholefile journal","version":1,"checksum":8730365117033904593}
{"folders":[],"files":[]}
"#;
        assert_eq!(empty, expected);
    }

    #[test]
    #[cfg_attr(miri, ignore = "every bit of a text takes minutes there")]
    fn no_byte_can_change_unseen() {
        let text = intent().text().unwrap().into_bytes();
        let end = text.iter().position(|byte| *byte == b'\n').unwrap();
        for index in 0..text.len() {
            for other in (0..=u8::MAX).filter(|other| *other != text[index]) {
                let mut changed = text.clone();
                changed[index] = other;
                let invalid = Intent::parse(&changed).unwrap_err();
                assert!(invalid == Invalid::Damaged || index <= end, "{index}: {invalid:?}");
            }
        }
    }
}
