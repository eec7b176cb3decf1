//! Reads what is on a topic, with a client that shares no code with ksem's consumer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use krafka::Kafka;
use krafka::admin::{
    DescribeTopicsOptions, ListConsumerGroupOffsetsOptions, ListOffsetsOptions, OffsetSpec, TopicPartition,
};
use krafka::consumer::{AutoOffsetReset, Consumer, ConsumerRecord, IsolationLevel};

use crate::client;

/// How long [`read_topic`] may take.
pub const DEADLINE: Duration = Duration::from_mins(2);
/// How long a question to the cluster may take, which includes looking for a new leader.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which records are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the last stable offset, and without those of aborted transactions.
    ReadCommitted,
    /// Everything.
    ReadUncommitted,
}

/// One record as it is on the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order, doubles and nulls included.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp: i64,
}

impl From<ConsumerRecord> for ReadRecord {
    fn from(record: ConsumerRecord) -> Self {
        Self {
            partition: record.partition,
            offset: record.offset,
            key: record.key.map(Into::into),
            value: record.value.map(Into::into),
            headers: record.headers.into_iter().map(|(key, value)| (key, value.map(Into::into))).collect(),
            timestamp: record.timestamp,
        }
    }
}

/// Every record of a topic, up to its end at the time of the call. In each partition they are in order of offset.
///
/// # Errors
///
/// When the topic does not exist, or the end is not reached within [`DEADLINE`].
pub fn read_topic(bootstrap: &str, topic: &str, isolation: Isolation) -> Result<Vec<ReadRecord>> {
    let mut records = Vec::new();
    visit_topic(bootstrap, topic, isolation, DEADLINE, |record| {
        records.push(record);
    })?;
    Ok(records)
}

/// Like [`read_topic`], with a deadline of the caller's, and without keeping all records at once.
///
/// # Errors
///
/// When the topic does not exist, or the end is not reached in time.
pub fn visit_topic(
    bootstrap: &str,
    topic: &str,
    isolation: Isolation,
    deadline: Duration,
    visit: impl FnMut(ReadRecord) + Send,
) -> Result<()> {
    client::wait(async {
        let kafka = client::connect(bootstrap).await?;
        let reading = read(&kafka, topic, isolation, deadline, visit).await;
        reading.with_context(|| format!("reading topic {topic}"))
    })
}

