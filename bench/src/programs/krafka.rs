//! The loop that `krafka`'s documentation shows: its example `exactly_once`, and the same without transactions.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use krafka::consumer::{
    AutoOffsetReset, Consumer, ConsumerRecord, GroupProtocol, IsolationLevel, OffsetAndMetadata, TopicPartition,
};
use krafka::producer::{Acks, ProducerBuilder, TopicPartitionOffset, TransactionalProducer};
use krafka::{Kafka, Record};
use ksem::Guarantee;

use super::{Clock, Done, Job, Pace};
use crate::shape::Compression;

const POLL: Duration = Duration::from_millis(10);
const RETRY_BACKOFF: Duration = Duration::from_millis(5);
const BATCH_SIZE: usize = 256 << 10;
const BUFFER_MEMORY: usize = 128 << 20;
const PARTITION_FETCH: i32 = 4 << 20;
/// What a poll takes at most where time decides when to commit.
const MOST: u64 = 10_000;

pub(super) fn run(job: &Job) -> Result<Done> {
    ensure!(job.compression == Compression::None, "compression is not compared");
    let clock = Clock::new();
    let runtime = tokio::runtime::Runtime::new().context("a runtime")?;
    let retried = runtime.block_on(copy(job, &clock))?;
    clock.done(retried)
}

async fn copy(job: &Job, clock: &Clock) -> Result<u64> {
    let kafka = Kafka::builder(job.bootstrap.as_str()).connect().await?;
    let most = job.contestant.cadence.batch().unwrap_or(MOST).min(MOST);
    let consumer = kafka
        .consumer(job.group.as_str())
        .group_protocol(GroupProtocol::Consumer)
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .isolation_level(IsolationLevel::ReadCommitted)
        .enable_auto_commit(false)
        .max_partition_fetch_bytes(PARTITION_FETCH)
        .max_poll_records(most as i32)
        .build()
        .await?;
    let producer = kafka
        .producer()
        .acks(Acks::All)
        .batch_size(BATCH_SIZE)
        .buffer_memory(BUFFER_MEMORY)
        .retry_backoff(RETRY_BACKOFF);
    let mut input = Input { consumer, polled: VecDeque::new(), first: BTreeMap::new(), next: BTreeMap::new() };
    let retried = match job.contestant.guarantee {
        Guarantee::ExactlyOnce => exactly_once(job, clock, &mut input, producer).await?,
        Guarantee::AtLeastOnce => at_least_once(job, clock, &mut input, producer).await?,
        Guarantee::AtMostOnce => bail!("at-most-once is not compared"),
    };
    input.consumer.close().await?;
    Ok(retried)
}

async fn at_least_once(job: &Job, clock: &Clock, input: &mut Input, producer: ProducerBuilder) -> Result<u64> {
    let producer = producer.build().await?;
    input.consumer.subscribe([&job.input]).await?;
    let mut pace = Pace::new(job);
    let mut waiting = Vec::new();
    while !pace.at_the_end() {
        let records = input.take(pace.room(), clock).await?;
        pace.took(records.len() as u64);
        for record in records {
            waiting.push(producer.enqueue(copied(job, record)).await?);
        }
        if pace.is_due() {
            producer.flush().await?;
            for delivery in waiting.drain(..) {
                let _ = delivery.await.context("a record was not written")?;
            }
            let next = input.next.iter();
            let offsets = next.map(|(partition, offset)| {
                (TopicPartition::new(job.input.as_str(), *partition), OffsetAndMetadata::new(*offset))
            });
            input.consumer.commit_offsets(offsets).await?;
            clock.step_taken();
            pace.committed();
            input.committed();
        }
    }
    producer.close().await?;
    Ok(0)
}

