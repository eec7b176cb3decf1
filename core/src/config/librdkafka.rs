//! Maps a configuration to librdkafka properties: ksem's defaults, then what the user passed through, then
//! what the guarantee needs.

use super::properties::{self, Scope};
use super::{Config, KafkaProperties, OnLostOffsets};
use crate::Guarantee;

/// What a producer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// Sends without retrying.
    AtMostOnce,
    /// Sends idempotently and waits for all in-sync replicas.
    AtLeastOnce,
    /// Sends in transactions.
    Transactional {
        /// The `transactional.id`.
        id: &'a str,
    },
}

impl<'a> Role<'a> {
    /// What a guarantee's producer is for; only `exactly_once` uses the id.
    pub fn of(guarantee: Guarantee, transactional_id: &'a str) -> Self {
        match guarantee {
            Guarantee::AtMostOnce => Self::AtMostOnce,
            Guarantee::AtLeastOnce => Self::AtLeastOnce,
            Guarantee::ExactlyOnce => Self::Transactional { id: transactional_id },
        }
    }
}

/// Both kinds of client.
const COMMON: &[(&str, &str)] = &[("client.id", "ksem")];

/// The broker-side waits that cost most throughput at librdkafka's defaults are shortened.
const CONSUMER: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "false"),
    ("check.crcs", "true"),
    ("fetch.queue.backoff.ms", "2"),
    ("fetch.wait.max.ms", "50"),
    // A batch: what librdkafka holds of a record besides its bytes is not bounded by bytes.
    ("queued.min.messages", "10000"),
    ("session.timeout.ms", "45000"),
];

/// `murmur2_random` puts a key into the partition where the Java client would. Without short-lived idle
/// connections `rd_kafka_send_offsets_to_transaction` waits for a coordinator that is not one any more for as
/// long as no connection changes (librdkafka issue 5511).
const PRODUCER: &[(&str, &str)] = &[
    ("batch.num.messages", "100000"),
    ("batch.size", "1000000"),
    ("connections.max.idle.ms", "10000"),
    ("linger.ms", "500"),
    ("partitioner", "murmur2_random"),
    ("queue.buffering.max.messages", "1000000"),
    ("topic.metadata.propagation.max.ms", "5000"),
];

/// A transactional request that meets `CONCURRENT_TRANSACTIONS` waits this long before it is sent again.
const RETRY_BACKOFF_MS: u64 = 5;
/// librdkafka's default for `retry.backoff.max.ms`.
const RETRY_BACKOFF_MAX_MS: u64 = 1000;
/// Most bytes of a partition in one fetch. More is parsed long before it is processed, which makes each record dearer.
const PARTITION_FETCH_BYTES: usize = 1 << 20;
/// Largest `queued.max.messages.kbytes` that librdkafka takes.
const QUEUED_MAX_KBYTES: usize = 2_097_151;

/// Largest `linger.ms` that librdkafka takes.
const LONGEST_LINGER_MS: u64 = 900_000;

/// A record is given up before the earliest of these, so that its fate is known.
const AT_MOST_ONCE_MESSAGE_TIMEOUT_MS: u64 = 30_000;
const AT_LEAST_ONCE_MESSAGE_TIMEOUT_MS: u64 = 120_000;

/// The properties of a consumer that `lanes` consumers share the memory with. `group_instance_id` makes it a
/// static member of the group.
///
/// The pairs may hold secrets: show them through [`shown`](super::shown) only.
pub fn consumer_properties(config: &Config, group_instance_id: Option<&str>, lanes: usize) -> Vec<(String, String)> {
    let mut list = List::new(CONSUMER);
    let partition_bytes = PARTITION_FETCH_BYTES.min((config.fetch.max_bytes / 4) & !1023);
    list.put("max.partition.fetch.bytes", partition_bytes.to_string());
    list.pass_through(&config.kafka, Scope::Consumer);

    let queued_kbytes = (config.fetch.max_bytes / lanes.max(1) / 1024).clamp(1024, QUEUED_MAX_KBYTES);
    // Partitions always start at an explicit offset, so this decides nothing but what happens when that is gone.
    let reset = match config.on_lost_offsets {
        OnLostOffsets::Fail => "error",
        OnLostOffsets::Earliest => "earliest",
        OnLostOffsets::Latest => "latest",
    };
    list.put("auto.offset.reset", reset);
    list.put("enable.auto.commit", "false");
    list.put("enable.auto.offset.store", "false");
    list.put("enable.partition.eof", "false");
    list.put("group.id", config.group.as_str());
    if let Some(id) = group_instance_id {
        list.put("group.instance.id", id);
    }
    list.put("isolation.level", "read_committed");
    list.put("partition.assignment.strategy", config.rebalance.strategy.name());
    list.put("queued.max.messages.kbytes", queued_kbytes.to_string());
    list.0
}

