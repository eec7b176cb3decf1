//! `ksem run --exec`: a handler in a child process that may die, lie or sleep.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use ksem::{Guarantee, dead_letter};
use ksem_testkit::{Cluster, ClusterConfig, Isolation, load, reader};
use ksem_tests::{Random, Scene, Steps, scale, wait_until};

const PATIENCE: Duration = Duration::from_secs(90);

/// Copies each record to all topics that are named. `mode` says what happens in a batch with the record `poison`.
const HANDLER: &str = r#"
import json, os, signal, sys, time
mode, poison, folder, topics = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]

def now_and_then(batches):
    # A file for each death, so that there are as many as the test has laid out.
    if batches == 3:
        for name in sorted(os.listdir(folder)):
            try:
                os.unlink(os.path.join(folder, name))
            except FileNotFoundError:
                continue  # another lane's child took it
            return True
    return False

batches = 0
batch = []
for line in sys.stdin:
    record = json.loads(line)
    if "end" not in record:
        batch.append(record)
        continue
    batches += 1
    poisoned = any(int(record["key"]) == poison for record in batch)
    dies = mode == "killed" and now_and_then(batches)
    for index, record in enumerate(batch):
        if index == len(batch) // 2:
            if dies:
                sys.stdout.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            if poisoned and mode == "nonsense":
                print("{nonsense")
            if poisoned and mode == "dies":
                sys.exit(3)
            if poisoned and mode == "sleeps":
                time.sleep(60)
        for topic in topics:
            print(json.dumps({"topic": topic, "key": record["key"], "value": record["value"]}))
    print(line, end="", flush=True)
    batch = []
"#;

#[test]
fn a_handler_in_a_child_process() {
    let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
    let mut random = Random::seeded();
    let mut steps = Steps::new();
    steps.step("a one-liner transforms everything once", || one_liner(&cluster));
    steps.step("children that die in the middle of a batch", || children_die(&cluster));
    for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
        for (mode, told) in [
            ("nonsense", "makes no sense"),
            ("dies", "closed its output in the middle of a batch"),
            ("sleeps", "did not answer within `exec.timeout_ms` = 500"),
        ] {
            let name = format!("{guarantee}: a child that {mode} ends the run");
            let poison = 200 + random.below(600);
            steps.step(&name, || gives_up(&cluster, guarantee, mode, told, poison));
        }
    }
    steps.step("a child that refuses a batch is asked again", || refuses(&cluster));
    for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
        steps.step(&format!("{guarantee}: a child that names records"), || names_records(&cluster, guarantee));
        for mode in ["nonsense", "dies"] {
            let name = format!("{guarantee}: a child that {mode} names none, and the record is found");
            steps.step(&name, || found(&cluster, guarantee, mode));
        }
    }
    steps.conclude();
}

fn one_liner(cluster: &Cluster) {
    let records = 100_000 * scale();
    let scene = Scene::new(cluster, "one-liner", 4);
    scene.fill(0..records);
    let [a, b] = scene.outputs();
    let line = format!(
        "python3 -c 'import json, sys; [print(json.dumps(r if t is r else dict(topic=t, key=r[\"key\"], \
         value=r[\"value\"].upper())), flush=t is r) for r in map(json.loads, sys.stdin) \
         for t in ([r] if \"end\" in r else [\"{a}\", \"{b}\"])]'"
    );
    let settings = scene.settings(Guarantee::ExactlyOnce).no_routes().batches_of(2000);
    scene.run(&settings, &["--until-caught-up", "--exec", &line]).wait(PATIENCE).assert(0, &[]);
    scene.assert_exactly_once(0..records);
    let written = reader::read_topic(cluster.bootstrap(), &a, Isolation::ReadCommitted).expect("the output");
    let transformed =
        |record: &reader::ReadRecord| record.value.as_deref().is_some_and(|value| value.ends_with(b"XXX"));
    assert!(written.iter().all(transformed), "a record was not transformed");
}

