//! When the loops in this crate commit.

use std::time::{Duration, Instant};

use super::Job;

/// Counts records, and says when the next commit is due.
#[derive(Debug)]
pub(super) struct Pace {
    /// All there is to copy.
    records: u64,
    batch: u64,
    interval: Option<Duration>,
    seen: u64,
    /// Since the last commit.
    taken: u64,
    last: Instant,
}

impl Pace {
    pub(super) fn new(job: &Job) -> Self {
        let cadence = job.contestant.cadence;
        Self {
            records: job.records,
            batch: cadence.batch().unwrap_or(u64::MAX),
            interval: cadence.interval(),
            seen: 0,
            taken: 0,
            last: Instant::now(),
        }
    }

    /// Nothing was taken since the last commit.
    pub(super) fn is_fresh(&self) -> bool {
        self.taken == 0
    }

    /// How many more records this commit may hold.
    pub(super) fn room(&self) -> usize {
        usize::try_from(self.batch - self.taken).unwrap_or(usize::MAX)
    }

    pub(super) fn took(&mut self, records: u64) {
        // The time before the first record is nobody's.
        if self.seen == 0 {
            self.last = Instant::now();
        }
        self.taken += records;
        self.seen += records;
    }

    pub(super) fn is_due(&self) -> bool {
        let all = self.seen == self.records;
        let late = self.interval.is_some_and(|interval| self.last.elapsed() >= interval);
        self.taken > 0 && (self.taken >= self.batch || all || late)
    }

    pub(super) fn committed(&mut self) {
        self.taken = 0;
        self.last = Instant::now();
    }

    /// An attempt was aborted; its records come again.
    pub(super) fn aborted(&mut self) {
        self.seen -= self.taken;
        self.committed();
    }

    /// Everything was taken and committed.
    pub(super) fn at_the_end(&self) -> bool {
        self.taken == 0 && self.seen >= self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(batch: u64, interval: Option<Duration>) -> Pace {
        Pace { records: 5, batch, interval, seen: 0, taken: 0, last: Instant::now() }
    }

    #[test]
    fn by_records_the_last_commit_takes_what_is_left() {
        let mut pace = pace(3, None);
        pace.took(2);
        assert!(!pace.is_due() && !pace.is_fresh());
        assert_eq!(pace.room(), 1);
        pace.took(1);
        assert!(pace.is_due());
        pace.committed();
        pace.took(2);
        assert!(pace.is_due() && !pace.at_the_end());
        pace.aborted();
        assert!(!pace.is_due() && !pace.at_the_end());
        pace.took(2);
        pace.committed();
        assert!(pace.at_the_end());
    }

    #[test]
    fn by_time_nothing_is_due_without_a_record() {
        let mut pace = pace(u64::MAX, Some(Duration::ZERO));
        assert!(!pace.is_due());
        pace.took(1);
        assert!(pace.is_due());
        assert!(pace.room() > 1 << 40);
    }
}
