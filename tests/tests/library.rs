//! The Rust interface, on one node.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ksem::config::Config;
use ksem::error::{Code, Outcome};
use ksem::{Applied, Batch, Guarantee, HandlerResult, Output, OutputRecord, Pipeline, TransactionWriter, Until};
use ksem_testkit::{Cluster, ClusterConfig, Isolation, load, reader};
use ksem_tests::{Scene, Settings, Steps, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_library() {
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    let mut steps = Steps::new();
    for guarantee in Guarantee::ALL {
        steps.step(&format!("{guarantee}: poll and process"), || poll_and_process(&cluster, guarantee));
        steps.step(&format!("{guarantee}: a handler that fails first"), || fails_first(&cluster, guarantee));
        steps.step(&format!("{guarantee}: an attempt is committed"), || attempt_commits(&cluster, guarantee));
    }
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        steps.step(&format!("{guarantee}: an attempt is aborted"), || attempt_aborts(&cluster, guarantee));
        steps.step(&format!("{guarantee}: a handler that panics"), || panics(&cluster, guarantee));
    }
    steps.step("at_most_once: an aborted attempt is lost, and counted", || aborted_at_most_once(&cluster));
    steps.step("a dropped batch comes again", || dropped_batch(&cluster));
    steps.step("records keep everything they have", || round_trip(&cluster));
    steps.step("publishing without an input", || publish(&cluster));
    steps.step("another guarantee than the configured one", || mixed_guarantees(&cluster));
    steps.step("start_from", || start_from(&cluster));
    steps.step("on_lost_offsets goes on with a gap", || lost_offsets(&cluster));
    steps.step("an output that is too large ends the pipeline", || too_large(&cluster));
    steps.step("a transactional input is read to its end", || lag_becomes_zero(&cluster));
    steps.step("stopping while it works", || stops_at_work(&cluster));
    steps.step("stopping while the handler fails", || stops_while_failing(&cluster));
    steps.conclude();
}

fn open(settings: &Settings) -> Pipeline {
    Pipeline::open(settings.config()).expect("opening a pipeline")
}

fn next(pipeline: &Pipeline) -> Batch {
    pipeline.poll(PATIENCE).expect("polling").expect("a batch")
}

/// Sends each record of a batch to both outputs.
fn copy<'a>(scene: &Scene<'_>) -> impl Fn(&Batch, &mut Output) -> HandlerResult + Sync + use<'a> {
    let outputs = scene.outputs();
    move |batch, output| {
        for index in 0..batch.len() {
            outputs.iter().for_each(|topic| output.forward(topic, index));
        }
        Ok(())
    }
}

/// Processes the rest with a new pipeline of the same group.
fn finish(scene: &Scene<'_>, settings: &Settings) {
    let pipeline = open(settings);
    pipeline.run_until(Until::CaughtUp, copy(scene)).expect("running");
    pipeline.close().expect("closing");
}

fn visible(scene: &Scene<'_>, isolation: Isolation) -> usize {
    let topic = &scene.outputs()[0];
    reader::read_topic(scene.cluster.bootstrap(), topic, isolation).expect("the output").len()
}

fn poll_and_process(cluster: &Cluster, guarantee: Guarantee) {
    const RECORDS: usize = 5000;
    let scene = Scene::new(cluster, &format!("poll-{guarantee}"), 4);
    scene.fill(0..RECORDS as u64);
    let pipeline = open(&scene.settings(guarantee).batches_of(300));
    let mut seen = 0;
    while seen < RECORDS {
        let batch = next(&pipeline);
        assert!(batch.len() <= 300 && !batch.is_empty());
        let mut last: BTreeMap<i32, i64> = BTreeMap::new();
        for record in batch.records() {
            let before = last.insert(record.partition, record.offset);
            assert!(before.is_none_or(|before| before < record.offset), "in the order of the offsets");
        }
        let positions = batch.offsets();
        assert!(positions.iter().all(|(source, position)| last[&source.partition] + 1 == position.offset));
        seen += batch.len();
        let records = batch.len();
        let report = pipeline.process(batch, guarantee, copy(&scene)).expect("processing");
        assert_eq!((report.applied, report.guarantee, report.records), (Applied::Applied, guarantee, records));
        assert_eq!((report.outputs, report.attempts), (2 * records as u64, 1));
        assert_eq!(report.offsets, positions);
    }
    assert!(pipeline.poll(Duration::from_millis(100)).expect("polling").is_none(), "nothing is left");
    let metrics = pipeline.metrics();
    assert_eq!((metrics.records_in, metrics.records_out), (RECORDS as u64, 2 * RECORDS as u64));
    pipeline.close().expect("closing");
    assert_eq!(scene.committed(), RECORDS as u64);
    scene.assert_exactly_once(0..RECORDS as u64);
}

