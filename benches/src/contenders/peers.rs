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

use super::{AWF, AWF_BUFFERED, Build, Contender, EVERYTHING, NOTHING, PERSIST};
use super::{Survives, parent_and_name};
use crate::payload::Payload;

pub(super) const ALL: &[Contender] = &[
    Contender::new(AWF, Survives::Full, "owner, mode", atomic_write_file),
    Contender {
        build: Build::Unnamed,
        ..Contender::new(
            "atomic-write-file, unnamed",
            Survives::Full,
            "owner, mode",
            atomic_write_file,
        )
    },
    Contender::new(AWF_BUFFERED, Survives::Full, "owner, mode", atomic_write_file_buffered),
    Contender::new("atomicwrites", Survives::Full, NOTHING, atomicwrites),
    Contender::new("cap-std-ext", Survives::Full, "mode", cap_std_ext),
    Contender::new(
        "tempfile + sync_all + persist + directory sync",
        Survives::Full,
        NOTHING,
        tempfile_full,
    ),
    Contender::new("tempfile + sync_all + persist", Survives::Ordered, NOTHING, tempfile_ordered),
    Contender::new(PERSIST, Survives::Nothing, NOTHING, tempfile_none),
    Contender::new("gix-lock", Survives::Nothing, NOTHING, gix_lock),
    Contender::new("std::fs::write", Survives::NotEvenReaders, EVERYTHING, std_fs_write),
];

pub(super) const ROLLED_BACK: &[Contender] = &[
    Contender::new(
        "atomic-write-file, discarded",
        Survives::Full,
        "owner, mode",
        atomic_write_file_discarded,
    ),
    Contender::new("tempfile, closed", Survives::Nothing, NOTHING, tempfile_closed),
];

pub(super) const UNCHANGED: &[Contender] = &[Contender::new(
    "atomic-write-file, unchanged",
    Survives::Full,
    "owner, mode",
    atomic_write_file,
)];

/// Unnamed staging is chosen by a feature of the crate, so that this is both.
fn atomic_write_file(path: &Path, payload: &Payload) -> io::Result<()> {
    let mut file = AtomicWriteFile::open(path)?;
    payload.write_to(&mut file)?;
    file.commit()
}

fn atomic_write_file_buffered(path: &Path, payload: &Payload) -> io::Result<()> {
    let mut file = BufWriter::new(AtomicWriteFile::open(path)?);
    payload.write_to(&mut file)?;
    file.into_inner()?.commit()
}

fn atomic_write_file_discarded(path: &Path, payload: &Payload) -> io::Result<()> {
    let mut file = AtomicWriteFile::open(path)?;
    payload.write_to(&mut file)?;
    file.discard()
}

fn atomicwrites(path: &Path, payload: &Payload) -> io::Result<()> {
    AtomicFile::new(path, AllowOverwrite).write(|file| payload.write_to(file))?;
    Ok(())
}

/// The directory is opened each time, since the others start from a path too.
fn cap_std_ext(path: &Path, payload: &Payload) -> io::Result<()> {
    let (parent, name) = parent_and_name(path)?;
    let directory = Dir::open_ambient_dir(parent, ambient_authority())?;
    directory.atomic_replace_with(name, |file| payload.write_to(file))
}

fn tempfile_none(path: &Path, payload: &Payload) -> io::Result<()> {
    staged(path, payload)?.persist(path)?;
    Ok(())
}

fn tempfile_ordered(path: &Path, payload: &Payload) -> io::Result<()> {
    let file = staged(path, payload)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn tempfile_full(path: &Path, payload: &Payload) -> io::Result<()> {
    tempfile_ordered(path, payload)?;
    fs::File::open(parent_and_name(path)?.0)?.sync_all()
}

fn tempfile_closed(path: &Path, payload: &Payload) -> io::Result<()> {
    staged(path, payload)?.close()
}

fn staged(path: &Path, payload: &Payload) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(parent_and_name(path)?.0)?;
    payload.write_to(&mut file)?;
    Ok(file)
}

fn gix_lock(path: &Path, payload: &Payload) -> io::Result<()> {
    let mut file = gix_lock::File::acquire_to_update_resource(path, Fail::Immediately, None, 0)
        .map_err(io::Error::other)?;
    payload.write_to(&mut file)?;
    file.commit().map_err(|error| error.error)?;
    Ok(())
}

fn std_fs_write(path: &Path, payload: &Payload) -> io::Result<()> {
    match payload.as_bytes() {
        Some(bytes) => std::fs::write(path, bytes),
        None => {
            let mut file = BufWriter::new(std::fs::File::create(path)?);
            payload.write_to(&mut file)?;
            file.flush()
        }
    }
}
