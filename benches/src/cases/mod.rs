//! What is measured.

pub(crate) mod single;
