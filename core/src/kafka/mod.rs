//! Everything that touches librdkafka. `unsafe` lives in this folder and nowhere else.
//!
//! ksem owns its `rd_kafka_t`: the safe wrappers cost up to 100 ms a flush, cannot fetch batches,
//! and have no interceptors. Topics and metadata go through the `rdkafka` crate (`admin`).

pub(crate) mod admin;
mod client;
pub(crate) mod consumer;
mod errors;
mod group;
mod interceptors;
mod list;
pub(crate) mod message;
mod offsets;
pub(crate) mod ports;
pub(crate) mod producer;
mod rebalance;
pub(crate) mod tail;

pub(crate) use consumer::{Bells, Consumer};
pub(crate) use group::GroupMetadata;
pub(crate) use rebalance::GroupEvents;
