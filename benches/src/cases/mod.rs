//! What is measured.

pub(crate) mod busy;
pub(crate) mod growth;
pub(crate) mod many;
pub(crate) mod single;
pub(crate) mod stream;
pub(crate) mod tree;
pub(crate) mod update;

use anyhow::Result;

use crate::bench::Bench;

/// A part of a run.
pub(crate) type Part = fn(&mut Bench) -> Result<()>;

/// All of them, in order.
pub(crate) const PARTS: [(&str, Part); 8] = [
    ("single", single::run),
    ("update", update::run),
    ("many", many::run),
    ("one-by-one", many::run_one_by_one),
    ("busy", busy::run),
    ("tree", tree::run),
    ("stream", stream::run),
    ("growth", growth::run),
];

pub(crate) fn names() -> [&'static str; PARTS.len()] {
    PARTS.map(|(name, _)| name)
}
