//! The reader on a topic with gaps in its offsets: on real Kafka, and on the embedded broker, which must agree.

use std::collections::BTreeMap;

use krafka::producer::TransactionalProducer;
use krafka::{Kafka, Record};
use ksem_broker::EmbeddedBroker;
use ksem_testkit::{Cluster, ClusterConfig, Isolation, Observed, load, reader};

/// What a transaction does, and the ids in it. All go to partition 0 except for the last one's.
enum Step {
    Commit(std::ops::Range<u64>),
    Abort(std::ops::Range<u64>),
}

async fn write(bootstrap: &str) -> krafka::Result<TransactionalProducer> {
    let kafka = Kafka::builder(bootstrap).connect().await?;
    let producer = kafka.producer().build_transactional("writer").await?;
    let steps = [
        (0, Step::Abort(100..110)),
        (0, Step::Commit(0..10)),
        (0, Step::Abort(110..120)),
        (0, Step::Commit(10..20)),
        // The log ends with records that nobody may see.
        (0, Step::Abort(120..130)),
        // And this partition has nothing else.
        (1, Step::Abort(130..140)),
    ];
    for (partition, step) in steps {
        let (Step::Commit(ids) | Step::Abort(ids)) = &step;
        producer.begin()?;
        for id in ids.clone() {
            let record = Record::new("t", load::value(id, 50)).partition(partition);
            let _ = producer.send(record).await?;
        }
        match step {
            Step::Commit(_) => producer.commit().await?,
            Step::Abort(_) => producer.abort().await?,
        }
    }
    // An open transaction: the last stable offset stays before it.
    producer.begin()?;
    for id in 140..150 {
        let _ = producer.send(Record::new("t", load::value(id, 50)).partition(2)).await?;
    }
    Ok(producer)
}

fn check(bootstrap: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let producer = runtime.block_on(write(bootstrap)).expect("write");
    let ids = |isolation| {
        let records = reader::read_topic(bootstrap, "t", isolation).expect("read");
        let ids: Vec<u64> = records.iter().filter_map(|r| load::value_id(r.value.as_deref()?)).collect();
        assert_eq!(ids.len(), records.len());
        ids
    };
    let (committed, uncommitted) = (ids(Isolation::ReadCommitted), ids(Isolation::ReadUncommitted));
    assert_eq!(uncommitted.len(), 70);
    let audit = Observed::expecting(0..20).committed(committed).uncommitted(uncommitted).aborted(100..150).audit();
    audit.assert_exactly_once();
    // Six markers: five on partition 0, one on partition 1.
    let stable = reader::end_offsets(bootstrap, "t", Isolation::ReadCommitted).expect("ends");
    assert_eq!(stable, BTreeMap::from([(0, 55), (1, 11), (2, 0), (3, 0)]));
    let ends = reader::end_offsets(bootstrap, "t", Isolation::ReadUncommitted).expect("ends");
    assert_eq!(ends, BTreeMap::from([(0, 55), (1, 11), (2, 10), (3, 0)]));
    runtime.block_on(producer.commit()).expect("commit");
    assert_eq!(ids(Isolation::ReadCommitted).len(), 30);
}

#[test]
fn on_kafka() {
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    cluster.create_topic("t", 4, &[]).expect("create");
    check(cluster.bootstrap());
}

#[test]
fn on_the_embedded_broker() {
    let broker = EmbeddedBroker::builder().topic("t", 4).start().expect("start");
    check(broker.bootstrap());
    assert!(reader::committed_offsets(broker.bootstrap(), "nobody", "t").expect("offsets").is_empty());
}
