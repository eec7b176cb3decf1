//! The load: records by a schedule that waits for nobody.
//!
//! The loop is open: each record has its time, counted from the start, and carries it. One that is sent late, because
//! the queue was full or the processor was busy, is late for its reader by that much, too. What waits for a slow
//! pipeline is so never left out of the measurement (coordinated omission).

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use hdrhistogram::Histogram;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};
use serde::{Deserialize, Serialize};

use super::clock::{self, HELLO, SIZE};
use super::part::{self, Job, Ready};
use super::{PARTITIONS, histogram};

/// Every record is acknowledged. It waits for no more company than keeps the load from taking the broker's processor
/// with requests of a few records: what the load adds is not ksem's.
const SETTINGS: &[(&str, &str)] = &[
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("linger.ms", "0.2"),
    // When a record is in the input is seen by the reader of a run without a pipeline, at no cost here.
    ("delivery.report.only.error", "true"),
    ("queue.buffering.max.messages", "1000000"),
];
/// The shortest sleep: waking up for each of 100,000 records a second would take a processor of its own. What a record
/// waits for that is part of its latency.
const TICK: Duration = Duration::from_micros(200);
/// The schedule stays with a partition for so long, as a producer of records without keys does: with every record in
/// another partition there would be four times as many requests. The key decides the partition of the output.
const SLICE: Duration = Duration::from_millis(1);
/// From the sign to the first record.
const HEAD_START: Duration = Duration::from_millis(50);

/// What the load did.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sent {
    /// From a record's time to the call that sent it, the 99th percentile in milliseconds.
    pub(super) late_p99_ms: f64,
}

pub(super) fn run(job: &Job) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &job.bootstrap);
    for (name, value) in SETTINGS {
        config.set(*name, *value);
    }
    let producer: BaseProducer<Failure> =
        BaseProducer::from_config_and_context(&config, Failure::default()).context("making the load's producer")?;
    for partition in 0..PARTITIONS {
        send(&producer, job, partition, HELLO, clock::now())?;
    }
    flush(&producer)?;
    part::say(&Ready {})?;
    ensure!(part::wait_for_go(), "nobody wants the load any more");
    let late = by_the_schedule(&producer, job)?;
    flush(&producer)?;
    part::say(&Sent { late_p99_ms: histogram::millis(late.value_at_quantile(0.99)) })
}

fn flush(producer: &BaseProducer<Failure>) -> Result<()> {
    producer.flush(Duration::from_secs(60)).context("waiting for the last acknowledgements")?;
    let failure = producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
    failure.map_or(Ok(()), |error| Err(error).context("a record of the load was not delivered"))
}

/// Sends every record at its time or as soon after it as it can. Returns how late the records were sent.
fn by_the_schedule(producer: &BaseProducer<Failure>, job: &Job) -> Result<Histogram<u64>> {
    let mut late = histogram::new()?;
    let start = clock::now() + HEAD_START.as_nanos() as u64;
    for number in 0..job.records {
        let due = start + offset(number, job.rate);
        let mut now = clock::now();
        if now < due {
            thread::sleep(Duration::from_nanos(due - now).max(TICK));
            now = clock::now();
        }
        if number >= job.warm_up {
            late.saturating_record(now.saturating_sub(due) / 1_000);
        }
        send(producer, job, partition(due - start), number, due)?;
    }
    Ok(late)
}

/// The schedule: nanoseconds from the start to a record.
fn offset(number: u64, rate: u64) -> u64 {
    (u128::from(number) * 1_000_000_000 / u128::from(rate)) as u64
}

/// The partition whose turn it is.
fn partition(offset: u64) -> i32 {
    (u128::from(offset) / SLICE.as_nanos() % PARTITIONS as u128) as i32
}

fn send(producer: &BaseProducer<Failure>, job: &Job, partition: i32, number: u64, due: u64) -> Result<()> {
    let mut value = [b'x'; SIZE];
    clock::stamp(&mut value, number, due);
    let key = number.to_string();
    let mut record = BaseRecord::to(&job.input).partition(partition).key(&key).payload(&value[..]);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                thread::sleep(TICK);
                record = again;
            }
            Err((error, _)) => return Err(anyhow!(error).context("sending a record of the load")),
        }
    }
}

/// The first record that was not delivered.
#[derive(Default)]
struct Failure(Mutex<Option<KafkaError>>);

impl ClientContext for Failure {}

impl ProducerContext for Failure {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_even_and_never_drifts() {
        assert_eq!(offset(0, 50_000), 0);
        assert_eq!(offset(1, 50_000), 20_000);
        // A rate that does not divide a second is right in the long run.
        assert_eq!(offset(3_000_000, 30_000), 100_000_000_000);
        assert_eq!(offset(7, 3), 2_333_333_333);
    }

    #[test]
    fn partitions_take_turns() {
        let turns: Vec<i32> = (0..6).map(|ms| partition(ms * 1_000_000 + 999_999)).collect();
        assert_eq!(turns, [0, 1, 2, 3, 0, 1]);
    }
}
