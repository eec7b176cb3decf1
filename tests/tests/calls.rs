//! Handlers that run on threads of the caller's.

use std::sync::Arc;
use std::time::Duration;

use ksem::error::{Code, Outcome};
use ksem::{Applied, Calls, Guarantee, Next, Pipeline, Until};
use ksem_testkit::{Cluster, ClusterConfig};
use ksem_tests::{Scene, Settings, Steps};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn calls() {
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    let mut steps = Steps::new();
    for guarantee in Guarantee::ALL {
        steps.step(&format!("{guarantee}: a run whose handler is elsewhere"), || runs(&cluster, guarantee));
        steps.step(&format!("{guarantee}: a batch whose handler is elsewhere"), || processes(&cluster, guarantee));
    }
    steps.step("a batch that is given up comes again", || gives_up(&cluster));
    steps.step("a run that is given up has applied nothing of it", || gives_up_the_run(&cluster));
    steps.step("a pipeline that is closed, or runs already", || misuse(&cluster));
    steps.conclude();
}

fn open(settings: &Settings) -> Arc<Pipeline> {
    Arc::new(Pipeline::open(settings.config()).expect("opening a pipeline"))
}

/// Answers every call with a copy to both outputs; the first `failures` of them with an error.
fn answer<T: Send>(scene: &Scene<'_>, calls: &Calls<T>, mut failures: usize) {
    loop {
        match calls.next(PATIENCE) {
            Next::Over => return,
            Next::Idle => panic!("nothing came"),
            Next::Call(call) if failures > 0 => {
                failures -= 1;
                call.fail("not yet");
            }
            Next::Call(mut call) => {
                for index in 0..call.batch().len() {
                    scene.outputs().iter().for_each(|topic| call.output().forward(topic, index));
                }
                call.succeed();
            }
        }
    }
}

fn runs(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("runs-{guarantee}"), 4);
    scene.fill(0..20_000);
    let settings = scene.settings(guarantee).batches_of(500).set("retry.backoff_ms", 10);
    let pipeline = open(&settings);
    let calls = pipeline.run_calls(Until::CaughtUp).expect("running");
    // What fails under at-most-once is lost.
    answer(&scene, &calls, if guarantee == Guarantee::AtMostOnce { 0 } else { 2 });
    calls.finish().expect("a run");
    assert_eq!(pipeline.metrics().records_in, 20_000);
    pipeline.close().expect("closing");
    // Nothing was sent for a batch that failed, so even at-least-once repeats nothing here.
    scene.assert_exactly_once(0..20_000);
}

fn processes(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("process-{guarantee}"), 1);
    scene.fill(0..100);
    let pipeline = open(&scene.settings(guarantee).set("retry.backoff_ms", 10).set("batch.linger_ms", 500));
    let mut seen = 0;
    while seen < 100 {
        let batch = pipeline.poll(PATIENCE).expect("polling").expect("a batch");
        let calls = pipeline.process_calls(batch, guarantee).expect("processing");
        let failures = usize::from(guarantee != Guarantee::AtMostOnce);
        answer(&scene, &calls, failures);
        let report = calls.finish().expect("a report");
        assert_eq!((report.applied, report.attempts as usize), (Applied::Applied, 1 + failures));
        seen += report.records;
    }
    pipeline.close().expect("closing");
    scene.assert_exactly_once(0..100);
}

fn gives_up(cluster: &Cluster) {
    let scene = Scene::new(cluster, "gives-up", 1);
    scene.fill(0..100);
    let pipeline = open(&scene.settings(Guarantee::ExactlyOnce).set("batch.linger_ms", 500));
    let batch = pipeline.poll(PATIENCE).expect("polling").expect("a batch");
    let first = batch.record(0).offset;
    let calls = pipeline.process_calls(batch, Guarantee::ExactlyOnce).expect("processing");
    let Next::Call(call) = calls.next(PATIENCE) else { panic!("no call") };
    drop(call);
    let error = calls.finish().expect_err("it was given up");
    assert_eq!((error.code(), error.outcome()), (Code::HandlerCancelled, Outcome::NotApplied));
    let again = pipeline.poll(PATIENCE).expect("polling").expect("a batch");
    assert_eq!(again.record(0).offset, first);
    drop(again);
    let calls = pipeline.run_calls(Until::CaughtUp).expect("running");
    answer(&scene, &calls, 0);
    calls.finish().expect("a run");
    pipeline.close().expect("closing");
    scene.assert_exactly_once(0..100);
}

fn gives_up_the_run(cluster: &Cluster) {
    let scene = Scene::new(cluster, "gives-up-the-run", 2);
    scene.fill(0..1000);
    let settings = scene.settings(Guarantee::ExactlyOnce).batches_of(100);
    let pipeline = open(&settings);
    let calls = pipeline.run_calls(Until::CaughtUp).expect("running");
    let Next::Call(mut call) = calls.next(PATIENCE) else { panic!("no call") };
    call.output().send(&scene.outputs()[0], None, Some(b"half a batch"));
    drop(calls);
    // The lane has not waited for it; an answer that comes late changes nothing.
    call.succeed();
    let _ = pipeline.close();
    let pipeline = open(&settings);
    let calls = pipeline.run_calls(Until::CaughtUp).expect("running");
    answer(&scene, &calls, 0);
    calls.finish().expect("a run");
    pipeline.close().expect("closing");
    scene.assert_exactly_once(0..1000);
}

fn misuse(cluster: &Cluster) {
    let scene = Scene::new(cluster, "misuse", 1);
    let pipeline = open(&scene.settings(Guarantee::AtLeastOnce));
    let calls = pipeline.run_calls(Until::Stopped).expect("running");
    assert!(matches!(calls.next(Duration::from_millis(200)), Next::Idle));
    let second = pipeline.run(|_, _| Ok(())).expect_err("it runs already");
    assert_eq!(second.code(), Code::Misuse);
    pipeline.stop();
    assert!(matches!(calls.next(PATIENCE), Next::Over));
    calls.finish().expect("a run");
    pipeline.close().expect("closing");
    pipeline.close().expect("closing again");
    assert_eq!(pipeline.poll(Duration::ZERO).expect_err("closed").code(), Code::Misuse);
}
