//! Copies a topic with the `confluent-kafka` crate: the loops of its documentation, which are those of the Java client.

mod job;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use confluent_kafka::common::serialization::{BytesDeserializer, Serializer};
use confluent_kafka::common::{Error, TopicPartition};
use confluent_kafka::consumer::{Consumer, ConsumerConfig, ConsumerRecord, KafkaConsumer, OffsetAndMetadata};
use confluent_kafka::producer::{KafkaProducer, Producer, ProducerConfig, ProducerRecord, callback};

use job::{Cadence, Job, Pace};

const POLL: Duration = Duration::from_millis(10);
/// What a poll takes at most.
const MOST: u64 = 10_000;

fn main() -> Result<()> {
    let (job, bench) = Job::read()?;
    let runtime = tokio::runtime::Runtime::new().context("a runtime")?;
    let pace = runtime.block_on(async {
        let mut copy = Copy::open(&job)?;
        copy.run().await?;
        copy.producer.close().await?;
        copy.consumer.close().await?;
        anyhow::Ok(copy.pace)
    })?;
    pace.report(bench)
}

/// Hands bytes on as they are.
struct Raw;

impl Serializer<Bytes> for Raw {
    async fn serialize<'a>(&'a self, _: &'a str, data: Option<&'a Bytes>) -> Result<Option<Cow<'a, [u8]>>, Error> {
        Ok(data.map(|bytes| Cow::Borrowed(&bytes[..])))
    }
}

struct Copy<'a> {
    job: &'a Job,
    pace: Pace,
    consumer: KafkaConsumer<Bytes, Bytes>,
    producer: KafkaProducer<Bytes, Bytes>,
    /// Polled, and not sent yet: a commit holds exactly as many records as it should.
    polled: VecDeque<ConsumerRecord<Bytes, Bytes>>,
    /// Where the commit that is open will end in each partition.
    next: BTreeMap<i32, i64>,
    /// The first record that was not written.
    failure: Arc<Mutex<Option<String>>>,
}

impl<'a> Copy<'a> {
    fn open(job: &'a Job) -> Result<Self> {
        let most = match job.cadence() {
            Cadence::Records(records) => records.min(MOST),
            Cadence::Ms(_) => MOST,
        };
        let consumer = job.properties(
            "consumer.",
            &[
                ("group.id", &job.group),
                ("auto.offset.reset", "earliest"),
                ("enable.auto.commit", "false"),
                ("max.poll.records", &most.to_string()),
            ],
        );
        let mut own = vec![("acks", "all"), ("enable.idempotence", "true")];
        if job.is_exactly_once() {
            own.push(("transactional.id", &job.group));
        }
        let producer = job.properties("producer.", &own);
        Ok(Self {
            job,
            pace: Pace::new(job),
            consumer: KafkaConsumer::new(
                ConsumerConfig::new(&consumer)?,
                BytesDeserializer::new(),
                BytesDeserializer::new(),
            )?,
            producer: KafkaProducer::new(ProducerConfig::new(&producer)?, Raw, Raw)?,
            polled: VecDeque::new(),
            next: BTreeMap::new(),
            failure: Arc::default(),
        })
    }

    async fn run(&mut self) -> Result<()> {
        if self.job.is_exactly_once() {
            self.producer.init_transactions().await?;
        }
        self.consumer.subscribe_with_topics(vec![self.job.input.clone()]).await?;
        while !self.pace.at_the_end() {
            match self.fill_and_commit().await {
                Ok(()) => {}
                Err(error) if self.job.is_exactly_once() && is_abortable(&error) => self.abort().await?,
                Err(error) => return Err(error.into()),
            }
            if let Some(failure) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
                bail!("a record was not written: {failure}");
            }
        }
        Ok(())
    }

    /// One poll, and the end of the commit when it is due.
    async fn fill_and_commit(&mut self) -> Result<(), Error> {
        if self.polled.is_empty() {
            self.polled.extend(self.consumer.poll(POLL).await?);
        }
        let count = self.pace.room().min(self.polled.len());
        if count > 0 {
            if self.pace.is_fresh() && self.job.is_exactly_once() {
                self.producer.begin_transaction()?;
            }
            self.pace.took(count);
        }
        for _ in 0..count {
            let Some(record) = self.polled.pop_front() else { break };
            self.send(&record).await?;
            self.next.insert(record.partition(), record.offset() + 1);
        }
        if self.pace.is_due() { self.commit().await } else { Ok(()) }
    }

    async fn send(&self, record: &ConsumerRecord<Bytes, Bytes>) -> Result<(), Error> {
        let copy = ProducerRecord::with_partition_timestamp_key(
            self.job.output.clone(),
            None,
            Some(record.timestamp()),
            record.key().cloned(),
            record.value().cloned(),
        )
        .map_err(|error| Error::local_illegal_argument(error.to_string()))?;
        // A transaction in which a record failed does not commit; without one it has to be noticed.
        let sent = if self.job.is_exactly_once() {
            self.producer.send(copy).await?
        } else {
            let failure = Arc::clone(&self.failure);
            let delivered = callback::new(move |_, error: Option<&Error>| {
                if let Some(error) = error {
                    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    failure.get_or_insert_with(|| error.to_string());
                }
            });
            self.producer.send_with_callback(copy, Some(Box::new(delivered))).await?
        };
        drop(sent);
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let mut offsets = HashMap::new();
        for (partition, offset) in std::mem::take(&mut self.next) {
            let partition = TopicPartition::new(self.job.input.as_str(), partition);
            offsets.insert(partition, OffsetAndMetadata::new(offset)?);
        }
        if self.job.is_exactly_once() {
            let group = self.consumer.group_metadata();
            self.producer.send_offsets_to_transaction(offsets, &*group).await?;
            self.producer.commit_transaction().await?;
        } else {
            self.producer.flush().await?;
            if self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                // The caller says it.
                return Ok(());
            }
            self.consumer.commit_sync_with_offsets(offsets).await?;
        }
        self.pace.committed();
        Ok(())
    }

    /// Gives the transaction up, and goes back to the committed offsets.
    async fn abort(&mut self) -> Result<()> {
        self.producer.abort_transaction().await?;
        self.pace.aborted();
        self.polled.clear();
        self.next.clear();
        let assigned: Vec<_> = self.consumer.assignment().into_iter().collect();
        for (partition, committed) in self.consumer.committed(&assigned).await? {
            match committed {
                Some(committed) => self.consumer.seek_with_offset(partition, committed.offset()).await?,
                None => self.consumer.seek_to_beginning(&[partition]).await?,
            }
        }
        Ok(())
    }
}

/// As the Java client's documentation says: all but these may be aborted.
fn is_abortable(error: &Error) -> bool {
    !(error.is_producer_fenced_error() || error.is_out_of_order_sequence_error() || error.is_authorization_error())
}