/// Waits until no transaction is open on the topic: a commit returns before its markers are written (KIP-98), so
/// what it made visible may take a moment to be seen. Returns whether that happened in time.
///
/// # Errors
///
/// When the topic does not exist.
pub fn wait_until_stable(bootstrap: &str, topic: &str, limit: Duration) -> Result<bool> {
    let deadline = Instant::now() + limit;
    client::wait(async {
        let kafka = client::connect(bootstrap).await?;
        loop {
            let stable = offsets(&kafka, topic, OffsetSpec::Latest, Isolation::ReadCommitted).await?;
            if stable == offsets(&kafka, topic, OffsetSpec::Latest, Isolation::ReadUncommitted).await? {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}

async fn read(
    kafka: &Kafka,
    topic: &str,
    isolation: Isolation,
    limit: Duration,
    mut visit: impl FnMut(ReadRecord) + Send,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    let starts = offsets(kafka, topic, OffsetSpec::Earliest, isolation).await?;
    let mut ends = offsets(kafka, topic, OffsetSpec::Latest, isolation).await?;
    ends.retain(|partition, end| starts.get(partition).is_some_and(|start| start < end));
    if ends.is_empty() {
        return Ok(());
    }
    let consumer = kafka
        .consumer_without_group()
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .isolation_level(match isolation {
            Isolation::ReadCommitted => IsolationLevel::ReadCommitted,
            Isolation::ReadUncommitted => IsolationLevel::ReadUncommitted,
        })
        .fetch_max_wait(Duration::from_millis(100))
        .fetch_max_bytes(32 << 20)
        .max_partition_fetch_bytes(4 << 20)
        .max_poll_records(50_000)
        .max_buffered_records(200_000)
        .build()
        .await?;
    consumer.assign(topic, ends.keys().copied().collect()).await?;
    let mut trouble = None;
    while !ends.is_empty() {
        if Instant::now() >= deadline {
            let positions = positions(&consumer, topic, &ends).await;
            let cause = trouble.map_or(String::new(), |error| format!("; the last error was: {error}"));
            bail!("not at the end after {limit:?}: (partition, position, end) {positions:?}{cause}");
        }
        let records = match consumer.poll(Duration::from_millis(200)).await {
            Ok(records) => records,
            // A node that was killed, for example: its partitions get another leader.
            Err(error) if error.is_retriable() => {
                trouble = Some(error);
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let nothing_came = records.is_empty();
        for record in records {
            // What was written after the call is not part of the answer.
            if ends.get(&record.partition).is_some_and(|end| record.offset < *end) {
                visit(record.into());
            }
        }
        // The offsets before the end may all be control records or aborted ones, which are never handed out: then
        // it is the position of the next fetch that shows that they were passed.
        for (partition, position, end) in positions(&consumer, topic, &ends).await {
            let fetched = consumer.fetch_position(topic, partition).await.unwrap_or(position);
            if position >= end || (nothing_came && fetched >= end) {
                ends.remove(&partition);
                consumer.pause(topic, &[partition]).await;
            }
        }
    }
    consumer.close().await?;
    Ok(())
}

async fn positions(consumer: &Consumer, topic: &str, ends: &BTreeMap<i32, i64>) -> Vec<(i32, i64, i64)> {
    let mut positions = Vec::new();
    for (partition, end) in ends {
        let position = consumer.position(topic, *partition).await.unwrap_or(0);
        positions.push((*partition, position, *end));
    }
    positions
}

async fn offsets(kafka: &Kafka, topic: &str, spec: OffsetSpec, isolation: Isolation) -> Result<BTreeMap<i32, i64>> {
    let admin = kafka.admin();
    let described = admin.describe_topics([topic], DescribeTopicsOptions::default().timeout(PATIENCE)).await?;
    let description = described.into_values().next().context("no answer about the topic")??;
    let asked = description.partitions.iter().map(|p| (TopicPartition::new(topic, p.partition), spec));
    let options = ListOffsetsOptions::default().timeout(PATIENCE).read_committed(isolation == Isolation::ReadCommitted);
    let mut offsets = BTreeMap::new();
    for (of, listed) in admin.list_offsets(asked, options).await? {
        let listed = listed.with_context(|| format!("the offsets of partition {}", of.partition))?;
        offsets.insert(of.partition, listed.offset);
    }
    Ok(offsets)
}

/// Where each partition of a topic ends: the last stable offset, or the high watermark.
///
/// # Errors
///
/// When the topic does not exist or the cluster does not answer.
pub fn end_offsets(bootstrap: &str, topic: &str, isolation: Isolation) -> Result<BTreeMap<i32, i64>> {
    client::wait(async {
        let kafka = client::connect(bootstrap).await?;
        offsets(&kafka, topic, OffsetSpec::Latest, isolation).await
    })
}

/// The offsets that a group has committed for a topic. Partitions without one are left out. Offsets in a transaction that
/// is still open do not count.
///
/// # Errors
///
/// When the cluster does not answer.
pub fn committed_offsets(bootstrap: &str, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>> {
    client::wait(async {
        let kafka = client::connect(bootstrap).await?;
        let options = ListConsumerGroupOffsetsOptions::default().timeout(PATIENCE);
        let mut offsets = BTreeMap::new();
        for (of, committed) in kafka.admin().list_consumer_group_offsets(group, options).await? {
            if of.topic != topic {
                continue;
            }
            let committed = committed.with_context(|| format!("the offset of partition {}", of.partition))?;
            if let Some(offset) = committed.offset {
                offsets.insert(of.partition, offset);
            }
        }
        Ok(offsets)
    })
}
