//! `ksem topic`, `produce` and `consume`, as a newcomer runs them: the real binary against a broker.

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::thread;
use std::time::Instant;

use common::{Done, LIMIT, broker, finish, interrupt, ksem, start, with_input};
use serde_json::{Value, json};

/// Everything in a topic.
const ALL: [&str; 2] = ["--from-beginning", "--until-end"];

fn consume(bootstrap: &str, topic: &str, options: &[&str]) -> Done {
    ksem(bootstrap, &[&["consume", topic], &ALL[..], options].concat()).ok()
}

/// Waits until a reader of uncommitted records sees `count`.
fn sent(bootstrap: &str, topic: &str, count: usize) {
    let until = Instant::now() + LIMIT;
    while consume(bootstrap, topic, &["--isolation", "read_uncommitted"]).lines().len() < count {
        assert!(Instant::now() < until, "{count} records in {topic}");
    }
}

#[test]
fn topics_are_created_listed_described_and_deleted() {
    let broker = broker(&[]);
    let at = broker.bootstrap();
    let created = ksem(at, &["topic", "create", "orders", "--partitions", "3", "--json"]).ok();
    assert_eq!(created.json(), [json!({ "name": "orders", "created": true })]);
    ksem(at, &["topic", "create", "audit"]).ok();
    let list = ksem(at, &["topic", "list", "--json"]).ok();
    let topics = json!([
        { "name": "audit", "partitions": 1, "replication": 1 },
        { "name": "orders", "partitions": 3, "replication": 1 },
    ]);
    assert_eq!(list.json(), [json!({ "topics": topics })]);
    let table = ksem(at, &["topic", "list"]).ok();
    assert_eq!(
        table.text(),
        "TOPIC   PARTITIONS  REPLICATION\naudit            1            1\norders           3            1\n"
    );

    with_input(at, &["produce", "orders", "--json"], br#"{"value":"a","partition":2}"#).ok();
    let described = ksem(at, &["topic", "describe", "orders", "--json"]).ok().json();
    let partitions = described[0]["partitions"].as_array().expect("a list");
    assert_eq!(partitions.len(), 3);
    for (number, partition) in partitions.iter().enumerate() {
        assert_eq!(partition["partition"], number);
        assert_eq!(partition["replicas"], partition["in_sync"]);
        assert_eq!(partition["first_offset"], 0);
        assert_eq!(partition["end_offset"], i32::from(number == 2));
    }
    assert_eq!(ksem(at, &["topic", "describe", "orders"]).ok().lines().len(), 4);

    ksem(at, &["topic", "create", "orders"]).fails(2, &["config_invalid", "exists already", "--if-not-exists"]);
    let existing = ksem(at, &["topic", "create", "orders", "--if-not-exists", "--json"]).ok();
    assert_eq!(existing.json(), [json!({ "name": "orders", "created": false })]);
    ksem(at, &["topic", "delete", "orders"]).fails(2, &["--yes"]);
    assert_eq!(
        ksem(at, &["topic", "delete", "orders", "--yes", "--json"]).ok().json(),
        [json!({ "name": "orders", "deleted": true })]
    );
    ksem(at, &["topic", "delete", "orders", "--yes"]).fails(2, &["topic_unknown", "orders", "--if-exists"]);
    ksem(at, &["topic", "delete", "orders", "--yes", "--if-exists"]).ok();
    ksem(at, &["topic", "describe", "orders"]).fails(2, &["topic_unknown", "orders"]);
    ksem(at, &["topic", "create", "or ders"]).fails(2, &["a-z"]);
}

#[test]
fn lines_come_back_as_they_went() {
    let broker = broker(&[("lines", 1)]);
    let at = broker.bootstrap();
    // An empty line, bytes that are not UTF-8, a carriage return, and no newline at the end.
    let input = b"one\n\n\xff\xfe\x00\ntwo\r\nlast";
    let sent = with_input(at, &["produce", "lines"], input).ok();
    assert!(sent.err.contains("5 records acknowledged"), "{}", sent.err);
    assert_eq!(consume(at, "lines", &[]).out, [&input[..], b"\n"].concat());
    assert_eq!(consume(at, "lines", &["--max", "2"]).text(), "one\n\n");
    assert_eq!(
        ksem(at, &["consume", "lines", "--from-beginning", "--timeout-ms", "300"]).ok().out.len(),
        input.len() + 1
    );
    // The default is what comes from now on.
    assert_eq!(ksem(at, &["consume", "lines", "--until-end"]).ok().text(), "");
    assert_eq!(ksem(at, &["consume", "lines", "--timeout-ms", "300"]).ok().text(), "");
    assert!(with_input(at, &["produce", "lines"], b"").ok().err.contains("0 records acknowledged"));
}

#[test]
fn keys_are_split_off_and_choose_the_partition() {
    let broker = broker(&[("keys", 4)]);
    let at = broker.bootstrap();
    with_input(at, &["produce", "keys", "--key-separator", "=>"], b"a=>1\na=>2=>3\n=>none\n").ok();
    let read = consume(at, "keys", &["--key"]);
    let mut lines = read.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["\tnone", "a\t1", "a\t2=>3"]);
    let records = consume(at, "keys", &["--json"]).json();
    let partition = |value: &str| &records.iter().find(|record| record["value"] == value).expect(value)["partition"];
    assert_eq!(partition("1"), partition("2=>3"));
    let only = consume(at, "keys", &["--partition", &partition("1").to_string()]);
    assert!(only.lines().contains(&"1"));
    with_input(at, &["produce", "keys", "--key-separator", "\\t"], b"b\t1\nno key\n")
        .fails(2, &["record_invalid", "line 2", "--key-separator", "sent 1 record"]);
}

