//! What keeps concurrent writers apart.

pub(crate) mod lock;
pub(crate) mod side_lock;
pub(crate) mod update;
pub(crate) mod version;
pub(crate) mod workers;
