//! What is measured.

pub(crate) mod growth;
pub(crate) mod many;
pub(crate) mod single;
pub(crate) mod stream;
pub(crate) mod update;

use anyhow::Result;

use crate::bench::Bench;

/// A part of a run.
pub(crate) type Part = fn(&mut Bench) -> Result<()>;

/// All of them, in order.
pub(crate) const PARTS: [(&str, Part); 5] = [
    ("single", single::run),
    ("update", update::run),
    ("many", many::run),
    ("stream", stream::run),
    ("growth", growth::run),
];
