//! The network between ksem and its broker goes wrong in every way that a proxy can bring about, under each guarantee.

use std::thread;
use std::time::Duration;

use ksem::Guarantee;
use ksem_testkit::proxy::{Action, Api, Fault, Frames, Proxy, Side};
use ksem_testkit::{Cluster, ClusterConfig};
use ksem_tests::{Run, Scene, Steps, wait_until};

const RECORDS: u64 = 6000;
const PATIENCE: Duration = Duration::from_secs(90);
const ALL: &[Guarantee] = &[Guarantee::AtMostOnce, Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];
/// Of those whose producer has sequence numbers.
const IDEMPOTENT: &[Guarantee] = &[Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];

/// A row of `docs/guarantees.md`.
struct Row {
    name: &'static str,
    guarantees: &'static [Guarantee],
    frames: fn(Frames) -> Frames,
    of: (Option<Api>, Side),
    action: Action,
    /// How many hits there are at least.
    hits: u64,
}

#[test]
fn every_guarantee_survives_its_network() {
    let proxy = Proxy::listen(1).expect("a port");
    let cluster = Cluster::start(&ClusterConfig::one().proxies(proxy.ports())).expect("one node");
    proxy.lead_to(cluster.behind_proxies());
    let mut steps = Steps::new();
    let often: fn(Frames) -> Frames = |frames| frames.skip(20).every(30).always();
    let row = |name, of, frames, action| Row { name, guarantees: ALL, frames, of, action, hits: 2 };
    let rows = [
        row("25: connections die under requests", (None, Side::Request), often, Action::Cut),
        row("25: connections die under responses", (None, Side::Response), often, Action::Cut),
        row("28: requests are torn", (None, Side::Request), often, Action::Truncate(9)),
        row("28: responses are torn", (None, Side::Response), often, Action::Truncate(9)),
        row(
            "28: a slow line",
            (None, Side::Response),
            Frames::always,
            Action::Throttle { bytes: 8 << 10, pause: Duration::from_millis(5) },
        ),
        row(
            "26: requests are late",
            (None, Side::Request),
            |frames| frames.every(4).always(),
            Action::Delay(Duration::from_millis(80)),
        ),
        Row {
            guarantees: IDEMPOTENT,
            ..row("outputs arrive twice", (Some(Api::Produce), Side::Request), Frames::always, Action::Duplicate)
        },
        Row {
            hits: 1,
            ..row(
                "20, 23, 24: responses are lost",
                (None, Side::Response),
                |frames| frames.skip(60).times(3),
                Action::Drop,
            )
        },
    ];
    for row in &rows {
        steps.step(row.name, || {
            each(row.guarantees, |guarantee| {
                let scene = Scene::new(&cluster, &name(row.name, guarantee), 2);
                row.play(&proxy, &scene, guarantee);
            });
        });
    }
    steps.step("26: nothing gets through for eight seconds", || {
        each(ALL, |guarantee| {
            let scene = Scene::new(&cluster, &name("silence", guarantee), 2);
            silence(&proxy, &scene, guarantee);
        });
    });
    steps.step("every fault hit", || proxy.assert_every_fault_hit());
    steps.conclude();
}

fn name(row: &str, guarantee: Guarantee) -> String {
    let words = row.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!("{words}-{guarantee}").to_lowercase()
}

/// All of them at the same time.
fn each(guarantees: &[Guarantee], work: impl Fn(Guarantee) + Sync) {
    thread::scope(|scope| {
        let threads: Vec<_> = guarantees.iter().map(|guarantee| scope.spawn(|| work(*guarantee))).collect();
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

impl Row {
    fn play(&self, proxy: &Proxy, scene: &Scene<'_>, guarantee: Guarantee) {
        scene.fill(0..RECORDS);
        let client = scene.group();
        let (api, side) = self.of;
        let frames = api.map_or_else(|| Frames::any(side), |api| Frames::of(api, side)).client(&client);
        let fault = proxy.inject((self.frames)(frames), self.action.clone());
        let run = start(scene, guarantee, &client);
        run.wait(PATIENCE).assert(0, &[]);
        judge(scene, guarantee, &fault, self.hits);
    }
}

/// Connections stay open, and what is sent arrives nowhere.
fn silence(proxy: &Proxy, scene: &Scene<'_>, guarantee: Guarantee) {
    scene.fill(0..RECORDS);
    let client = scene.group();
    let run = start(scene, guarantee, &client);
    wait_until("it works", PATIENCE, || scene.committed() > 0);
    let held = proxy.hold(Frames::any(Side::Request).client(&client).always());
    assert!(held.wait(PATIENCE), "it is silent by itself:\n{}", run.stderr());
    thread::sleep(Duration::from_secs(8));
    let before = scene.committed();
    assert!(before < RECORDS, "it was done before the silence");
    let hits = held.hits();
    held.cut();
    run.wait(PATIENCE).assert(0, &[]);
    println!("       {guarantee}: {hits} requests were held with {before} records committed");
    assert_kept(scene, guarantee);
}

fn start(scene: &Scene<'_>, guarantee: Guarantee, client: &str) -> Run {
    let settings = scene.settings(guarantee).batches_of(50).kafka("client.id", client);
    // So that a lost response is noticed while the test is patient.
    let settings = settings.kafka("socket.timeout.ms", 4000).kafka("session.timeout.ms", 20_000);
    scene.run(&settings, &["--until-caught-up"])
}

fn judge(scene: &Scene<'_>, guarantee: Guarantee, fault: &Fault, least: u64) {
    println!("       {guarantee}: {} hits", fault.hits());
    assert!(fault.hits() >= least, "the fault hit {} times, and the row needs {least}", fault.hits());
    assert_kept(scene, guarantee);
}

fn assert_kept(scene: &Scene<'_>, guarantee: Guarantee) {
    for audit in scene.audits(0..RECORDS) {
        match guarantee {
            Guarantee::AtMostOnce => assert!(audit.is_at_most_once(), "{audit}"),
            Guarantee::AtLeastOnce => assert!(audit.is_at_least_once(), "{audit}"),
            Guarantee::ExactlyOnce => audit.assert_exactly_once(),
        }
    }
}
