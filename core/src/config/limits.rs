//! The range of every number in a configuration. Reading and validation use the same constants.

/// The values that a numeric field allows, both ends included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Smallest value.
    pub(super) min: u64,
    /// Largest value.
    pub(super) max: u64,
}

const fn limit(min: u64, max: u64) -> Limit {
    Limit { min, max }
}

impl Limit {
    /// Whether `value` is allowed.
    pub(super) fn allows(self, value: i128) -> bool {
        value >= i128::from(self.min) && value <= i128::from(self.max)
    }

    /// What to tell the user who set `value`.
    pub(super) fn message(self, value: i128) -> String {
        format!("{value} is out of range; set it to a value from {} to {}", self.min, self.max)
    }
}

const HOUR_MS: u64 = 3_600_000;

pub(super) const BATCH_MAX_RECORDS: Limit = limit(1, 1_000_000);
pub(super) const BATCH_MAX_BYTES: Limit = limit(1024, 1 << 30);
pub(super) const BATCH_LINGER_MS: Limit = limit(0, 60_000);
pub(super) const COMMIT_INTERVAL_MS: Limit = limit(0, 60_000);
pub(super) const COMMIT_TARGET_LATENCY_MS: Limit = limit(1, 60_000);
/// The upper end is the broker's default `transaction.max.timeout.ms`.
pub(super) const TRANSACTIONS_TIMEOUT_MS: Limit = limit(1000, 900_000);
pub(super) const TRANSACTIONS_LANES: Limit = limit(1, 64);
pub(super) const TRANSACTIONS_IN_FLIGHT: Limit = limit(1, 16);
pub(super) const AT_MOST_ONCE_ACKS: Limit = limit(0, 1);
pub(super) const RETRY_MAX_ATTEMPTS: Limit = limit(1, 1_000_000);
pub(super) const RETRY_BACKOFF_MS: Limit = limit(0, HOUR_MS);
pub(super) const RETRY_MAX_BACKOFF_MS: Limit = limit(0, HOUR_MS);
pub(super) const DEAD_LETTER_MAX_FAILURES: Limit = limit(1, 1_000_000_000);
pub(super) const SHUTDOWN_DEADLINE_MS: Limit = limit(0, HOUR_MS);
/// The lower end keeps librdkafka's queue (in KiB, 1 MiB at least) and one message in proportion.
pub(super) const FETCH_MAX_BYTES: Limit = limit(1 << 20, 1 << 31);
pub(super) const REBALANCE_DEADLINE_MS: Limit = limit(0, HOUR_MS);
pub(super) const EXEC_TIMEOUT_MS: Limit = limit(1, 24 * HOUR_MS);
