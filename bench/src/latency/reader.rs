//! The reader: takes the time at which each record of the output becomes visible.
//!
//! It is the `rdkafka` crate's `BaseConsumer` without a group, under `read_committed`. Its fetches are answered as soon
//! as one byte is there, it hands over a record without a thread in between, and it shares nothing of ksem's engine.
//! The testkit's krafka reader is further from ksem, and right for counting; but it goes through an asynchronous runtime
//! and copies each record, which at 100,000 records a second takes time on this machine's clock that is not ksem's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::clock::{self, HELLO};
use super::part::{self, Job, Ready};
use super::{PARTITIONS, histogram};

const SETTINGS: &[(&str, &str)] = &[
    ("isolation.level", "read_committed"),
    ("enable.auto.commit", "false"),
    // Without a group it is only a name, but the crate wants one.
    ("group.id", "ksem-bench-latency-reader"),
    ("fetch.min.bytes", "1"),
    // An answer that holds nothing comes soon, too: a fetch that was asked for in front of a commit waits no longer.
    ("fetch.wait.max.ms", "20"),
    ("fetch.queue.backoff.ms", "1"),
    ("queued.min.messages", "1000000"),
];
/// Nothing more is expected after so long without a record.
const IDLE: Duration = Duration::from_secs(15);
/// A record that is repeated comes soon after the last one.
const AFTERMATH: Duration = Duration::from_millis(300);

/// What became visible.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Distinct records.
    pub(super) visible: u64,
    /// Records that were there already.
    pub(super) repeated: u64,
    /// Milliseconds from a record's time to its sight, by quantile.
    pub(super) distribution: Vec<(f64, f64)>,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) max_ms: f64,
}

pub(super) fn run(job: &Job) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &job.bootstrap);
    for (name, value) in SETTINGS {
        config.set(*name, *value);
    }
    let consumer: BaseConsumer = config.create().context("making the reader")?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(&job.output, partition, Offset::Beginning)?;
    }
    consumer.assign(&partitions)?;
    let mut tally = Tally::new(job)?;
    read(&consumer, &mut tally, |tally| tally.hellos < PARTITIONS.unsigned_abs(), Duration::from_mins(1))?;
    ensure!(tally.hellos == PARTITIONS.unsigned_abs(), "the first records did not come through within a minute");
    part::say(&Ready {})?;
    read(&consumer, &mut tally, |tally| tally.visible < job.records, IDLE)?;
    read(&consumer, &mut tally, |_| true, AFTERMATH)?;
    part::say(&tally.seen())
}

/// Reads for as long as it is wanted and something comes.
fn read(consumer: &BaseConsumer, tally: &mut Tally, wanted: impl Fn(&Tally) -> bool, idle: Duration) -> Result<()> {
    let mut last = Instant::now();
    while wanted(tally) && last.elapsed() < idle {
        if let Some(message) = consumer.poll(Duration::from_millis(50)) {
            let now = clock::now();
            tally.add(message.context("reading the output")?.payload().unwrap_or_default(), now)?;
            last = Instant::now();
        }
    }
    Ok(())
}

struct Tally {
    warm_up: u64,
    hellos: u32,
    visible: u64,
    repeated: u64,
    seen: Vec<u64>,
    times: Histogram<u64>,
}

impl Tally {
    fn new(job: &Job) -> Result<Self> {
        Ok(Self {
            warm_up: job.warm_up,
            hellos: 0,
            visible: 0,
            repeated: 0,
            seen: vec![0; job.records.div_ceil(64) as usize],
            times: histogram::new()?,
        })
    }

    fn add(&mut self, value: &[u8], now: u64) -> Result<()> {
        let (number, due) = clock::read(value)?;
        if number == HELLO {
            self.hellos += 1;
            return Ok(());
        }
        let bit = 1 << (number % 64);
        let word = self.seen.get_mut((number / 64) as usize).context("a record in the output was never sent")?;
        if *word & bit != 0 {
            self.repeated += 1;
            return Ok(());
        }
        *word |= bit;
        self.visible += 1;
        if number >= self.warm_up {
            self.times.saturating_record(now.saturating_sub(due) / 1_000);
        }
        Ok(())
    }

    fn seen(&self) -> Seen {
        let at = |quantile| histogram::millis(self.times.value_at_quantile(quantile));
        Seen {
            visible: self.visible,
            repeated: self.repeated,
            distribution: histogram::QUANTILES.iter().map(|quantile| (*quantile, at(*quantile))).collect(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: histogram::millis(self.times.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::clock::SIZE;
    use crate::latency::part::Role;

    fn tally(numbers: &[u64]) -> Tally {
        let job = Job {
            role: Role::Reader,
            bootstrap: String::new(),
            input: String::new(),
            output: String::new(),
            rate: 10,
            records: 10,
            warm_up: 2,
            config: String::new(),
        };
        let mut tally = Tally::new(&job).expect("a histogram");
        for number in numbers {
            let mut value = [0; SIZE];
            clock::stamp(&mut value, *number, 1_000_000);
            // Visible after `number` milliseconds.
            tally.add(&value, number.wrapping_mul(1_000_000).wrapping_add(1_000_000)).expect("a record of the load");
        }
        tally
    }

    #[test]
    fn every_record_counts_once_and_the_warm_up_is_not_measured() {
        let seen = tally(&[HELLO, 0, 1, 2, 3, 3, 9]).seen();
        assert_eq!((seen.visible, seen.repeated), (5, 1));
        assert!((seen.p50_ms - 3.0).abs() < 0.01, "of 2, 3 and 9 ms: {}", seen.p50_ms);
        assert!((seen.max_ms - 9.0).abs() < 0.01, "{}", seen.max_ms);
        let mut tally = tally(&[]);
        assert!(tally.add(b"foreign", 0).is_err());
    }

    #[test]
    fn a_record_that_was_sent_late_is_late() {
        let mut tally = tally(&[]);
        let mut value = [0; SIZE];
        clock::stamp(&mut value, 5, 0);
        tally.add(&value, 40_000_000).expect("a record of the load");
        assert!((tally.seen().p99_ms - 40.0).abs() < 0.1);
    }
}
