//! The parts of the Windows arm that only decide, for the tests of other systems.

#![allow(dead_code, reason = "only their tests call them here")]

mod ladder;
mod names;
