//! Three nodes of Kafka, of which one is killed.

use std::time::Instant;

use ksem_testkit::{Cluster, ClusterConfig, Isolation, Observed, load, reader};

#[test]
fn everything_is_still_there_when_one_of_three_is_killed() {
    let begun = Instant::now();
    let cluster = Cluster::start(&ClusterConfig::three()).expect("three nodes");
    println!("three nodes were up after {:?}", begun.elapsed());
    cluster.create_topic("t", 6, &[]).expect("create");
    let write = |ids| load::produce_ids(cluster.bootstrap(), "t", ids, 100, 6).expect("produce");
    let audit = |count| {
        let begun = Instant::now();
        let records = reader::read_topic(cluster.bootstrap(), "t", Isolation::ReadCommitted).expect("read");
        println!("{} records were read in {:?}", records.len(), begun.elapsed());
        let ids = records.iter().filter_map(|r| load::value_id(r.value.as_deref()?));
        Observed::expecting(0..count).committed(ids).audit().assert_exactly_once();
    };
    write(0..20_000);
    audit(20_000);
    let begun = Instant::now();
    cluster.node(1).kill().expect("kill");
    audit(20_000);
    println!("reading went on {:?} after the kill", begun.elapsed());
    write(20_000..40_000);
    println!("and writing after {:?}", begun.elapsed());
    cluster.node(1).restart().expect("restart");
    cluster.wait_until_ready().expect("ready");
    // Now another one goes, so that what the first has caught up on is needed.
    cluster.node(2).kill().expect("kill");
    audit(40_000);
}
