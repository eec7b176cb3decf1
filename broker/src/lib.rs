//! An embedded Kafka broker, for demos and tests.
//!
//! It runs inside the calling process and listens on a TCP port, so that any Kafka client, in any language, can
//! use it. It knows transactions with control records, `read_committed`, idempotent producers, fencing, consumer
//! group offsets and topic administration. Everything is kept in memory and is gone when it stops.
//!
//! ```
//! use ksem_broker::EmbeddedBroker;
//!
//! let broker = EmbeddedBroker::builder().listen("127.0.0.1:0").topic("orders", 4).start()?;
//! assert!(broker.bootstrap().starts_with("127.0.0.1:"));
//! # Ok::<(), ksem_broker::BrokerError>(())
//! ```
//!
//! # What it does not do
//!
//! * A group of the classic protocol has **one member at a time**: a member that joins replaces the one before it.
//!   That lets a restarted process take over at once, without a session timeout, but two live members of one group
//!   push each other out for ever. Different groups are independent.
//! * There is one node: no replication, no leader election, no quotas, no authorisation.
//! * Nothing is persisted, and there is no retention: a log grows until its topic is deleted, or
//!   [`EmbeddedBroker::delete_records_before`] is called.
//!
//! A statement about exactly-once belongs on a real cluster. This broker is there so that development is fast.

mod address;
mod embedded;
mod error;
mod front;
mod housekeeping;

pub use embedded::{Builder, EmbeddedBroker};
pub use error::BrokerError;