#[test]
fn json_comes_back_identical() {
    let broker = broker(&[("json", 2), ("copy", 2), ("other", 1)]);
    let at = broker.bootstrap();
    let lines = [
        json!({ "partition": 0, "timestamp": 1_700_000_000_000_i64, "key": null, "value": "no key", "headers": [] }),
        json!({ "partition": 0, "timestamp": 1_700_000_000_001_i64, "key": "k", "value": null, "headers": [] }),
        json!({ "partition": 0, "timestamp": 1_700_000_000_002_i64, "key": "", "value": "", "headers": [
            { "name": "a", "value": "1" }, { "name": "a", "value": null }, { "name": "b", "value_base64": "//4=" },
        ] }),
        json!({ "partition": 0, "timestamp": 1_700_000_000_003_i64, "key_base64": "/wA=", "value_base64": "gIGC", "headers": [] }),
    ];
    let input: String = lines.iter().flat_map(|line| [line.to_string(), "\n\n".to_owned()]).collect();
    with_input(at, &["produce", "json", "--json"], input.as_bytes()).ok();
    let expected: Vec<_> = lines
        .iter()
        .enumerate()
        .map(|(offset, line)| {
            let mut line = line.clone();
            line["topic"] = "json".into();
            line["offset"] = offset.into();
            line
        })
        .collect();
    let read = consume(at, "json", &["--json"]);
    assert_eq!(read.json(), expected);

    // What was consumed goes into another topic as it is.
    with_input(at, &["produce", "copy", "--json", "--retarget", "--guarantee", "exactly_once"], &read.out).ok();
    let without_place = |mut record: Value| {
        for name in ["topic", "partition", "offset"] {
            record.as_object_mut().expect("an object").remove(name);
        }
        record.to_string()
    };
    let set = |records: Vec<Value>| records.into_iter().map(without_place).collect::<BTreeSet<_>>();
    assert_eq!(set(consume(at, "copy", &["--json"]).json()), set(expected));

    with_input(at, &["produce", "json", "--json"], br#"{"topic":"other","value":"there"}"#).ok();
    assert_eq!(consume(at, "other", &[]).text(), "there\n");
    with_input(at, &["produce", "json", "--json"], b"{\"value\":\"fine\"}\n{\"valeu\":\"x\"}\n")
        .fails(2, &["record_invalid", "line 2", "valeu", "sent 1 record"]);
    with_input(at, &["produce", "json", "--json"], b"{\"topic\":\"nowhere\",\"value\":\"x\"}")
        .fails(2, &["output_topic_missing", "nowhere", "line: 1"]);
}

#[test]
fn a_bad_line_aborts_the_transaction() {
    let broker = broker(&[("t", 1)]);
    let at = broker.bootstrap();
    let mut child = start(at, &["produce", "t", "--json", "--guarantee", "exactly_once"]);
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"{\"value\":\"1\"}\n{\"value\":\"2\"}\n").expect("it reads");
    // The input pauses, so they are sent, and the transaction stays open.
    sent(at, "t", 2);
    stdin.write_all(b"{\"value\":\"3\"}\nnonsense\n").expect("it reads");
    drop(stdin);
    finish(child)
        .fails(2, &["record_invalid", "line 4", "committed 0 records", "aborted the transaction with 3 records"]);
    assert_eq!(consume(at, "t", &[]).text(), "");
    assert_eq!(consume(at, "t", &["--isolation", "read_uncommitted"]).text(), "1\n2\n");

    let args =
        ["produce", "t", "--guarantee", "exactly_once", "--records-per-transaction", "2", "--key-separator", ":"];
    with_input(at, &args, b"a:4\na:5\na:6\nbad\n").fails(2, &["line 4", "committed 2 records", "with 1 record more"]);
    assert_eq!(consume(at, "t", &[]).text(), "4\n5\n");
}

