//! Both ends of a topic for a caller that runs no pipeline: a reader without a consumer group, and
//! a transaction that is filled piece by piece.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::config::Config;
use crate::config::librdkafka::{Role, consumer_properties, producer_properties};
use crate::discipline::Fault;
use crate::engine::ports::Sent;
use crate::error::{Code, Error, Result};
use crate::kafka::admin::{Admin, Watch, client};
use crate::kafka::producer::Producer;
use crate::output::Output;
use crate::record::{Header, HeaderSource, Record};

/// How long a partition's leader may take to say where the partition ends.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a reader with an end in sight waits for a cluster that went away.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a cluster that was away may take to answer again.
const BACK: Duration = Duration::from_secs(5);
/// As long as a [`Publisher`](crate::Publisher) waits for the transaction coordinator.
const INIT: Duration = Duration::from_secs(8);

/// Which records of transactions a reader sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Those of committed transactions.
    #[default]
    ReadCommitted,
    /// All of them, those of open and aborted transactions included.
    ReadUncommitted,
}

impl Isolation {
    /// Returns Kafka's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read_committed",
            Self::ReadUncommitted => "read_uncommitted",
        }
    }
}

/// What a [`Tail`] reads. The default is everything that comes from now on, committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailOptions {
    /// Which records of transactions are seen.
    pub isolation: Isolation,
    /// Whether to start at the first record rather than at the end.
    pub from_beginning: bool,
    /// Whether to stop at the ends that the partitions have now.
    pub until_end: bool,
    /// The only partition to read; `None` reads all.
    pub partition: Option<i32>,
}

/// What a call of [`Tail::next`] met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A record, which was handed to the caller.
    Record,
    /// A partition has no more records for now, or none that the reader was asked for.
    Answered,
    /// Nothing came in time.
    Quiet,
    /// Every partition has been read to the end that it had at the start.
    End,
}

/// Reads a topic's partitions, without a consumer group: nothing is committed, and any number of
/// readers see everything. It makes no promise about what retention removes while it reads.
pub struct Tail {
    consumer: BaseConsumer<Watch>,
    topic: Arc<str>,
    until_end: bool,
    /// Where each partition that has more to read ended at the start.
    left: BTreeMap<i32, i64>,
    /// Since when no broker has been connected.
    away: Option<Instant>,
}

impl Tail {
    /// Opens a reader. Only `kafka` and `fetch` of the configuration matter.
    ///
    /// # Errors
    /// `topic_unknown`, `broker_unavailable`, `authentication_failed`, `not_authorized`;
    /// `config_invalid` where there is no such partition.
    pub fn open(config: &Config, topic: &str, options: &TailOptions) -> Result<Self> {
        let info = Admin::connect(config)?.topic(topic)?.ok_or_else(|| unknown(topic))?;
        let mut partitions: Vec<i32> = info.partitions.iter().map(|partition| partition.partition).collect();
        if let Some(only) = options.partition {
            let all = partitions.len();
            partitions.retain(|partition| *partition == only);
            if partitions.is_empty() {
                let text =
                    format!("the topic `{topic}` has no partition {only}; it has {all}, which are numbered from 0");
                return Err(Error::new(Code::ConfigInvalid, text));
            }
        }
        let mut properties = ClientConfig::new();
        for (name, value) in consumer_properties(config, None, 1) {
            properties.set(name, value);
        }
        // librdkafka assigns nothing without the name of a group, although it is not used.
        properties.set("group.id", "ksem-tail").set("isolation.level", options.isolation.name());
        // What a caller can act on becomes an error or a warning of ksem's own.
        properties.set_log_level(RDKafkaLogLevel::Critical);
        let consumer: BaseConsumer<Watch> = client(&properties, &Watch::default())?;
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        let mut left = BTreeMap::new();
        for partition in partitions {
            // Asked for now, so that what is sent after this call is read for certain.
            let watermarks = consumer.fetch_watermarks(topic, partition, ANSWER);
            let (first, end) = watermarks.map_err(|error| failed(&error, topic))?;
            let start = if options.from_beginning { first } else { end };
            if start < end || !options.until_end {
                // The first record may be removed before it is asked for.
                let offset = if options.from_beginning { Offset::Beginning } else { Offset::Offset(end) };
                list.add_partition_offset(topic, partition, offset).map_err(|error| failed(&error, topic))?;
                left.insert(partition, end);
            }
        }
        consumer.assign(&list).map_err(|error| failed(&error, topic))?;
        Ok(Self { consumer, topic: topic.into(), until_end: options.until_end, left, away: None })
    }