fn fails_first(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("fails-{guarantee}"), 1);
    scene.fill(0..100);
    let pipeline = open(&scene.settings(guarantee).set("retry.backoff_ms", 10).set("batch.linger_ms", 500));
    let mut calls = 0;
    let handler = copy(&scene);
    let report = pipeline.process(next(&pipeline), guarantee, |batch, output| {
        calls += 1;
        // What a failed call has sent must not appear.
        handler(batch, output)?;
        if calls < 3 { Err("not yet".into()) } else { Ok(()) }
    });
    let report = report.expect("processing");
    pipeline.close().expect("closing");
    if guarantee == Guarantee::AtMostOnce {
        // Its offsets were committed before the handler was called, so there is no second attempt.
        assert_eq!((report.applied, report.attempts), (Applied::Lost, 1));
        assert!(report.cause.is_some_and(|cause| cause.contains("not yet")));
        assert_eq!(visible(&scene, Isolation::ReadUncommitted), 0);
    } else {
        assert_eq!((report.applied, report.attempts), (Applied::Applied, 3));
        finish(&scene, &scene.settings(guarantee));
        scene.assert_exactly_once(0..100);
    }
}

fn attempt_commits(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("commits-{guarantee}"), 1);
    scene.fill(0..100);
    let pipeline = open(&scene.settings(guarantee).batches_of(40));
    let mut seen = 0;
    while seen < 100 {
        let mut attempt = pipeline.begin(next(&pipeline), guarantee).expect("beginning");
        for index in 0..attempt.batch().len() {
            let outputs = scene.outputs();
            outputs.iter().for_each(|topic| attempt.output().forward(topic, index));
        }
        let report = attempt.commit().expect("committing");
        assert_eq!(report.applied, Applied::Applied);
        seen += report.records;
    }
    pipeline.close().expect("closing");
    assert_eq!(scene.committed(), 100);
    scene.assert_exactly_once(0..100);
}

fn attempt_aborts(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("aborts-{guarantee}"), 1);
    scene.fill(0..100);
    let pipeline = open(&scene.settings(guarantee));
    let batch = next(&pipeline);
    let first = batch.record(0).offset;
    let mut attempt = pipeline.begin(batch, guarantee).expect("beginning");
    attempt.output().forward(&scene.outputs()[0], 0);
    let report = attempt.abort("the caller does not want it").expect("aborting");
    assert_eq!(report.applied, Applied::Redelivered);
    assert!(report.cause.is_some_and(|cause| cause.contains("does not want it")));
    assert!(report.offsets.is_empty());
    // One that is dropped is aborted too.
    let again = next(&pipeline);
    assert_eq!(again.record(0).offset, first, "the aborted batch comes again");
    let mut attempt = pipeline.begin(again, guarantee).expect("beginning");
    attempt.output().forward(&scene.outputs()[0], 0);
    drop(attempt);
    assert_eq!(next(&pipeline).record(0).offset, first, "the dropped one too");
    assert_eq!((scene.committed(), visible(&scene, Isolation::ReadCommitted)), (0, 0));
    pipeline.run_until(Until::CaughtUp, copy(&scene)).expect("running");
    pipeline.close().expect("closing");
    scene.assert_exactly_once(0..100);
}

