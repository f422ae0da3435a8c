//! Systems without an arm of their own.
