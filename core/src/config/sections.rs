//! The tables of a configuration, each with its defaults.

use std::fmt;
use std::path::PathBuf;

use super::choices::{Acks, Strategy};

/// Sends every record of one input topic to other topics: `[[route]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The input topic.
    pub from: String,
    /// The topics that get its records, with key, value, headers and timestamp.
    pub to: Vec<String>,
}

/// What the handler gets at once: `[batch]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchConfig {
    /// Most records in a batch.
    pub max_records: usize,
    /// Most bytes of keys, values and headers in a batch. One larger record still makes a batch.
    pub max_bytes: usize,
    /// How long a batch that isn't full waits for more records.
    pub linger_ms: u64,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { max_records: 10_000, max_bytes: 16 << 20, linger_ms: 5 }
    }
}

/// What is committed together: `[commit]`. While there is a backlog, several batches share a transaction
/// (or, under the other guarantees, a commit of offsets); where nothing more is there, it ends at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitConfig {
    /// Most records in a commit.
    pub max_records: usize,
    /// Most bytes of keys and values in a commit. One larger batch is still committed at once.
    pub max_bytes: usize,
    /// How long a commit may grow.
    pub commit_interval_ms: u64,
    /// The time from fetch to commit that nearly every record should stay below. It replaces
    /// `batch.linger_ms` by what commits leave of it, and bounds the interval.
    pub target_latency_ms: Option<u64>,
}

impl Default for CommitConfig {
    fn default() -> Self {
        Self { max_records: 10_000, max_bytes: 16 << 20, commit_interval_ms: 100, target_latency_ms: None }
    }
}

/// Kafka transactions: `[transactions]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionsConfig {
    /// Names this running instance, the same after a restart and different from every other instance.
    /// `None` lets ksem make one and keep it in [`state_dir`](Self::state_dir).
    pub instance_id: Option<String>,
    /// After this time without an end the broker aborts a transaction.
    pub timeout_ms: u64,
    /// How many batches of different partitions may be processed at once; `None` chooses by processors.
    pub lanes: Option<usize>,
    /// How many commits of one lane may be in flight, in order; `None` makes it eight of all lanes, and at most
    /// four of one.
    pub in_flight: Option<usize>,
    /// Where a made-up instance id is kept; `None` is the user's state folder.
    pub state_dir: Option<PathBuf>,
}

impl Default for TransactionsConfig {
    fn default() -> Self {
        Self { instance_id: None, timeout_ms: 60_000, lanes: None, in_flight: None, state_dir: None }
    }
}

/// What only at-most-once uses: `[at_most_once]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AtMostOnceConfig {
    /// Acknowledgements to wait for. The other guarantees always wait for all in-sync replicas.
    pub acks: Acks,
}

/// What happens to a batch that fails: `[retry]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// Attempts before the pipeline gives up, the first one included.
    pub max_attempts: u32,
    /// Wait before the second attempt; it doubles from then on.
    pub backoff_ms: u64,
    /// Longest wait between two attempts.
    pub max_backoff_ms: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { max_attempts: 10, backoff_ms: 100, max_backoff_ms: 10_000 }
    }
}

/// Records that keep failing: `[dead_letter]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterConfig {
    /// The topic that they are set aside in. `None` stops the pipeline instead, in front of the record.
    pub topic: Option<String>,
    /// Most dead letters that one pipeline writes; the next one stops it with an error. `None` is no limit.
    pub max_failures: Option<u64>,
    /// Whether a dead letter has the record's key, value and headers, or only says where the record is.
    pub payload: bool,
}

impl Default for DeadLetterConfig {
    fn default() -> Self {
        Self { topic: None, max_failures: None, payload: true }
    }
}

/// The end of a pipeline: `[shutdown]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// How long batches in flight have to finish before they are aborted.
    pub deadline_ms: u64,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { deadline_ms: 30_000 }
    }
}

/// Reading ahead: `[fetch]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchConfig {
    /// Most bytes in this process that were fetched and are not processed yet.
    pub max_bytes: usize,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self { max_bytes: 64 << 20 }
    }
}

/// The consumer group: `[rebalance]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebalanceConfig {
    /// How long the batch in flight of a revoked partition has to commit before it is aborted.
    pub deadline_ms: u64,
    /// How partitions are divided over the members. All members of a group need the same.
    pub strategy: Strategy,
}

impl Default for RebalanceConfig {
    fn default() -> Self {
        Self { deadline_ms: 10_000, strategy: Strategy::default() }
    }
}

/// A handler in a process of its own: `[exec]`.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecConfig {
    /// The command line of the handler; one child process runs for each lane.
    pub command: Option<String>,
    /// How long the child may take for one batch.
    pub timeout_ms: u64,
}

impl Default for ExecConfig {
    fn default() -> Self {
        Self { command: None, timeout_ms: 30_000 }
    }
}

/// A command line may hold a token, so it isn't shown.
impl fmt::Debug for ExecConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecConfig")
            .field("command", &self.command.as_ref().map(|_| "***"))
            .field("timeout_ms", &self.timeout_ms)
            .finish()
    }
}

/// What has to be allowed by name: `[security]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityConfig {
    /// Lets `[kafka]` turn off the check of the brokers' certificates or host names.
    pub allow_unverified_tls: bool,
    /// Lets `[kafka]` send a password (`PLAIN`) over a connection without TLS.
    pub allow_plaintext_password: bool,
}