fn aborted_at_most_once(cluster: &Cluster) {
    let scene = Scene::new(cluster, "aborts-amo", 1);
    scene.fill(0..100);
    let pipeline = open(&scene.settings(Guarantee::AtMostOnce).set("batch.linger_ms", 500));
    let batch = next(&pipeline);
    let records = batch.len();
    let attempt = pipeline.begin(batch, Guarantee::AtMostOnce).expect("beginning");
    assert_eq!(scene.committed(), records as u64, "the offsets go first");
    assert_eq!(attempt.abort("no").expect("aborting").applied, Applied::Lost);
    assert_eq!(pipeline.metrics().records_lost, records as u64);
    pipeline.close().expect("closing");
    assert_eq!(visible(&scene, Isolation::ReadUncommitted), 0);
}

fn panics(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("panics-{guarantee}"), 1);
    scene.fill(0..100);
    let settings = scene.settings(guarantee).set("retry.max_attempts", 2).set("retry.backoff_ms", 10);
    let pipeline = open(&settings);
    let result = pipeline.process(next(&pipeline), guarantee, |_, output| {
        output.send(&scene.outputs()[0], None, Some(b"too early"));
        panic!("on purpose");
    });
    let error = result.expect_err("it panicked twice");
    assert_eq!((error.code(), error.outcome()), (Code::HandlerFailed, Outcome::NotApplied), "{error}");
    assert!(error.to_string().contains("on purpose"), "{error}");
    assert!(error.context().any(|(name, value)| name == "batch" && value.contains(&scene.input())), "{error}");
    // The batch was not consumed by the failure: the same pipeline may try again.
    assert_eq!(scene.committed(), 0);
    pipeline.run_until(Until::CaughtUp, copy(&scene)).expect("running");
    pipeline.close().expect("closing");
    scene.assert_exactly_once(0..100);
}

fn dropped_batch(cluster: &Cluster) {
    let scene = Scene::new(cluster, "dropped", 1);
    scene.fill(0..100);
    let pipeline = open(&scene.settings(Guarantee::ExactlyOnce));
    let batch = next(&pipeline);
    let (first, len) = (batch.record(0).offset, batch.len());
    assert!(
        pipeline.poll(Duration::from_millis(50)).expect("polling").is_none(),
        "one batch of a lane is out at a time"
    );
    drop(batch);
    let again = next(&pipeline);
    assert_eq!((again.record(0).offset, again.len()), (first, len));
    pipeline.process(again, Guarantee::ExactlyOnce, copy(&scene)).expect("processing");
    pipeline.run_until(Until::CaughtUp, copy(&scene)).expect("running");
    pipeline.close().expect("closing");
    scene.assert_exactly_once(0..100);
}

