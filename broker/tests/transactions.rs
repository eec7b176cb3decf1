//! Transactions as librdkafka sees them.

mod common;

use std::time::{Duration, Instant};

use common::{WAIT, broker, client, enqueue, read, read_nothing, send, subscribed, transactional, value, values};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};

#[test]
fn committed_records_are_read_and_aborted_ones_are_not() {
    let broker = broker(&[("out", 2)]);
    let producer = transactional(&broker, "t");
    for round in 0..6 {
        producer.begin_transaction().expect("begin");
        send(&producer, "out", 0, round * 10..round * 10 + 5);
        send(&producer, "out", 1, round * 10 + 5..round * 10 + 10);
        if round % 2 == 0 {
            producer.commit_transaction(WAIT).expect("commit");
        } else {
            producer.abort_transaction(WAIT).expect("abort");
        }
    }
    let committed: Vec<u32> = (0..60).filter(|id| id / 10 % 2 == 0).collect();
    let consumer = subscribed(&broker, "committed", "read_committed", &["out"]);
    assert_eq!(values(&read(&consumer, 30)), committed);
    read_nothing(&consumer);
    let consumer = subscribed(&broker, "uncommitted", "read_uncommitted", &["out"]);
    assert_eq!(values(&read(&consumer, 60)), (0..60).collect::<Vec<_>>());
    read_nothing(&consumer);
}

#[test]
fn an_open_transaction_holds_back_what_comes_after_it() {
    let broker = broker(&[("out", 1)]);
    let (first, second) = (transactional(&broker, "a"), transactional(&broker, "b"));
    first.begin_transaction().expect("begin");
    send(&first, "out", 0, 0..3);
    second.begin_transaction().expect("begin");
    send(&second, "out", 0, 10..13);
    second.commit_transaction(WAIT).expect("commit");
    let consumer = subscribed(&broker, "g", "read_committed", &["out"]);
    read_nothing(&consumer);
    first.abort_transaction(WAIT).expect("abort");
    assert_eq!(values(&read(&consumer, 3)), [10, 11, 12]);
    read_nothing(&consumer);
}

#[test]
fn offsets_and_records_are_committed_together() {
    let broker = broker(&[("in", 1), ("out", 1)]);
    send(&common::producer(&broker), "in", 0, 0..10);
    let consumer = subscribed(&broker, "g", "read_committed", &["in"]);
    let records = read(&consumer, 10);
    let producer = transactional(&broker, "t");
    let mut offsets = TopicPartitionList::new();
    let metadata = || consumer.group_metadata().expect("group metadata");

    producer.begin_transaction().expect("begin");
    send(&producer, "out", 0, records.iter().map(value));
    offsets.add_partition_offset("in", 0, Offset::Offset(10)).expect("offset");
    producer.send_offsets_to_transaction(&offsets, &metadata(), WAIT).expect("offsets");
    producer.abort_transaction(WAIT).expect("abort");
    assert_eq!(broker.committed_offset("g", "in", 0), None);

    producer.begin_transaction().expect("begin");
    send(&producer, "out", 0, 100..103);
    offsets.set_partition_offset("in", 0, Offset::Offset(3)).expect("offset");
    producer.send_offsets_to_transaction(&offsets, &metadata(), WAIT).expect("offsets");
    assert_eq!(broker.committed_offset("g", "in", 0), None, "they wait for the commit");
    producer.commit_transaction(WAIT).expect("commit");
    assert_eq!(broker.committed_offset("g", "in", 0), Some(3));
    let reader = subscribed(&broker, "r", "read_committed", &["out"]);
    assert_eq!(values(&read(&reader, 3)), [100, 101, 102]);
    read_nothing(&reader);
}

