//! `ksem bench` measures what it says it measures, and leaves nothing behind.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{LIMIT, broker, finish, interrupt, ksem, start};

/// The temporary topics that are there.
fn temporary(bootstrap: &str) -> Vec<String> {
    let list = ksem(bootstrap, &["topic", "list", "--json"]).ok().json();
    let topics = list[0]["topics"].as_array().expect("a list").clone();
    let names = topics.iter().map(|topic| topic["name"].as_str().expect("a name").to_owned());
    names.filter(|name| name.starts_with("ksem-bench-")).collect()
}

#[test]
fn the_three_guarantees_are_measured_and_the_topics_are_gone() {
    let broker = broker(&[("mine", 1)]);
    let at = broker.bootstrap();
    let args = ["bench", "--records", "30000", "--size", "100", "--partitions", "3", "--json"];
    let findings = ksem(at, &args).ok().json().remove(0);
    assert_eq!((&findings["records"], &findings["size"]), (&30_000.into(), &100.into()));
    assert_eq!((&findings["partitions"], &findings["replication"]), (&3.into(), &1.into()));
    let guarantees = findings["guarantees"].as_array().expect("a list");
    let names: Vec<_> = guarantees.iter().map(|found| found["guarantee"].as_str().expect("a name")).collect();
    assert_eq!(names, ["at_most_once", "at_least_once", "exactly_once"]);
    for found in guarantees {
        assert_eq!(found["available"], true, "{found}");
        let number = |name: &str| found[name].as_f64().expect(name);
        // The parts have to fit together, whatever the machine.
        let speed = 30_000.0 / number("seconds");
        assert!((number("records_per_s") / speed - 1.0).abs() < 0.01, "{found}");
        assert!(0.0 < number("batch_p50_ms") && number("batch_p50_ms") <= number("batch_p99_ms"), "{found}");
        assert!(number("batch_p99_ms") <= number("seconds") * 1_000.0 * 1.01, "{found}");
        assert!(number("cpu_s_per_million") > 0.0 && number("batches") >= 3.0, "{found}");
        assert_eq!((number("retried"), number("lost")), (0.0, 0.0), "{found}");
    }
    let advice: Vec<_> =
        findings["advice"].as_array().expect("a list").iter().filter_map(|text| text.as_str()).collect();
    assert!(advice.iter().any(|text| text.starts_with("exactly_once")), "{advice:?}");
    assert!(advice.iter().any(|text| text.contains("one replica")), "{advice:?}");
    assert_eq!(temporary(at), [""; 0]);
}

#[test]
fn people_get_a_table_and_a_recommendation() {
    let broker = broker(&[]);
    let done = ksem(broker.bootstrap(), &["bench", "--records", "2000", "--size", "50"]).ok();
    let lines = done.lines();
    assert_eq!(lines[0], "2,000 records of 50 bytes, 4 partitions with 1 replica");
    let row = |name: &str| lines.iter().position(|line| line.starts_with(name)).expect(name);
    assert_eq!([row("GUARANTEE"), row("at_most_once"), row("at_least_once"), row("exactly_once")], [2, 3, 4, 5]);
    // At-least-once is what the others are compared with.
    let cells: Vec<_> = lines[4].split_whitespace().collect();
    assert_eq!((cells.len(), &cells[5..]), (7, &["1.00", "1.00"][..]));
    assert!(lines.iter().any(|line| line.starts_with("* exactly_once")), "{}", done.text());
}

#[test]
fn ctrl_c_leaves_no_topic() {
    let broker = broker(&[("mine", 1)]);
    let at = broker.bootstrap();
    let child = start(at, &["bench", "--records", "50000000"]);
    let until = Instant::now() + LIMIT;
    while temporary(at).is_empty() {
        assert!(Instant::now() < until, "it creates a topic");
        thread::sleep(Duration::from_millis(20));
    }
    interrupt(&child);
    finish(child).fails(130, &["interrupted", "topics are gone"]);
    assert_eq!(temporary(at), [""; 0]);
}

#[test]
fn an_error_leaves_no_topic_and_says_what_to_do() {
    let broker = broker(&[]);
    let at = broker.bootstrap();
    // Larger than librdkafka takes unless it is told to: the load fails when the topic is there.
    ksem(at, &["bench", "--records", "10", "--size", "2000000"]).fails(2, &["1007 record_invalid"]);
    assert_eq!(temporary(at), [""; 0]);
    ksem(at, &["bench", "--bootstrap", "127.0.0.1:1"]).fails(3, &["2001 broker_unavailable", "127.0.0.1:1"]);
    ksem(at, &["bench", "--records", "0"]).fails(2, &["--records"]);
}

#[test]
fn help_has_examples() {
    let help = ksem("", &["bench", "--help"]).ok();
    let (_, examples) = help.text().split_once("Example").expect("examples");
    assert!(examples.contains("ksem bench --config pipeline.toml"));
    assert!(ksem("", &["--help"]).ok().text().contains("ksem bench"));
}
