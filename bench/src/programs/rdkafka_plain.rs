//! The loop that a user writes with the `rdkafka` crate's `BaseConsumer` and `BaseProducer`.
//!
//! At-least-once: poll, send, and after every batch flush and commit synchronously. Exactly-once: the same in
//! transactions, with the offsets sent to them. The settings are those that the guarantees need; everything else is
//! the client's default, except in the tuned variant.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use ksem::Guarantee;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, ClientContext, Message};

use super::{Clock, Done, Job, Pace};
use crate::shape::Compression;

/// What the guarantees need of a consumer. `isolation.level` is `read_committed` by default.
const CONSUMER: &[(&str, &str)] = &[("auto.offset.reset", "earliest"), ("enable.auto.commit", "false")];
/// What the guarantees need of a producer.
const PRODUCER: &[(&str, &str)] = &[("acks", "all"), ("enable.idempotence", "true")];
const TUNED_CONSUMER: &[(&str, &str)] = &[("fetch.queue.backoff.ms", "2")];
const TUNED_PRODUCER: &[(&str, &str)] = &[("linger.ms", "0"), ("retry.backoff.ms", "5")];

const POLL: Duration = Duration::from_millis(100);

/// Keeps the first delivery that failed: at-least-once must not commit past it.
#[derive(Default)]
struct Deliveries(Mutex<Option<KafkaError>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
    }
}

pub(super) fn run(job: &Job, tuned: bool) -> Result<Done> {
    let clock = Clock::new();
    let guarantee = job.contestant.guarantee;
    let consumer: BaseConsumer = client(&job.bootstrap, &consumer_settings(tuned))
        .set("group.id", &job.group)
        .create()
        .context("making the consumer")?;
    let mut config = client(&job.bootstrap, &producer_settings(tuned));
    config.set("compression.type", job.compression.name());
    if guarantee == Guarantee::ExactlyOnce {
        config.set("transactional.id", &job.group);
    }
    let producer: BaseProducer<Deliveries> =
        BaseProducer::from_config_and_context(&config, Deliveries::default()).context("making the producer")?;
    let copy = Copy { job, consumer, producer };
    match guarantee {
        Guarantee::ExactlyOnce => copy.exactly_once(&clock)?,
        Guarantee::AtLeastOnce => copy.at_least_once(&clock)?,
        Guarantee::AtMostOnce => return Err(anyhow!("there is no plain loop for at_most_once")),
    }
    drop(copy);
    clock.done(0)
}

struct Copy<'a> {
    job: &'a Job,
    consumer: BaseConsumer,
    producer: BaseProducer<Deliveries>,
}

impl Copy<'_> {
    fn at_least_once(&self, clock: &Clock) -> Result<()> {
        self.consumer.subscribe(&[&self.job.input])?;
        let mut pace = Pace::new(self.job);
        while !pace.at_the_end() {
            if let Some(message) = self.consumer.poll(POLL).transpose()? {
                clock.record_seen();
                self.send(&message)?;
                pace.took(1);
            }
            if pace.is_due() {
                self.producer.flush(Timeout::Never)?;
                self.check_deliveries()?;
                self.consumer.commit_consumer_state(CommitMode::Sync)?;
                clock.step_taken();
                pace.committed();
            }
        }
        Ok(())
    }

    fn exactly_once(&self, clock: &Clock) -> Result<()> {
        self.producer.init_transactions(Duration::from_secs(30))?;
        self.consumer.subscribe(&[&self.job.input])?;
        let mut pace = Pace::new(self.job);
        while !pace.at_the_end() {
            if let Some(message) = self.consumer.poll(POLL).transpose()? {
                clock.record_seen();
                if pace.is_fresh() {
                    self.producer.begin_transaction()?;
                }
                self.send(&message)?;
                pace.took(1);
            }
            if pace.is_due() {
                let metadata = self.consumer.group_metadata().context("the consumer is in no group")?;
                self.producer.send_offsets_to_transaction(&self.consumer.position()?, &metadata, Timeout::Never)?;
                self.producer.commit_transaction(Timeout::Never)?;
                self.check_deliveries()?;
                clock.step_taken();
                pace.committed();
            }
        }
        Ok(())
    }

    /// Sends a copy; where the queue is full, serves delivery reports until there is room.
    fn send(&self, message: &BorrowedMessage<'_>) -> Result<()> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.job.output);
        record.key = message.key();
        record.payload = message.payload();
        record.timestamp = message.timestamp().to_millis();
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    self.producer.poll(POLL);
                    record = again;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    fn check_deliveries(&self) -> Result<()> {
        let failure = self.producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), |error| Err(error).context("a record was not delivered"))
    }
}

type Settings = Vec<(&'static str, &'static str)>;

fn consumer_settings(tuned: bool) -> Settings {
    [CONSUMER, if tuned { TUNED_CONSUMER } else { &[] }].concat()
}

fn producer_settings(tuned: bool) -> Settings {
    [PRODUCER, if tuned { TUNED_PRODUCER } else { &[] }].concat()
}

fn client(bootstrap: &str, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config
}

pub(super) fn settings(guarantee: Guarantee, tuned: bool, compression: Compression) -> Vec<(String, String)> {
    let consumer = consumer_settings(tuned).into_iter().map(|(name, value)| ("consumer", name, value));
    let producer = producer_settings(tuned).into_iter().map(|(name, value)| ("producer", name, value));
    let transactional = (guarantee == Guarantee::ExactlyOnce).then_some(("producer", "transactional.id", "(set)"));
    let compressed = (compression != Compression::None).then_some(("producer", "compression.type", compression.name()));
    consumer
        .chain(producer)
        .chain(transactional)
        .chain(compressed)
        .map(|(client, name, value)| (format!("{client}.{name}"), value.to_owned()))
        .collect()
}
