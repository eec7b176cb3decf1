//! Several pipelines in one group, in one process: they share the input, and rebalances lose and repeat nothing.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ksem::{Applied, Batch, Guarantee, HandlerResult, Output, Pipeline};
use ksem_testkit::{Cluster, ClusterConfig};
use ksem_tests::{Scene, Settings, Steps, scale, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn pipelines_of_one_group_share_the_input() {
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    let mut steps = Steps::new();
    for (strategy, guarantee) in [
        ("cooperative-sticky", Guarantee::ExactlyOnce),
        ("range", Guarantee::ExactlyOnce),
        ("roundrobin", Guarantee::ExactlyOnce),
        ("cooperative-sticky", Guarantee::AtLeastOnce),
        ("range", Guarantee::AtLeastOnce),
    ] {
        let name = format!("{strategy}, {guarantee}: members come and go");
        steps.step(&name, || come_and_go(&cluster, strategy, guarantee));
    }
    for strategy in ["cooperative-sticky", "range"] {
        steps.step(&format!("{strategy}: a batch in flight is committed before its partition moves"), || {
            committed_in_time(&cluster, strategy);
        });
        steps.step(&format!("{strategy}: a batch that is too slow for a rebalance never commits"), || {
            too_slow(&cluster, strategy);
        });
    }
    steps.step("a batch that nobody processes goes to the other member", || held(&cluster));
    steps.conclude();
}

fn open(settings: &Settings) -> Pipeline {
    Pipeline::open(settings.config()).expect("opening a pipeline")
}

fn copy(outputs: &[String; 2], batch: &Batch, output: &mut Output) {
    for index in 0..batch.len() {
        outputs.iter().for_each(|topic| output.forward(topic, index));
    }
}

/// Runs a pipeline in a thread while `meanwhile` looks at it, stops it and closes it.
fn while_running(
    pipeline: &Pipeline,
    handler: impl Fn(&Batch, &mut Output) -> HandlerResult + Sync,
    meanwhile: impl FnOnce(&Pipeline),
) {
    thread::scope(|scope| {
        let running = scope.spawn(|| pipeline.run(&handler));
        let stop = StopOnDrop(pipeline);
        meanwhile(pipeline);
        drop(stop);
        running.join().expect("the thread").expect("running");
    });
    pipeline.close().expect("closing");
}

/// A failed assertion must not leave the other thread running.
struct StopOnDrop<'a>(&'a Pipeline);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn come_and_go(cluster: &Cluster, strategy: &str, guarantee: Guarantee) {
    let visits = 3 * scale();
    let scene = Scene::new(cluster, &format!("{strategy}-{guarantee}"), 6);
    let settings = scene.settings(guarantee).batches_of(50).text("rebalance.strategy", strategy);
    // How soon members learn of a rebalance.
    let settings = settings.kafka("heartbeat.interval.ms", 300);
    let outputs = scene.outputs();
    let handler = |batch: &Batch, output: &mut Output| -> HandlerResult {
        thread::sleep(Duration::from_millis(5));
        copy(&outputs, batch, output);
        Ok(())
    };
    let fed = AtomicU64::new(0);
    while_running(&open(&settings), handler, |first| {
        let feeding = Feeding { scene: &scene, fed: &fed, stop: AtomicBool::new(false) };
        feeding.during(|| {
            wait_until("the first member works", PATIENCE, || first.metrics().batches > 5);
            for _ in 0..visits {
                let rebalances = first.metrics().rebalances;
                let second = open(&settings);
                assert_ne!(second.instance_id(), first.instance_id(), "two members on one host");
                while_running(&second, handler, |second| {
                    wait_until("the second member works", PATIENCE, || second.metrics().batches > 5);
                    let before = first.metrics().batches;
                    wait_until("so does the first", PATIENCE, || first.metrics().batches > before + 5);
                });
                assert!(first.metrics().rebalances > rebalances, "the first member took part in a rebalance");
                let before = first.metrics().batches;
                wait_until("the first member goes on", PATIENCE, || first.metrics().batches > before + 5);
            }
        });
        scene.wait_until_caught_up(PATIENCE);
    });
    for audit in scene.audits(0..fed.into_inner()) {
        match guarantee {
            Guarantee::ExactlyOnce => audit.assert_exactly_once(),
            // A batch that could not be committed because its partition moved may be repeated.
            _ => assert!(audit.is_at_least_once(), "{audit}"),
        }
    }
}

/// Keeps the input ahead of the group.
struct Feeding<'a> {
    scene: &'a Scene<'a>,
    fed: &'a AtomicU64,
    stop: AtomicBool,
}