fn round_trip(cluster: &Cluster) {
    let scene = Scene::new(cluster, "round-trip", 3);
    let [a, b] = scene.outputs();
    let settings = scene.settings(Guarantee::ExactlyOnce);
    let headers: [ksem::Header<'_>; 5] = [
        ("name", Some(b"value")),
        ("name", Some(b"again")),
        ("null", None),
        ("empty", Some(b"")),
        ("bytes", Some(&[0, 255])),
    ];
    let records = [
        OutputRecord {
            key: Some(b"k"),
            value: Some(b"v"),
            headers: &headers,
            partition: Some(2),
            timestamp: Some(1_234_567_890_123),
        },
        OutputRecord {
            key: None,
            value: Some(b"no key"),
            partition: Some(1),
            timestamp: Some(1),
            ..OutputRecord::default()
        },
        OutputRecord {
            key: Some(b"tombstone"),
            value: None,
            partition: Some(0),
            timestamp: Some(2),
            ..OutputRecord::default()
        },
        OutputRecord {
            key: Some(b""),
            value: Some(b""),
            partition: Some(0),
            timestamp: Some(3),
            ..OutputRecord::default()
        },
        OutputRecord {
            key: Some(&[0xff, 0, 0xfe]),
            value: Some(&[0, 1, 2]),
            partition: Some(0),
            timestamp: Some(4),
            headers: &headers[2..],
        },
        OutputRecord { key: None, value: None, partition: Some(1), timestamp: Some(5), ..OutputRecord::default() },
    ];
    let pipeline = open(&settings);
    let mut input = Output::default();
    records.iter().for_each(|record| input.send_record(&scene.input(), record));
    assert_eq!(pipeline.publish(&input, Guarantee::AtLeastOnce).expect("publishing"), records.len() as u64);
    let handler = |batch: &Batch, output: &mut Output| -> HandlerResult {
        for (index, record) in batch.records().enumerate() {
            output.forward(&a, index);
            let headers = record.headers();
            assert_eq!(record.header("name").is_some(), headers.len() == 5, "headers by name");
            let OutputRecord { partition, .. } =
                OutputRecord { partition: Some(record.partition), ..OutputRecord::default() };
            let copy = OutputRecord {
                key: record.key,
                value: record.value,
                headers: &headers,
                partition,
                timestamp: record.timestamp,
            };
            output.send_record(&b, &copy);
        }
        Ok(())
    };
    pipeline.run_until(Until::CaughtUp, handler).expect("running");
    pipeline.close().expect("closing");
    let read = |topic: &str| {
        let mut read = reader::read_topic(cluster.bootstrap(), topic, Isolation::ReadCommitted).expect("reading");
        read.sort_by_key(|record| record.timestamp);
        read.iter_mut().for_each(|record| record.offset = 0);
        read
    };
    let original = read(&scene.input());
    assert_eq!(original.len(), records.len());
    let first = original.last().expect("a record");
    assert_eq!((first.partition, first.headers.len()), (2, 5));
    assert_eq!(first.headers[2], ("null".to_owned(), None));
    assert_eq!(first.headers[3], ("empty".to_owned(), Some(Vec::new())));
    assert_eq!(read(&b), original, "with explicit partitions");
    let mut by_key = read(&a);
    for (copy, original) in by_key.iter_mut().zip(&original) {
        copy.partition = original.partition;
    }
    assert_eq!(by_key, original, "by key");
}

fn publish(cluster: &Cluster) {
    let scene = Scene::new(cluster, "publish", 1);
    let pipeline = open(&scene.settings(Guarantee::ExactlyOnce));
    let value = load::value(0, 200);
    for (round, guarantee) in (0..).zip(Guarantee::ALL) {
        let mut output = Output::default();
        for id in round * 100..(round + 1) * 100 {
            let (key, value) = (u64::to_string(&id), load::value(id, value.len()));
            for topic in scene.outputs() {
                output.send(&topic, Some(key.as_bytes()), Some(&value));
            }
        }
        assert_eq!(pipeline.publish(&output, guarantee).expect("publishing"), 200);
    }
    // A record of the one topic is refused: nothing of the other appears.
    let mut output = Output::default();
    output.send(&scene.outputs()[0], None, Some(&value));
    output.send("publish-nowhere", None, Some(&value));
    let error = pipeline.publish(&output, Guarantee::ExactlyOnce).expect_err("there is no such topic");
    assert_eq!(error.code(), Code::OutputTopicMissing, "{error}");
    // And the next one is not hurt by it.
    let mut output = Output::default();
    scene.outputs().iter().for_each(|topic| output.send(topic, Some(b"300"), Some(&load::value(300, 200))));
    assert_eq!(pipeline.publish(&output, Guarantee::ExactlyOnce).expect("publishing"), 2);
    pipeline.close().expect("closing");
    scene.assert_exactly_once(0..301);
    // Transactions left their marks: the end lies behind the last record.
    let ends = reader::end_offsets(cluster.bootstrap(), &scene.outputs()[1], Isolation::ReadCommitted).expect("ends");
    assert!(ends[&0] > 301, "{ends:?}");
}

