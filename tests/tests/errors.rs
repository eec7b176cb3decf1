//! What goes wrong at the start gives one clear message with a code and the setting to change, the right exit status,
//! and does not take long.

use std::net::TcpListener;
use std::time::Duration;

use ksem::Guarantee;
use ksem_testkit::{Cluster, ClusterConfig};
use ksem_tests::{Ended, Run, Scene, Settings, Steps, ksem_binary};

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn errors_say_what_to_change() {
    let mut steps = Steps::new();
    {
        let cluster = Cluster::start(&ClusterConfig::one()).expect("one node");
        let scene = Scene::new(&cluster, "errors", 2);
        configurations(&mut steps, &scene);
        topics(&mut steps, &scene);
        steps.step("no permission to listen", || no_permission_to_listen(&scene));
        steps.step("stopped while it opens", || stopped_early(&scene));
        steps.step("a committed offset that retention removed", || lost_offset(&cluster));
    }
    let cluster = Cluster::start(&ClusterConfig::one().without_transactions()).expect("one node");
    let scene = Scene::new(&cluster, "plain", 2);
    scene.fill(0..100);
    steps.step("exactly-once where the broker can't do transactions", || {
        let settings = scene.settings(Guarantee::ExactlyOnce);
        ends(&scene, &settings, &[]).assert(
            2,
            &[
                "[1006 guarantee_unavailable]",
                "exactly_once",
                "transaction.state.log.replication.factor",
                "`guarantee`",
            ],
        );
        assert_eq!(scene.committed(), 0);
        // What the cluster can give works there.
        let settings = settings.guarantee(Guarantee::AtLeastOnce);
        ends(&scene, &settings, &["--until-caught-up"]).assert(0, &[]);
        scene.assert_exactly_once(0..100);
    });
    steps.conclude();
}

/// Nothing was read, so there is nothing to finish, and that is no failure.
fn stopped_early(scene: &Scene<'_>) {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("its address").to_string();
    let settings = scene.settings(Guarantee::ExactlyOnce).kafka("bootstrap.servers", &address);
    let mut run = scene.run(&settings, &[]);
    // It is connected to a broker that says nothing.
    let connection = silent.accept().expect("a connection");
    assert!(run.is_alive(), "it ended by itself:\n{}", run.stderr());
    run.stop(Duration::from_secs(5)).assert(0, &[]);
    drop(connection);
}

/// Runs it, and expects an error that is one line, and soon.
fn ends(scene: &Scene<'_>, settings: &Settings, args: &[&str]) -> Ended {
    let ended = scene.run(settings, args).wait(LIMIT);
    println!("       status {:?} after {:.1} s: {}", ended.status, ended.took.as_secs_f64(), ended.stderr.trim_end());
    let errors = ended.stderr.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, usize::from(ended.status != Some(0)), "one line says what is wrong:\n{}", ended.stderr);
    ended
}

fn configurations(steps: &mut Steps, scene: &Scene<'_>) {
    let good = || scene.settings(Guarantee::AtLeastOnce);
    let cases: [(&str, Settings, &[&str]); 7] = [
        (
            "a refused property",
            good().kafka("enable.auto.commit", true),
            &["kafka.enable.auto.commit: ", "remove `enable.auto.commit` and set `guarantee`"],
        ),
        (
            "a property that has a field of ksem's",
            good().kafka("transactional.id", "me"),
            &["kafka.transactional.id: ", "`transactions.instance_id`"],
        ),
        ("an unknown field", good().set("batch.max_record", 5), &["batch.max_record: ", "did you mean `max_records`?"]),
        ("a wrong type", good().text("batch.max_records", "many"), &["batch.max_records: wrong type"]),
        ("a value out of range", good().set("batch.max_records", 0), &["batch.max_records: ", "from 1 to 1000000"]),
        ("an empty file", Settings::new(), &["no fields", "`group`, `inputs`", "`bootstrap.servers`"]),
        (
            "an exec timeout that does not fit the transaction's",
            good()
                .guarantee(Guarantee::ExactlyOnce)
                .no_routes()
                .text("exec.command", "cat")
                .set("exec.timeout_ms", 60_000),
            &["exec.timeout_ms: ", "`transactions.timeout_ms`"],
        ),
    ];
    for (name, settings, said) in cases {
        steps.step(name, || {
            let ended = ends(scene, &settings, &[]);
            ended.assert(2, &["[1001 config_invalid] 1 problem in "]);
            ended.assert(2, said);
            // With the line, unless there is none.
            let line = ended.stderr.lines().find(|line| line.contains(said[0])).expect("the problem's line");
            let (file, _) = line.split_once(": ").expect("a file's name");
            let number = file.rsplit(':').nth(1).and_then(|number| number.parse::<usize>().ok());
            let text = settings.toml();
            let field = said[0].trim_end_matches(": ").rsplit('.').next().unwrap_or_default();
            if text.contains(field) {
                let number = number.expect("a line's number");
                assert!(
                    text.lines().nth(number - 1).is_some_and(|line| line.contains(field)),
                    "line {number} of\n{text}"
                );
            }
        });
    }
    steps.step("every problem at once, with --check", || {
        let settings = good().set("batch.max_record", 5).set("retry.max_attempts", true).text("guarantee", "twice");
        let ended = ends(scene, &settings, &["--check"]);
        ended.assert(
            2,
            &["batch.max_record: ", "retry.max_attempts: ", "guarantee: ", "[1001 config_invalid] 3 problems"],
        );
        ends(scene, &good(), &["--check"]).assert(0, &[]);
    });
    steps.step("a file that is not there", || {
        let path = scene.folder().join("missing.toml").display().to_string();
        let run = Run::start(ksem_binary(), ["run", "--config", &path], scene.folder().join("missing.log"));
        run.wait(LIMIT).assert(2, &["[1001 config_invalid]", "missing.toml", "can't read the file"]);
    });
    steps.step("no handler", || {
        ends(scene, &good().no_routes(), &[]).assert(2, &["`[[route]]`", "--exec"]);
    });
}