    /// Waits for the next record and hands it to `each`. A partition's records come in order.
    ///
    /// # Errors
    /// `topic_unknown` where the topic was deleted, `offset_lost` where retention was faster than
    /// the reader, `not_authorized`, `authentication_failed`; and with an end in sight
    /// `broker_unavailable`. Without one the cluster is waited for.
    pub fn next(&mut self, timeout: Duration, each: impl FnOnce(&Record<'_>)) -> Result<Seen> {
        if self.until_end && self.left.is_empty() {
            return Ok(Seen::End);
        }
        match self.consumer.poll(timeout) {
            None => self.still_there().map(|()| Seen::Quiet),
            Some(Ok(message)) => {
                self.away = None;
                let (partition, offset) = (message.partition(), message.offset());
                if self.until_end {
                    let Some(end) = self.left.get(&partition).copied() else { return Ok(Seen::Answered) };
                    // Offsets are sparse: the record before the end need not have the number before it.
                    if offset + 1 >= end {
                        self.left.remove(&partition);
                    }
                    if offset >= end {
                        return Ok(Seen::Answered);
                    }
                }
                hand_over(&self.topic, &message, each);
                Ok(Seen::Record)
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.away = None;
                if self.until_end {
                    self.left.remove(&partition);
                }
                Ok(Seen::Answered)
            }
            Some(Err(error)) => self.trouble(&error).map(|()| Seen::Quiet),
        }
    }

    /// librdkafka connects again by itself, so most errors only mean waiting.
    fn trouble(&mut self, error: &KafkaError) -> Result<()> {
        use RDKafkaErrorCode as Kafka;
        match error.rdkafka_error_code() {
            // Of the group that is only a name.
            Some(Kafka::GroupAuthorizationFailed) => Ok(()),
            Some(Kafka::UnknownTopicOrPartition | Kafka::UnknownTopic | Kafka::UnknownPartition) => {
                Err(unknown(&self.topic))
            }
            Some(
                Kafka::TopicAuthorizationFailed
                | Kafka::Authentication
                | Kafka::SaslAuthenticationFailed
                | Kafka::AutoOffsetReset
                | Kafka::OffsetOutOfRange,
            ) => Err(failed(error, &self.topic)),
            Some(Kafka::AllBrokersDown) => {
                if self.away.is_none() {
                    tracing::warn!("no broker is connected; trying again");
                }
                self.away.get_or_insert_with(Instant::now);
                Ok(())
            }
            _ => {
                tracing::debug!(%error, topic = &*self.topic, "reading");
                Ok(())
            }
        }
    }

    fn still_there(&mut self) -> Result<()> {
        if self.until_end && self.away.is_some_and(|since| since.elapsed() > PATIENCE) {
            // A connection that came back is not reported, so it is asked for.
            self.consumer.fetch_metadata(Some(&self.topic), BACK).map_err(|error| failed(&error, &self.topic))?;
            self.away = None;
        }
        Ok(())
    }
}

fn unknown(topic: &str) -> Error {
    Error::new(Code::TopicUnknown, format!("the topic `{topic}` does not exist; `ksem topic list` shows those that do"))
}

fn failed(error: &KafkaError, topic: &str) -> Error {
    use RDKafkaErrorCode as Kafka;
    let (code, hint) = match error.rdkafka_error_code() {
        Some(Kafka::TopicAuthorizationFailed) => (Code::NotAuthorized, "the cluster denies it"),
        Some(Kafka::Authentication | Kafka::SaslAuthenticationFailed) => {
            (Code::AuthenticationFailed, "the cluster refuses the connection")
        }
        Some(Kafka::AutoOffsetReset | Kafka::OffsetOutOfRange) => {
            (Code::OffsetLost, "the next record was removed before it was read; start again")
        }
        _ => (Code::BrokerUnavailable, "the cluster does not answer"),
    };
    Error::new(code, format!("reading the topic `{topic}`: {hint}: {error}"))
}

fn hand_over(topic: &str, message: &BorrowedMessage<'_>, each: impl FnOnce(&Record<'_>)) {
    let headers = message.headers().map(Named);
    each(&Record {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key(),
        value: message.payload(),
        headers: headers.as_ref().map_or(&(), |headers| headers as &dyn HeaderSource),
    });
}

/// The headers of a message that the `rdkafka` crate holds.
struct Named<'m>(&'m BorrowedHeaders);

