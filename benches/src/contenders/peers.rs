//! The crates that people use for this today, as their documentation says to use them.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use atomic_write_file::AtomicWriteFile;
use atomicwrites::{AllowOverwrite, AtomicFile};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use cap_std_ext::dirext::CapStdExtDirExt;
use fs_err as fs;
use gix_lock::acquire::Fail;
use tempfile::NamedTempFile;

use super::parent_and_name;
use crate::payload::Payload;

/// Unnamed staging is chosen by a feature of the crate, so that this is both.
pub(super) fn atomic_write_file(path: &Path, payload: &Payload) -> io::Result<()> {
    let mut file = AtomicWriteFile::open(path)?;
    payload.write_to(&mut file)?;
    file.commit()
}

pub(super) fn atomic_write_file_buffered(path: &Path, payload: &Payload) -> io::Result<()> {
    let mut file = BufWriter::new(AtomicWriteFile::open(path)?);
    payload.write_to(&mut file)?;
    file.into_inner()?.commit()
}

pub(super) fn atomic_write_file_discarded(path: &Path, payload: &Payload) -> io::Result<()> {
    let mut file = AtomicWriteFile::open(path)?;
    payload.write_to(&mut file)?;
    file.discard()
}

pub(super) fn atomicwrites(path: &Path, payload: &Payload) -> io::Result<()> {
    AtomicFile::new(path, AllowOverwrite).write(|file| payload.write_to(file))?;
    Ok(())
}

/// The directory is opened each time, since the others start from a path too.
pub(super) fn cap_std_ext(path: &Path, payload: &Payload) -> io::Result<()> {
    let (parent, name) = parent_and_name(path)?;
    let directory = Dir::open_ambient_dir(parent, ambient_authority())?;
    directory.atomic_replace_with(name, |file| payload.write_to(file))
}

pub(super) fn tempfile_none(path: &Path, payload: &Payload) -> io::Result<()> {
    staged(path, payload)?.persist(path)?;
    Ok(())
}

pub(super) fn tempfile_ordered(path: &Path, payload: &Payload) -> io::Result<()> {
    let file = staged(path, payload)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

pub(super) fn tempfile_full(path: &Path, payload: &Payload) -> io::Result<()> {
    tempfile_ordered(path, payload)?;
    fs::File::open(parent_and_name(path)?.0)?.sync_all()
}

pub(super) fn tempfile_closed(path: &Path, payload: &Payload) -> io::Result<()> {
    staged(path, payload)?.close()
}

fn staged(path: &Path, payload: &Payload) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(parent_and_name(path)?.0)?;
    payload.write_to(&mut file)?;
    Ok(file)
}

pub(super) fn gix_lock(path: &Path, payload: &Payload) -> io::Result<()> {
    let mut file = gix_lock::File::acquire_to_update_resource(path, Fail::Immediately, None, 0)
        .map_err(io::Error::other)?;
    payload.write_to(&mut file)?;
    file.commit().map_err(|error| error.error)?;
    Ok(())
}

pub(super) fn std_fs_write(path: &Path, payload: &Payload) -> io::Result<()> {
    match payload.as_bytes() {
        Some(bytes) => std::fs::write(path, bytes),
        None => {
            let mut file = BufWriter::new(std::fs::File::create(path)?);
            payload.write_to(&mut file)?;
            file.flush()
        }
    }
}
