//! What is reported: kinds, lines, suggestions, refused properties.

use ksem::config::{Config, ProblemKind};

use crate::{KAFKA, only, parse, problems, text};

#[test]
fn each_kind_of_problem_has_its_line() {
    use ProblemKind::{Conflict, Empty, Missing, OutOfRange, OwnedProperty, Syntax, UnknownField, WrongType};
    let cases = [
        (text("", "[batch]\nmax_record = 1"), "batch.max_record", UnknownField, Some(7)),
        (text("", "[batch]\nmax_records = \"1\""), "batch.max_records", WrongType, Some(7)),
        (text("", "[batch]\nmax_records = 0"), "batch.max_records", OutOfRange, Some(7)),
        (text("", "[[route]]\nfrom = \"in\""), "route[0].to", Missing, Some(6)),
        (text("", "\"group.id\" = \"x\""), "kafka.group.id", OwnedProperty, Some(6)),
        (text("", "group.id = \"x\""), "kafka.group.id", OwnedProperty, Some(6)),
        (text("group = \"again\"", ""), "", Syntax, Some(3)),
        (text("", "[retry]\nbackoff_ms = 20000"), "retry.backoff_ms", Conflict, Some(7)),
        (text("", "[[route]]\nfrom = \"in\"\nto = [\n  \"a\",\n  \"in\"]"), "route[0].to[1]", Conflict, Some(10)),
        (format!("inputs = [\"in\"]\n{KAFKA}"), "group", Missing, None),
        ("# nothing\n".into(), "", Empty, None),
    ];
    for (text, path, kind, line) in cases {
        assert_eq!(problems(&text), [(path.to_owned(), kind, line)], "{text}");
    }
    let error = Config::from_toml_file("/no/such/file.toml").expect_err("no file");
    assert_eq!(error.problems[0].kind, Missing);
    assert!(error.to_string().starts_with("/no/such/file.toml: can't read the file"), "{error}");
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_file() {
    let error = parse(
        "grup = \"g\"\ninputs = [\"a\", 3, \"b c\"]\nguarantee = \"exactly_onec\"\n[batch]\nmax_record = 1\n\
         linger_ms = 99999\n[kafka]\nacks = 1\n",
    )
    .expect_err("wrong");
    let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    let expected = [
        "f.toml:1:1: grup: unknown field; did you mean `group`?",
        "f.toml:2:16: inputs[1]: wrong type: found an integer; set it to a string",
        "f.toml:2:19: inputs[2]: not a topic's name; set it to 1 to 249 of the characters a-z A-Z 0-9 . _ -",
        "f.toml:3:1: guarantee: unknown value; set it to one of \"at_most_once\", \"at_least_once\", \
         \"exactly_once\"; did you mean \"exactly_once\"?",
        "f.toml:5:1: batch.max_record: unknown field; did you mean `max_records`?",
        "f.toml:6:1: batch.linger_ms: 99999 is out of range; set it to a value from 0 to 60000",
        "f.toml:7:2: kafka.bootstrap.servers: no broker; set it to host:port of one or more brokers, with commas \
         between them",
        "f.toml:8:1: kafka.acks: the guarantee decides how a producer retries and orders records; remove `acks` and \
         set `at_most_once.acks` (the other guarantees always wait for all replicas)",
        "f.toml: group: no name; set it to the name of the consumer group",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn unknown_names_get_the_nearest_known_one() {
    let cases = [
        ("routes = []", "", "`route`"),
        ("group_id = \"g\"", "", "`group`"),
        ("maxRecords = 5", "", "`batch.max_records`"),
        ("", "[transaction]\nlanes = 1", "`transactions`"),
        ("", "[batch]\nlingerMs = 1", "`linger_ms`"),
        ("", "\"sesion.timeout.ms\" = 1", "`session.timeout.ms`"),
        ("client.id = \"x\"", "", "`[kafka]`"),
        ("zzz = 1", "", "group, inputs"),
    ];
    for (top, rest, hint) in cases {
        let error = parse(&text(top, rest)).expect_err(hint);
        assert_eq!(error.problems.len(), 1, "{error}");
        assert_eq!(error.problems[0].kind, ProblemKind::UnknownField);
        assert!(error.problems[0].message.contains(hint), "{error}");
    }
}

#[test]
fn owned_properties_are_refused_with_ksems_own_field() {
    let fields = [
        ("group.id", "`group`"),
        ("group.instance.id", "`transactions.instance_id`"),
        ("enable.auto.commit", "`guarantee`"),
        ("enable.auto.offset.store", "`guarantee`"),
        ("auto.commit.interval.ms", "`guarantee`"),
        ("isolation.level", "always reads with read_committed"),
        ("transactional.id", "`transactions.instance_id`"),
        ("transaction.timeout.ms", "`transactions.timeout_ms`"),
        ("acks", "`at_most_once.acks`"),
        ("request.required.acks", "`at_most_once.acks`"),
        ("enable.idempotence", "`guarantee`"),
        ("retries", "`guarantee`"),
        ("message.send.max.retries", "`guarantee`"),
        ("enable.gapless.guarantee", "`guarantee`"),
        ("auto.offset.reset", "`start_from` and `on_lost_offsets`"),
        ("partition.assignment.strategy", "`rebalance.strategy`"),
        ("queued.max.messages.kbytes", "`fetch.max_bytes`"),
        ("message.timeout.ms", "`transactions.timeout_ms`"),
        ("delivery.timeout.ms", "`transactions.timeout_ms`"),
        ("enable.partition.eof", "remove `enable.partition.eof`"),
        ("delivery.report.only.error", "remove"),
        ("dr_msg_cb", "remove `dr_msg_cb`"),
        ("plugin.library.paths", "remove"),
        ("metadata.broker.list", "`kafka.bootstrap.servers`"),
    ];
    for (name, hint) in fields {
        let message =
            only(&text("", &format!("\"{name}\" = \"x\"")), &format!("kafka.{name}"), ProblemKind::OwnedProperty);
        assert!(message.contains(hint), "{name}: {message}");
    }
    for name in Config::owned_properties() {
        let message =
            only(&text("", &format!("\"{name}\" = \"x\"")), &format!("kafka.{name}"), ProblemKind::OwnedProperty);
        assert!(message.contains(&format!("remove `{name}`")), "{message}");
    }
}
