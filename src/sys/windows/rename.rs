//! Renaming and removing files, which somebody else may have open.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::{offset_of, size_of};
use std::os::windows::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};
use std::ptr;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_READONLY, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES, FILE_RENAME_INFO, FILE_RENAME_INFO_0,
    FileRenameInfoEx, MOVEFILE_REPLACE_EXISTING, MOVEFILE_WRITE_THROUGH, MoveFileExW,
    REPLACEFILE_IGNORE_ACL_ERRORS, REPLACEFILE_IGNORE_MERGE_ERRORS, ReplaceFileW,
    SetFileInformationByHandle,
};

use super::ladder::{self, Attributes, Calls, Code, Facts, Failure, Rung, code};
use super::verdicts::is_one_of;
use super::{Directory, check, inspect, wide};
use crate::error::TargetState;
use crate::options::ReadOnly;
use crate::sys::{Entry, Halfway, Replacing};

/// What the old file is called after the temp file while it has no other name. Not the name of a
/// temp file, so that nobody takes it for an orphan.
const OLD: &str = ".old";

// From ntifs.h, by the names that FILE_RENAME_INFORMATION has there.
const FILE_RENAME_REPLACE_IF_EXISTS: u32 = 0x1;
const FILE_RENAME_POSIX_SEMANTICS: u32 = 0x2;
const FILE_RENAME_IGNORE_READONLY_ATTRIBUTE: u32 = 0x40;

pub(crate) fn rename(
    from: Entry<'_>,
    file: Option<&mut File>,
    to: Entry<'_>,
    replacing: Replacing,
) -> io::Result<()> {
    let mut old = from.name.to_owned();
    old.push(OLD);
    let mut renaming = Renaming::new(from, to, replacing.read_only);
    renaming.file = file;
    ladder::replace(&mut renaming, replacing.read_only, replacing.in_use)
        .map_err(|failure| error_of(failure, old))
}

fn error_of(failure: Failure, old: OsString) -> io::Error {
    match failure {
        Failure::Untouched(code) => error(code),
        Failure::Stranded(code) => {
            Halfway { state: TargetState::Displaced, old, cause: error(code) }.into()
        }
        Failure::BackupStays(code) => {
            Halfway { state: TargetState::Replaced, old, cause: error(code) }.into()
        }
    }
}

pub(crate) fn rename_no_replace(from: Entry<'_>, to: Entry<'_>) -> io::Result<()> {
    ladder::create(&mut Renaming::new(from, to, ReadOnly::Refuse)).map_err(error)
}

fn error(code: Code) -> io::Error {
    io::Error::from_raw_os_error(code as i32)
}

fn code_of(error: &io::Error) -> Code {
    error.raw_os_error().map_or(code::INVALID_FUNCTION, |code| code as Code)
}

struct Renaming<'a> {
    directory: &'a Directory,
    /// The staged file, unless it does not matter whether the name still stands for it.
    file: Option<&'a mut File>,
    staged: PathBuf,
    target: PathBuf,
    backup: PathBuf,
    read_only: ReadOnly,
}

impl<'a> Renaming<'a> {
    fn new(from: Entry<'a>, to: Entry<'a>, read_only: ReadOnly) -> Self {
        let mut old = from.name.to_owned();
        old.push(OLD);
        let (staged, target) = (from.path(), to.path());
        let backup = to.directory.join(&old);
        Renaming { directory: to.directory, file: None, staged, target, backup, read_only }
    }

