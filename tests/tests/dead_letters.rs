//! Records that fail: found, set aside or passed, and never lost, on one node.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ksem::error::Code;
use ksem::{Applied, Batch, Guarantee, HandlerFailure, HandlerResult, Output, Pipeline, Until, dead_letter};
use ksem_testkit::reader::ReadRecord;
use ksem_testkit::{Cluster, ClusterConfig, Isolation, load, reader};
use ksem_tests::{Scene, Settings, Steps, scale};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn records_that_fail() {
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    let mut steps = Steps::new();
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        steps.step(&format!("{guarantee}: poison that nobody names"), || unnamed(&cluster, guarantee));
        steps.step(&format!("{guarantee}: verdicts"), || verdicts(&cluster, guarantee));
        steps.step(&format!("{guarantee}: without a topic it stops"), || stops_without(&cluster, guarantee));
        steps.step(&format!("{guarantee}: no more than max_failures"), || max_failures(&cluster, guarantee));
        steps.step(&format!("{guarantee}: a dead-letter topic that refuses"), || refused(&cluster, guarantee));
        steps.step(&format!("{guarantee}: an output that is too large"), || too_large(&cluster, guarantee));
        steps.step(&format!("{guarantee}: what is applied does not come again"), || stops_midway(&cluster, guarantee));
        steps.step(&format!("{guarantee}: an attempt of the caller's own"), || attempt(&cluster, guarantee));
    }
    steps.step("at_most_once: verdicts", || at_most_once(&cluster));
    steps.step("exactly_once: 100 of 100,000 with a kill -9 every 2 seconds", || killed(&cluster));
    steps.conclude();
}

fn open(settings: &Settings) -> Pipeline {
    Pipeline::open(settings.config()).expect("opening a pipeline")
}

fn next(pipeline: &Pipeline) -> Batch {
    pipeline.poll(PATIENCE).expect("polling").expect("a batch")
}

fn ids(batch: &Batch) -> Vec<u64> {
    batch.records().map(|record| record.value.and_then(load::value_id).expect("an id")).collect()
}

/// Copies to both outputs, and fails without naming a record for a batch that has a multiple of `every`.
fn poisoned(scene: &Scene<'_>, every: u64) -> impl Fn(&Batch, &mut Output) -> HandlerResult + Sync + use<> {
    let outputs = scene.outputs();
    move |batch, output| {
        for (index, id) in ids(batch).into_iter().enumerate() {
            if id.is_multiple_of(every) {
                return Err("one of them is bad".into());
            }
            outputs.iter().for_each(|topic| output.forward(topic, index));
        }
        Ok(())
    }
}

fn letters(scene: &Scene<'_>) -> Vec<ReadRecord> {
    let bootstrap = scene.cluster.bootstrap();
    reader::wait_until_stable(bootstrap, &scene.dead(), PATIENCE).expect("the topic's ends");
    reader::read_topic(bootstrap, &scene.dead(), Isolation::ReadCommitted).expect("the dead letters")
}

fn header<'a>(letter: &'a ReadRecord, name: &str) -> &'a str {
    let value = letter.headers.iter().find(|(other, _)| other == name).and_then(|(_, value)| value.as_deref());
    std::str::from_utf8(value.unwrap_or_else(|| panic!("no {name} in {letter:?}"))).expect("text")
}

fn id(letter: &ReadRecord) -> u64 {
    letter.value.as_deref().and_then(load::value_id).expect("the raw value")
}

/// Fails unless every id is in both outputs or a dead letter, once.
fn assert_divided(scene: &Scene<'_>, total: u64, is_dead: impl Fn(u64) -> bool) {
    for topic in scene.outputs() {
        scene.audit(&topic, (0..total).filter(|id| !is_dead(*id))).assert_exactly_once();
    }
    scene.audit(&scene.dead(), (0..total).filter(|id| is_dead(*id))).assert_exactly_once();
    scene.assert_in_order();
}

