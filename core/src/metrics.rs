//! Counters of a pipeline, and the report of one batch.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::Guarantee;
use crate::record::{Position, TopicPartition};

macro_rules! counters {
    ($($name:ident $doc:literal)*) => {
        /// Counters since the pipeline was opened.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(#[doc = $doc] pub(crate) $name: AtomicU64,)* }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        #[non_exhaustive]
        pub struct Metrics { $(#[doc = $doc] pub $name: u64,)* }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Metrics {
                Metrics { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    records_in "Input records of batches that took effect."
    records_out "Output records that were acknowledged in batches that took effect, without dead letters."
    batches "Batches that took effect."
    commits "Transactions, or commits of offsets, that they were in."
    records_lost "At-most-once: input records whose offsets were committed and whose effect failed."
    records_dead_lettered "Input records that were set aside in the dead-letter topic."
    records_skipped "Input records that the handler skipped by a verdict."
    records_retried "Input records that were given to the handler again because it had failed, each time counted."
    batches_retried "Attempts that were not applied and made again."
    handler_failures "Attempts that the handler failed."
    batches_revoked "Batches given up because a partition moved to another member."
    transactions_aborted "Transactions that were aborted."
    producers_rebuilt "Producers discarded after a fatal error, a time-out or a repeated EndTxn."
    rebalances "Assignments that completed."
    busy_us "Microseconds that lanes spent on batches, handlers included."
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Applied {
    /// It took effect and its offsets are committed.
    Applied = 0,
    /// Its offsets are committed and its effect is missing or partial (at-most-once only).
    Lost = 1,
    /// It was not applied; what still belongs to this member comes again with the next poll.
    Redelivered = 2,
}

impl Applied {
    /// Returns the name used in every language, such as `redelivered`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Lost => "lost",
            Self::Redelivered => "redelivered",
        }
    }
}

/// The report of one batch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// What became of it.
    pub applied: Applied,
    /// The guarantee under which it was processed.
    pub guarantee: Guarantee,
    /// Its input records.
    pub records: usize,
    /// Its output records that were acknowledged, without dead letters.
    pub outputs: u64,
    /// Its input records that were set aside in the dead-letter topic.
    pub dead_lettered: u64,
    /// Its input records that the handler skipped by a verdict.
    pub skipped: u64,
    /// Its input records that were given to the handler again because it had failed, each time counted.
    pub retried: u64,
    /// How often the handler was called for it.
    pub attempts: u32,
    /// The positions that were committed; empty if it was not applied.
    pub offsets: Vec<(TopicPartition, Position)>,
    /// From the first step to the last.
    pub took: Duration,
    /// Why it was lost or not applied, in one line.
    pub cause: Option<String>,
}
