//! The broker as a server: addresses, topics, many connections, sizes.

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{WAIT, broker, client, producer, read, read_nothing, send, subscribed, values};
use ksem_broker::{BrokerError, EmbeddedBroker};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

#[test]
fn a_port_can_be_asked_for_is_refused_while_taken_and_free_afterwards() {
    let first = broker(&[]);
    let address = first.bootstrap().to_owned();
    let again = || EmbeddedBroker::builder().listen(&address).topic("t", 1).start();
    let error = again().expect_err("it is taken");
    assert!(matches!(error, BrokerError::AddressInUse { .. }), "{error}");
    // A client that is still connected leaves the port in a state that must not matter.
    send(&producer(&first), "t", 0, 0..1);
    first.stop();
    let second = again().expect("it is free again");
    assert_eq!(second.bootstrap(), address);
    send(&producer(&second), "t", 0, 0..1);
    assert_eq!(second.end_offset("t", 0), Some(1), "and nothing of the first broker is left");
}

#[test]
fn every_interface_is_advertised_as_loopback() {
    let broker = EmbeddedBroker::builder().listen("0.0.0.0:0").topic("t", 1).start().expect("start");
    assert!(broker.bootstrap().starts_with("127.0.0.1:"));
    send(&producer(&broker), "t", 0, 0..3);
    assert_eq!(broker.end_offset("t", 0), Some(3));
}

#[test]
fn unknown_topics_are_created_by_producers_only() {
    let broker = broker(&[]);
    let consumer = client(&broker).set("group.id", "g").create::<BaseConsumer>().expect("a consumer");
    consumer.subscribe(&["fresh"]).expect("subscribe");
    let _ = consumer.poll(Duration::from_millis(300));
    assert_eq!(broker.end_offset("fresh", 0), None);
    let producer = producer(&broker);
    producer.send(BaseRecord::<str, str>::to("fresh").payload("x")).map_err(|(e, _)| e).expect("send");
    producer.flush(WAIT).expect("flush");
    assert_eq!(broker.end_offset("fresh", 0), Some(1));

    let strict = EmbeddedBroker::builder().auto_create_topics(false).start().expect("start");
    let metadata = common::producer(&strict);
    let _ = metadata.client().fetch_metadata(Some("fresh"), WAIT);
    assert_eq!(strict.end_offset("fresh", 0), None);
}

#[test]
fn unacknowledged_produce_requests_get_no_reply() {
    let broker = broker(&[("t", 1)]);
    let producer: BaseProducer = client(&broker).set("acks", "0").create().expect("a producer");
    for n in 0..50 {
        send(&producer, "t", 0, [n]);
    }
    let deadline = Instant::now() + WAIT;
    while broker.end_offset("t", 0) != Some(50) {
        assert!(Instant::now() < deadline, "{:?}", broker.end_offset("t", 0));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Clients that are killed cut their requests anywhere; the others must not notice.
#[test]
fn connections_that_break_off_do_no_harm() {
    let broker = broker(&[("t", 1)]);
    let producer = producer(&broker);
    for n in 0..300u32 {
        let mut stream = TcpStream::connect(broker.bootstrap()).expect("connect");
        let request: &[u8] = match n % 5 {
            0 => &[],
            1 => &[0, 0],
            2 => &[0, 0, 1, 0, 0, 0],
            3 => &[0xff, 0xff, 0xff, 0xff, 1, 2, 3],
            // A whole frame that is no request.
            _ => &[0, 0, 0, 4, 0, 26, 0, 1],
        };
        stream.write_all(request).expect("write");
    }
    send(&producer, "t", 0, 0..100);
    let consumer = subscribed(&broker, "g", "read_committed", &["t"]);
    assert_eq!(values(&read(&consumer, 100)), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_hundred_clients_come_and_go() {
    let broker = broker(&[("t", 4)]);
    for round in 0..5u32 {
        let clients: Vec<_> = (0..20).map(|_| producer(&broker)).collect();
        for (n, client) in clients.iter().enumerate() {
            common::enqueue(client, "t", n as i32 % 4, [round]);
        }
        for client in &clients {
            client.flush(WAIT).expect("flush");
        }
    }
    let total: i64 = (0..4).filter_map(|p| broker.end_offset("t", p)).sum();
    assert_eq!(total, 100);
}

/// The replies keep to the client's limits, so that a long log can be read with small ones.
#[test]
fn a_long_log_is_read_in_small_replies() {
    const COUNT: u32 = 20_000;
    let broker = broker(&[("t", 2)]);
    let producer = producer(&broker);
    send(&producer, "t", 0, 0..COUNT / 2);
    send(&producer, "t", 1, COUNT / 2..COUNT);
    let consumer: BaseConsumer = client(&broker)
        .set("group.id", "g")
        .set("auto.offset.reset", "earliest")
        .set("fetch.message.max.bytes", "2000")
        .set("fetch.max.bytes", "2000")
        .set("message.max.bytes", "1000")
        .set("receive.message.max.bytes", "1000000")
        .create()
        .expect("a consumer");
    consumer.subscribe(&["t"]).expect("subscribe");
    assert_eq!(values(&read(&consumer, COUNT as usize)), (0..COUNT).collect::<Vec<_>>());
    read_nothing(&consumer);
}
