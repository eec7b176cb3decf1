//! Scenario 21: the request that ends a transaction is delayed, its client asks again and is answered, the next
//! transaction begins, and then the first request arrives (KAFKA-17754).
//!
//! Each variant is told twice: by ksem as it is, which replaces its producer, and by ksem with that protection taken out,
//! where it has to go wrong. Otherwise the test would show nothing.

use std::path::Path;
use std::thread;
use std::time::Duration;

use ksem::{Guarantee, Mutation};
use ksem_testkit::proxy::{Action, Api, Fault, Frames, Proxy, Side};
use ksem_testkit::{Cluster, ClusterConfig, Isolation, reader};
use ksem_tests::{Run, Scene, Settings, Steps, wait_until};

const RECORDS: u64 = 3000;
/// Records of a transaction.
const UNIT: u64 = 500;
const PATIENCE: Duration = Duration::from_secs(60);
/// What Kafka answers a producer whose epoch is over.
const INVALID_PRODUCER_EPOCH: i16 = 47;
const PRODUCER_FENCED: i16 = 90;
/// What TxnOffsetCommit is answered with, to have a transaction aborted that has something in it.
const ILLEGAL_GENERATION: i16 = 22;
/// Where the code of the only partition is in that answer: behind it are three counts of tagged fields.
const CODE_FROM_END: usize = 5;

#[test]
fn a_late_end_of_a_transaction_does_not_end_the_next_one() {
    let proxy = Proxy::listen(1).expect("a port");
    let cluster = Cluster::start(&ClusterConfig::one().proxies(proxy.ports())).expect("one node");
    proxy.lead_to(cluster.behind_proxies());
    let stage = Stage { cluster: &cluster, proxy: &proxy };
    let variants: [(&str, Variant); 3] = [
        ("it commits the next one", commits_the_next_one),
        ("it commits the next one, and the client crashes", crashes_behind_it),
        ("it aborts the next one", aborts_the_next_one),
    ];
    let mut steps = Steps::new();
    let results = thread::scope(|scope| {
        let stage = &stage;
        let mut started = Vec::new();
        for (number, (name, variant)) in variants.into_iter().enumerate() {
            for protection in [Protection::On, Protection::Off] {
                let work = move || variant(&Case::new(stage, &format!("late-{number}-{protection:?}"), protection));
                started.push((format!("{name}, protection {protection:?}"), scope.spawn(work)));
            }
        }
        started.into_iter().map(|(name, thread)| (name, thread.join())).collect::<Vec<_>>()
    });
    for (name, result) in results {
        steps.step(&name, || result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    }
    steps.step("every fault hit", || proxy.assert_every_fault_hit());
    steps.conclude();
}

type Variant = fn(&Case<'_>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protection {
    On,
    Off,
}

struct Stage<'a> {
    cluster: &'a Cluster,
    proxy: &'a Proxy,
}

struct Case<'a> {
    stage: &'a Stage<'a>,
    scene: Scene<'a>,
    client: String,
    protection: Protection,
}

impl<'a> Case<'a> {
    fn new(stage: &'a Stage<'a>, name: &str, protection: Protection) -> Self {
        let scene = Scene::new(stage.cluster, name, 1);
        scene.fill(0..RECORDS);
        Self { stage, scene, client: name.to_owned(), protection }
    }

    fn settings(&self) -> Settings {
        let settings = self.scene.settings(Guarantee::ExactlyOnce).batches_of(UNIT);
        settings
            .set("transactions.lanes", 1)
            .set("transactions.in_flight", 1)
            .text("transactions.instance_id", "one")
            // Outputs leave as soon as they are handed over, in front of the offsets.
            .kafka("linger.ms", 5)
            .kafka("client.id", &self.client)
            // A successor does not wait long for the place of the one that was killed.
            .kafka("session.timeout.ms", 10_000)
            .kafka("heartbeat.interval.ms", 1000)
    }

    /// Starts a run that freezes itself in its second transaction, with outputs that have arrived and without offsets. It
    /// has the bug if the protection is to be off.
    fn run(&self) -> Run {
        let mut harm = vec!["freeze", "Enqueue", "2", "settle", "2500"];
        let bug = format!("{:?}", Mutation::EndTxnRetryIgnored);
        if self.protection == Protection::Off {
            harm.extend(["mutation", &bug]);
        }
        let worker = Path::new(env!("CARGO_BIN_EXE_ksem-test-worker"));
        self.scene.run_program(worker, &self.settings(), &harm)
    }

