//! A run is frozen inside a transaction for longer than its session and its transaction may last, and goes on later.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use ksem::Guarantee;
use ksem_testkit::{Cluster, ClusterConfig};
use ksem_tests::{Run, Scene, Settings, Steps, wait_until};

const RECORDS: u64 = 20_000;
const TRANSACTION_MS: u64 = 3000;
const SESSION_MS: u64 = 6000;
/// Both are over by then, and the broker has noticed.
const LONG: Duration = Duration::from_millis(SESSION_MS + 2500);
const PATIENCE: Duration = Duration::from_secs(60);

/// Copies each record to both outputs. While the file `hold` is there, it says so in the file `holding` and waits.
const HANDLER: &str = r#"
import json, os, sys, time
folder, outputs = sys.argv[1], sys.argv[2:]
hold, holding = os.path.join(folder, "hold"), os.path.join(folder, "holding")
for line in sys.stdin:
    record = json.loads(line)
    if "end" not in record:
        for topic in outputs:
            print(json.dumps({"topic": topic, "key": record["key"], "value": record["value"]}))
        continue
    if os.path.exists(hold):
        open(holding, "w").close()
        while os.path.exists(hold):
            time.sleep(0.01)
    print(line, end="", flush=True)
"#;

#[test]
fn a_frozen_run_does_no_harm() {
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    let mut steps = Steps::new();
    type Work = fn(&Cluster);
    // Most of their time is waiting for time-outs, so they wait together.
    let together: [(&str, Work); 8] = [
        ("same instance, frozen in the handler, resumed beside its successor", |cluster| {
            beside_its_successor(&Case::exec(cluster, "exec-beside"));
        }),
        ("same instance, frozen in the handler, resumed when its successor has left", |cluster| {
            after_its_successor(&Case::exec(cluster, "exec-after"));
        }),
        ("same instance, frozen before the commit, resumed beside its successor", |cluster| {
            beside_its_successor(&Case::at_step(cluster, "offsets-beside", "SendOffsets"));
        }),
        ("same instance, frozen after producing, resumed when its successor has left", |cluster| {
            after_its_successor(&Case::at_step(cluster, "produce-after", "Produce"));
        }),
        ("another instance, frozen in the handler", |cluster| another_instance(&Case::exec(cluster, "exec-another"))),
        ("another instance, frozen before the commit", |cluster| {
            another_instance(&Case::at_step(cluster, "offsets-another", "SendOffsets"));
        }),
        ("no successor, the transaction has timed out", |cluster| {
            nobody_else(&Case::at_step(cluster, "timeout", "Produce"), Duration::from_millis(TRANSACTION_MS + 1500));
        }),
        ("no successor, the transaction and the session have timed out", |cluster| {
            nobody_else(&Case::at_step(cluster, "timeouts", "SendOffsets"), LONG);
        }),
    ];
    let results = thread::scope(|scope| {
        let only = std::env::var("KSEM_TEST_ONLY").unwrap_or_default();
        let start = |(name, work): (&'static str, Work)| {
            let wanted = name.contains(&only);
            let cluster = &cluster;
            (
                name,
                scope.spawn(move || {
                    if wanted {
                        work(cluster);
                    }
                }),
            )
        };
        let started: Vec<_> = together.into_iter().map(start).collect();
        started.into_iter().map(|(name, thread)| (name, thread.join())).collect::<Vec<_>>()
    });
    for (name, result) in results {
        steps.step(name, || result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    }
    steps.conclude();
}

/// How the zombie is frozen.
enum Freeze {
    /// From outside, while its handler is at work.
    InHandler,
    /// By itself, right after a step.
    After(&'static str),
}

struct Case<'a> {
    scene: Scene<'a>,
    freeze: Freeze,
}

impl<'a> Case<'a> {
    fn exec(cluster: &'a Cluster, name: &str) -> Self {
        Self::new(cluster, name, Freeze::InHandler)
    }

    fn at_step(cluster: &'a Cluster, name: &str, step: &'static str) -> Self {
        Self::new(cluster, name, Freeze::After(step))
    }

    fn new(cluster: &'a Cluster, name: &str, freeze: Freeze) -> Self {
        let scene = Scene::new(cluster, name, 2);
        scene.fill(0..RECORDS);
        Self { scene, freeze }
    }

    fn settings(&self, instance: &str) -> Settings {
        let settings = self.scene.settings(Guarantee::ExactlyOnce);
        settings
            .batches_of(500)
            .set("transactions.timeout_ms", TRANSACTION_MS)
            .text("transactions.instance_id", instance)
            .kafka("session.timeout.ms", SESSION_MS)
            .kafka("heartbeat.interval.ms", 1000)
    }

    /// Starts a run and freezes it inside a transaction.
    fn frozen(&self, instance: &str) -> Run {
        let settings = self.settings(instance);
        match self.freeze {
            Freeze::InHandler => {
                let folder = self.scene.folder();
                let script = self.scene.file("handler.py", HANDLER);
                let [a, b] = self.scene.outputs();
                let command = format!("exec python3 {script} {} {a} {b}", folder.display());
                let settings = settings.no_routes().set("exec.timeout_ms", TRANSACTION_MS - 100);
                let run = self.scene.run(&settings, &["--exec", &command]);
                wait_until("it works", PATIENCE, || self.scene.committed() > 0);
                fs::write(folder.join("hold"), "").expect("a file");
                wait_until("the handler holds a batch", PATIENCE, || folder.join("holding").exists());
                run.pause();
                run
            }
            Freeze::After(step) => {
                let worker = Path::new(env!("CARGO_BIN_EXE_ksem-test-worker"));
                // The third time: it has committed before.
                let run =
                    self.scene.run_program(worker, &settings.set("transactions.lanes", 1), &["freeze", step, "3"]);
                run.wait_until_paused(PATIENCE);
                run
            }
        }
    }

    fn resume(&self, zombie: &Run) {
        zombie.resume();
        if matches!(self.freeze, Freeze::InHandler) {
            fs::remove_file(self.scene.folder().join("hold")).expect("removing a file");
        }
    }

    /// The exit status of an error about the transaction: the worker exits with the error's class.
    fn transaction_status(&self) -> i32 {
        match self.freeze {
            Freeze::InHandler => 4,
            Freeze::After(_) => 3,
        }
    }
}

/// A successor with the same instance id is at work when the zombie goes on.
fn beside_its_successor(case: &Case<'_>) {
    let zombie = case.frozen("one");
    let before = case.scene.committed();
    thread::sleep(LONG);
    // Small batches and one lane, so that it is still at work when the zombie wakes.
    let slow = case.settings("one").batches_of(10).set("transactions.lanes", 1);
    let mut successor = case.scene.run(&slow, &[]);
    wait_until("the successor works", PATIENCE, || case.scene.committed() > before);
    case.resume(&zombie);
    let ended = zombie.wait(PATIENCE);
    ended.assert(case.transaction_status(), &["[3001 producer_fenced]", "transactions.instance_id"]);
    let done = case.scene.committed();
    assert!(done < RECORDS, "the successor had nothing left to do when the zombie ended");
    wait_until("the successor goes on", PATIENCE, || case.scene.committed() > done + 100);
    assert!(successor.is_alive(), "the successor ended:\n{}", successor.stderr());
    successor.stop(PATIENCE);
    // The rest, faster.
    case.scene.run(&case.settings("one"), &["--until-caught-up"]).wait(PATIENCE).assert(0, &[]);
    case.scene.assert_exactly_once(0..RECORDS);
}

/// A successor with the same instance id came, did the rest and left before the zombie goes on.
fn after_its_successor(case: &Case<'_>) {
    let zombie = case.frozen("one");
    thread::sleep(LONG);
    case.scene.run(&case.settings("one"), &["--until-caught-up"]).wait(PATIENCE).assert(0, &[]);
    case.resume(&zombie);
    zombie.wait(PATIENCE).assert(case.transaction_status(), &["[3001 producer_fenced]", "transactions.instance_id"]);
    case.scene.assert_exactly_once(0..RECORDS);
}

/// A successor with another instance id took the partitions: the zombie may come back to the group.
fn another_instance(case: &Case<'_>) {
    let mut zombie = case.frozen("one");
    let before = case.scene.committed();
    thread::sleep(LONG);
    let slow = case.settings("two").batches_of(100).set("transactions.lanes", 1);
    let mut successor = case.scene.run(&slow, &[]);
    wait_until("the successor works", PATIENCE, || case.scene.committed() > before);
    case.resume(&zombie);
    case.scene.wait_until_caught_up(PATIENCE);
    assert!(successor.is_alive(), "the successor ended:\n{}", successor.stderr());
    match case.freeze {
        Freeze::InHandler => {
            assert!(zombie.is_alive(), "the zombie ended:\n{}", zombie.stderr());
            zombie.stop(PATIENCE);
        }
        // The worker ends when the group has caught up.
        Freeze::After(_) => zombie.wait(PATIENCE).assert(0, &[]),
    }
    successor.stop(PATIENCE);
    case.scene.assert_exactly_once(0..RECORDS);
}

/// Nobody took its place: it recovers without a restart.
fn nobody_else(case: &Case<'_>, frozen: Duration) {
    let zombie = case.frozen("one");
    thread::sleep(frozen);
    case.resume(&zombie);
    // It ends by itself when it has caught up.
    zombie.wait(PATIENCE).assert(0, &[]);
    case.scene.wait_until_caught_up(Duration::from_secs(1));
    case.scene.assert_exactly_once(0..RECORDS);
}
