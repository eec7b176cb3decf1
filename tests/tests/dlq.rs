//! `ksem dlq`: dead letters are listed, shown, and sent again once each.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use ksem::{Guarantee, HandlerFailure, Pipeline, Until, dead_letter};
use ksem_testkit::reader::ReadRecord;
use ksem_testkit::{Cluster, ClusterConfig, Isolation, load, reader};
use ksem_tests::{Run, Scene, Settings, Steps, ksem_binary, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
/// Every so manieth record is bad.
const EVERY: u64 = 100;
const RECORDS: u64 = 10_000;

#[test]
fn dead_letters_on_the_command_line() {
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    let mut steps = Steps::new();
    steps.step("list and show", || lists(&cluster));
    steps.step("a replay that is killed, and run again twice", || killed_replay(&cluster));
    steps.step("replays with filters that overlap", || overlapping(&cluster));
    steps.step("records that die again", || dies_again(&cluster));
    steps.step("what can't be replayed", || without_payload(&cluster));
    steps.conclude();
}

/// Makes 100 dead letters of 10,000 records: bad data from the even ones, a rejection of the others.
fn buried<'a>(cluster: &'a Cluster, name: &str, change: impl Fn(Settings) -> Settings) -> (Scene<'a>, Settings) {
    let scene = Scene::new(cluster, name, 4);
    scene.fill(0..RECORDS);
    let settings = change(scene.with_dead_letters(scene.settings(Guarantee::ExactlyOnce), &[]));
    bury(&scene, &settings);
    (scene, settings)
}

fn bury(scene: &Scene<'_>, settings: &Settings) {
    let pipeline = Pipeline::open(settings.config()).expect("opening a pipeline");
    let outputs = scene.outputs();
    let ran = pipeline.run_until(Until::CaughtUp, |batch, output| {
        let mut bad = HandlerFailure::new("bad data").permanent();
        let mut is_bad = false;
        for (index, record) in batch.records().enumerate() {
            let id = record.value.and_then(load::value_id).expect("an id");
            match id {
                _ if !id.is_multiple_of(EVERY) => outputs.iter().for_each(|topic| output.forward(topic, index)),
                _ if id.is_multiple_of(2 * EVERY) => (bad, is_bad) = (bad.of(index), true),
                _ => output.dead_letter(index, "not wanted"),
            }
        }
        if is_bad { Err(bad.into()) } else { Ok(()) }
    });
    ran.expect("running");
    pipeline.close().expect("closing");
}

/// Runs `ksem dlq` and returns what it printed and said.
fn dlq(scene: &Scene<'_>, args: &[&str]) -> (String, String) {
    let output = Command::new(ksem_binary())
        .arg("dlq")
        .args(args)
        .args(["--bootstrap", scene.cluster.bootstrap()])
        .output()
        .expect("starting ksem");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?} ended with {}: {err}", output.status);
    (out.into_owned(), err.into_owned())
}

fn ids(scene: &Scene<'_>, topic: &str) -> Vec<u64> {
    let bootstrap = scene.cluster.bootstrap();
    reader::wait_until_stable(bootstrap, topic, PATIENCE).expect("the topic's ends");
    let read = reader::read_topic(bootstrap, topic, Isolation::ReadCommitted).expect("the topic");
    let id = |record: &ReadRecord| record.value.as_deref().and_then(load::value_id);
    let mut ids: Vec<u64> = read.iter().filter_map(id).collect();
    ids.sort_unstable();
    ids
}

/// The bad ones.
fn bad() -> Vec<u64> {
    (0..RECORDS).filter(|id| id.is_multiple_of(EVERY)).collect()
}

fn target(scene: &Scene<'_>) -> String {
    let topic = format!("{}-again", scene.group());
    scene.cluster.create_topic(&topic, 2, &[]).expect("creating a topic");
    topic
}

fn lists(cluster: &Cluster) {
    let (scene, settings) = buried(cluster, "lists", |settings| settings);
    let dead = scene.dead();
    let config = settings.write(scene.folder(), "dlq.toml").display().to_string();
    assert_eq!(dlq(&scene, &["list", "--config", &config]).0.lines().count(), 100, "the configuration names it");
    let input = scene.input();
    for (args, count) in [
        (vec!["--error", "handler_failed"], 50),
        (vec!["--error", "record_rejected", "--from", &input], 50),
        (vec!["--from", "elsewhere"], 0),
        (vec!["--since", "1h"], 100),
        (vec!["--until", "1h"], 0),
        (vec!["--limit", "7"], 7),
        (vec!["--key", "300"], 1),
    ] {
        let all: Vec<&str> = ["list", &dead, "--json"].into_iter().chain(args.iter().copied()).collect();
        let (out, _) = dlq(&scene, &all);
        assert_eq!(out.lines().count(), count, "{args:?}: {out}");
        for line in out.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!((line["topic"].as_str(), line["replayed"].as_bool()), (Some(&*input), Some(false)), "{line}");
        }
    }
    let (line, _) = dlq(&scene, &["list", &dead, "--key", "300"]);
    let place = line.split('\t').next().expect("a place");
    assert!(line.contains("record_rejected") && line.contains("not wanted"), "{line}");
    let (shown, _) = dlq(&scene, &["show", &dead, place]);
    for text in ["ksem.dlq.error.message", "not wanted", "00000000000000000300", &input] {
        assert!(shown.contains(text), "{shown}");
    }
}