fn unnamed(cluster: &Cluster, guarantee: Guarantee) {
    const TOTAL: u64 = 20_000;
    let scene = Scene::new(cluster, &format!("unnamed-{guarantee}"), 4);
    scene.fill(0..TOTAL);
    let settings = scene.with_dead_letters(scene.settings(guarantee), &[]).set("retry.max_attempts", 3);
    let pipeline = open(&settings.batches_of(1_000));
    pipeline.run_until(Until::CaughtUp, poisoned(&scene, 1_000)).expect("running");
    let metrics = pipeline.metrics();
    pipeline.close().expect("closing");
    assert_eq!((metrics.records_dead_lettered, metrics.records_in), (20, TOTAL));
    assert_eq!(metrics.records_out, 2 * (TOTAL - 20), "dead letters are no outputs");
    // A unit, a batch, its halves, and three times the record, for each; ten attempts of every half would be thousands.
    assert!(metrics.handler_failures <= 20 * (2 + 10 + 3), "{} failures", metrics.handler_failures);
    assert_divided(&scene, TOTAL, |id| id.is_multiple_of(1_000));
    assert_eq!(scene.committed(), TOTAL);
    let letter = letters(&scene).into_iter().find(|letter| id(letter) == 5_000).expect("one of the 20");
    let (input, group) = (scene.input(), scene.group());
    for (name, value) in [
        (dead_letter::TOPIC, input.as_str()),
        (dead_letter::PARTITION, "0"),
        (dead_letter::OFFSET, "1250"),
        (dead_letter::GROUP, &group),
        (dead_letter::ERROR_CODE, "handler_failed"),
        (dead_letter::ERROR_MESSAGE, "one of them is bad"),
    ] {
        assert_eq!(header(&letter, name), value, "{name}");
    }
    let number = |name| header(&letter, name).parse::<i64>().expect("a number");
    assert!(number(dead_letter::ATTEMPTS) > 3);
    assert!(number(dead_letter::FIRST_FAILURE) <= number(dead_letter::LAST_FAILURE));
    assert!(number(dead_letter::TIMESTAMP) > 0);
    assert_eq!(letter.key.as_deref().and_then(load::key_id), Some(5_000));
}

fn verdicts(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("verdicts-{guarantee}"), 1);
    scene.fill(0..100);
    let settings = scene.with_dead_letters(scene.settings(guarantee), &[]);
    let pipeline = open(&settings.set("retry.max_attempts", 3).set("batch.linger_ms", 500));
    let outputs = scene.outputs();
    let (mut calls, mut alone) = (0, 0);
    let report = pipeline.process(next(&pipeline), guarantee, |batch, output| {
        calls += 1;
        for (index, id) in ids(batch).into_iter().enumerate() {
            match id {
                7 => output.skip(index),
                // Twice: the last verdict counts.
                8 => {
                    output.skip(index);
                    output.dead_letter(index, "no such customer");
                }
                // It gets well at the third attempt.
                20 if calls < 4 => output.retry(index),
                // It never does.
                30 => {
                    alone += u32::from(batch.len() == 1);
                    output.retry_because(index, "still away");
                }
                _ => outputs.iter().for_each(|topic| output.forward(topic, index)),
            }
        }
        Ok(())
    });
    let report = report.expect("processing");
    pipeline.close().expect("closing");
    assert_eq!(report.applied, Applied::Applied);
    assert_eq!((report.records, report.dead_lettered, report.skipped), (100, 2, 1), "{report:?}");
    assert_eq!(report.outputs, 2 * 97);
    assert!(report.retried >= 101, "{report:?}");
    assert_eq!(alone, 2, "the first of three attempts was in company");
    assert_eq!((report.attempts, scene.committed()), (calls, 100));
    for topic in scene.outputs() {
        scene.audit(&topic, (0..100).filter(|id| ![7, 8, 30].contains(id))).assert_exactly_once();
    }
    scene.assert_in_order();
    let letters = letters(&scene);
    let told: BTreeSet<_> = letters
        .iter()
        .map(|letter| (id(letter), header(letter, dead_letter::ERROR_CODE), header(letter, dead_letter::ERROR_MESSAGE)))
        .collect();
    let expected = [(8, "record_rejected", "no such customer"), (30, "handler_failed", "still away")];
    assert_eq!(told, BTreeSet::from(expected));
}