async fn exactly_once(job: &Job, clock: &Clock, input: &mut Input, producer: ProducerBuilder) -> Result<u64> {
    let producer = producer.build_transactional(job.group.as_str()).await?;
    input.consumer.subscribe([&job.input]).await?;
    let mut pace = Pace::new(job);
    let mut retried = 0;
    while !pace.at_the_end() {
        match fill_and_commit(job, clock, input, &producer, &mut pace).await {
            Ok(()) => {}
            Err(error) if error.downcast_ref().is_some_and(krafka::KrafkaError::requires_abort) => {
                producer.abort().await?;
                pace.aborted();
                input.rewind(job).await?;
                retried += 1;
            }
            Err(error) => return Err(error),
        }
    }
    producer.close().await?;
    Ok(retried)
}

/// One poll into the open transaction, and its end when it is due.
async fn fill_and_commit(
    job: &Job,
    clock: &Clock,
    input: &mut Input,
    producer: &TransactionalProducer,
    pace: &mut Pace,
) -> Result<()> {
    let records = input.take(pace.room(), clock).await?;
    if pace.is_fresh() && !records.is_empty() {
        producer.begin()?;
    }
    pace.took(records.len() as u64);
    for record in records {
        // The transaction, not the record's own result, decides.
        drop(producer.enqueue(copied(job, record)).await?);
    }
    if pace.is_due() {
        let next = input.next.iter();
        let offsets: Vec<_> = next
            .map(|(partition, offset)| TopicPartitionOffset::new(job.input.as_str(), *partition, *offset))
            .collect();
        let Some(group) = input.consumer.group_metadata().await else {
            return Err(krafka::KrafkaError::transaction_abortable("not a group member").into());
        };
        producer.send_offsets(&offsets, &group).await?;
        producer.commit().await?;
        clock.step_taken();
        pace.committed();
        input.committed();
    }
    Ok(())
}

fn copied(job: &Job, record: ConsumerRecord) -> Record {
    let mut copy = Record::new(job.output.as_str(), record.value.unwrap_or_default()).timestamp(record.timestamp);
    copy.key = record.key;
    copy
}

/// The consumer, with what was polled beyond a commit, and the offsets of the commit that is open.
struct Input {
    consumer: Consumer,
    polled: VecDeque<ConsumerRecord>,
    first: BTreeMap<i32, i64>,
    next: BTreeMap<i32, i64>,
}

impl Input {
    async fn take(&mut self, room: usize, clock: &Clock) -> Result<Vec<ConsumerRecord>> {
        if self.polled.is_empty() {
            self.polled.extend(self.consumer.poll(POLL).await?);
        }
        let records: Vec<_> = self.polled.drain(..room.min(self.polled.len())).collect();
        for record in &records {
            clock.record_seen();
            self.first.entry(record.partition).or_insert(record.offset);
            self.next.insert(record.partition, record.offset + 1);
        }
        Ok(records)
    }

    fn committed(&mut self) {
        self.first.clear();
        self.next.clear();
    }

    /// Back to where the transaction began, which is where the group has committed.
    async fn rewind(&mut self, job: &Job) -> Result<()> {
        // What was polled beyond it, too.
        for record in self.polled.drain(..) {
            self.first.entry(record.partition).or_insert(record.offset);
        }
        for (partition, offset) in &self.first {
            self.consumer.seek(&job.input, *partition, *offset).await?;
        }
        self.committed();
        Ok(())
    }
}

pub(super) fn settings(guarantee: Guarantee) -> Vec<(String, String)> {
    let mut settings = vec![
        ("consumer.group_protocol", "consumer".to_owned()),
        ("consumer.max_partition_fetch_bytes", PARTITION_FETCH.to_string()),
        ("producer.acks", "all".to_owned()),
        ("producer.batch_size", BATCH_SIZE.to_string()),
        ("producer.buffer_memory", BUFFER_MEMORY.to_string()),
        ("producer.retry_backoff", format!("{RETRY_BACKOFF:?}")),
    ];
    if guarantee == Guarantee::ExactlyOnce {
        settings.push(("producer.transactional.id", "(set)".to_owned()));
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
