//! One node of Kafka: written, read, audited.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ksem_testkit::{Cluster, ClusterConfig, Isolation, Observed, load, reader};

const COUNT: u64 = 200_000;

fn ids(records: &[reader::ReadRecord]) -> Vec<u64> {
    records.iter().map(|r| load::value_id(r.value.as_deref().expect("a value")).expect("an id")).collect()
}

#[test]
fn records_are_written_read_and_audited() {
    let begun = Instant::now();
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    println!("one node was up after {:?}", begun.elapsed());
    cluster.create_topic("t", 4, &[("compression.type", "producer")]).expect("create");
    assert!(cluster.create_topic("t", 4, &[]).is_err(), "it exists");
    assert!(reader::read_topic(cluster.bootstrap(), "t", Isolation::ReadCommitted).expect("read").is_empty());

    let begun = Instant::now();
    assert_eq!(load::produce_ids(cluster.bootstrap(), "t", 0..COUNT, 200, 4).expect("produce"), COUNT);
    println!("{COUNT} records were written in {:?}", begun.elapsed());
    let begun = Instant::now();
    let records = reader::read_topic(cluster.bootstrap(), "t", Isolation::ReadCommitted).expect("read");
    println!("and read in {:?}", begun.elapsed());
    let audit = Observed::expecting(0..COUNT).committed(ids(&records)).audit();
    println!("{audit}");
    audit.assert_exactly_once();
    assert!(records.iter().all(|r| r.key.as_deref().and_then(load::key_id).is_some()));

    cluster.delete_records_before("t", 1, 1000).expect("delete records");
    let records = reader::read_topic(cluster.bootstrap(), "t", Isolation::ReadUncommitted).expect("read");
    assert_eq!(records.len() as u64, COUNT - 1000);
    let ends = reader::end_offsets(cluster.bootstrap(), "t", Isolation::ReadCommitted).expect("ends");
    assert_eq!(ends.values().sum::<i64>(), COUNT as i64);
    assert!(reader::committed_offsets(cluster.bootstrap(), "nobody", "t").expect("offsets").is_empty());
    assert!(reader::read_topic(cluster.bootstrap(), "missing", Isolation::ReadCommitted).is_err());
}

#[test]
fn a_node_keeps_its_port_and_data_when_it_is_killed_paused_stopped_and_restarted() {
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    cluster.create_topic("t", 3, &[]).expect("create");
    let node = cluster.node(0);
    let write = |ids| load::produce_ids(cluster.bootstrap(), "t", ids, 100, 3).expect("produce");
    write(0..100);
    let pid = node.pid().expect("alive");
    node.kill().expect("kill");
    assert!(!node.is_alive() && node.pid().is_none());
    node.restart().expect("restart");
    cluster.wait_until_ready().expect("ready");
    assert_ne!(node.pid(), Some(pid));
    write(100..200);
    node.stop().expect("stop");
    assert!(node.pause().is_err(), "it is down");
    node.restart().expect("restart");
    cluster.wait_until_ready().expect("ready");
    node.pause().expect("pause");
    assert!(node.is_alive());
    node.resume().expect("resume");
    write(200..300);
    let records = reader::read_topic(cluster.bootstrap(), "t", Isolation::ReadCommitted).expect("read");
    Observed::expecting(0..300).committed(ids(&records)).audit().assert_exactly_once();
}

#[test]
fn a_node_that_cannot_start_says_why() {
    let config = ClusterConfig::one().property("log.segment.bytes", "not a number");
    let error = format!("{:#}", Cluster::start(&config).expect_err("it cannot start"));
    assert!(error.contains("log.segment.bytes"), "{error}");
    let config = ClusterConfig::one()
        .property("ssl.keystore.location", "/no/such/file")
        .property("listener.security.protocol.map", "BROKER:SSL,CONTROLLER:PLAINTEXT");
    let error = format!("{:#}", Cluster::start(&config).expect_err("it cannot start"));
    assert!(error.contains("key store password"), "{error}");
}

const CHILD: &str = "KSEM_TESTKIT_CHILD";

/// Not a test of its own: the process that the next test starts and kills.
#[test]
fn child() {
    let Some(file) = std::env::var_os(CHILD) else {
        return;
    };
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    std::fs::write(file, cluster.node(0).pid().expect("alive").to_string()).expect("write");
    std::thread::sleep(Duration::from_mins(10));
}

#[test]
fn nodes_end_with_the_process_that_started_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pid");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child"])
        .env(CHILD, &file)
        .stdout(Stdio::null())
        .spawn()
        .expect("a child process");
    let deadline = Instant::now() + Duration::from_mins(1);
    let pid = loop {
        assert!(Instant::now() < deadline, "the child did not start a node");
        match std::fs::read_to_string(&file) {
            Ok(pid) if !pid.is_empty() => break pid,
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let alive = || Command::new("kill").args(["-0", &pid]).stderr(Stdio::null()).status().expect("kill -0").success();
    assert!(alive());
    child.kill().expect("kill");
    child.wait().expect("wait");
    while alive() {
        assert!(Instant::now() < deadline, "the node outlived the process that started it");
        std::thread::sleep(Duration::from_millis(20));
    }
}