fn stops_without(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("stops-{guarantee}"), 1);
    scene.fill(0..100);
    let settings = scene.settings(guarantee).set("retry.max_attempts", 3).set("retry.backoff_ms", 5).batches_of(10);
    let pipeline = open(&settings);
    let error = pipeline.run_until(Until::CaughtUp, |batch, output| {
        let at = ids(batch).iter().position(|id| *id == 55);
        let good = 0..at.unwrap_or(batch.len());
        good.for_each(|index| scene.outputs().iter().for_each(|topic| output.forward(topic, index)));
        at.map_or(Ok(()), |index| Err(HandlerFailure::new("bad data").of(index).permanent().into()))
    });
    let error = error.expect_err("there is no topic for it");
    pipeline.close().expect("closing");
    assert_eq!(error.code(), Code::HandlerFailed);
    for said in ["bad data", "dead_letter.topic", "can't help", "55..=55"] {
        assert!(error.to_string().contains(said), "{error}");
    }
    assert_eq!(scene.committed(), 55, "all in front of it and nothing behind");
    // The same after a restart, with the topic: nothing is lost and nothing twice.
    let pipeline = open(&scene.with_dead_letters(settings, &[]));
    pipeline.run_until(Until::CaughtUp, poisoned(&scene, 1_000)).expect("running");
    pipeline.close().expect("closing");
    assert_eq!(scene.committed(), 100);
}

fn max_failures(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("most-{guarantee}"), 1);
    scene.fill(0..100);
    let settings = scene.with_dead_letters(scene.settings(guarantee), &[]).set("retry.max_attempts", 1);
    let pipeline = open(&settings.set("dead_letter.max_failures", 3).batches_of(20));
    let error = pipeline.run_until(Until::CaughtUp, poisoned(&scene, 10)).expect_err("10 are bad");
    pipeline.close().expect("closing");
    assert_eq!(error.code(), Code::TooManyDeadLetters, "{error}");
    assert!(error.to_string().contains("dead_letter.max_failures"), "{error}");
    assert_eq!(letters(&scene).iter().map(id).collect::<Vec<_>>().len(), 3);
    assert_eq!(scene.committed(), 30, "0, 10 and 20 are set aside, and 30 is not passed");
}

fn refused(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("refused-{guarantee}"), 1);
    scene.fill(0..100);
    let settings = scene.with_dead_letters(scene.settings(guarantee), &[("max.message.bytes", "100")]);
    let pipeline = open(&settings.set("retry.max_attempts", 2).batches_of(20));
    let error = pipeline.run_until(Until::CaughtUp, poisoned(&scene, 55)).expect_err("it can't be set aside");
    pipeline.close().expect("closing");
    assert_eq!(error.code(), Code::DeadLetterFailed, "{error}");
    assert!(error.to_string().contains(&scene.dead()), "{error}");
    // 0 is a multiple of everything.
    assert_eq!((scene.committed(), letters(&scene).len()), (0, 0), "nothing is dropped");
}

fn too_large(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("large-{guarantee}"), 1);
    scene.fill(0..100);
    let settings = scene.with_dead_letters(scene.settings(guarantee), &[]);
    let pipeline = open(&settings.batches_of(50));
    let outputs = scene.outputs();
    let large = vec![b'x'; 2 << 20];
    let ran = pipeline.run_until(Until::CaughtUp, |batch, output| {
        for (index, id) in ids(batch).into_iter().enumerate() {
            match id {
                42 => output.send(&outputs[0], None, Some(&large)),
                _ => outputs.iter().for_each(|topic| output.forward(topic, index)),
            }
        }
        Ok(())
    });
    ran.expect("running");
    pipeline.close().expect("closing");
    let letters = letters(&scene);
    assert_eq!(letters.iter().map(id).collect::<Vec<_>>(), [42]);
    assert_eq!(header(&letters[0], dead_letter::ERROR_CODE), "record_invalid");
    for topic in scene.outputs() {
        let audit = scene.audit(&topic, (0..100).filter(|id| *id != 42));
        match guarantee {
            Guarantee::ExactlyOnce => audit.assert_exactly_once(),
            // What was in front of it had left already.
            _ => assert!(audit.is_at_least_once(), "{audit}"),
        }
    }
}

fn stops_midway(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("midway-{guarantee}"), 1);
    scene.fill(0..100);
    let settings = scene.with_dead_letters(scene.settings(guarantee), &[]).set("retry.max_attempts", 1);
    let pipeline = open(&settings.set("dead_letter.max_failures", 1).set("batch.linger_ms", 500));
    let batch = next(&pipeline);
    assert_eq!(batch.len(), 100);
    let error = pipeline.process(batch, guarantee, poisoned(&scene, 50)).expect_err("0 and 50 are bad");
    assert_eq!(error.code(), Code::TooManyDeadLetters);
    assert_eq!(scene.committed(), 50);
    let rest = next(&pipeline);
    assert_eq!(ids(&rest), (50..100).collect::<Vec<_>>(), "only what is not applied");
    let outputs = scene.outputs();
    let copied = pipeline.process(rest, guarantee, |batch, output| {
        (0..batch.len()).for_each(|index| outputs.iter().for_each(|topic| output.forward(topic, index)));
        Ok(())
    });
    assert_eq!(copied.expect("processing").applied, Applied::Applied);
    pipeline.close().expect("closing");
    for topic in scene.outputs() {
        scene.audit(&topic, 1..100).assert_exactly_once();
    }
    assert_eq!(letters(&scene).iter().map(id).collect::<Vec<_>>(), [0]);
}