fn children_die(cluster: &Cluster) {
    let (records, deaths) = (50_000 * scale(), 8);
    let scene = Scene::new(cluster, "deaths", 4);
    scene.fill(0..records);
    let folder = scene.folder().join("deaths");
    fs::create_dir(&folder).expect("a folder");
    for death in 0..deaths {
        fs::write(folder.join(death.to_string()), "").expect("a file");
    }
    let [a, b] = scene.outputs();
    let script = scene.file("handler.py", HANDLER);
    let command = format!("exec python3 {script} killed -1 {} {a} {b}", folder.display());
    let settings = scene.settings(Guarantee::ExactlyOnce).no_routes().batches_of(500);
    let settings = settings.set("retry.backoff_ms", 10);
    let ended = scene.run(&settings, &["--until-caught-up", "--exec", &command]).wait(PATIENCE);
    ended.assert(0, &[]);
    assert_eq!(fs::read_dir(&folder).expect("the folder").count(), 0, "not every death was died");
    let told = ended.stderr.matches("signal 9").count();
    println!("       {told} of {deaths} deaths were told with their signal");
    scene.assert_exactly_once(0..records);
}

fn gives_up(cluster: &Cluster, guarantee: Guarantee, mode: &str, told: &str, poison: u64) {
    const RECORDS: u64 = 1000;
    const ATTEMPTS: usize = 3;
    let scene = Scene::new(cluster, &format!("{guarantee}-{mode}"), 1);
    scene.fill(0..RECORDS);
    let [a, b] = scene.outputs();
    let script = scene.file("handler.py", HANDLER);
    let command = format!("exec python3 {script} {mode} {poison} {} {a} {b}", scene.folder().display());
    let settings = scene.settings(guarantee).no_routes().batches_of(100);
    let settings = settings.set("retry.max_attempts", ATTEMPTS).set("retry.backoff_ms", 20);
    let settings = settings.set("exec.timeout_ms", if mode == "sleeps" { 500 } else { 10_000 });
    let ended = scene.run(&settings, &["--exec", &command]).wait(PATIENCE);
    let place = format!("{}[0] ", scene.input());
    ended.assert(5, &["[4001 handler_failed]", "retry.max_attempts", told, &place, "failed 3 times"]);
    // "…-in[0] 500..=599"
    let error = ended.stderr.lines().find(|line| line.starts_with("error: ")).expect("the error's line");
    let (_, offsets) = error.split_once(&place).expect("the offsets");
    let bounds: Vec<u64> = offsets.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let (first, last) = (bounds[0], bounds[1]);
    assert!((first..=last).contains(&poison), "record {poison} is not between {first} and {last}: {error}");
    assert_eq!(scene.committed(), first, "the group's offset is where the failed batch starts");
    for audit in scene.audits(0..first) {
        // Under at-least-once too: the child's answer counts only when it is whole.
        audit.assert_exactly_once();
    }
    // With a handler that can, the next run goes on there.
    let command = command.replace(&format!("{mode} {poison}"), "fine -1");
    scene.run(&settings, &["--until-caught-up", "--exec", &command]).wait(PATIENCE).assert(0, &[]);
    scene.assert_exactly_once(0..RECORDS);
}

/// What a dead letter says about its record: the id, the error's code and its message.
fn dead_letters(scene: &Scene<'_>) -> BTreeSet<(u64, String, String)> {
    let read = reader::read_topic(scene.cluster.bootstrap(), &scene.dead(), Isolation::ReadCommitted);
    let header = |record: &reader::ReadRecord, name: &str| {
        let value = record.headers.iter().find(|(other, _)| other == name).and_then(|(_, value)| value.clone());
        String::from_utf8(value.expect("the header")).expect("text")
    };
    let told = |record: reader::ReadRecord| {
        let id = record.value.as_deref().and_then(load::value_id).expect("an id");
        (id, header(&record, dead_letter::ERROR_CODE), header(&record, dead_letter::ERROR_MESSAGE))
    };
    read.expect("the dead letters").into_iter().map(told).collect()
}