impl HeaderSource for Named<'_> {
    fn for_each<'a>(&'a self, each: &mut dyn FnMut(Header<'a>)) {
        for index in 0..self.0.count() {
            // The crate panics at a name that is not UTF-8, and one such record must not make a topic
            // unreadable. As in a batch, that header is left out.
            if let Ok(Some(header)) = catch_unwind(AssertUnwindSafe(|| self.0.try_get(index))) {
                each((header.key, header.value));
            }
        }
    }
}

/// Sends records in transactions that are filled piece by piece, for callers whose input is not
/// Kafka and does not fit in memory.
pub struct TransactionWriter {
    config: Config,
    id: String,
    producer: Option<Producer>,
    /// The open transaction: when it began, and how many records are in it.
    open: Option<(Instant, u64)>,
}

impl TransactionWriter {
    /// Connects, aborts what a predecessor with this `transactional_id` left open, and fences it.
    ///
    /// # Errors
    /// `broker_unavailable`, `guarantee_unavailable`, `not_authorized`, `config_invalid`.
    pub fn open(config: Config, transactional_id: impl Into<String>) -> Result<Self> {
        let mut writer = Self { config, id: transactional_id.into(), producer: None, open: None };
        writer.producer = Some(writer.connect()?);
        Ok(writer)
    }

    fn connect(&self) -> Result<Producer> {
        let producer = Producer::open(&producer_properties(&self.config, Role::Transactional { id: &self.id }))?;
        producer.init_transactions(INIT).map_err(|failure| failure.error)?;
        Ok(producer)
    }

    /// Sends everything and waits for the acknowledgements. Begins a transaction if none is open.
    ///
    /// # Errors
    /// Whatever it is, the transaction is aborted: `delivery_failed`, `transaction_timed_out`,
    /// `producer_fenced`; what the topics refuse.
    pub fn send(&mut self, output: &Output) -> Result<()> {
        if output.is_empty() {
            return Ok(());
        }
        let mut producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.connect()?,
        };
        let (since, records) = self.open.take().unwrap_or((Instant::now(), 0));
        let ready = if records == 0 { producer.begin() } else { Ok(()) };
        match ready.and_then(|()| producer.produce(None, output)) {
            Ok(delivered) => {
                self.open = Some((since, records + delivered.acknowledged));
                self.producer = Some(producer);
                Ok(())
            }
            Err(failure) => {
                // If that fails too, the cluster aborts it when its time is over.
                let _ = producer.abort();
                Err(self.timed_out(since).unwrap_or(failure.error))
            }
        }
    }

    /// Kafka fences a producer whose transaction has timed out, just as it would for a successor.
    fn timed_out(&self, since: Instant) -> Option<Error> {
        let timeout_ms = self.config.transactions.timeout_ms;
        (since.elapsed() >= Duration::from_millis(timeout_ms)).then(|| {
            Error::new(
                Code::TransactionTimedOut,
                format!("the transaction was open for longer than `transactions.timeout_ms` = {timeout_ms}; end it sooner, or raise that"),
            )
        })
    }

    /// Commits the open transaction and returns how many records were in it.
    ///
    /// # Errors
    /// `transaction_failed`, after which it is aborted; `commit_outcome_unknown`.
    pub fn commit(&mut self) -> Result<u64> {
        let Some((_, records)) = self.open.take() else { return Ok(0) };
        let Some(producer) = self.producer.take() else { return Ok(0) };
        match producer.commit() {
            Ok(Sent::Once) => self.producer = Some(producer),
            // A straggling request must not end the next transaction, and a new producer's is not touched by it.
            Ok(Sent::Again) => {}
            Err(failure) if failure.fault == Fault::Abortable => {
                let _ = producer.abort();
                return Err(failure.error);
            }
            Err(failure) => {
                let error = Error::new(Code::CommitOutcomeUnknown, "the records may or may not have been committed");
                return Err(error
                    .with("records", records)
                    .with("cause", failure.error.message())
                    .caused_by(failure.error));
            }
        }
        Ok(records)
    }

    /// Aborts the open transaction, and returns how many records were in it. Readers of committed
    /// records never see them.
    ///
    /// # Errors
    /// Where the cluster can't be told; it aborts by itself after `transactions.timeout_ms`.
    pub fn abort(&mut self) -> Result<u64> {
        let Some((_, records)) = self.open.take() else { return Ok(0) };
        let Some(producer) = self.producer.take() else { return Ok(0) };
        if producer.abort().map_err(|failure| failure.error)? == Sent::Once {
            self.producer = Some(producer);
        }
        Ok(records)
    }
}