#[test]
fn a_killed_transaction_is_never_seen() {
    let broker = broker(&[("t", 1)]);
    let at = broker.bootstrap();
    let args = ["produce", "t", "--guarantee", "exactly_once", "--transactional-id", "loader"];
    let mut child = start(at, &args);
    child.stdin.as_mut().expect("a pipe").write_all(b"lost\n").expect("it reads");
    sent(at, "t", 1);
    child.kill().expect("it lives");
    child.wait().expect("a status");
    // The same name ends what it left open.
    let done = with_input(at, &[&args[..], &["--summary-json"]].concat(), b"kept\n").ok();
    assert_eq!(done.json(), [json!({ "topic": "t", "guarantee": "exactly_once", "records": 1 })]);
    assert_eq!(consume(at, "t", &[]).text(), "kept\n");
    assert_eq!(consume(at, "t", &["--isolation", "read_uncommitted"]).text(), "lost\nkept\n");
}

#[test]
fn ctrl_c_aborts_a_transaction_and_sends_the_rest_otherwise() {
    let broker = broker(&[("t", 1), ("u", 1)]);
    let at = broker.bootstrap();
    let interrupted = |args: &[&str], topic: &str| {
        let mut child = start(at, args);
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(b"1\n2\nhalf").expect("it reads");
        sent(at, topic, 2);
        interrupt(&child);
        finish(child)
    };
    interrupted(&["produce", "t", "--guarantee", "exactly_once"], "t")
        .fails(130, &["interrupted", "aborted the transaction with 2 records"]);
    assert_eq!(consume(at, "t", &[]).text(), "");
    let plain = interrupted(&["produce", "u"], "u").ok();
    assert!(plain.err.contains("2 records acknowledged"), "{}", plain.err);
    assert_eq!(consume(at, "u", &[]).text(), "1\n2\n");
}

#[test]
fn consume_follows_and_ends_quietly() {
    let broker = broker(&[("live", 2)]);
    let at = broker.bootstrap();
    let mut child = start(at, &["consume", "live", "--from-beginning"]);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for text in ["one", "two"] {
        with_input(at, &["produce", "live"], text.as_bytes()).ok();
        // It comes at once, although more may follow.
        assert_eq!(lines.next().expect("a line").expect("a line"), text);
    }
    interrupt(&child);
    assert!(lines.next().is_none());
    finish(child).ok();

    // The reader of the pipe goes away.
    let many = "a record\n".repeat(50_000);
    with_input(at, &["produce", "live"], many.as_bytes()).ok();
    let mut child = start(at, &["consume", "live", "--from-beginning"]);
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    let done = finish(child).ok();
    assert_eq!(done.err, "");
    assert_eq!(consume(at, "live", &[]).lines().len(), 50_002);
}

