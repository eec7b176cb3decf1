//! A reader without a consumer group.

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
use crate::config::librdkafka::consumer_properties;
use crate::error::{Code, Error, Result};
use crate::kafka::admin::{Admin, Watch, client};
use crate::record::{Header, HeaderSource, Record};

/// How long a partition's leader may take to say where the partition ends.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a reader with an end in sight waits for a cluster that went away.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a cluster that was away may take to answer again.
const BACK: Duration = Duration::from_secs(5);

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
        // librdkafka assigns nothing without the name of a group, although it is not used. Nothing rebalances here,
        // so the end of a partition may be asked for.
        properties.set("group.id", "ksem-tail").set("isolation.level", options.isolation.name());
        properties.set("enable.partition.eof", "true");
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
