//! How large a unit gets: as large as the backlog allows, as small as the latency needs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::{BatchConfig, CommitConfig, Config};
use crate::engine::batcher::Limits;
use crate::engine::unit::Unit;

/// The limits of one lane's batches and units.
pub(crate) struct Pace {
    batch: BatchConfig,
    commit: CommitConfig,
    /// What a unit took lately from its last record to its commit, in microseconds.
    ending_us: AtomicU64,
}

impl Pace {
    pub(crate) fn new(config: &Config) -> Self {
        Self { batch: config.batch.clone(), commit: config.commit.clone(), ending_us: AtomicU64::new(0) }
    }

    /// Returns the limits of a batch that is committed alone.
    pub(crate) fn batch(&self) -> Limits {
        Limits { records: self.batch.max_records, bytes: self.batch.max_bytes, linger: self.linger() }
    }

    /// Returns the limits of a unit's first batch.
    pub(crate) fn first(&self) -> Limits {
        let Limits { records, bytes, linger } = self.batch();
        Limits { records: records.min(self.commit.max_records), bytes: bytes.min(self.commit.max_bytes), linger }
    }

    /// Returns the limits of a unit's next batch, or `None` if it has to be committed now.
    ///
    /// A batch that closed before it was full has found nothing more: an idle input is committed at
    /// once, and only a backlog fills units.
    pub(crate) fn more(&self, unit: &Unit) -> Option<Limits> {
        let batch = self.batch();
        let last = unit.last();
        let is_full = last.len() >= batch.records || last.bytes() >= batch.bytes;
        if !is_full || unit.opened().elapsed() >= self.interval() {
            return None;
        }
        let records = self.commit.max_records.saturating_sub(unit.records());
        let bytes = self.commit.max_bytes.saturating_sub(unit.bytes());
        (records > 0 && bytes > 0).then(|| Limits {
            records: records.min(batch.records),
            bytes: bytes.min(batch.bytes),
            linger: batch.linger,
        })
    }

    /// Notes that a unit was committed whose last record came at `closed`.
    pub(crate) fn committed(&self, closed: Instant) {
        let took = closed.elapsed().as_micros() as u64;
        let known = self.ending_us.load(Ordering::Relaxed);
        let smoothed = if known == 0 { took } else { known - known / SMOOTHING + took / SMOOTHING };
        self.ending_us.store(smoothed, Ordering::Relaxed);
    }

    /// How long a batch that is not full waits for more.
    fn linger(&self) -> Duration {
        match self.slack() {
            None => Duration::from_millis(self.batch.linger_ms),
            Some(slack) => slack,
        }
    }

    /// How long a unit may grow.
    fn interval(&self) -> Duration {
        let interval = Duration::from_millis(self.commit.commit_interval_ms);
        self.slack().map_or(interval, |slack| slack.min(interval))
    }

    /// What a latency target leaves for waiting: a record that comes just too late for a unit waits for
    /// the end of that one, then grows into the next, and waits for its end. Half of what is left is
    /// kept for the slow ones.
    fn slack(&self) -> Option<Duration> {
        let target = Duration::from_millis(self.commit.target_latency_ms?);
        let ending = Duration::from_micros(self.ending_us.load(Ordering::Relaxed));
        Some(target.saturating_sub(2 * ending) / 2)
    }
}

/// The share of a new measurement is one in so many.
const SMOOTHING: u64 = 8;
