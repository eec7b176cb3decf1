//! The engine: lanes that run the disciplines over the consumer group's partitions.
//!
//! `ports` is what the engine asks of Kafka; `kafka/` and the simulation in the tests answer it.

pub(crate) mod assignment;
pub(crate) mod attempt;
pub(crate) mod batcher;
pub(crate) mod collect;
pub(crate) mod identity;
mod isolate;
pub(crate) mod lane;
mod marks;
pub(crate) mod order;
mod pace;
pub(crate) mod ports;
mod process;
pub(crate) mod shared;
#[cfg(test)]
mod simulation;
pub(crate) mod unit;
mod verdict;
mod work;
