//! libksem: its header, its installation, its package, and its tests.

pub(crate) mod drivers;
pub(crate) mod header;
pub(crate) mod install;
pub(crate) mod package;
mod programs;
mod tests;

pub(crate) use tests::{on_the_embedded_broker, sanitized, under_valgrind};
