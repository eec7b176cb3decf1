//! Consumer groups: committed offsets, members that are replaced, groups side by side.

mod common;

use std::time::{Duration, Instant};

use common::{broker, client, producer, read, read_nothing, send, subscribed, values};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

#[test]
fn a_group_goes_on_from_its_committed_offset() {
    let broker = broker(&[("in", 1)]);
    send(&producer(&broker), "in", 0, 0..10);
    let consumer = subscribed(&broker, "g", "read_committed", &["in"]);
    read(&consumer, 10);
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("in", 0, Offset::Offset(4)).expect("offset");
    consumer.commit(&offsets, CommitMode::Sync).expect("commit");
    drop(consumer);
    let consumer = subscribed(&broker, "g", "read_committed", &["in"]);
    assert_eq!(values(&read(&consumer, 6)), (4..10).collect::<Vec<_>>());
    read_nothing(&consumer);
}

/// A process that was killed sends no `LeaveGroup`: its successor must not wait for a session timeout.
#[test]
fn a_member_that_never_left_is_replaced_at_once() {
    let broker = broker(&[("in", 4)]);
    for partition in 0..4 {
        send(&producer(&broker), "in", partition, 0..5);
    }
    for instance in [None, Some("static-1")] {
        let group = format!("g-{}", instance.unwrap_or("dynamic"));
        let member = || {
            let mut config = client(&broker);
            config.set("group.id", &group).set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
            if let Some(instance) = instance {
                config.set("group.instance.id", instance);
            }
            let consumer: BaseConsumer = config.create().expect("a consumer");
            consumer.subscribe(&["in"]).expect("subscribe");
            consumer
        };
        let gone = member();
        read(&gone, 20);
        // Leaked, so that it neither leaves the group nor polls again.
        std::mem::forget(gone);
        let begun = Instant::now();
        let successor = member();
        assert_eq!(read(&successor, 20).len(), 20);
        assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    }
}

#[test]
fn groups_do_not_disturb_each_other() {
    let broker = broker(&[("in", 2)]);
    std::thread::scope(|scope| {
        for group in 0..5 {
            let broker = &broker;
            scope.spawn(move || {
                let consumer = subscribed(broker, &format!("g{group}"), "read_committed", &["in"]);
                assert_eq!(values(&read(&consumer, 200)), (0..200).collect::<Vec<_>>());
            });
        }
        let producer = producer(&broker);
        for n in 0..20 {
            send(&producer, "in", (n % 2) as i32, n * 10..n * 10 + 10);
        }
    });
}

#[test]
fn an_offset_that_was_deleted_is_out_of_range() {
    let broker = broker(&[("in", 1)]);
    let producer = producer(&broker);
    for n in 0..10 {
        send(&producer, "in", 0, [n]);
    }
    assert_eq!(broker.delete_records_before("in", 0, 6), Some(6));
    assert_eq!(broker.delete_records_before("in", 1, 6), None);
    let consumer: BaseConsumer =
        client(&broker).set("group.id", "g").set("auto.offset.reset", "error").create().expect("a consumer");
    let mut position = TopicPartitionList::new();
    position.add_partition_offset("in", 0, Offset::Offset(2)).expect("offset");
    consumer.assign(&position).expect("assign");
    let deadline = Instant::now() + common::WAIT;
    let error = loop {
        assert!(Instant::now() < deadline, "no error came");
        match consumer.poll(Duration::from_millis(50)) {
            Some(Err(error)) => break error,
            Some(Ok(_)) => panic!("a deleted record came"),
            None => {}
        }
    };
    assert_eq!(error.rdkafka_error_code(), Some(rdkafka::types::RDKafkaErrorCode::AutoOffsetReset), "{error}");
    assert_eq!(consumer.fetch_watermarks("in", 0, common::WAIT).expect("watermarks"), (6, 10));
    let consumer = subscribed(&broker, "fresh", "read_committed", &["in"]);
    assert_eq!(values(&read(&consumer, 4)), [6, 7, 8, 9]);
}
