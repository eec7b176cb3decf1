//! Topics and metadata, through the `rdkafka` crate's safe clients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use crate::config::{Config, KafkaProperties};
use crate::error::{Code, Error, Result};
use crate::kafka::errors;
use crate::record::TopicPartition;

/// How long the cluster may take to answer at all.
const CONNECT: Duration = Duration::from_secs(8);
/// How long an answer may take once it is known to be there.
const ANSWER: Duration = Duration::from_secs(10);

/// A topic of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Its partitions, in the order of their numbers.
    pub partitions: Vec<PartitionInfo>,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PartitionInfo {
    /// Its number.
    pub partition: i32,
    /// The leader's broker id; -1 where there is none.
    pub leader: i32,
    /// The brokers that have a copy.
    pub replicas: Vec<i32>,
    /// The brokers whose copy is in sync.
    pub in_sync: Vec<i32>,
}

/// Reads and changes a cluster's topics.
pub struct Admin {
    consumer: BaseConsumer<Watch>,
    config: ClientConfig,
    watch: Watch,
}

/// Remembers why connections fail, so that a time-out's error can say so.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Option<(RDKafkaErrorCode, String)>>>);

impl ClientContext for Watch {
    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let mut seen = self.0.lock();
        // A refused password explains more than the connection that ends because of it.
        if seen.is_none() || is_refusal(code) {
            *seen = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Watch {}

impl ProducerContext for Watch {
    type DeliveryOpaque = ();
    fn delivery(&self, _: &rdkafka::message::DeliveryResult<'_>, (): ()) {}
}

fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed | RDKafkaErrorCode::SSL
    )
}

impl Admin {
    /// Connects, and makes sure that a broker answers.
    ///
    /// # Errors
    /// `broker_unavailable` with the address, `authentication_failed`, `config_invalid`.
    pub fn connect(config: &Config) -> Result<Self> {
        Self::connect_with(&config.kafka)
    }

    /// As [`connect`](Self::connect), with nothing but librdkafka's properties.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_with(kafka: &KafkaProperties) -> Result<Self> {
        let mut config = ClientConfig::new();
        // Its errors are returned, with their cause: no need to say them twice.
        config.set_log_level(RDKafkaLogLevel::Critical);
        for (name, value) in kafka.iter() {
            config.set(name, value);
        }
        let watch = Watch::default();
        // The ends that are asked for are those that a reader of committed records reaches.
        let mut reading = config.clone();
        reading.set("isolation.level", "read_committed").set("group.id", "ksem-admin");
        let consumer = client(&reading, &watch)?;
        let admin = Self { consumer, config, watch };
        admin.consumer.fetch_metadata(None, CONNECT).map_err(|error| admin.unreachable(kafka, &error))?;
        Ok(admin)
    }

    fn unreachable(&self, kafka: &KafkaProperties, error: &KafkaError) -> Error {
        let address = kafka.get("bootstrap.servers").unwrap_or("(none)");
        let seen = self.watch.0.lock().clone();
        let (code, reason) = seen.unwrap_or((RDKafkaErrorCode::Fail, error.to_string()));
        if is_refusal(code) {
            return Error::new(
                Code::AuthenticationFailed,
                format!(
                    "the broker at {address} refuses the connection; check `kafka.security.protocol`, the SASL and the TLS settings: {reason}"
                ),
            );
        }
        Error::new(
            Code::BrokerUnavailable,
            format!(
                "no broker answers at {address}; check that it runs and correct `kafka.bootstrap.servers`: {reason}"
            ),
        )
    }

