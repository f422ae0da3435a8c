//! What keeps concurrent writers apart.

pub(crate) mod lock;
