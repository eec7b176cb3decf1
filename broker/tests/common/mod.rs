//! Ordinary librdkafka clients, as any application would make them.
#![allow(dead_code, reason = "every test file uses its own part of it")]
#![allow(unreachable_pub, reason = "a module of tests")]

use std::time::{Duration, Instant};

use ksem_broker::EmbeddedBroker;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

pub const WAIT: Duration = Duration::from_secs(20);

pub fn broker(topics: &[(&str, i32)]) -> EmbeddedBroker {
    let mut builder = EmbeddedBroker::builder();
    for (name, partitions) in topics {
        builder = builder.topic(*name, *partitions);
    }
    builder.start().expect("the broker starts")
}

pub fn client(broker: &EmbeddedBroker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap()).set("retry.backoff.ms", "10");
    config
}

pub fn producer(broker: &EmbeddedBroker) -> BaseProducer {
    client(broker).set("linger.ms", "1").create().expect("a producer")
}

pub fn transactional(broker: &EmbeddedBroker, id: &str) -> BaseProducer {
    let producer: BaseProducer =
        client(broker).set("transactional.id", id).set("linger.ms", "1").create().expect("a producer");
    producer.init_transactions(WAIT).expect("init_transactions");
    producer
}

pub fn consumer(broker: &EmbeddedBroker, group: &str, isolation: &str) -> BaseConsumer {
    client(broker)
        .set("group.id", group)
        .set("isolation.level", isolation)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "50")
        .create()
        .expect("a consumer")
}

/// Queues records without waiting for their delivery.
pub fn enqueue(producer: &BaseProducer, topic: &str, partition: i32, values: impl IntoIterator<Item = u32>) {
    for value in values {
        let text = value.to_string();
        let mut record = BaseRecord::<str, str>::to(topic).partition(partition).payload(&text);
        // The queue is bounded; a full one is the moment to serve deliveries.
        while let Err((error, returned)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(rdkafka::types::RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(Duration::from_millis(5));
            record = returned;
        }
    }
}

/// Sends records and waits for their delivery, which takes up to 100 ms in this wrapper of librdkafka.
pub fn send(producer: &BaseProducer, topic: &str, partition: i32, values: impl IntoIterator<Item = u32>) {
    enqueue(producer, topic, partition, values);
    producer.flush(WAIT).expect("flush");
}

/// Polls until `count` records came; panics if they do not come in time.
pub fn read(consumer: &BaseConsumer, count: usize) -> Vec<OwnedMessage> {
    let deadline = Instant::now() + WAIT;
    let mut records = Vec::new();
    while records.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} records came", records.len());
        if let Some(message) = consumer.poll(Duration::from_millis(50)) {
            records.push(message.expect("a record").detach());
        }
    }
    records
}

/// Polls for a moment and panics on any record.
pub fn read_nothing(consumer: &BaseConsumer) {
    let deadline = Instant::now() + Duration::from_millis(400);
    while Instant::now() < deadline {
        if let Some(message) = consumer.poll(Duration::from_millis(50)) {
            panic!("unexpected {:?}", message.map(|message| value(&message.detach())));
        }
    }
}

pub fn value(message: &OwnedMessage) -> u32 {
    let payload = message.payload().expect("a payload");
    std::str::from_utf8(payload).expect("text").parse().expect("a number")
}

pub fn values(messages: &[OwnedMessage]) -> Vec<u32> {
    let mut values: Vec<u32> = messages.iter().map(value).collect();
    values.sort_unstable();
    values
}

pub fn subscribed(broker: &EmbeddedBroker, group: &str, isolation: &str, topics: &[&str]) -> BaseConsumer {
    let consumer = consumer(broker, group, isolation);
    consumer.subscribe(topics).expect("subscribe");
    consumer
}