/// The properties of a producer.
///
/// The pairs may hold secrets: show them through [`shown`](super::shown) only.
pub fn producer_properties(config: &Config, role: Role<'_>) -> Vec<(String, String)> {
    let mut list = List::new(PRODUCER);
    list.retry_backoff(&config.kafka);
    list.pass_through(&config.kafka, Scope::Producer);
    match role {
        Role::AtMostOnce => {
            list.put("acks", config.at_most_once.acks.number().to_string());
            list.put("enable.idempotence", "false");
            list.put("message.timeout.ms", AT_MOST_ONCE_MESSAGE_TIMEOUT_MS.to_string());
            list.put("retries", "0");
        }
        Role::AtLeastOnce => {
            list.put("acks", "all");
            list.put("enable.idempotence", "true");
            list.put("message.timeout.ms", AT_LEAST_ONCE_MESSAGE_TIMEOUT_MS.to_string());
        }
        Role::Transactional { id } => {
            let timeout_ms = config.transactions.timeout_ms;
            list.put("acks", "all");
            list.put("enable.idempotence", "true");
            let message_timeout_ms = transactional_message_timeout_ms(timeout_ms);
            list.put("message.timeout.ms", message_timeout_ms.to_string());
            // Records leave when they fill a batch or their transaction is flushed, not by themselves: so those of
            // the next transaction can be handed over before this one's are delivered.
            if config.kafka.get_canonical("linger.ms").is_none() {
                list.put("linger.ms", (message_timeout_ms - 1).min(LONGEST_LINGER_MS).to_string());
            }
            list.put("transaction.timeout.ms", timeout_ms.to_string());
            list.put("transactional.id", id);
            // librdkafka refuses a longer one; without any it chooses a fitting value.
            if number(&config.kafka, "socket.timeout.ms").is_some_and(|socket_ms| socket_ms > timeout_ms) {
                list.put("socket.timeout.ms", timeout_ms.to_string());
            }
        }
    }
    list.0
}

/// Every property that librdkafka has, by name: those that `[kafka]` knows, refused ones included.
pub fn property_names() -> impl Iterator<Item = &'static str> {
    properties::names()
}

/// The longest `linger.ms` with which every producer can be created, plus one.
pub(super) fn shortest_message_timeout_ms(config: &Config) -> u64 {
    transactional_message_timeout_ms(config.transactions.timeout_ms).min(AT_MOST_ONCE_MESSAGE_TIMEOUT_MS)
}

/// Nine tenths of the transaction's timeout leave time to end the transaction.
fn transactional_message_timeout_ms(timeout_ms: u64) -> u64 {
    timeout_ms - timeout_ms / 10
}

/// Properties in the order in which they are set, each once.
struct List(Vec<(String, String)>);

impl List {
    fn new(defaults: &[(&str, &str)]) -> Self {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self(COMMON.iter().chain(defaults).map(pair).collect())
    }

    /// Sets a property, in place of one that was set before under any of its names.
    fn put(&mut self, name: &str, value: impl Into<String>) {
        let canonical = properties::canonical(name);
        self.0.retain(|(other, _)| properties::canonical(other) != canonical);
        self.0.push((name.to_owned(), value.into()));
    }

    /// Sets what the user gave, except what only the other kind of client reads.
    fn pass_through(&mut self, kafka: &KafkaProperties, kind: Scope) {
        for (name, value) in kafka.iter() {
            if properties::scope(name).is_none_or(|scope| scope == Scope::Both || scope == kind) {
                self.put(name, value);
            }
        }
    }

    /// A short first wait, and a longest one that is never below what the user set for the first.
    fn retry_backoff(&mut self, kafka: &KafkaProperties) {
        let longest = number(kafka, "retry.backoff.max.ms").unwrap_or(RETRY_BACKOFF_MAX_MS);
        let first = number(kafka, "retry.backoff.ms").unwrap_or(RETRY_BACKOFF_MS.min(longest));
        self.put("retry.backoff.ms", first.to_string());
        self.put("retry.backoff.max.ms", longest.max(first).to_string());
    }
}

/// The number of a property that the user set.
fn number(kafka: &KafkaProperties, name: &str) -> Option<u64> {
    kafka.get_canonical(name)?.parse().ok()
}
