//! `ksem run` is killed with `kill -9` at random moments and started again.

use std::thread;
use std::time::Duration;

use ksem::Guarantee;
use ksem_testkit::{Cluster, ClusterConfig};
use ksem_tests::{Random, Scene, Settings, Steps, scale};

const PARTITIONS: u32 = 4;
/// Small, so that there are many commits to be hit.
const MAX_RECORDS: u64 = 200;
const CAUGHT_UP: Duration = Duration::from_secs(60);

fn records() -> u64 {
    100_000 * scale()
}

fn kills() -> u64 {
    if scale() == 1 { 8 } else { 2 * scale() }
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    let mut random = Random::seeded();
    let mut steps = Steps::new();
    steps.step("exactly once, with the instance id of the state folder", || {
        let scene = killed(&cluster, "eos-slot", Guarantee::ExactlyOnce, None, &mut random);
        scene.assert_exactly_once(0..records());
    });
    steps.step("exactly once, with an instance id of its own", || {
        let scene = killed(&cluster, "eos-named", Guarantee::ExactlyOnce, Some("worker-1"), &mut random);
        scene.assert_exactly_once(0..records());
    });
    steps.step("at least once", || {
        let scene = killed(&cluster, "alo", Guarantee::AtLeastOnce, None, &mut random);
        for audit in scene.audits(0..records()) {
            assert!(audit.is_at_least_once(), "{audit}");
            assert!(audit.extra_copies <= in_flight(), "more than was in flight was repeated: {audit}");
        }
    });
    steps.step("at most once", || {
        let scene = killed(&cluster, "amo", Guarantee::AtMostOnce, None, &mut random);
        for audit in scene.audits(0..records()) {
            assert!(audit.is_at_most_once(), "{audit}");
            assert!(audit.missing.count <= in_flight(), "more than was in flight was lost: {audit}");
        }
    });
    steps.conclude();
}

/// Two commits of every lane at every kill: a lane for each partition.
fn in_flight() -> u64 {
    kills() * u64::from(PARTITIONS) * 2 * MAX_RECORDS
}

/// Processes the input with kills spread over it, and a last run that ends by itself.
fn killed<'a>(
    cluster: &'a Cluster,
    name: &str,
    guarantee: Guarantee,
    instance: Option<&str>,
    random: &mut Random,
) -> Scene<'a> {
    let scene = Scene::new(cluster, name, PARTITIONS);
    scene.fill(0..records());
    let mut settings: Settings = scene.settings(guarantee).batches_of(MAX_RECORDS);
    if let Some(instance) = instance {
        settings = settings.text("transactions.instance_id", instance);
    }
    let (mut at_work, mut starting) = (0, 0);
    for kill in 0..kills() {
        let mut run = scene.run(&settings, &[]);
        if kill % 4 == 3 {
            // Wherever it is: in the middle of joining the group, for example.
            thread::sleep(random.millis(600));
            starting += 1;
        } else {
            let share = records() / (kills() + 1);
            let moment = kill * share + random.below(share);
            ksem_tests::wait_until("it works", CAUGHT_UP, || !run.is_alive() || scene.committed() >= moment);
            thread::sleep(random.millis(20));
        }
        run.kill();
        let committed = scene.committed();
        at_work += u64::from(committed > 0 && committed < records());
    }
    println!("       {at_work} of {} kills hit in the middle of the input, {starting} soon after the start", kills());
    assert!(at_work * 2 >= kills(), "too few kills hit a run at work");
    let ended = scene.run(&settings, &["--until-caught-up"]).wait(CAUGHT_UP);
    ended.assert(0, &[]);
    scene.wait_until_caught_up(Duration::from_secs(1));
    scene
}
