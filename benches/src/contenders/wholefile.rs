//! This library.

use std::io;
use std::path::Path;

use wholefile::{AtomicWriter, Builder, Durability, Staging, SyncPlan};

use crate::payload::Payload;

pub(super) fn full(path: &Path, payload: &Payload) -> io::Result<()> {
    save(&AtomicWriter::builder(), path, payload)
}

pub(super) fn fewest(path: &Path, payload: &Payload) -> io::Result<()> {
    save(AtomicWriter::builder().sync_plan(SyncPlan::Fewest), path, payload)
}

pub(super) fn unnamed(path: &Path, payload: &Payload) -> io::Result<()> {
    save(AtomicWriter::builder().staging(Staging::Unnamed), path, payload)
}

pub(super) fn ordered(path: &Path, payload: &Payload) -> io::Result<()> {
    save(AtomicWriter::builder().durability(Durability::Ordered), path, payload)
}

pub(super) fn none(path: &Path, payload: &Payload) -> io::Result<()> {
    save(AtomicWriter::builder().durability(Durability::None), path, payload)
}

pub(super) fn unchanged(path: &Path, payload: &Payload) -> io::Result<()> {
    save(AtomicWriter::builder().skip_unchanged(true), path, payload)
}

pub(super) fn rolled_back(path: &Path, payload: &Payload) -> io::Result<()> {
    let mut writer = AtomicWriter::builder().open(path)?;
    payload.write_to(&mut writer)?;
    Ok(writer.rollback()?)
}

fn save(builder: &Builder, path: &Path, payload: &Payload) -> io::Result<()> {
    if let Some(bytes) = payload.as_bytes() {
        builder.write(path, bytes)?;
        return Ok(());
    }
    let mut writer = builder.open(path)?;
    payload.write_to(&mut writer)?;
    writer.commit()?;
    Ok(())
}
