//! The embedded broker, for users' tests.

use std::collections::HashMap;
use std::time::Duration;

use ksem::error::{Code, Error};
use ksem::{Config, Isolation, Output, Publisher, Record, Seen, Tail, TailOptions};
use ksem_broker::EmbeddedBroker;
use napi::Result;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use parking_lot::Mutex;

use crate::error::misuse;
use crate::output;
use crate::reply::{Done, answer, drop_elsewhere};

/// How a broker starts.
#[napi(object)]
pub struct BrokerOptions {
    /// Topics that are there from the start, each with its number of partitions.
    pub topics: Option<HashMap<String, i32>>,
    /// Where it listens; `127.0.0.1:0`, any free port, unless it is given.
    pub listen: Option<String>,
    /// Whether a topic is made when it is first written to; true unless it is given.
    pub auto_create_topics: Option<bool>,
}

/// A header as a broker has it.
#[napi(object, use_nullable = true)]
pub struct BrokerHeader {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Option<Buffer>,
}

/// A record as a broker has it.
#[napi(object, use_nullable = true)]
pub struct BrokerRecord {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: f64,
    /// Milliseconds since 1970.
    pub timestamp: Option<f64>,
    /// The key.
    pub key: Option<Buffer>,
    /// The value.
    pub value: Option<Buffer>,
    /// The headers.
    pub headers: Vec<BrokerHeader>,
}

/// A running broker.
#[napi]
pub struct NativeBroker {
    broker: Mutex<Option<EmbeddedBroker>>,
    bootstrap: String,
}

/// Starts a broker.
#[napi(catch_unwind)]
pub fn start_broker(
    options: BrokerOptions,
    #[napi(ts_arg_type = "(error: Error | null, broker: NativeBroker) => void")] done: Done<NativeBroker>,
) -> Result<()> {
    answer(done, move || {
        let mut builder = EmbeddedBroker::builder().auto_create_topics(options.auto_create_topics.unwrap_or(true));
        if let Some(listen) = options.listen {
            builder = builder.listen(listen);
        }
        for (topic, partitions) in options.topics.unwrap_or_default() {
            builder = builder.topic(topic, partitions);
        }
        let denied = |error: ksem_broker::BrokerError| Error::new(Code::ListenDenied, error.to_string());
        let broker = builder.start().map_err(denied)?;
        Ok(NativeBroker { bootstrap: broker.bootstrap().to_owned(), broker: Mutex::new(Some(broker)) })
    })
}

impl NativeBroker {
    fn with<T>(&self, call: impl FnOnce(&EmbeddedBroker) -> T) -> Result<T> {
        self.broker.lock().as_ref().map(call).ok_or_else(|| misuse("the broker was stopped"))
    }

    fn config(&self) -> Config {
        let mut config = Config::default();
        config.kafka.set("bootstrap.servers", self.bootstrap.clone());
        config
    }
}

#[napi]
impl NativeBroker {
    /// What to give a client as `bootstrap.servers`.
    #[napi(getter, catch_unwind)]
    pub fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    /// Creates a topic; false if it exists already.
    #[napi(catch_unwind)]
    pub fn create_topic(&self, name: String, partitions: i32) -> Result<bool> {
        self.with(|broker| broker.create_topic(&name, partitions))
    }

    /// The offset that a group has committed.
    #[napi(catch_unwind)]
    pub fn committed_offset(&self, group: String, topic: String, partition: i32) -> Result<Option<f64>> {
        self.with(|broker| broker.committed_offset(&group, &topic, partition).map(|offset| offset as f64))
    }

    /// The offset that the next record of a partition will get.
    #[napi(catch_unwind)]
    pub fn end_offset(&self, topic: String, partition: i32) -> Result<Option<f64>> {
        self.with(|broker| broker.end_offset(&topic, partition).map(|offset| offset as f64))
    }

    /// Aborts the open transaction of a `transactional.id`, as its timeout would.
    #[napi(catch_unwind)]
    pub fn abort_transaction(&self, transactional_id: String) -> Result<bool> {
        self.with(|broker| broker.abort_transaction(&transactional_id))
    }

    /// Sends records, as another producer would, and returns how many.
    #[napi(catch_unwind)]
    pub fn produce(
        &self,
        sent: &[u8],
        #[napi(ts_arg_type = "(error: Error | null, records: number) => void")] done: Done<f64>,
    ) -> Result<()> {
        let config = self.config();
        let mut output = Output::default();
        output::read(sent, &mut output, 0)?;
        answer(done, move || {
            let publisher = Publisher::new(config, "ksem-testing");
            publisher.publish(&output, ksem::Guarantee::AtLeastOnce).map(|records| records as f64)
        })
    }

    /// Reads a topic from its start to its end.
    #[napi(catch_unwind)]
    pub fn consume(
        &self,
        topic: String,
        uncommitted: bool,
        #[napi(ts_arg_type = "(error: Error | null, records: Array<BrokerRecord>) => void")] done: Done<
            Vec<BrokerRecord>,
        >,
    ) -> Result<()> {
        let config = self.config();
        answer(done, move || {
            let isolation = if uncommitted { Isolation::ReadUncommitted } else { Isolation::ReadCommitted };
            let options = TailOptions { isolation, from_beginning: true, until_end: true, partition: None };
            let mut tail = Tail::open(&config, &topic, &options)?;
            let mut records = Vec::new();
            while tail.next(Duration::from_millis(100), |record| records.push(copied(record)))? != Seen::End {}
            Ok(records)
        })
    }

    /// Closes the port and every connection.
    #[napi(catch_unwind)]
    pub fn stop(&self, #[napi(ts_arg_type = "(error: Error | null) => void")] done: Done<()>) -> Result<()> {
        let broker = self.broker.lock().take();
        answer(done, move || {
            drop(broker);
            Ok(())
        })
    }
}

fn copied(record: &Record<'_>) -> BrokerRecord {
    let bytes = |bytes: Option<&[u8]>| bytes.map(|bytes| Buffer::from(bytes.to_vec()));
    let headers =
        record.headers().into_iter().map(|(name, value)| BrokerHeader { name: name.into(), value: bytes(value) });
    BrokerRecord {
        topic: record.topic.into(),
        partition: record.partition,
        offset: record.offset as f64,
        timestamp: record.timestamp.map(|timestamp| timestamp as f64),
        key: bytes(record.key),
        value: bytes(record.value),
        headers: headers.collect(),
    }
}

impl Drop for NativeBroker {
    fn drop(&mut self) {
        // Its end waits for its threads.
        if let Some(broker) = self.broker.get_mut().take() {
            drop_elsewhere(broker);
        }
    }
}
