//! One file a command.

pub(crate) mod bench;
pub(crate) mod broker;
pub(crate) mod consume;
pub(crate) mod demo;
pub(crate) mod dlq;
pub(crate) mod produce;
pub(crate) mod run;
pub(crate) mod topic;

mod connection;