fn topics(steps: &mut Steps, scene: &Scene<'_>) {
    let good = |guarantee| scene.settings(guarantee);
    for guarantee in Guarantee::ALL {
        steps.step(&format!("{guarantee}: no broker at the address"), || {
            // A port that was free a moment ago.
            let address = free_address();
            let settings = good(guarantee).kafka("bootstrap.servers", &address);
            ends(scene, &settings, &[])
                .assert(3, &["[2001 broker_unavailable]", &address, "`kafka.bootstrap.servers`"]);
        });
    }
    steps.step("an unknown input topic", || {
        let settings = good(Guarantee::ExactlyOnce).set("inputs", "[\"nowhere\"]").no_routes();
        let settings = settings.route("nowhere", &scene.outputs());
        ends(scene, &settings, &[]).assert(2, &["[1002 topic_unknown]", "`nowhere`", "`inputs`"]);
    });
    steps.step("an output topic that can't be created", || {
        let settings = good(Guarantee::ExactlyOnce).no_routes().route(&scene.input(), &["nowhere".into()]);
        let said = ["[1003 output_topic_missing]", "`nowhere`", "ksem topic create nowhere", "`[[route]]`"];
        ends(scene, &settings, &[]).assert(2, &said);
    });
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        steps.step(&format!("{guarantee}: a handler that writes to a topic that is not there"), || {
            let scene = Scene::new(scene.cluster, &format!("stray-{guarantee}"), 1);
            scene.fill(0..10);
            let handler = "import json, sys\nfor line in sys.stdin:\n  record = json.loads(line)\n  \
                           print(line.strip() if 'end' in record else json.dumps({'topic': 'nowhere', 'value': 'x'}), flush=True)";
            let command = format!("exec python3 {}", scene.file("handler.py", handler));
            let ended = ends(&scene, &scene.settings(guarantee).no_routes(), &["--exec", &command]);
            ended.assert(2, &["[1003 output_topic_missing]", "nowhere", "ksem topic create"]);
            assert_eq!(scene.committed(), 0, "the batch is not committed");
        });
    }
    steps.step("a partition without an offset, where none is made up", || {
        let settings = good(Guarantee::AtLeastOnce).text("start_from", "fail");
        ends(scene, &settings, &[]).assert(6, &["[5002 offset_missing]", "`start_from`", &scene.input()]);
    });
    steps.step("the cluster refuses what the configuration asks for", || {
        // The broker allows sessions of half an hour at most.
        let settings = good(Guarantee::AtLeastOnce).kafka("session.timeout.ms", 3_000_000);
        let settings = settings.kafka("max.poll.interval.ms", 4_000_000);
        ends(scene, &settings, &[]).assert(2, &["[1001 config_invalid]", "session"]);
    });
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").to_string()
}

fn no_permission_to_listen(scene: &Scene<'_>) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).expect("its address");
    let mut addresses = vec![taken.1.as_str(), "192.0.2.1:9092"];
    if !rustix::process::geteuid().is_root() {
        addresses.push("127.0.0.1:1");
    }
    for (number, address) in addresses.into_iter().enumerate() {
        let log = scene.folder().join(format!("broker-{number}.log"));
        let ended = Run::start(ksem_binary(), ["broker", "--listen", address], log).wait(LIMIT);
        println!("       {}", ended.stderr.trim_end());
        ended.assert(2, &["[1009 listen_denied]", address, "--listen"]);
    }
}

fn lost_offset(cluster: &Cluster) {
    let scene = Scene::new(cluster, "lost", 1);
    for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtMostOnce] {
        let settings = scene.settings(guarantee);
        let before = scene.committed();
        scene.fill(before..before + 100);
        scene.run(&settings, &["--until-caught-up"]).wait(Duration::from_secs(30)).assert(0, &[]);
        assert_eq!(scene.committed(), before + 100);
        scene.fill(before + 100..before + 200);
        cluster.delete_records_before(&scene.input(), 0, (before + 150) as i64).expect("deleting records");
        let ended = ends(&scene, &settings, &["--until-caught-up"]);
        let group = scene.group();
        let place = format!("{}[0]", scene.input());
        ended.assert(6, &["[5001 offset_lost]", "`on_lost_offsets`", &place, &group, "missing_records: 50"]);
        assert_eq!(scene.committed(), before + 100, "nothing was skipped");
        // As the message says.
        let settings = settings.text("on_lost_offsets", "earliest");
        ends(&scene, &settings, &["--until-caught-up"]).assert(0, &[]);
        assert_eq!(scene.committed(), before + 200);
    }
    for audit in scene.audits(0..400) {
        assert!(audit.is_at_most_once() && audit.missing.count == 100, "{audit}");
    }
}