fn killed_replay(cluster: &Cluster) {
    let (scene, _) = buried(cluster, "replayed", |settings| settings);
    let (dead, again) = (scene.dead(), target(&scene));
    let arguments = |rate: &'static str| {
        let all = ["dlq", "replay", &dead, "--to", &again, "--rate", rate, "--bootstrap", cluster.bootstrap()];
        all.map(str::to_owned)
    };
    let (out, said) = dlq(&scene, &["replay", &dead, "--to", &again, "--dry-run"]);
    assert_eq!((out.lines().count(), ids(&scene, &again).len()), (100, 0), "a dry run sends nothing: {said}");
    let mut run = Run::start(ksem_binary(), arguments("25"), scene.folder().join("replay.log"));
    let sent = || reader::read_topic(cluster.bootstrap(), &again, Isolation::ReadCommitted).expect("the topic").len();
    wait_until("some are sent", PATIENCE, || sent() >= 30);
    assert!(run.is_alive(), "it was to be killed at work: {}", run.stderr());
    run.kill();
    let half = ids(&scene, &again).len();
    assert!((30..100).contains(&half), "{half} of 100 were sent before the kill");
    let said = Run::start(ksem_binary(), arguments("1000"), scene.folder().join("second.log")).wait(PATIENCE);
    said.assert(0, &[&format!("{} dead letters replayed", 100 - half), &format!("{half} skipped: replayed before")]);
    assert_eq!(ids(&scene, &again), bad(), "each once");
    let said = Run::start(ksem_binary(), arguments("1000"), scene.folder().join("third.log")).wait(PATIENCE);
    said.assert(0, &["0 dead letters replayed", "100 skipped: replayed before"]);
    assert_eq!(ids(&scene, &again), bad(), "and not twice");
    let (listed, _) = dlq(&scene, &["list", &dead]);
    assert_eq!(listed.lines().filter(|line| line.contains("\treplayed\t")).count(), 100, "{listed}");
    // As they were, but for what says how often.
    let read = reader::read_topic(cluster.bootstrap(), &again, Isolation::ReadCommitted).expect("the topic");
    for record in &read {
        assert_eq!(record.headers, [(dead_letter::REPLAYS.to_owned(), Some(b"1".to_vec()))]);
        assert_eq!(record.key.as_deref().and_then(load::key_id), record.value.as_deref().and_then(load::value_id));
    }
}

fn overlapping(cluster: &Cluster) {
    let (scene, _) = buried(cluster, "overlap", |settings| settings);
    let (dead, again) = (scene.dead(), target(&scene));
    let replay = |more: &[&str]| {
        let all: Vec<&str> = ["replay", &dead, "--to", &again].into_iter().chain(more.iter().copied()).collect();
        dlq(&scene, &all).1
    };
    assert!(replay(&["--limit", "10"]).contains("10 dead letters replayed"));
    replay(&["--error", "handler_failed"]);
    assert!(ids(&scene, &again).len() >= 50);
    replay(&["--since", "1h"]);
    assert_eq!(ids(&scene, &again), bad());
}

fn dies_again(cluster: &Cluster) {
    let (scene, settings) = buried(cluster, "again", |settings| settings);
    let dead = scene.dead();
    for round in 1..=2 {
        let (_, said) = dlq(&scene, &["replay", &dead, "--max-replays", "2"]);
        assert!(said.contains("100 dead letters replayed"), "round {round}: {said}");
        // Back in the input, and bad as before.
        bury(&scene, &settings);
    }
    let (_, said) = dlq(&scene, &["replay", &dead, "--max-replays", "2"]);
    assert!(said.contains("0 dead letters replayed") && said.contains("100 skipped: that died again"), "{said}");
    let input: BTreeSet<u64> = ids(&scene, &scene.input()).into_iter().collect();
    assert_eq!(input.len() as u64, RECORDS);
    let (listed, _) = dlq(&scene, &["list", &dead]);
    assert_eq!(listed.lines().count(), 300, "three deaths each");
}

fn without_payload(cluster: &Cluster) {
    let (scene, _) = buried(cluster, "bare", |settings| settings.set("dead_letter.payload", false));
    let (dead, again) = (scene.dead(), target(&scene));
    let (_, said) = dlq(&scene, &["replay", &dead, "--to", &again]);
    assert!(said.contains("0 dead letters replayed") && said.contains("100 skipped: without payload"), "{said}");
    assert!(ids(&scene, &again).is_empty() && ids(&scene, &dead).is_empty());
}