#[test]
fn a_member_that_takes_over_waits_for_pending_offsets() {
    let broker = broker(&[("in", 1), ("out", 1)]);
    send(&common::producer(&broker), "in", 0, 0..10);
    let first = subscribed(&broker, "g", "read_committed", &["in"]);
    read(&first, 10);
    let producer = transactional(&broker, "t");
    producer.begin_transaction().expect("begin");
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("in", 0, Offset::Offset(7)).expect("offset");
    producer.send_offsets_to_transaction(&offsets, &first.group_metadata().expect("metadata"), WAIT).expect("offsets");

    let second = subscribed(&broker, "g", "read_committed", &["in"]);
    read_nothing(&second);
    producer.commit_transaction(WAIT).expect("commit");
    assert_eq!(values(&read(&second, 3)), [7, 8, 9], "and then starts from them");
}

#[test]
fn the_older_of_two_producers_is_fenced() {
    let broker = broker(&[("out", 1)]);
    let zombie = transactional(&broker, "same");
    zombie.begin_transaction().expect("begin");
    send(&zombie, "out", 0, 0..5);
    let successor = transactional(&broker, "same");
    successor.begin_transaction().expect("begin");
    send(&successor, "out", 0, 10..15);
    let error = zombie.commit_transaction(WAIT).expect_err("the zombie must not commit");
    assert!(
        matches!(&error, rdkafka::error::KafkaError::Transaction(inner) if inner.is_fatal()),
        "being fenced is fatal: {error}"
    );
    successor.commit_transaction(WAIT).expect("commit");
    let consumer = subscribed(&broker, "g", "read_committed", &["out"]);
    assert_eq!(values(&read(&consumer, 5)), (10..15).collect::<Vec<_>>());
    read_nothing(&consumer);
}

#[test]
fn several_producers_commit_at_once_on_many_partitions() {
    let broker = broker(&[("out", 24)]);
    std::thread::scope(|scope| {
        for lane in 0..4u32 {
            let broker = &broker;
            scope.spawn(move || {
                let producer = transactional(broker, &format!("lane-{lane}"));
                for round in 0..10 {
                    producer.begin_transaction().expect("begin");
                    for partition in 0..24 {
                        let first = (lane * 10 + round) * 240 + partition * 10;
                        enqueue(&producer, "out", partition as i32, first..first + 10);
                    }
                    if round == 3 {
                        // An abort throws away what was not sent yet.
                        producer.flush(WAIT).expect("flush");
                        producer.abort_transaction(WAIT).expect("abort");
                    } else {
                        producer.commit_transaction(WAIT).expect("commit");
                    }
                }
            });
        }
    });
    let consumer = subscribed(&broker, "g", "read_committed", &["out"]);
    let committed: Vec<u32> = (0..9600).filter(|id| id / 240 % 10 != 3).collect();
    assert_eq!(values(&read(&consumer, committed.len())), committed);
    read_nothing(&consumer);
}

#[test]
fn a_transaction_whose_producer_died_is_aborted_after_its_timeout() {
    let broker = broker(&[("out", 1)]);
    let producer: BaseProducer = client(&broker)
        .set("transactional.id", "dead")
        .set("transaction.timeout.ms", "1000")
        .create()
        .expect("a producer");
    producer.init_transactions(WAIT).expect("init");
    producer.begin_transaction().expect("begin");
    send(&producer, "out", 0, 0..3);
    send(&common::producer(&broker), "out", 0, 10..13);
    let consumer: BaseConsumer = subscribed(&broker, "g", "read_committed", &["out"]);
    let begun = Instant::now();
    assert_eq!(values(&read(&consumer, 3)), [10, 11, 12]);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(producer.commit_transaction(WAIT).is_err(), "its epoch was bumped");
}

#[test]
fn aborting_by_hand_releases_what_waits() {
    let broker = broker(&[("out", 1)]);
    let producer = transactional(&broker, "stuck");
    producer.begin_transaction().expect("begin");
    send(&producer, "out", 0, 0..3);
    let consumer = subscribed(&broker, "g", "read_committed", &["out"]);
    assert!(broker.abort_transaction("stuck"));
    assert!(!broker.abort_transaction("stuck"), "there is none any more");
    send(&common::producer(&broker), "out", 0, 10..11);
    assert_eq!(values(&read(&consumer, 1)), [10]);
}
