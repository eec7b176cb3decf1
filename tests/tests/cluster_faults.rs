//! Nodes of a cluster of three are killed and started again, and members of the group come and go, while `ksem run` works.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ksem::Guarantee;
use ksem_testkit::{Cluster, ClusterConfig};
use ksem_tests::{Random, Run, Scene, Settings, Steps, scale, wait_until};

const PARTITIONS: u32 = 6;
const CAUGHT_UP: Duration = Duration::from_secs(120);

/// Each round kills one node.
fn rounds() -> u64 {
    6 * scale()
}

fn records_a_round() -> u64 {
    if scale() == 1 { 12_000 } else { 16_000 }
}

#[test]
fn a_run_survives_its_cluster() {
    let cluster = Cluster::start(&ClusterConfig::three()).expect("three nodes");
    let mut random = Random::seeded();
    let mut steps = Steps::new();
    steps.step("nodes are killed, members come and go", || {
        let scene = Scene::new(&cluster, "faults", PARTITIONS);
        Story { scene, cluster: &cluster, random: &mut random }.tell();
    });
    steps.step("a backlog in large transactions, a node is killed every ten seconds", || {
        let scene = Scene::new(&cluster, "backlog", 4);
        Story { scene, cluster: &cluster, random: &mut random }.work_off();
    });
    steps.conclude();
}

struct Story<'a> {
    scene: Scene<'a>,
    cluster: &'a Cluster,
    random: &'a mut Random,
}

impl Story<'_> {
    fn tell(mut self) {
        let settings = self.scene.settings(Guarantee::ExactlyOnce).batches_of(100);
        let settings = settings.kafka("session.timeout.ms", 10_000).kafka("heartbeat.interval.ms", 500);
        let mut steady = self.scene.run(&settings.clone().text("transactions.instance_id", "steady"), &[]);
        let guest = settings.text("transactions.instance_id", "guest");
        let (mut hit_at_work, mut visits) = (0, 0);
        let mut visitor: Option<Run> = None;
        for round in 0..rounds() {
            // While all nodes are there, so that the input has each record once.
            self.cluster.wait_until_ready().expect("three nodes");
            let fed = (round + 1) * records_a_round();
            self.scene.fill(fed - records_a_round()..fed);
            self.make_a_move(&mut visitor, &guest, &mut visits);
            thread::sleep(self.random.millis(500));
            hit_at_work += u64::from(self.scene.committed() < fed);
            let node = self.cluster.node((round % 3) as usize);
            node.kill().expect("killing a node");
            let killed = Instant::now();
            self.make_a_move(&mut visitor, &guest, &mut visits);
            let down = Duration::from_secs(1) + self.random.millis(2000);
            thread::sleep(down.saturating_sub(killed.elapsed()));
            node.restart().expect("starting a node");
            assert!(steady.is_alive(), "it ended in round {round}:\n{}", steady.stderr());
        }
        println!(
            "       {hit_at_work} of {} kills hit a group at work; another member was there {visits} times",
            rounds()
        );
        assert!(hit_at_work * 2 >= rounds(), "too few kills hit a group at work");
        assert!(visits * 2 >= rounds(), "the other member was there too seldom");
        self.cluster.wait_until_ready().expect("three nodes");
        let begun = Instant::now();
        let behind = rounds() * records_a_round() - self.scene.committed();
        self.scene.wait_until_caught_up(CAUGHT_UP);
        println!(
            "       caught up with {behind} records {:.1} s after the last node was back",
            begun.elapsed().as_secs_f64()
        );
        if let Some(visitor) = visitor {
            visitor.stop(Duration::from_secs(45));
        }
        assert!(steady.is_alive(), "it ended:\n{}", steady.stderr());
        steady.stop(Duration::from_secs(45));
        self.scene.assert_exactly_once(0..rounds() * records_a_round());
    }

    /// With ksem's own defaults for everything that decides how much is in flight.
    fn work_off(mut self) {
        let records = 250_000 * scale();
        self.cluster.wait_until_ready().expect("three nodes");
        self.scene.fill(0..records);
        let settings = self.scene.settings(Guarantee::ExactlyOnce);
        let mut steady = self.scene.run(&settings.clone().text("transactions.instance_id", "steady"), &[]);
        let guest = settings.text("transactions.instance_id", "guest");
        let (mut kills, mut visits) = (0, 0);
        let mut visitor: Option<Run> = None;
        wait_until("it works", CAUGHT_UP, || self.scene.committed() > 0);
        while self.scene.committed() < records {
            let killed = Instant::now();
            let node = self.cluster.node((kills % 3) as usize);
            node.kill().expect("killing a node");
            kills += 1;
            thread::sleep(Duration::from_secs(1) + self.random.millis(2000));
            node.restart().expect("starting a node");
            self.make_a_move(&mut visitor, &guest, &mut visits);
            self.cluster.wait_until_ready().expect("three nodes");
            assert!(steady.is_alive(), "it ended after {kills} kills:\n{}", steady.stderr());
            assert!(kills < 30, "{} of {records} after {kills} kills:\n{}", self.scene.committed(), steady.stderr());
            while killed.elapsed() < Duration::from_secs(10) && self.scene.committed() < records {
                thread::sleep(Duration::from_millis(100));
            }
        }
        println!("       worked off within {kills} kills; another member was there {visits} times");
        if let Some(visitor) = visitor {
            visitor.stop(Duration::from_secs(45));
        }
        steady.stop(Duration::from_secs(45));
        self.scene.assert_exactly_once(0..records);
    }

    /// The other member comes, or goes if it is there.
    fn make_a_move(&mut self, visitor: &mut Option<Run>, guest: &Settings, visits: &mut u64) {
        let counters = self.scene.folder().join(format!("visit-{visits}.json"));
        let Some(mut run) = visitor.take() else {
            *visits += 1;
            let counters = self.scene.folder().join(format!("visit-{visits}.json")).display().to_string();
            *visitor = Some(self.scene.run(guest, &["--metrics-json", &counters]));
            return;
        };
        wait_until("the other member has joined", CAUGHT_UP, || {
            assert!(run.is_alive(), "the other member ended:\n{}", run.stderr());
            fs::read_to_string(&counters).is_ok_and(|text| !text.contains("\"rebalances\": 0,"))
        });
        thread::sleep(self.random.millis(1000));
        // It has to leave in good order although a node may be down.
        let asked = Instant::now();
        run.stop(Duration::from_secs(45));
        println!("       the other member left within {:.1} s", asked.elapsed().as_secs_f64());
    }
}