fn names_records(cluster: &Cluster, guarantee: Guarantee) {
    let scene = Scene::new(cluster, &format!("named-{guarantee}"), 1);
    scene.fill(0..100);
    let [a, b] = scene.outputs();
    let script = scene.file(
        "handler.py",
        r#"
import json, sys
topics = sys.argv[1:]
errors = []
for line in sys.stdin:
    record = json.loads(line)
    if "end" in record:
        for error in errors:
            print(json.dumps(error))
        errors = []
        print(line, end="", flush=True)
        continue
    place = {"partition": record["partition"], "offset": record["offset"]}
    number = int(record["key"])
    if number == 10:
        print(json.dumps({"verdict": "skip", **place}))
    elif number == 20:
        print(json.dumps({"verdict": "dead_letter", "reason": "no such customer", **place}))
    elif number == 30:
        print(json.dumps({"verdict": "retry", "reason": "still away", **place}))
    elif number in (40, 50):
        errors.append({"error": "bad data", "permanent": True, **place})
    else:
        for topic in topics:
            print(json.dumps({"topic": topic, "key": record["key"], "value": record["value"]}))
"#,
    );
    let command = format!("exec python3 {script} {a} {b}");
    let settings = scene.with_dead_letters(scene.settings(guarantee).no_routes(), &[]).set("retry.max_attempts", 2);
    let ended = scene.run(&settings, &["--until-caught-up", "--exec", &command]).wait(PATIENCE);
    ended.assert(0, &["4 dead letters", "1 skipped"]);
    for topic in [a, b] {
        scene.audit(&topic, (0..100).filter(|id| ![10, 20, 30, 40, 50].contains(id))).assert_exactly_once();
    }
    let expected = [
        (20, "record_rejected", "no such customer"),
        (30, "handler_failed", "still away"),
        (40, "handler_failed", "bad data"),
        (50, "handler_failed", "bad data"),
    ];
    let expected = expected.map(|(id, code, message)| (id, code.to_owned(), message.to_owned()));
    assert_eq!(dead_letters(&scene), BTreeSet::from(expected));
}

fn found(cluster: &Cluster, guarantee: Guarantee, mode: &str) {
    const RECORDS: u64 = 500;
    let scene = Scene::new(cluster, &format!("found-{guarantee}-{mode}"), 1);
    scene.fill(0..RECORDS);
    let [a, b] = scene.outputs();
    let script = scene.file("handler.py", HANDLER);
    let command = format!("exec python3 {script} {mode} 321 {} {a} {b}", scene.folder().display());
    let settings = scene.settings(guarantee).no_routes().batches_of(100).set("retry.max_attempts", 2);
    let settings = scene.with_dead_letters(settings, &[]);
    scene.run(&settings, &["--until-caught-up", "--exec", &command]).wait(PATIENCE).assert(0, &["1 dead letters"]);
    for topic in [a, b] {
        scene.audit(&topic, (0..RECORDS).filter(|id| *id != 321)).assert_exactly_once();
    }
    let letters = dead_letters(&scene);
    assert!(matches!(letters.first(), Some((321, code, _)) if code == "handler_failed") && letters.len() == 1);
}

fn refuses(cluster: &Cluster) {
    let scene = Scene::new(cluster, "refusal", 1);
    scene.fill(0..100);
    let [a, b] = scene.outputs();
    // It refuses until a file is there, and stays alive: it counts its refusals itself.
    let script = scene.file(
        "handler.py",
        r#"
import json, os, sys
folder, topics = sys.argv[1], sys.argv[2:]
refusals = 0
for line in sys.stdin:
    record = json.loads(line)
    if "end" in record:
        if refusals < 2:
            refusals += 1
            print(json.dumps({"error": "the database is away"}))
        open(os.path.join(folder, f"refused-{os.getpid()}-{refusals}"), "w").close()
        print(line, end="", flush=True)
    else:
        for topic in topics:
            print(json.dumps({"topic": topic, "key": record["key"], "value": record["value"]}))
"#,
    );
    let command = format!("exec python3 {script} {} {a} {b}", scene.folder().display());
    let settings = scene.settings(Guarantee::ExactlyOnce).no_routes().set("retry.backoff_ms", 20);
    let run = scene.run(&settings, &["--exec", &command]);
    scene.wait_until_caught_up(PATIENCE);
    let refusals = || {
        let files = fs::read_dir(scene.folder()).expect("the folder").filter_map(Result::ok);
        files.filter(|file| file.file_name().to_string_lossy().starts_with("refused-")).count()
    };
    wait_until("both refusals were noted", PATIENCE, || refusals() == 2);
    let ended = run.stop(PATIENCE);
    assert!(ended.stderr.contains("the database is away"), "the reason is not told:\n{}", ended.stderr);
    scene.assert_exactly_once(0..100);
    // The input's records are whole for the child.
    let read = reader::read_topic(cluster.bootstrap(), &a, Isolation::ReadCommitted).expect("the output");
    assert!(read.iter().all(|record| record.value.as_deref().and_then(load::value_id).is_some()));
}
