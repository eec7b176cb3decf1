//! What fields have to satisfy, alone and together.

use ksem::config::{ProblemKind, Route};

use crate::{only, parse, sound, text};

#[test]
fn fields_have_to_fit_each_other() {
    let exactly_once = "guarantee = \"exactly_once\"";
    let route = "[[route]]\nfrom = \"in\"\nto = [\"out\"]\n";
    let cases = [
        ("", "[[route]]\nfrom = \"other\"\nto = [\"out\"]", "route[0].from"),
        ("", "[[route]]\nfrom = \"in\"\nto = [\"out\", \"out\"]", "route[0].to[1]"),
        ("", &format!("{route}{route}"), "route[1].to[0]"),
        ("", &format!("{route}[exec]\ncommand = \"cat\""), "exec.command"),
        ("", "[batch]\nlinger_ms = 2000\n[transactions]\ntimeout_ms = 2000", "batch.linger_ms"),
        ("", "[fetch]\nmax_bytes = 1048576", "batch.max_bytes"),
        ("", "[commit]\ncommit_interval_ms = 2000\n[transactions]\ntimeout_ms = 2000", "commit.commit_interval_ms"),
        ("", "[dead_letter]\ntopic = \"in\"", "dead_letter.topic"),
        ("", "[dead_letter]\nmax_failures = 5", "dead_letter.max_failures"),
        ("", "\"max.poll.interval.ms\" = 50000\n[rebalance]\ndeadline_ms = 50000", "rebalance.deadline_ms"),
        ("", "\"session.timeout.ms\" = 300000", "kafka.session.timeout.ms"),
        ("", "\"max.poll.interval.ms\" = 30000", "kafka.session.timeout.ms"),
        ("", "\"heartbeat.interval.ms\" = 45000", "kafka.heartbeat.interval.ms"),
        ("", "\"retry.backoff.ms\" = 90\n\"retry.backoff.max.ms\" = 50", "kafka.retry.backoff.ms"),
        ("", "\"linger.ms\" = 30000.5", "kafka.linger.ms"),
        ("", "\"linger.ms\" = 1\n\"queue.buffering.max.ms\" = 2", "kafka.linger.ms"),
        ("", "bootstrap.servers = \"b:1\"", "kafka.bootstrap.servers"),
        (exactly_once, "\"socket.timeout.ms\" = 70000", "kafka.socket.timeout.ms"),
        (exactly_once, "[exec]\ncommand = \"cat\"\ntimeout_ms = 60000", "exec.timeout_ms"),
        ("", "\"security.protocol\" = \"SASL_PLAINTEXT\"\n\"sasl.mechanism\" = \"plain\"", "kafka.security.protocol"),
        ("", "enable.ssl.certificate.verification = false", "kafka.enable.ssl.certificate.verification"),
        ("", "\"enable.ssl.certificate.verification\" = \"F\"", "kafka.enable.ssl.certificate.verification"),
        ("", "\"ssl.endpoint.identification.algorithm\" = \" none\"", "kafka.ssl.endpoint.identification.algorithm"),
    ];
    for (top, rest, path) in cases {
        only(&text(top, rest), path, ProblemKind::Conflict);
    }
    parse(&text("", "\"enable.ssl.certificate.verification\" = false\n[security]\nallow_unverified_tls = true"))
        .expect("allowed");
    parse(&text("", "security.protocol = \"sasl_plaintext\"\nsasl.mechanisms = \"PLAIN\"\n[security]\nallow_plaintext_password = true"))
        .expect("allowed");
}

#[test]
fn values_out_of_range_are_refused_in_files_and_in_structs() {
    let long = "x".repeat(250);
    let cases = [
        (text("", "[transactions]\ntimeout_ms = 900001"), "transactions.timeout_ms"),
        (text("", "[transactions]\nlanes = 65"), "transactions.lanes"),
        (text("", "[transactions]\nlanes = -1"), "transactions.lanes"),
        (text("", "[transactions]\ninstance_id = \"a b\""), "transactions.instance_id"),
        (text("", "[at_most_once]\nacks = 2"), "at_most_once.acks"),
        (text("", "[retry]\nmax_attempts = 9223372036854775807"), "retry.max_attempts"),
        (text("", "[dead_letter]\ntopic = \"a b\""), "dead_letter.topic"),
        (text("", "[dead_letter]\ntopic = \"dead\"\nmax_failures = 0"), "dead_letter.max_failures"),
        (text("", "\"max.in.flight\" = 6"), "kafka.max.in.flight"),
        (text("", &format!("[[route]]\nfrom = \"in\"\nto = [\"{long}\"]")), "route[0].to[0]"),
        (text("", "[exec]\ncommand = \" \""), "exec.command"),
    ];
    for (text, path) in cases {
        only(&text, path, ProblemKind::OutOfRange);
    }
    only(&text("", "\"session.timeout.ms\" = \"45s\""), "kafka.session.timeout.ms", ProblemKind::WrongType);
    only(&text("", "\"session.timeout.ms\" = 5e3"), "kafka.session.timeout.ms", ProblemKind::WrongType);
    assert_eq!(parse(&text("", "linger.ms = 0.5")).expect("a fraction").kafka.get("linger.ms"), Some("0.5"));

    let mut config = sound();
    config.validate().expect("sound");
    config.transactions.lanes = Some(0);
    config.inputs.push("in".into());
    config.routes.push(Route::default());
    config.kafka.set("acks", "1");
    let paths: Vec<String> = config.validate().expect_err("wrong").problems.into_iter().map(|p| p.path).collect();
    assert_eq!(paths, ["inputs[1]", "route[0].from", "route[0].to", "transactions.lanes", "kafka.acks"]);
}
