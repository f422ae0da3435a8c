//! Copies of trees, and what is mounted in them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Gid, Uid};

use super::super::Entry;
use super::Directory;

pub(crate) fn make_symlink(at: Entry<'_>, text: &Path) -> io::Result<()> {
    Ok(fs::symlinkat(text, at.directory.fd(), at.name)?)
}

pub(crate) fn set_owner_of_link(at: Entry<'_>, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    Ok(fs::chownat(at.directory.fd(), at.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(target_os = "linux")]
pub(crate) fn clone_contents(from: &File, to: &File) -> io::Result<()> {
    Ok(fs::ioctl_ficlone(to, from)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn clone_contents(_: &File, _: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn file_of(directory: &Directory) -> io::Result<File> {
    Ok(File::from(directory.fd.try_clone()?))
}

/// The numbers of the mounts that two open directories are in, where the system tells both.
pub(super) fn mounts_of(one: &Directory, other: &Directory) -> Option<(u64, u64)> {
    Some((mount_number(one)?, mount_number(other)?))
}

#[cfg(not(target_os = "linux"))]
fn mount_number(_: &Directory) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
fn mount_number(directory: &Directory) -> Option<u64> {
    mounts::number(&fdinfo(directory).ok()?)
}

/// What proc_pid_fdinfo(5) says of an open directory.
#[cfg(target_os = "linux")]
fn fdinfo(directory: &Directory) -> io::Result<Vec<u8>> {
    use std::os::fd::AsRawFd;

    read_proc(&format!("/proc/self/fdinfo/{}", directory.fd.as_raw_fd()))
}

/// Nothing where there is no /proc.
#[cfg(target_os = "linux")]
fn read_proc(path: &str) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        result => result,
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn mount_below(_: &Directory) -> io::Result<Option<PathBuf>> {
    Ok(None)
}

#[cfg(target_os = "linux")]
pub(crate) fn mount_below(directory: &Directory) -> io::Result<Option<PathBuf>> {
    let Some(path) = super::path_of(directory) else { return Ok(None) };
    let of_directory = fdinfo(directory)?;
    Ok(mounts::below(&path, &of_directory, &read_proc("/proc/self/mountinfo")?))
}

#[cfg(target_os = "linux")]
mod mounts {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::path::{Path, PathBuf};

    /// The first mount in `table` that is on the mount of the directory `path` and below it. What
    /// proc_pid_fdinfo(5) says of the directory has the number of its mount; what
    /// proc_pid_mountinfo(5) says of a mount begins with its own number and that of the one which
    /// it is on.
    pub(super) fn below(path: &Path, of_directory: &[u8], table: &[u8]) -> Option<PathBuf> {
        let number = field(of_directory)?;
        let on_the_same = lines(table).filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b' ').skip(1);
            let (parent, place) = (fields.next()?, fields.nth(2)?);
            (parent == number).then(|| unescape(place))
        });
        on_the_same.into_iter().find(|place| place != path && place.starts_with(path))
    }

    /// The number of the mount that an open file is in, if what /proc says of the file has it.
    pub(super) fn number(of_file: &[u8]) -> Option<u64> {
        std::str::from_utf8(field(of_file)?).ok()?.parse().ok()
    }

    fn field(of_file: &[u8]) -> Option<&[u8]> {
        lines(of_file).find_map(|line| line.strip_prefix(b"mnt_id:")).map(<[u8]>::trim_ascii)
    }

    fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
        text.split(|byte| *byte == b'\n')
    }

    /// A space, a tab, a line feed and a backslash are written as three octal digits.
    fn unescape(field: &[u8]) -> PathBuf {
        let mut bytes = Vec::with_capacity(field.len());
        let mut rest = field;
        // Bounded: each turn takes at least one byte.
        while let Some((byte, after)) = rest.split_first() {
            let digits = after.get(..3).filter(|_| *byte == b'\\');
            let code =
                digits.and_then(|it| u8::from_str_radix(std::str::from_utf8(it).ok()?, 8).ok());
            bytes.push(code.unwrap_or(*byte));
            rest = if code.is_some() { &after[3..] } else { after };
        }
        PathBuf::from(OsString::from_vec(bytes))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[track_caller]
        fn check(path: &str, expected: Option<&str>) {
            let table = b"21 1 8:1 / / rw - ext4 /dev/vda rw\n\
                30 21 0:5 / /srv/a\\040b/up\\134loads rw shared:1 - tmpfs t rw\n\
                31 30 0:6 / /srv/a\\040b/up\\134loads/deep rw - tmpfs t rw\n\
                32 21 0:7 /x /srv/abc rw - tmpfs t rw\n";
            let of_directory = b"pos:\t0\nflags:\t02100000\nmnt_id:\t21\nino:\t2\n";
            let found = below(Path::new(path), of_directory, table);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{path}");
        }

        #[test]
        fn what_is_mounted_below_is_found_and_nothing_else() {
            check("/srv/a b", Some("/srv/a b/up\\loads"));
            check("/srv", Some("/srv/a b/up\\loads"));
            check("/srv/a", None);
            check("/srv/ab", None);
            check("/srv/abc", None); // it is on another mount then
            check("/srv/a b/up\\loads/deep", None);
            assert_eq!(below(Path::new("/srv"), b"", b""), None);
            assert_eq!(unescape(b"\\04 \\0x0\\"), Path::new("\\04 \\0x0\\"));
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no /proc")]
    fn what_is_missing_from_proc_is_nothing_and_what_cannot_be_read_an_error() {
        assert_eq!(read_proc("/proc/self/fdinfo/nothing").expect("it is missing"), b"");
        let error = read_proc("/proc/self/fdinfo").expect_err("it is a directory");
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    }
}
