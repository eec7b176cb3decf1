//! Real Kafka nodes, and ways to look at what is on them, for the tests of ksem.
//!
//! * [`Cluster`] launches Apache Kafka from its published jars: one node for speed, three for faults.
//! * [`reader`] reads whole topics, committed offsets and end offsets with a client that shares no code with ksem's.
//! * [`audit`] compares what was read with what had to be there.
//! * [`load`] fills topics with numbered records.
//! * [`gate`] stands between a client and a broker, and holds a named request or response.
//!
//! Everything here is synchronous, and may be called from any thread.

pub mod audit;
mod client;
mod cluster;
pub mod gate;
mod jars;
pub mod load;
mod ports;
pub mod reader;

pub use audit::{Audit, Observed};
pub use cluster::{Cluster, ClusterConfig, Node};
pub use jars::KAFKA_VERSION;
pub use reader::{Isolation, ReadRecord};
