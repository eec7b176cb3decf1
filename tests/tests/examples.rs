//! The examples `orders` on real Kafka. Their programs are built elsewhere: `KSEM_EXAMPLES` has the path of each, one a line.

use std::process::Command;

use ksem::Guarantee;
use ksem_testkit::{Cluster, ClusterConfig, Isolation, load, reader};
use ksem_tests::Steps;

const ORDERS: u64 = 5_000;
const SIZE: usize = 100;

#[test]
#[ignore = "needs the examples' programs; `cargo xtask test` builds them"]
fn examples() {
    let programs = std::env::var("KSEM_EXAMPLES").expect("KSEM_EXAMPLES names the programs");
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    for topic in ["orders", "invoices", "analytics"] {
        cluster.create_topic(topic, 3, &[]).expect("creating a topic");
    }
    load::produce_ids(cluster.direct_bootstrap(), "orders", 0..ORDERS, SIZE, 3).expect("filling the input");
    let mut steps = Steps::new();
    let mut runs = 0;
    for program in programs.lines() {
        for guarantee in Guarantee::ALL {
            runs += 1;
            steps.step(&format!("{guarantee}: {program}"), || run(&cluster, program, guarantee, runs));
        }
    }
    steps.conclude();
}

/// Every run adds each order once more to both outputs.
fn run(cluster: &Cluster, program: &str, guarantee: Guarantee, runs: u64) {
    let status = Command::new(program).args([cluster.bootstrap(), guarantee.name()]).status().expect("starting it");
    assert!(status.success(), "{program}: {status}");
    let mut billed = vec![0; ORDERS as usize];
    for record in
        reader::read_topic(cluster.direct_bootstrap(), "invoices", Isolation::ReadCommitted).expect("invoices")
    {
        let value = record.value.unwrap_or_default();
        let order = value.strip_prefix(b"invoice for ".as_slice()).expect("an invoice");
        let id = load::value_id(order).expect("the order's own value");
        assert_eq!(record.key.as_deref().and_then(load::key_id), Some(id));
        billed[id as usize] += 1;
    }
    assert!(billed.iter().all(|count| *count == runs), "every order has been billed once by each run");
    let analytics = reader::read_topic(cluster.direct_bootstrap(), "analytics", Isolation::ReadCommitted);
    assert_eq!(analytics.expect("analytics").len() as u64, ORDERS * runs);
}