fn mixed_guarantees(cluster: &Cluster) {
    let scene = Scene::new(cluster, "mixed", 2);
    scene.fill(0..3000);
    let pipeline = open(&scene.settings(Guarantee::AtLeastOnce).batches_of(100));
    let (mut seen, mut guarantees) = (0, Guarantee::ALL.into_iter().cycle());
    while seen < 3000 {
        let guarantee = guarantees.next().unwrap_or_default();
        let report = pipeline.process(next(&pipeline), guarantee, copy(&scene)).expect("processing");
        assert_eq!((report.applied, report.guarantee), (Applied::Applied, guarantee));
        seen += report.records;
    }
    pipeline.close().expect("closing");
    scene.assert_exactly_once(0..3000);
}

fn start_from(cluster: &Cluster) {
    let scene = Scene::new(cluster, "start", 1);
    scene.fill(0..100);
    let settings = scene.settings(Guarantee::ExactlyOnce);
    let pipeline = open(&settings.clone().text("start_from", "fail"));
    let error = pipeline.poll(PATIENCE).expect_err("there is no offset");
    assert_eq!(error.code(), Code::OffsetMissing, "{error}");
    drop(pipeline);
    let pipeline = open(&settings.clone().text("start_from", "latest"));
    // The position is taken when the partition is assigned.
    wait_until("an assignment", PATIENCE, || pipeline.metrics().rebalances > 0);
    assert!(pipeline.poll(Duration::from_secs(1)).expect("polling").is_none(), "nothing is new");
    scene.fill(100..200);
    let batch = next(&pipeline);
    assert_eq!(batch.record(0).offset, 100);
    pipeline.process(batch, Guarantee::ExactlyOnce, copy(&scene)).expect("processing");
    pipeline.run_until(Until::CaughtUp, copy(&scene)).expect("running");
    pipeline.close().expect("closing");
    // With an offset, "fail" has nothing to fail about, and "latest" skips nothing.
    scene.fill(200..300);
    finish(&scene, &settings.clone().text("start_from", "fail"));
    scene.fill(300..400);
    finish(&scene, &settings.text("start_from", "latest"));
    scene.assert_exactly_once(100..400);
}

fn lost_offsets(cluster: &Cluster) {
    let scene = Scene::new(cluster, "gap", 1);
    let settings = scene.settings(Guarantee::ExactlyOnce);
    scene.fill(0..100);
    finish(&scene, &settings);
    scene.fill(100..200);
    cluster.delete_records_before(&scene.input(), 0, 150).expect("deleting");
    let pipeline = open(&settings);
    let error = pipeline.poll(PATIENCE).expect_err("the offset is gone");
    assert_eq!(error.code(), Code::OffsetLost, "{error}");
    let facts: BTreeMap<_, _> = error.context().collect();
    assert_eq!((facts["committed"], facts["missing_records"]), ("100", "50"), "{error}");
    drop(pipeline);
    finish(&scene, &settings.text("on_lost_offsets", "earliest"));
    for audit in scene.audits(0..200) {
        assert!(audit.is_at_most_once() && audit.missing.count == 50, "{audit}");
    }
}

fn too_large(cluster: &Cluster) {
    let scene = Scene::new(cluster, "large", 1);
    scene.fill(0..10);
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let pipeline = open(&scene.settings(guarantee));
        let large = vec![0; 2 << 20];
        let result = pipeline.process(next(&pipeline), guarantee, |_, output| {
            output.send(&scene.outputs()[0], None, Some(&large));
            Ok(())
        });
        let error = result.expect_err("no broker takes it");
        assert_eq!(error.code(), Code::RecordInvalid, "{error}");
        assert!(error.to_string().contains("message.max.bytes"), "{error}");
    }
    assert_eq!((scene.committed(), visible(&scene, Isolation::ReadCommitted)), (0, 0));
}

