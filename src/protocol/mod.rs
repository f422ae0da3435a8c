//! The steps of a save, in the order in which they are taken.

pub(crate) mod target;
// Where the new contents wait.
pub(crate) mod staging;
pub(crate) mod temp;
// What is asked before anything is published.
pub(crate) mod copying;
pub(crate) mod metadata;
pub(crate) mod unchanged;
// Making it the target.
pub(crate) mod backup;
pub(crate) mod expected;
pub(crate) mod knowledge;
pub(crate) mod publish;
pub(crate) mod sync;
pub(crate) mod together;
pub(crate) mod tracking;
pub(crate) mod write_through;

pub(crate) mod parents;