#[test]
fn every_guarantee_sends() {
    let broker = broker(&[("t", 1)]);
    let at = broker.bootstrap();
    for guarantee in ["at_most_once", "at_least_once", "exactly_once"] {
        let done = with_input(at, &["produce", "t", "--summary-json", "-g", guarantee], guarantee.as_bytes()).ok();
        assert_eq!(done.json()[0]["records"], 1);
    }
    assert_eq!(consume(at, "t", &[]).text(), "at_most_once\nat_least_once\nexactly_once\n");
}

#[test]
fn errors_say_what_to_do() {
    let broker = broker(&[("t", 1)]);
    let at = broker.bootstrap();
    // What takes longer than the limit is killed, and then has no exit status.
    let timed = |args: &[&str]| ksem(at, args);
    timed(&["consume", "nowhere"]).fails(2, &["1002 topic_unknown", "nowhere", "ksem topic list"]);
    timed(&["produce", "nowhere"]).fails(2, &["1003 output_topic_missing", "ksem topic create nowhere"]);
    timed(&["consume", "t", "--partition", "1"]).fails(2, &["config_invalid", "partition 1"]);
    // Nobody listens at port 1.
    thread::scope(|scope| {
        for args in [&["consume", "t"][..], &["produce", "t"], &["topic", "list"], &["topic", "create", "x"]] {
            let args = [args, &["--bootstrap", "127.0.0.1:1"]].concat();
            scope.spawn(move || timed(&args).fails(3, &["2001 broker_unavailable", "127.0.0.1:1"]));
        }
    });
    timed(&["topic", "list", "--set", "acks=1"]).fails(2, &["config_invalid", "`kafka.acks`", "at_most_once.acks"]);
    timed(&["topic", "list", "--set", "client.idd=x"]).fails(2, &["client.id"]);
    timed(&["topic", "list", "--set", "sasl.password=env:KSEM_TEST_UNSET"]).fails(2, &["KSEM_TEST_UNSET"]);
    let refused = timed(&["topic", "list", "--set", "canary"]);
    refused.fails(2, &["NAME=VALUE"]);
    assert!(!refused.err.contains("canary"), "a value may be a secret");
    timed(&["produce", "t", "--records-per-transaction", "5"]).fails(2, &["--guarantee exactly_once"]);
    timed(&["consume", "t", "--max", "0"]).fails(2, &["--max"]);
}

#[test]
fn the_connection_may_come_from_a_configuration() {
    let broker = broker(&[("t", 1)]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipeline.toml");
    let write = |address: &str| {
        let text = format!("group = \"g\"\ninputs = [\"t\"]\n[kafka]\nbootstrap.servers = \"{address}\"\n");
        std::fs::write(&path, text).expect("a file");
    };
    let config = path.to_str().expect("UTF-8");
    let run = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ksem"));
        command.args(["topic", "list", "--config", config]).args(options).env_remove("KSEM_BOOTSTRAP");
        command.output().expect("ksem starts")
    };
    write(broker.bootstrap());
    assert!(run(&[]).status.success());
    write("127.0.0.1:1");
    assert!(run(&["--bootstrap", broker.bootstrap()]).status.success());
    std::fs::write(&path, "grup = 1").expect("a file");
    ksem("", &["topic", "list", "--config", config]).fails(2, &["config_invalid", "line 1", "group"]);
}

#[test]
fn help_has_examples() {
    for command in ["topic", "topic create", "topic list", "topic describe", "topic delete", "produce", "consume"] {
        let args: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = ksem("", &args).ok();
        let (_, examples) = help.text().split_once("Example").expect("examples");
        assert!(examples.contains(&format!("ksem {command}")), "{command}");
    }
}
