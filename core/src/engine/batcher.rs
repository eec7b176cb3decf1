//! When a batch closes: on records, bytes or time, whichever comes first.

use std::time::{Duration, Instant};

/// The limits of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) linger: Duration,
}

/// A batch that is being filled.
#[derive(Debug)]
pub(crate) struct Batcher {
    limits: Limits,
    records: usize,
    bytes: usize,
    /// The largest record so far: what the next one may weigh.
    largest: usize,
    closes_at: Option<Instant>,
}

/// How many records are asked for before anything is known of their size.
const FIRST_ASK: usize = 64;
/// How many are asked for at most: a bound on what a batch may exceed its bytes by.
const MOST_ASKED: usize = 4096;

impl Batcher {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, records: 0, bytes: 0, largest: 0, closes_at: None }
    }

    /// Returns how many records to ask for next; 0 closes the batch.
    pub(crate) fn room(&self) -> usize {
        if self.bytes >= self.limits.bytes {
            return 0;
        }
        let by_count = self.limits.records.saturating_sub(self.records);
        let by_bytes = match self.largest {
            0 => FIRST_ASK,
            largest => ((self.limits.bytes - self.bytes) / largest).max(1),
        };
        by_count.min(by_bytes).min(MOST_ASKED)
    }

    /// Counts a record in. The clock starts with the first one.
    pub(crate) fn add(&mut self, bytes: usize, now: Instant) {
        self.records += 1;
        self.bytes += bytes;
        self.largest = self.largest.max(bytes).max(1);
        self.closes_at.get_or_insert_with(|| now + self.limits.linger);
    }

    /// Returns how long to wait for more; zero closes the batch. An empty batch waits for `idle`.
    pub(crate) fn patience(&self, now: Instant, idle: Duration) -> Duration {
        match self.closes_at {
            None => idle,
            Some(_) if self.room() == 0 => Duration::ZERO,
            Some(at) => at.saturating_duration_since(now),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_batch_never_exceeds_its_records_and_its_bytes_by_one_ask_at_most(
            records in 1_usize..500, bytes in 1_usize..100_000,
            sizes in prop::collection::vec(0_usize..5_000, 1..2_000),
        ) {
            let mut batcher = Batcher::new(Limits { records, bytes, linger: Duration::ZERO });
            let now = Instant::now();
            let (mut count, mut sizes) = (0, sizes.into_iter());
            let mut last_ask = 0;
            while batcher.room() > 0 {
                last_ask = batcher.room();
                let taken: Vec<_> = sizes.by_ref().take(last_ask).collect();
                if taken.is_empty() { break }
                count += taken.len();
                for size in taken {
                    batcher.add(size, now);
                }
            }
            prop_assert!(count <= records);
            prop_assert!(batcher.bytes() < bytes + last_ask * 5_000);
        }
    }

    #[test]
    fn an_empty_batch_waits_and_a_started_one_closes_in_time() {
        let limits = Limits { records: 10, bytes: 1_000, linger: Duration::from_millis(5) };
        let (mut batcher, now, idle) = (Batcher::new(limits), Instant::now(), Duration::from_secs(1));
        assert_eq!(batcher.patience(now, idle), idle);
        batcher.add(1, now);
        assert_eq!(batcher.patience(now, idle), Duration::from_millis(5));
        assert_eq!(batcher.patience(now + Duration::from_millis(6), idle), Duration::ZERO);
        batcher.add(1_000, now);
        assert_eq!(batcher.patience(now, idle), Duration::ZERO, "full by bytes");
    }
}
