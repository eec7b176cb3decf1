//! Several transactions of a lane in flight, with aborts and kills in between: nothing is lost, repeated or out of order.

use std::path::Path;
use std::thread;
use std::time::Duration;

use ksem::Guarantee;
use ksem_testkit::{Cluster, ClusterConfig};
use ksem_tests::{Random, Scene, Steps, scale, wait_until};

const PATIENCE: Duration = Duration::from_secs(90);
/// Records a call of the handler, and in a transaction.
const CALL: u64 = 100;
const TRANSACTION: u64 = 1000;
/// One call in so many fails: about one transaction in ten.
const FAILING: u64 = 97;

#[test]
fn transactions_in_flight_keep_their_promise() {
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    let mut random = Random::seeded();
    let mut steps = Steps::new();
    for (name, partitions, lanes, in_flight) in
        [("one lane, four in flight", 1, 1, 4), ("two lanes, two in flight each", 4, 2, 2)]
    {
        steps.step(&format!("{name}: aborts"), || {
            harmed(&cluster, &format!("aborts-{lanes}"), partitions, lanes, in_flight, 0, &mut random);
        });
        steps.step(&format!("{name}: aborts and kills"), || {
            harmed(&cluster, &format!("kills-{lanes}"), partitions, lanes, in_flight, 6, &mut random);
        });
    }
    steps.step("at most once, a handler that fails now and then", || counts_what_is_lost(&cluster));
    steps.conclude();
}

/// Batches that share a commit fail one by one, and each that does is counted.
fn counts_what_is_lost(cluster: &Cluster) {
    let records = 20_000;
    let scene = Scene::new(cluster, "losses", 2);
    scene.fill(0..records);
    let settings =
        scene.settings(Guarantee::AtMostOnce).set("batch.max_records", CALL).set("commit.max_records", TRANSACTION);
    let worker = Path::new(env!("CARGO_BIN_EXE_ksem-test-worker"));
    let ended = scene.run_program(worker, &settings, &["fail", "7"]).wait(PATIENCE);
    ended.assert(0, &[]);
    let (_, lost) = ended.stderr.rsplit_once("records lost: ").expect("the worker's last words");
    let lost = lost.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default();
    let lost: u64 = lost.parse().expect("a number");
    println!("       {lost} records were counted as lost");
    assert!(lost > 0 && lost < records / 2, "about a seventh fails");
    for audit in scene.audits(0..records) {
        assert!(audit.is_at_most_once(), "{audit}");
        assert_eq!(audit.missing.count, lost, "what is missing was counted");
    }
}

fn harmed(
    cluster: &Cluster,
    name: &str,
    partitions: u32,
    lanes: usize,
    in_flight: usize,
    kills: u64,
    random: &mut Random,
) {
    let records = 100_000 * scale();
    let scene = Scene::new(cluster, name, partitions);
    scene.fill(0..records);
    let settings = scene
        .settings(Guarantee::ExactlyOnce)
        .set("batch.max_records", CALL)
        .set("commit.max_records", TRANSACTION)
        .set("transactions.lanes", lanes)
        .set("transactions.in_flight", in_flight)
        .set("retry.backoff_ms", 1);
    let worker = Path::new(env!("CARGO_BIN_EXE_ksem-test-worker"));
    let failing = FAILING.to_string();
    let start = || scene.run_program(worker, &settings, &["fail", &failing]);
    for kill in 0..kills {
        let mut run = start();
        let moment = kill * records / (kills + 1) + random.below(records / (kills + 1));
        wait_until("it works", PATIENCE, || !run.is_alive() || scene.committed() >= moment);
        thread::sleep(random.millis(20));
        run.kill();
    }
    let ended = start().wait(PATIENCE);
    ended.assert(0, &[]);
    let told = ended.stderr.lines().find(|line| line.starts_with("failures of the handler: "));
    let told = told.expect("the worker's last words");
    println!("       {told}");
    // The last run after kills has only what was left to it.
    let aborts: u64 = told.split([':', ';']).nth(1).and_then(|number| number.trim().parse().ok()).expect("a number");
    assert!(kills > 0 || aborts >= records / CALL / FAILING, "{told}");
    scene.wait_until_caught_up(Duration::from_secs(1));
    scene.assert_exactly_once(0..records);
    scene.assert_in_order();
}
