//! Real Kafka nodes, and ways to look at what is on them, for the tests of ksem.
//!
//! * [`Cluster`] launches Apache Kafka from its published jars: one node for speed, three for faults.
//! * [`reader`] reads whole topics, committed offsets and end offsets with a client that shares no code with ksem's.
//! * [`audit`] compares what was read with what had to be there.
//! * [`checker`] judges a whole history: what processes say they did, and what readers see.
//! * [`load`] fills topics with numbered records.
//! * [`proxy`] stands between clients and brokers, and holds, drops, doubles or damages named requests and responses.
//!
//! Everything here is synchronous, and may be called from any thread.

pub mod audit;
pub mod checker;
mod client;
mod cluster;
mod jars;
pub mod load;
mod ports;
pub mod proxy;
pub mod reader;

pub use audit::{Audit, Observed};
pub use cluster::{Cluster, ClusterConfig, Node};
pub use jars::KAFKA_VERSION;
pub use reader::{Isolation, ReadRecord};
