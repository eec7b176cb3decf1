//! tmp
use std::time::{Duration,Instant};
use ksem_testkit::*;
#[test]
fn big() {
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    cluster.create_topic("t", 4, &[]).expect("create");
    let broker = ksem_broker::EmbeddedBroker::builder().topic("t", 4).start().expect("start");
    for b in [cluster.bootstrap(), broker.bootstrap()] {
        let t = Instant::now();
        load::produce_ids(b, "t", 0..2_000_000, 200, 4).unwrap();
        println!("written {:?}", t.elapsed());
        let t = Instant::now();
        let r = reader::read_topic(b, "t", Isolation::ReadCommitted).unwrap();
        println!("read {} {:?}", r.len(), t.elapsed());
        let t = Instant::now();
        Observed::expecting(0..2_000_000).committed(r.iter().map(|r| load::value_id(r.value.as_deref().unwrap()).unwrap())).audit().assert_exactly_once();
        println!("audited {:?}", t.elapsed());
        println!("{}", std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l| l.starts_with("VmRSS")).collect::<String>());
    }
    let _ = Duration::ZERO;
}
