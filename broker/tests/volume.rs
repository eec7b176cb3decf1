//! Many records, and clients that are killed while they send them.

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{WAIT, broker, read, read_nothing, send, subscribed, transactional, value};
use ksem_broker::EmbeddedBroker;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const RECORDS: usize = 300_000;
// Few and large: every commit through this safe wrapper of librdkafka waits for up to 100 ms.
const PER_TRANSACTION: usize = 10_000;
const BYTES: usize = 200;

#[test]
fn several_hundred_thousand_records_are_held_and_read() {
    let broker = broker(&[("out", 4)]);
    let producer = transactional(&broker, "t");
    let payload = vec![b'x'; BYTES];
    let begun = Instant::now();
    for chunk in 0..RECORDS / PER_TRANSACTION {
        producer.begin_transaction().expect("begin");
        for n in 0..PER_TRANSACTION {
            let record = BaseRecord::<[u8], [u8]>::to("out").partition((n % 4) as i32).payload(&payload);
            producer.send(record).map_err(|(error, _)| error).expect("send");
        }
        // One in ten is aborted, and must not be read.
        if chunk % 10 == 9 {
            producer.flush(WAIT).expect("flush");
            producer.abort_transaction(WAIT).expect("abort");
        } else {
            producer.commit_transaction(WAIT).expect("commit");
        }
    }
    let written = begun.elapsed();
    let begun = Instant::now();
    let consumer = subscribed(&broker, "g", "read_committed", &["out"]);
    let mut count = 0;
    while count < RECORDS / 10 * 9 {
        assert!(begun.elapsed() < Duration::from_mins(1), "only {count} came");
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            assert_eq!(message.expect("a record").payload_len(), BYTES);
            count += 1;
        }
    }
    let read = begun.elapsed();
    read_nothing(&consumer);
    println!("{RECORDS} records of {BYTES} bytes: written in {written:?}, read in {read:?}, {}", memory());
    let size: i64 = (0..4).filter_map(|p| broker.end_offset("out", p)).sum();
    assert!(size >= RECORDS as i64);
}

/// The memory of this process, where the system tells.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")).collect::<Vec<_>>().join(" ")
}

const CHILD: &str = "KSEM_BROKER_TEST_CHILD";
const INPUTS: u32 = 40;

/// Not a test of its own: the process that [`a_client_that_is_killed_leaves_nothing_half_done`] starts and kills.
#[test]
fn child() {
    let Ok(bootstrap) = std::env::var(CHILD) else {
        return;
    };
    let config = |extra: &[(&str, &str)]| {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &bootstrap).set("retry.backoff.ms", "10");
        for (key, value) in extra {
            config.set(*key, *value);
        }
        config
    };
    let producer: BaseProducer = config(&[("transactional.id", "t"), ("linger.ms", "0")]).create().expect("producer");
    producer.init_transactions(WAIT).expect("init");
    let consumer: BaseConsumer = config(&[
        ("group.id", "g"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "earliest"),
        ("isolation.level", "read_committed"),
    ])
    .create()
    .expect("consumer");
    consumer.subscribe(&["in"]).expect("subscribe");
    loop {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message.expect("a record");
        producer.begin_transaction().expect("begin");
        for copy in 0..3 {
            let payload = message.payload().expect("payload");
            producer
                .send(BaseRecord::<[u8], [u8]>::to("out").partition(copy).payload(payload))
                .map_err(|(error, _)| error)
                .expect("send");
        }
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset("in", message.partition(), Offset::Offset(message.offset() + 1)).expect("offset");
        let metadata = consumer.group_metadata().expect("metadata");
        producer.send_offsets_to_transaction(&offsets, &metadata, WAIT).expect("offsets");
        producer.commit_transaction(WAIT).expect("commit");
    }
}

#[test]
fn a_client_that_is_killed_leaves_nothing_half_done() {
    let broker = broker(&[("in", 1), ("out", 3)]);
    send(&common::producer(&broker), "in", 0, 0..INPUTS);
    let start = |broker: &EmbeddedBroker| {
        Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child"])
            .env(CHILD, broker.bootstrap())
            .stdout(Stdio::null())
            .spawn()
            .expect("a child process")
    };
    let begun = Instant::now();
    let mut kills = 0;
    while broker.committed_offset("g", "in", 0) != Some(i64::from(INPUTS)) {
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", broker.committed_offset("g", "in", 0));
        let before = broker.committed_offset("g", "in", 0);
        let mut child = start(&broker);
        // Killed soon after it made progress, at a moment that differs from round to round.
        while broker.committed_offset("g", "in", 0) == before && begun.elapsed() < Duration::from_mins(1) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(7 + 31 * (kills % 10)));
        child.kill().expect("kill");
        child.wait().expect("wait");
        kills += 1;
    }
    println!("killed {kills} times in {:?}", begun.elapsed());
    let consumer = subscribed(&broker, "check", "read_committed", &["out"]);
    let records = read(&consumer, 3 * INPUTS as usize);
    read_nothing(&consumer);
    for partition in 0..3 {
        let of: Vec<u32> = records.iter().filter(|r| r.partition() == partition).map(value).collect();
        assert_eq!(of, (0..INPUTS).collect::<Vec<_>>(), "each once and in order, in partition {partition}");
    }
}
