//! What reaches librdkafka, and whether librdkafka takes it.

use std::collections::BTreeMap;

use ksem::config::librdkafka::{Role, consumer_properties, producer_properties, property_names};
use ksem::config::{Config, KafkaProperties};

use crate::{parse, sound, text};

/// Properties by name; a name may be there once only.
fn map(properties: Vec<(String, String)>) -> BTreeMap<String, String> {
    let len = properties.len();
    let map: BTreeMap<_, _> = properties.into_iter().collect();
    assert_eq!(map.len(), len, "a property is set twice");
    map
}

const ROLES: [Role<'static>; 3] = [Role::AtMostOnce, Role::AtLeastOnce, Role::Transactional { id: "g-i-0" }];

#[test]
fn clients_get_defaults_then_the_users_properties_then_ksems_own() {
    let mut config = sound();
    config.kafka = KafkaProperties::from_iter([
        ("bootstrap.servers", "b:1"),
        ("client.id", "mine"),
        ("queue.buffering.max.ms", "7"),
        ("fetch.wait.max.ms", "70"),
        ("retry.backoff.ms", "2000"),
        ("socket.timeout.ms", "90000"),
        ("acks", "0"),
        ("isolation.level", "read_uncommitted"),
    ]);
    let consumer = map(consumer_properties(&config, Some("i"), 4));
    let expected = [
        ("bootstrap.servers", "b:1"),
        ("client.id", "mine"),
        ("group.id", "g"),
        ("group.instance.id", "i"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("isolation.level", "read_committed"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "false"),
        ("fetch.queue.backoff.ms", "2"),
        ("fetch.wait.max.ms", "70"),
        ("queued.min.messages", "10000"),
        ("queued.max.messages.kbytes", "16384"),
        ("max.partition.fetch.bytes", "1048576"),
        ("session.timeout.ms", "45000"),
        ("check.crcs", "true"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("allow.auto.create.topics", "false"),
        ("retry.backoff.ms", "2000"),
        ("socket.timeout.ms", "90000"),
    ];
    assert_eq!(consumer, map(expected.map(|(k, v)| (k.into(), v.into())).to_vec()));
    assert!(!map(consumer_properties(&sound(), None, 1)).contains_key("group.instance.id"));

    let [most, least, exact] = ROLES.map(|role| map(producer_properties(&config, role)));
    for producer in [&most, &least, &exact] {
        assert_eq!(producer["queue.buffering.max.ms"], "7", "an alias replaces the default");
        assert_eq!(
            (producer["retry.backoff.ms"].as_str(), producer["retry.backoff.max.ms"].as_str()),
            ("2000", "2000")
        );
        assert_eq!(producer["partitioner"], "murmur2_random");
        assert!(!producer.contains_key("fetch.wait.max.ms") && !producer.contains_key("linger.ms"));
    }
    assert_eq!((&*most["acks"], &*most["enable.idempotence"], &*most["retries"]), ("1", "false", "0"));
    assert_eq!(
        (&*least["acks"], &*least["enable.idempotence"], &*least["socket.timeout.ms"]),
        ("all", "true", "90000")
    );
    assert_eq!((&*exact["transactional.id"], &*exact["transaction.timeout.ms"]), ("g-i-0", "60000"));
    assert_eq!((&*exact["message.timeout.ms"], &*exact["socket.timeout.ms"]), ("54000", "60000"));
}

#[test]
fn librdkafka_knows_every_property() {
    use rdkafka::config::ClientConfig;
    let knows = |name: &str| {
        // The value is wrong for most properties, but a name that librdkafka doesn't have is reported as such.
        let result = ClientConfig::new().set(name, "\u{1}").create_native_config();
        !result.is_err_and(|error| error.to_string().contains("No such configuration property"))
    };
    assert!(!knows("no.such.property"));
    for name in property_names() {
        assert!(knows(name), "{name}");
    }
}

/// Creates a consumer and the three producers, which checks every name and value; no broker is needed.
fn librdkafka_takes(config: &Config) {
    use rdkafka::config::{ClientConfig, FromClientConfig};
    fn create<T: FromClientConfig>(properties: &[(String, String)]) {
        let client: ClientConfig = properties.iter().cloned().collect();
        let result: Result<T, _> = client.create();
        assert!(result.is_ok(), "{:?}: {properties:?}", result.err());
    }
    create::<rdkafka::consumer::BaseConsumer>(&consumer_properties(config, Some("i"), 3));
    for role in ROLES {
        create::<rdkafka::producer::BaseProducer>(&producer_properties(config, role));
    }
}

#[test]
fn librdkafka_takes_the_default_and_extreme_configurations() {
    for rest in [
        "",
        "[transactions]\ntimeout_ms = 1000",
        "[transactions]\ntimeout_ms = 900000",
        "[fetch]\nmax_bytes = 2147483648",
        "[fetch]\nmax_bytes = 1048576\n[batch]\nmax_bytes = 1048576",
        "linger.ms = 29999\nretry.backoff.ms = 300000\nmax.in.flight = 5\nsocket.timeout.ms = 300000",
        "max.poll.interval.ms = 50000\nsession.timeout.ms = 49999\nheartbeat.interval.ms = 49998",
        "[rebalance]\nstrategy = \"roundrobin\"\n[at_most_once]\nacks = 0",
    ] {
        librdkafka_takes(&parse(&text("", rest)).expect(rest));
    }
}