fn lag_becomes_zero(cluster: &Cluster) {
    let scene = Scene::new(cluster, "lag", 1);
    let bootstrap = cluster.bootstrap();
    let mut config: Config = scene.settings(Guarantee::ExactlyOnce).config();
    config.routes.clear();
    let mut writer = TransactionWriter::open(config, "lag-writer").expect("a writer");
    let mut write = |ids: std::ops::Range<u64>, commit: bool| {
        let mut output = Output::default();
        ids.for_each(|id| output.send(&scene.input(), Some(id.to_string().as_bytes()), Some(&load::value(id, 200))));
        writer.send(&output).expect("sending");
        let ended = if commit { writer.commit() } else { writer.abort() };
        ended.expect("ending a transaction");
    };
    let end = || reader::end_offsets(bootstrap, &scene.input(), Isolation::ReadCommitted).expect("ends")[&0] as u64;
    write(0..100, true);
    write(100..150, false);
    finish(&scene, &scene.settings(Guarantee::ExactlyOnce));
    // 150 records and two marks, of which the group was handed 100 records.
    assert_eq!((scene.committed(), end()), (152, 152));
    let pipeline = open(&scene.settings(Guarantee::AtLeastOnce));
    let stopper = pipeline.stopper();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| pipeline.run(copy(&scene)));
        // While it runs too, and after transactions that were aborted as a whole.
        for round in 2..5 {
            write(round * 50..round * 50 + 50, round != 3);
            wait_until("the lag is 0", PATIENCE, || scene.committed() == end());
        }
        stopper.stop();
        running.join().expect("the thread").expect("running");
    });
    pipeline.close().expect("closing");
    scene.fill(250..260);
    finish(&scene, &scene.settings(Guarantee::ExactlyOnce));
    let ids: Vec<u64> = (0..100).chain(100..150).chain(200..250).chain(250..260).collect();
    for topic in scene.outputs() {
        let read = reader::read_topic(bootstrap, &topic, Isolation::ReadCommitted).expect("reading");
        let mut read: Vec<u64> = read.iter().filter_map(|record| load::value_id(record.value.as_deref()?)).collect();
        read.sort_unstable();
        assert_eq!(read, ids);
    }
}

fn stops_at_work(cluster: &Cluster) {
    let scene = Scene::new(cluster, "stop", 2);
    scene.fill(0..20_000);
    let settings = scene.settings(Guarantee::ExactlyOnce).batches_of(100);
    let pipeline = open(&settings);
    let stopper = pipeline.stopper();
    let handler = copy(&scene);
    let (asked, result) = std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            pipeline.run(|batch, output| {
                std::thread::sleep(Duration::from_millis(5));
                handler(batch, output)
            })
        });
        wait_until("it works", PATIENCE, || pipeline.metrics().batches > 10);
        let asked = Instant::now();
        stopper.stop();
        (asked, running.join().expect("the thread"))
    });
    result.expect("running");
    pipeline.close().expect("closing");
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    let committed = scene.committed();
    assert!((1000..20_000).contains(&committed), "{committed}");
    // What was in flight was finished: both outputs have what is committed, and nothing else.
    assert_eq!(visible(&scene, Isolation::ReadCommitted) as u64, committed);
    finish(&scene, &scene.settings(Guarantee::ExactlyOnce));
    scene.assert_exactly_once(0..20_000);
}

fn stops_while_failing(cluster: &Cluster) {
    let scene = Scene::new(cluster, "stop-failing", 1);
    scene.fill(0..100);
    let settings = scene.settings(Guarantee::ExactlyOnce).set("shutdown.deadline_ms", 1000);
    let pipeline = open(
        &settings.clone().set("retry.backoff_ms", 50).set("retry.max_backoff_ms", 200).set("retry.max_attempts", 1000),
    );
    let stopper = pipeline.stopper();
    let (asked, result) = std::thread::scope(|scope| {
        let running = scope.spawn(|| pipeline.run(|_, _| Err("never".into())));
        wait_until("it fails", PATIENCE, || pipeline.metrics().handler_failures > 2);
        let asked = Instant::now();
        stopper.stop();
        (asked, running.join().expect("the thread"))
    });
    let error = result.expect_err("the batch in flight was given up");
    assert_eq!(error.code(), Code::ShutdownDeadline, "{error}");
    drop(pipeline);
    assert!(asked.elapsed() < Duration::from_secs(4), "it took {:?}", asked.elapsed());
    assert_eq!(scene.committed(), 0);
    finish(&scene, &settings);
    scene.assert_exactly_once(0..100);
}
