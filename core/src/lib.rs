//! At-most-once, at-least-once and exactly-once read-process-write for Kafka.
//!
//! A [`Pipeline`] reads batches from Kafka topics, hands them to a handler and writes what the
//! handler sends, under the [`Guarantee`] that the caller names. A guarantee is never silently
//! weakened: where the cluster or the configuration can't give it, the call fails with an
//! [`Error`] that says what to set.

mod attempt;
mod batch;
mod calls;
pub mod config;
pub mod dead_letter;
pub mod discipline;
mod engine;
pub mod error;
mod guarantee;
mod handler;
mod kafka;
mod metrics;
mod mutation;
mod output;
mod pipeline;
mod progress;
mod publish;
mod record;
mod routes;

pub use attempt::Attempt;
pub use batch::Batch;
pub use calls::{Call, Calls, Next};
pub use config::Config;
pub use error::{Error, Result};
pub use guarantee::{Guarantee, UnknownGuarantee};
pub use handler::{HandlerFailure, HandlerResult};
pub use kafka::admin::{Admin, TopicInfo};
pub use kafka::tail::{Isolation, Seen, Tail, TailOptions};
pub use metrics::{Applied, Metrics, Report};
#[doc(hidden)]
pub use mutation::Mutation;
pub use output::{Output, OutputRecord};
pub use pipeline::{Pipeline, Stopper, Until};
pub use publish::{Publisher, TransactionWriter};
pub use record::{Header, Position, Record, TopicPartition};