impl Feeding<'_> {
    const CHUNK: u64 = 2000;

    fn during(&self, work: impl FnOnce()) {
        thread::scope(|scope| {
            scope.spawn(|| self.feed());
            let result = catch_unwind(AssertUnwindSafe(work));
            self.stop.store(true, Ordering::SeqCst);
            result.unwrap_or_else(|panic| resume_unwind(panic));
        });
    }

    fn feed(&self) {
        while !self.stop.load(Ordering::SeqCst) {
            let fed = self.fed.load(Ordering::SeqCst);
            if fed < self.scene.committed() + 2 * Self::CHUNK {
                self.scene.fill(fed..fed + Self::CHUNK);
                self.fed.store(fed + Self::CHUNK, Ordering::SeqCst);
            } else {
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Two partitions and one lane: every batch has records of both, so any rebalance meets it.
fn pair<'a>(cluster: &'a Cluster, name: &str, strategy: &str, deadline_ms: u64) -> (Scene<'a>, Settings) {
    let scene = Scene::new(cluster, name, 2);
    scene.fill(0..200);
    let settings = scene.settings(Guarantee::ExactlyOnce).set("transactions.lanes", 1).set("batch.linger_ms", 1000);
    let settings = settings.kafka("heartbeat.interval.ms", 300);
    (scene, settings.set("rebalance.deadline_ms", deadline_ms).text("rebalance.strategy", strategy))
}

fn whole_batch(pipeline: &Pipeline) -> Batch {
    let batch = pipeline.poll(PATIENCE).expect("polling").expect("a batch");
    let partitions: BTreeSet<i32> = batch.records().map(|record| record.partition).collect();
    assert_eq!((batch.len(), partitions.len()), (200, 2), "{batch:?}");
    batch
}

fn committed_in_time(cluster: &Cluster, strategy: &str) {
    let (scene, settings) = pair(cluster, &format!("in-time-{strategy}"), strategy, 30_000);
    let outputs = scene.outputs();
    let first = open(&settings);
    let batch = whole_batch(&first);
    let calls = Mutex::new(0);
    let quick = |batch: &Batch, output: &mut Output| -> HandlerResult {
        *calls.lock().expect("a number") += 1;
        copy(&outputs, batch, output);
        Ok(())
    };
    while_running(&open(&settings), quick, |second| {
        let report = first.process(batch, Guarantee::ExactlyOnce, |batch, output| {
            // The other member waits for these partitions all this time.
            thread::sleep(Duration::from_secs(2));
            assert_eq!(second.metrics().batches, 0);
            copy(&outputs, batch, output);
            Ok(())
        });
        let report = report.expect("processing");
        assert_eq!((report.applied, report.attempts), (Applied::Applied, 1), "{report:?}");
        // What comes now is shared.
        scene.fill(200..1000);
        while_running(&first, quick, |first| {
            wait_until("both work", PATIENCE, || first.metrics().batches > 1 && second.metrics().batches > 0);
            scene.wait_until_caught_up(PATIENCE);
        });
    });
    assert!(*calls.lock().expect("a number") > 1);
    scene.assert_exactly_once(0..1000);
}

fn too_slow(cluster: &Cluster, strategy: &str) {
    let (scene, settings) = pair(cluster, &format!("too-slow-{strategy}"), strategy, 300);
    let outputs = scene.outputs();
    let first = open(&settings);
    let batch = whole_batch(&first);
    let quick = |batch: &Batch, output: &mut Output| -> HandlerResult {
        copy(&outputs, batch, output);
        Ok(())
    };
    while_running(&open(&settings), quick, |second| {
        let report = first.process(batch, Guarantee::ExactlyOnce, |batch, output| {
            wait_until("the other member has taken a partition over", PATIENCE, || second.metrics().batches > 0);
            copy(&outputs, batch, output);
            Ok(())
        });
        let report = report.expect("processing");
        assert_eq!(report.applied, Applied::Redelivered, "{report:?}");
        assert!(report.offsets.is_empty(), "{report:?}");
        assert_eq!(first.metrics().batches_revoked, 1);
        // The partition that stayed is delivered again.
        while_running(&first, quick, |_| scene.wait_until_caught_up(PATIENCE));
    });
    scene.assert_exactly_once(0..200);
}

fn held(cluster: &Cluster) {
    let (scene, settings) = pair(cluster, "held", "cooperative-sticky", 300);
    let outputs = scene.outputs();
    let first = open(&settings);
    let batch = whole_batch(&first);
    let quick = |batch: &Batch, output: &mut Output| -> HandlerResult {
        copy(&outputs, batch, output);
        Ok(())
    };
    while_running(&open(&settings), quick, |second| {
        wait_until("the other member has taken a partition over", PATIENCE, || second.metrics().batches > 0);
        let report = first.process(batch, Guarantee::ExactlyOnce, quick);
        assert_eq!(report.expect("processing").applied, Applied::Redelivered);
        // What this member still has comes again; what it has not, does not.
        let again = first.poll(PATIENCE).expect("polling").expect("a batch");
        let partitions: BTreeSet<i32> = again.records().map(|record| record.partition).collect();
        assert_eq!((again.len(), partitions.len()), (100, 1), "{again:?}");
        let report = first.process(again, Guarantee::ExactlyOnce, quick).expect("processing");
        assert_eq!(report.applied, Applied::Applied, "{report:?}");
        scene.wait_until_caught_up(PATIENCE);
        first.close().expect("closing");
    });
    scene.assert_exactly_once(0..200);
}