    /// Returns every topic that is not internal, by name.
    ///
    /// # Errors
    /// `broker_unavailable`.
    pub fn topics(&self) -> Result<Vec<TopicInfo>> {
        let metadata = self.consumer.fetch_metadata(None, ANSWER).map_err(|error| failed(&error, "listing topics"))?;
        let mut topics: Vec<_> =
            metadata.topics().iter().filter(|topic| !topic.name().starts_with("__")).map(info).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// Returns a topic, or `None` if there is none of that name.
    ///
    /// # Errors
    /// `broker_unavailable`, `not_authorized`.
    pub fn topic(&self, name: &str) -> Result<Option<TopicInfo>> {
        let metadata =
            self.consumer.fetch_metadata(Some(name), ANSWER).map_err(|error| failed(&error, "describing a topic"))?;
        found(metadata.topics(), name)
    }

    /// Returns how many partitions a topic has. A broker that has just started may not know a
    /// topic yet, so it is asked again before the answer counts.
    pub(crate) fn partitions(&self, name: &str) -> Result<Option<usize>> {
        let until = Instant::now() + Duration::from_secs(2);
        loop {
            let topic = self.topic(name)?;
            if topic.is_some() || Instant::now() >= until {
                return Ok(topic.map(|topic| topic.partitions.len()));
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Returns whether transactions have worked here before. A cluster with too few brokers for
    /// the replication of their log never creates it.
    pub(crate) fn has_transactions(&self) -> bool {
        self.topic("__transaction_state").is_ok_and(|topic| topic.is_some())
    }

    /// Makes sure that an output topic exists: the broker creates it if it is set up to.
    ///
    /// # Errors
    /// `output_topic_missing` where it does not; `broker_unavailable`, `not_authorized`.
    pub fn ensure_output(&self, name: &str) -> Result<()> {
        if self.topic(name)?.is_some() {
            return Ok(());
        }
        // Only a producer's question makes a broker with `auto.create.topics.enable` create it.
        let producer: BaseProducer<Watch> = client(&self.config, &self.watch)?;
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            let answer = producer.client().fetch_metadata(Some(name), ANSWER);
            let metadata = answer.map_err(|error| failed(&error, "looking for an output topic"))?;
            if found(metadata.topics(), name)?.is_some_and(|topic| topic.partitions.iter().all(|p| p.leader >= 0)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Err(Error::new(
            Code::OutputTopicMissing,
            format!(
                "the output topic `{name}` does not exist and the cluster does not create it (auto.create.topics.enable is off, \
                 or not allowed); create it with `ksem topic create {name}`, or correct `to` in its `[[route]]`, or `dead_letter.topic`"
            ),
        ))
    }

    /// Returns the first offset and the end of each partition, as a reader of committed records
    /// sees them.
    ///
    /// # Errors
    /// `broker_unavailable`.
    pub fn ends(&self, name: &str) -> Result<Vec<(TopicPartition, i64, i64)>> {
        let Some(topic) = self.topic(name)? else { return Ok(Vec::new()) };
        let name: Arc<str> = name.into();
        let end = |partition: &PartitionInfo| {
            let watermarks = self.consumer.fetch_watermarks(&name, partition.partition, ANSWER);
            let (low, high) = watermarks.map_err(|error| failed(&error, "reading a partition's end"))?;
            Ok((TopicPartition::new(Arc::clone(&name), partition.partition), low, high))
        };
        topic.partitions.iter().map(end).collect()
    }

    /// Creates a topic. `replication` `None` is the broker's default.
    ///
    /// # Errors
    /// `topic_exists` in the context where it is there already; what the cluster refuses.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication: Option<i32>,
        config: &BTreeMap<String, String>,
    ) -> Result<()> {
        let replication = TopicReplication::Fixed(replication.unwrap_or(-1));
        let mut topic = NewTopic::new(name, partitions, replication);
        for (name, value) in config {
            topic = topic.set(name, value);
        }
        let client: AdminClient<Watch> = client(&self.config, &self.watch)?;
        let results = block_on(client.create_topics(&[topic], &options()));
        one(results.map_err(|error| failed(&error, "creating a topic"))?, "creating the topic", name)
    }

    /// Deletes a topic with all its records.
    ///
    /// # Errors
    /// `topic_unknown`; what the cluster refuses.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let client: AdminClient<Watch> = client(&self.config, &self.watch)?;
        let results = block_on(client.delete_topics(&[name], &options()));
        one(results.map_err(|error| failed(&error, "deleting a topic"))?, "deleting the topic", name)
    }
}

pub(super) fn client<T: FromClientConfigAndContext<Watch>>(config: &ClientConfig, watch: &Watch) -> Result<T> {
    config.create_with_context(watch.clone()).map_err(|error| {
        // The value that librdkafka quotes may be a secret.
        let text = match error {
            KafkaError::ClientConfig(_, description, name, value) if !value.is_empty() => {
                format!("`kafka.{name}` is not acceptable: {}", description.replace(&value, "***"))
            }
            KafkaError::ClientConfig(_, description, name, _) => {
                format!("`kafka.{name}` is not acceptable: {description}")
            }
            other => format!("librdkafka refuses the configuration: {other}"),
        };
        Error::new(Code::ConfigInvalid, text)
    })
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER))
}

fn info(topic: &MetadataTopic) -> TopicInfo {
    let mut partitions: Vec<_> = topic
        .partitions()
        .iter()
        .map(|partition| PartitionInfo {
            partition: partition.id(),
            leader: partition.leader(),
            replicas: partition.replicas().to_vec(),
            in_sync: partition.isr().to_vec(),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.partition);
    TopicInfo { name: topic.name().to_owned(), partitions }
}

fn found(topics: &[MetadataTopic], name: &str) -> Result<Option<TopicInfo>> {
    use rdkafka_sys::rd_kafka_resp_err_t as Kafka;
    let Some(topic) = topics.iter().find(|topic| topic.name() == name) else { return Ok(None) };
    match topic.error() {
        None => Ok(Some(info(topic)).filter(|topic| !topic.partitions.is_empty())),
        Some(Kafka::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART | Kafka::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) => {
            Ok(None)
        }
        Some(code) => {
            let ksem = match errors::classify(code).0 {
                Code::OutputTopicMissing => Code::ConfigInvalid,
                other => other,
            };
            Err(errors::error(ksem, code, &format!("the topic `{name}`")))
        }
    }
}

fn one(results: Vec<std::result::Result<String, (String, RDKafkaErrorCode)>>, doing: &str, name: &str) -> Result<()> {
    let Some(Err((_, code))) = results.into_iter().next() else { return Ok(()) };
    let (ksem, hint) = match code {
        RDKafkaErrorCode::TopicAlreadyExists => (Code::ConfigInvalid, "it exists already"),
        RDKafkaErrorCode::UnknownTopicOrPartition => (Code::TopicUnknown, "it does not exist"),
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            (Code::NotAuthorized, "the cluster denies it")
        }
        RDKafkaErrorCode::InvalidTopic => (Code::ConfigInvalid, "the name is not valid"),
        RDKafkaErrorCode::InvalidPartitions => (Code::ConfigInvalid, "the number of partitions is not valid"),
        RDKafkaErrorCode::InvalidReplicationFactor => (Code::ConfigInvalid, "there are fewer brokers than replicas"),
        RDKafkaErrorCode::InvalidConfig => (Code::ConfigInvalid, "a topic setting is not valid"),
        _ => (Code::BrokerUnavailable, "the cluster refuses"),
    };
    Err(Error::new(ksem, format!("{doing} `{name}`: {hint} ({code})")))
}

fn failed(error: &KafkaError, doing: &str) -> Error {
    let refused = error.rdkafka_error_code().is_some_and(|code| {
        matches!(code, RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed)
    });
    let code = if refused { Code::NotAuthorized } else { Code::BrokerUnavailable };
    Error::new(code, format!("{doing}: {error}"))
}