    fn hold_end_txn(&self) -> Fault {
        self.stage.proxy.hold(Frames::of(Api::EndTxn, Side::Request).client(&self.client))
    }

    /// Lets the first copy go, while the next transaction is open, and checks what became of it.
    fn release(&self, late: &Fault) {
        late.release();
        let answer = late.answer(PATIENCE).expect("an answer to the late request");
        // Length, correlation id, throttle time.
        let code = i16::from_be_bytes([answer[12], answer[13]]);
        match self.protection {
            Protection::On => {
                assert!([INVALID_PRODUCER_EPOCH, PRODUCER_FENCED].contains(&code), "it is answered {code}");
            }
            Protection::Off => assert_eq!(code, 0, "the late request was refused: the fault did not hit"),
        }
    }

    /// The rest is done by a successor.
    fn finish(&self) {
        self.scene.run(&self.settings(), &["--until-caught-up"]).wait(PATIENCE).assert(0, &[]);
    }

    /// Records that are visible in the first output now, as often as they are.
    fn visible(&self) -> u64 {
        let bootstrap = self.stage.cluster.direct_bootstrap();
        let topic = &self.scene.outputs()[0];
        reader::read_topic(bootstrap, topic, Isolation::ReadCommitted).expect("reading an output").len() as u64
    }

    /// Fails unless so many input records are committed and so many outputs are visible, soon: the markers of a
    /// transaction are written behind the answer to its end.
    #[track_caller]
    fn assert_there(&self, committed: u64, visible: u64) {
        wait_until(&format!("{committed} are committed and {visible} visible"), Duration::from_secs(10), || {
            (self.scene.committed(), self.visible()) == (committed, visible)
        });
    }
}

/// Holds the first request for the end of the first transaction until the run is frozen in the second one.
fn frozen_in_the_second(case: &Case<'_>) -> (Run, Fault) {
    let late = case.hold_end_txn();
    let all = Frames::of(Api::EndTxn, Side::Request).client(&case.client).always();
    let sent = case.stage.proxy.inject(all, Action::Watch);
    let run = case.run();
    assert!(late.wait(PATIENCE), "no EndTxn came:\n{}", run.stderr());
    late.orphan();
    run.wait_until_paused(PATIENCE);
    assert!(sent.hits() >= 2, "EndTxn was sent {} times", sent.hits());
    (run, late)
}

fn commits_the_next_one(case: &Case<'_>) {
    let (run, late) = frozen_in_the_second(case);
    case.assert_there(UNIT, UNIT);
    case.release(&late);
    match case.protection {
        Protection::On => {
            case.assert_there(UNIT, UNIT);
            run.resume();
            run.wait(PATIENCE).assert(0, &["producers rebuilt: 1"]);
            case.scene.assert_exactly_once(0..RECORDS);
        }
        // Outputs of a transaction that is not done are there, and its offsets are not: torn.
        Protection::Off => case.assert_there(UNIT, 2 * UNIT),
    }
}

fn crashes_behind_it(case: &Case<'_>) {
    let (mut run, late) = frozen_in_the_second(case);
    case.release(&late);
    run.kill();
    case.finish();
    match case.protection {
        Protection::On => case.scene.assert_exactly_once(0..RECORDS),
        Protection::Off => {
            for audit in case.scene.audits(0..RECORDS) {
                assert_eq!(audit.repeated.count, UNIT, "the second unit is there twice: {audit}");
            }
        }
    }
}

fn aborts_the_next_one(case: &Case<'_>) {
    let refusal = Frames::of(Api::TxnOffsetCommit, Side::Response).client(&case.client);
    let code = Action::Overwrite { from_end: CODE_FROM_END, bytes: ILLEGAL_GENERATION.to_be_bytes().to_vec() };
    let refused = case.stage.proxy.inject(refusal, code);
    let (run, late) = frozen_in_the_second(case);
    assert_eq!(refused.hits(), 1);
    // The first transaction was aborted.
    case.assert_there(0, 0);
    case.release(&late);
    run.resume();
    run.wait(PATIENCE).assert(0, &[]);
    match case.protection {
        Protection::On => case.scene.assert_exactly_once(0..RECORDS),
        Protection::Off => {
            // Its offsets were committed without its outputs.
            for audit in case.scene.audits(0..RECORDS) {
                assert_eq!(audit.missing.count, UNIT, "the first unit is lost: {audit}");
            }
        }
    }
}
