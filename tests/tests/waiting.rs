//! Waiting for a broker takes no processor: somebody else needs it, often the broker.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use ksem::{Config, Guarantee, Pipeline};
use ksem_testkit::proxy::{Api, Frames, Side};
use ksem_tests::Steps;
use ksem_tests::conformance::{BrokerKind, Stage};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long the broker's answer is held back, and how much of that librdkafka's threads may work.
const HELD: Duration = Duration::from_millis(150);
const WORK: Duration = Duration::from_millis(50);

#[test]
fn a_response_is_waited_for_without_a_processor() {
    let stage = Stage::start(BrokerKind::Embedded).expect("a broker");
    let mut steps = Steps::new();
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        steps.step(guarantee.name(), || waits(&stage, guarantee));
    }
    steps.conclude();
}

/// A partition gets more than the one batch that an idempotent producer sends it at a time.
fn waits(stage: &Stage, guarantee: Guarantee) {
    let name = guarantee.name();
    let (input, output) = (format!("in-{name}"), format!("out-{name}"));
    for topic in [&input, &output] {
        stage.create_topic(topic, 1, &BTreeMap::new()).expect("a topic");
    }
    stage.fill(&input, 0..2, 1).expect("two records");
    let text = format!(
        "guarantee = \"{name}\"\ngroup = \"{name}\"\ninputs = [\"{input}\"]\nstart_from = \"earliest\"\n\
         [batch]\nmax_records = 1\n[kafka]\n\"bootstrap.servers\" = \"{}\"\n\"client.id\" = \"{name}\"\n",
        stage.bootstrap()
    );
    let config = Config::from_toml_str(&text, "the test's settings").expect("a configuration");
    let pipeline = Pipeline::open(config).expect("a pipeline");
    let value = vec![b'x'; 10_000];
    let process = || {
        let batch = pipeline.poll(PATIENCE).expect("polling").expect("a batch");
        let send = |_: &ksem::Batch, out: &mut ksem::Output| {
            (0..300).for_each(|_| out.send(&output, None, Some(&value)));
            Ok(())
        };
        pipeline.process(batch, guarantee, send).expect("a report");
    };
    // The producer learns how many partitions there are.
    process();
    let hold = stage.proxy.hold(Frames::of(Api::Produce, Side::Response).client(name));
    thread::scope(|scope| {
        let processing = scope.spawn(process);
        assert!(hold.wait(PATIENCE), "nothing was produced");
        // What is not sent yet was handed over by now.
        thread::sleep(Duration::from_millis(20));
        let before = worked();
        thread::sleep(HELD);
        let work = worked().saturating_sub(before);
        hold.pass();
        processing.join().expect("processing");
        assert!(work < WORK, "librdkafka's threads worked {work:?} of {HELD:?} in which there was nothing to do");
    });
    pipeline.close().expect("closing");
}

/// What the threads of librdkafka that serve connections have worked so far.
fn worked() -> Duration {
    let mut nanoseconds = 0;
    for thread in fs::read_dir("/proc/self/task").expect("Linux").flatten() {
        let read = |file| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        if read("comm").starts_with("rdk:broker") {
            nanoseconds += read("schedstat").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        }
    }
    Duration::from_nanos(nanoseconds)
}
