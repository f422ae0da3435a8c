//! What is measured.

pub(crate) mod growth;
pub(crate) mod many;
pub(crate) mod single;
pub(crate) mod stream;
pub(crate) mod update;
