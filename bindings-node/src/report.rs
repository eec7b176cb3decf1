//! Reports and counters, as JavaScript gets them.

use ksem::error::{Code, Error};
use napi_derive::napi;
use serde::Deserialize;

/// A position that was committed.
#[napi(object, use_nullable = true)]
pub struct CommittedOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to read: last processed + 1.
    pub offset: f64,
    /// The leader epoch of the last processed record, where the broker gave one.
    pub leader_epoch: Option<i32>,
}

/// The report of one batch.
#[napi(object, use_nullable = true)]
pub struct Report {
    /// What became of it.
    #[napi(ts_type = "'applied' | 'lost' | 'redelivered'")]
    pub applied: String,
    /// The guarantee under which it was processed.
    #[napi(ts_type = "Guarantee")]
    pub guarantee: String,
    /// Its input records.
    pub records: u32,
    /// Its output records that were acknowledged, without dead letters.
    pub outputs: f64,
    /// Its input records that were set aside in the dead-letter topic.
    pub dead_lettered: f64,
    /// Its input records that the handler skipped by a verdict.
    pub skipped: f64,
    /// Its input records that were given to the handler again because it had failed, each time counted.
    pub retried: f64,
    /// How often the handler was called for it.
    pub attempts: u32,
    /// The positions that were committed; empty if it was not applied.
    pub offsets: Vec<CommittedOffset>,
    /// From the first step to the last, in milliseconds.
    pub took_ms: f64,
    /// Why it was lost or not applied, in one line.
    pub cause: Option<String>,
}

impl From<ksem::Report> for Report {
    fn from(report: ksem::Report) -> Self {
        let offsets = report.offsets.into_iter().map(|(source, position)| CommittedOffset {
            topic: source.topic.to_string(),
            partition: source.partition,
            offset: position.offset as f64,
            leader_epoch: position.leader_epoch,
        });
        Self {
            applied: report.applied.name().into(),
            guarantee: report.guarantee.name().into(),
            records: report.records as u32,
            outputs: report.outputs as f64,
            dead_lettered: report.dead_lettered as f64,
            skipped: report.skipped as f64,
            retried: report.retried as f64,
            attempts: report.attempts,
            offsets: offsets.collect(),
            took_ms: report.took.as_secs_f64() * 1e3,
            cause: report.cause,
        }
    }
}

/// Counters since the pipeline was opened.
// A counter of the core that is missing here is refused when the counters are read, so a test finds it.
#[napi(object)]
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Input records of batches that took effect.
    pub records_in: f64,
    /// Output records that were acknowledged in batches that took effect, without dead letters.
    pub records_out: f64,
    /// Batches that took effect.
    pub batches: f64,
    /// Transactions, or commits of offsets, that they were in.
    pub commits: f64,
    /// At-most-once: input records whose offsets were committed and whose effect failed.
    pub records_lost: f64,
    /// Input records that were set aside in the dead-letter topic.
    pub records_dead_lettered: f64,
    /// Input records that the handler skipped by a verdict.
    pub records_skipped: f64,
    /// Input records that were given to the handler again because it had failed, each time counted.
    pub records_retried: f64,
    /// Attempts that were not applied and made again.
    pub batches_retried: f64,
    /// Attempts that the handler failed.
    pub handler_failures: f64,
    /// Batches given up because a partition moved to another member.
    pub batches_revoked: f64,
    /// Transactions that were aborted.
    pub transactions_aborted: f64,
    /// Producers discarded after a fatal error, a time-out or a repeated EndTxn.
    pub producers_rebuilt: f64,
    /// Assignments that completed.
    pub rebalances: f64,
    /// Microseconds that lanes spent on batches, handlers included.
    pub busy_us: f64,
}

impl Metrics {
    /// Reads the counters.
    ///
    /// # Errors
    /// `internal` if the core has a counter that is not known here.
    pub fn of(metrics: ksem::Metrics) -> ksem::Result<Self> {
        let read = serde_json::to_value(metrics).and_then(serde_json::from_value);
        read.map_err(|error| Error::new(Code::Internal, "the counters can't be read").caused_by(error))
    }
}