    #[allow(unsafe_code, reason = "std has no rename that ignores the read-only attribute")]
    fn rename_posix(&mut self) -> io::Result<()> {
        const NAME: usize = offset_of!(FILE_RENAME_INFO, FileName);
        let staged = open_with(&self.staged, DELETE)?;
        if let Some(file) = &self.file {
            if inspect(file)?.id != inspect(&staged)?.id {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
        let mut flags = FILE_RENAME_REPLACE_IF_EXISTS | FILE_RENAME_POSIX_SEMANTICS;
        if self.read_only == ReadOnly::Replace {
            flags |= FILE_RENAME_IGNORE_READONLY_ATTRIBUTE;
        }
        let name = wide(&self.target);
        let header = FILE_RENAME_INFO {
            Anonymous: FILE_RENAME_INFO_0 { Flags: flags },
            FileNameLength: (size_of_val(&name[..]) - size_of::<u16>()) as u32,
            ..FILE_RENAME_INFO::default()
        };
        let len = (NAME + size_of_val(&name[..])).max(size_of_val(&header));
        let mut words = vec![0_u64; len.div_ceil(size_of::<u64>())];
        let info: *mut FILE_RENAME_INFO = words.as_mut_ptr().cast();
        // SAFETY: `info` is aligned for the struct, and there is room for it.
        unsafe { info.write(header) };
        let start = info.wrapping_byte_add(NAME).cast::<u16>();
        // SAFETY: from `start` on, which is aligned, there is room for the whole name.
        unsafe { ptr::copy_nonoverlapping(name.as_ptr(), start, name.len()) };
        // SAFETY: the handle is open for as long as `staged` lives, and the call only reads `len`
        // bytes, all of which are there.
        check(unsafe {
            let (handle, info) = (staged.as_raw_handle(), info.cast());
            SetFileInformationByHandle(handle, FileRenameInfoEx, info, len as u32)
        })
    }

    /// Runs `replace`, which cannot replace a read-only file, over one that may be replaced.
    fn over_read_only(&self, replace: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if self.read_only == ReadOnly::Refuse || !is_read_only(&self.target) {
            return replace();
        }
        set_read_only(&self.target, false)?;
        let result = replace();
        if result.is_err() {
            set_read_only(&self.target, true)?;
        }
        result
    }

    #[allow(unsafe_code, reason = "std cannot move a file aside in the same call")]
    fn replace_file(&mut self) -> io::Result<()> {
        // The call shares the staged file with nobody, so that no handle may be open meanwhile.
        if let Some(file) = &mut self.file {
            **file = self.directory.pin.try_clone()?;
        }
        let (staged, target) = (wide(&self.staged), wide(&self.target));
        let backup = wide(&self.backup);
        // The staged file has all that is to be kept of the target.
        let flags = REPLACEFILE_IGNORE_MERGE_ERRORS | REPLACEFILE_IGNORE_ACL_ERRORS;
        let result = self.over_read_only(|| {
            let (target, staged, backup) = (target.as_ptr(), staged.as_ptr(), backup.as_ptr());
            // SAFETY: the three are strings that end in a zero, have no other, and outlive the
            // call; the last two arguments are reserved and must be null.
            check(unsafe { ReplaceFileW(target, staged, backup, flags, ptr::null(), ptr::null()) })
        });
        let now = if result.is_ok() { &self.target } else { &self.staged };
        if let (Some(file), Ok(again)) = (&mut self.file, File::open(now)) {
            **file = again;
        }
        result
    }
}

impl Calls for Renaming<'_> {
    fn attempt(&mut self, rung: Rung) -> Result<(), Code> {
        let result = match rung {
            Rung::PosixRename => self.rename_posix(),
            Rung::MoveFile => self.over_read_only(|| {
                move_file(&self.staged, &self.target, MOVEFILE_REPLACE_EXISTING)
            }),
            Rung::ReplaceFile => self.replace_file(),
            Rung::MoveNew => move_file(&self.staged, &self.target, 0),
        };
        result.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => code::FILE_NOT_FOUND,
            _ => code_of(&error),
        })
    }

    fn facts(&mut self) -> Facts {
        let can_delete = |path| match open_with(path, DELETE) {
            Ok(_) => Ok(()),
            Err(error) => Err(code_of(&error)),
        };
        let attributes = open_with(&self.target, FILE_READ_ATTRIBUTES)
            .and_then(|file| file.metadata())
            .map(|metadata| metadata.file_attributes());
        Facts {
            target: match attributes {
                Ok(attributes) => Ok(Attributes {
                    directory: attributes & FILE_ATTRIBUTE_DIRECTORY != 0,
                    read_only: attributes & FILE_ATTRIBUTE_READONLY != 0,
                }),
                Err(error) => Err(code_of(&error)),
            },
            delete_target: can_delete(&self.target),
            delete_staged: can_delete(&self.staged),
        }
    }

    fn pause(&mut self, longest: Duration) {
        pause(longest);
    }

    fn put_back(&mut self) -> Result<(), Code> {
        move_file(&self.backup, &self.target, 0).map_err(|error| code_of(&error))
    }

    fn remove_backup(&mut self) -> Result<(), Code> {
        match remove_path(&self.backup) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(code_of(&error)),
            _ => Ok(()),
        }
    }
}

fn pause(longest: Duration) {
    // Two programs that stand in each other's way should not wait in step.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let half = longest / 2;
    let part = now.subsec_nanos() / 100 % 1000; // the clock counts in steps of 100 ns
    thread::sleep(half + half * part / 1000);
}

/// Opens a file as soon as nobody has it open without sharing it, or gives up.
pub(super) fn open_once_shared(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let mut pauses = 0;
    // Bounded: the pauses add up to PATIENCE.
    loop {
        let result = options.open(path);
        let in_use =
            result.as_ref().is_err_and(|error| is_one_of(error, &[ERROR_SHARING_VIOLATION]));
        match ladder::pause_after(pauses).filter(|_| in_use) {
            Some(longest) => pause(longest),
            None => return result,
        }
        pauses += 1;
    }
}

/// To be synced it must be open for writing, which whoever reads it may not share.
pub(crate) fn open_staged(directory: &Directory, name: &OsStr) -> io::Result<File> {
    open_once_shared(OpenOptions::new().write(true), &directory.join(name))
}

/// Opens what bears the name itself, shared for everything.
pub(super) fn open_with(path: &Path, access: u32) -> io::Result<File> {
    OpenOptions::new()
        .access_mode(access)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)
}

#[allow(unsafe_code, reason = "std has no rename that does not replace, or that writes through")]
fn move_file(from: &Path, to: &Path, flags: u32) -> io::Result<()> {
    let (from, to) = (wide(from), wide(to));
    let flags = flags | MOVEFILE_WRITE_THROUGH;
    // SAFETY: both are strings that end in a zero, have no other, and outlive the call.
    check(unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), flags) })
}

pub(crate) fn remove_file(directory: &Directory, name: &OsStr) -> io::Result<()> {
    remove_path(&directory.join(name))
}

pub(crate) fn remove_entry(directory: &Directory, name: &OsStr) -> io::Result<()> {
    let path = directory.join(name);
    let kind = fs::symlink_metadata(&path)?.file_type();
    // A link to a directory is removed like one.
    if kind.is_symlink_dir() { fs::remove_dir(path) } else { remove_path(&path) }
}

fn remove_path(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        // A staged file has the attribute already if the published one is to have it.
        Err(error) if is_one_of(&error, &[ERROR_ACCESS_DENIED]) && is_read_only(path) => {
            set_read_only(path, false)?;
            fs::remove_file(path)
        }
        result => result,
    }
}

pub(super) fn is_read_only(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.permissions().readonly())
}

/// Of a link, the attribute is the link's own.
pub(super) fn set_read_only(path: &Path, read_only: bool) -> io::Result<()> {
    let mut permissions = fs::symlink_metadata(path)?.permissions();
    permissions.set_readonly(read_only);
    fs::set_permissions(path, permissions)
}