fn attempt(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("attempt-{guarantee}"), 1);
    scene.fill(0..10);
    let settings = scene.with_dead_letters(scene.settings(guarantee), &[]).set("batch.linger_ms", 500);
    let pipeline = open(&settings);
    let mut begun = pipeline.begin(next(&pipeline), guarantee).expect("beginning");
    begun.output().dead_letter(3, "not now");
    begun.output().retry(4);
    let report = begun.commit().expect("ending");
    assert_eq!((report.applied, scene.committed()), (Applied::Redelivered, 0));
    assert!(report.cause.is_some_and(|cause| cause.contains("another attempt")));
    let mut begun = pipeline.begin(next(&pipeline), guarantee).expect("beginning");
    begun.output().dead_letter(3, "not ever");
    begun.output().skip(4);
    let report = begun.commit().expect("committing");
    assert_eq!((report.applied, report.dead_lettered, report.skipped), (Applied::Applied, 1, 1));
    pipeline.close().expect("closing");
    assert_eq!(scene.committed(), 10);
    let letters = letters(&scene);
    assert_eq!((letters.len(), header(&letters[0], dead_letter::ERROR_MESSAGE)), (1, "not ever"));
}

/// Its offsets are committed first: nothing is tried again, and what can't be done is counted as lost.
fn at_most_once(cluster: &Cluster) {
    let scene = Scene::new(cluster, "verdicts-amo", 1);
    scene.fill(0..100);
    let settings = scene.with_dead_letters(scene.settings(Guarantee::AtMostOnce), &[]);
    let pipeline = open(&settings.batches_of(10).set("batch.linger_ms", 500));
    let outputs = scene.outputs();
    let ran = pipeline.run_until(Until::CaughtUp, |batch, output| {
        for (index, id) in ids(batch).into_iter().enumerate() {
            match id {
                5 => output.skip(index),
                15 => output.dead_letter(index, "no"),
                25 => output.retry(index),
                35 => return Err("all ten of them".into()),
                _ => outputs.iter().for_each(|topic| output.forward(topic, index)),
            }
        }
        Ok(())
    });
    ran.expect("running");
    let metrics = pipeline.metrics();
    pipeline.close().expect("closing");
    assert_eq!((metrics.records_lost, metrics.records_skipped, metrics.records_dead_lettered), (11, 1, 1));
    assert_eq!(letters(&scene).iter().map(id).collect::<Vec<_>>(), [15]);
    for topic in scene.outputs() {
        let kept = (0..100).filter(|id| ![5, 15, 25].contains(id) && !(30..40).contains(id));
        scene.audit(&topic, kept).assert_exactly_once();
    }
}

fn killed(cluster: &Cluster) {
    const EVERY: u64 = 1_000;
    let total = 100_000 * scale();
    let scene = Scene::new(cluster, "killed", 4);
    scene.fill(0..total);
    let settings = scene.with_dead_letters(scene.settings(Guarantee::ExactlyOnce), &[]).set("retry.max_attempts", 3);
    let settings = settings.batches_of(5_000);
    let worker = Path::new(env!("CARGO_BIN_EXE_ksem-test-worker"));
    let every = EVERY.to_string();
    let (mut kills, mut at_work) = (0, 0);
    let limit = Instant::now() + Duration::from_mins(3) * scale() as u32;
    loop {
        assert!(Instant::now() < limit, "{} of {total} after {kills} kills", scene.committed());
        let before = scene.committed();
        let mut run = scene.run_program(worker, &settings, &["poison", &every]);
        thread::sleep(Duration::from_secs(2));
        if !run.is_alive() {
            run.wait(PATIENCE).assert(0, &[]);
            break;
        }
        run.kill();
        kills += 1;
        at_work += u32::from(scene.committed() > before);
    }
    println!("       {kills} kills, {at_work} of them after some work");
    assert!(at_work >= 2, "too few kills hit a run at work");
    scene.wait_until_caught_up(Duration::from_secs(1));
    assert_divided(&scene, total, |id| id.is_multiple_of(EVERY));
}
