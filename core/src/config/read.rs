//! Makes a [`Config`] of a tree, and notes what doesn't fit.

use std::path::PathBuf;

use super::choices::{Acks, OnLostOffsets, StartFrom, Strategy};
use super::kafka::KafkaProperties;
use super::problem::{ProblemKind, Problems};
use super::section::{Section, wrong_type};
use super::sections::Route;
use super::tree::{Entry, Table, Value, join};
use super::{Config, limits, properties};
use crate::Guarantee;

const GUARANTEES: &[(&str, Guarantee)] = &[
    ("at_most_once", Guarantee::AtMostOnce),
    ("at_least_once", Guarantee::AtLeastOnce),
    ("exactly_once", Guarantee::ExactlyOnce),
];

/// Puts what was read into its field; a field that is absent or wrong keeps its default.
fn set<T>(field: &mut T, read: Option<T>) {
    if let Some(value) = read {
        *field = value;
    }
}

/// Reads every field of the document.
pub(super) fn config(table: &Table, problems: &Problems) -> Config {
    let mut config = Config::default();
    let mut root = Section::new("", table, problems);
    top(&mut root, &mut config);
    root.sections("route", |section| {
        let mut route = Route::default();
        match section.text("from") {
            Some(from) => route.from = from,
            None => section.missing("from", "no topic; set it to the input topic to read"),
        }
        match section.texts("to") {
            Some(to) => route.to = to,
            None => section.missing("to", "no topics; set it to the topics to write to"),
        }
        config.routes.push(route);
    });
    kafka("kafka", "", root.table("kafka"), &mut config.kafka, problems);
    processing(&mut root, &mut config);
    group(&mut root, &mut config);
    root.finish();
    config
}

fn top(root: &mut Section<'_>, config: &mut Config) {
    set(&mut config.group, root.text("group"));
    set(&mut config.inputs, root.texts("inputs"));
    set(&mut config.guarantee, root.choice("guarantee", GUARANTEES));
    set(&mut config.start_from, root.choice("start_from", StartFrom::WORDS));
    set(&mut config.on_lost_offsets, root.choice("on_lost_offsets", OnLostOffsets::WORDS));
}

fn processing(root: &mut Section<'_>, config: &mut Config) {
    root.section("batch", |section| {
        let batch = &mut config.batch;
        set(&mut batch.max_records, section.integer("max_records", limits::BATCH_MAX_RECORDS));
        set(&mut batch.max_bytes, section.integer("max_bytes", limits::BATCH_MAX_BYTES));
        set(&mut batch.linger_ms, section.integer("linger_ms", limits::BATCH_LINGER_MS));
    });
    root.section("commit", |section| {
        let commit = &mut config.commit;
        set(&mut commit.max_records, section.integer("max_records", limits::BATCH_MAX_RECORDS));
        set(&mut commit.max_bytes, section.integer("max_bytes", limits::BATCH_MAX_BYTES));
        set(&mut commit.commit_interval_ms, section.integer("commit_interval_ms", limits::COMMIT_INTERVAL_MS));
        commit.target_latency_ms = section.integer("target_latency_ms", limits::COMMIT_TARGET_LATENCY_MS);
    });
    root.section("transactions", |section| {
        let transactions = &mut config.transactions;
        transactions.instance_id = section.text("instance_id");
        set(&mut transactions.timeout_ms, section.integer("timeout_ms", limits::TRANSACTIONS_TIMEOUT_MS));
        transactions.lanes = section.integer("lanes", limits::TRANSACTIONS_LANES);
        transactions.in_flight = section.integer("in_flight", limits::TRANSACTIONS_IN_FLIGHT);
        transactions.state_dir = section.text("state_dir").map(PathBuf::from);
    });
    root.section("at_most_once", |section| {
        let acks = section.integer::<u8>("acks", limits::AT_MOST_ONCE_ACKS);
        set(&mut config.at_most_once.acks, acks.map(|acks| if acks == 0 { Acks::Zero } else { Acks::One }));
    });
    root.section("retry", |section| {
        let retry = &mut config.retry;
        set(&mut retry.max_attempts, section.integer("max_attempts", limits::RETRY_MAX_ATTEMPTS));
        set(&mut retry.backoff_ms, section.integer("backoff_ms", limits::RETRY_BACKOFF_MS));
        set(&mut retry.max_backoff_ms, section.integer("max_backoff_ms", limits::RETRY_MAX_BACKOFF_MS));
    });
    root.section("dead_letter", |section| {
        let dead_letter = &mut config.dead_letter;
        dead_letter.topic = section.text("topic");
        dead_letter.max_failures = section.integer("max_failures", limits::DEAD_LETTER_MAX_FAILURES);
        set(&mut dead_letter.payload, section.boolean("payload"));
    });
    root.section("exec", |section| {
        config.exec.command = section.text("command");
        set(&mut config.exec.timeout_ms, section.integer("timeout_ms", limits::EXEC_TIMEOUT_MS));
    });
}

fn group(root: &mut Section<'_>, config: &mut Config) {
    root.section("shutdown", |section| {
        set(&mut config.shutdown.deadline_ms, section.integer("deadline_ms", limits::SHUTDOWN_DEADLINE_MS));
    });
    root.section("fetch", |section| {
        set(&mut config.fetch.max_bytes, section.integer("max_bytes", limits::FETCH_MAX_BYTES));
    });
    root.section("rebalance", |section| {
        set(&mut config.rebalance.deadline_ms, section.integer("deadline_ms", limits::REBALANCE_DEADLINE_MS));
        set(&mut config.rebalance.strategy, section.choice("strategy", Strategy::WORDS));
    });
    root.section("security", |section| {
        set(&mut config.security.allow_unverified_tls, section.boolean("allow_unverified_tls"));
        set(&mut config.security.allow_plaintext_password, section.boolean("allow_plaintext_password"));
    });
}

/// Reads librdkafka properties. TOML takes an unquoted `bootstrap.servers` for a table `bootstrap` with a
/// field `servers`, so nested tables are joined again. Which names are allowed is a rule, not read here.
fn kafka(path: &str, prefix: &str, entries: &[Entry], properties: &mut KafkaProperties, problems: &Problems) {
    for entry in entries {
        let path = join(path, &entry.key);
        let name = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
        let value = match &entry.value {
            Value::Table(table) => {
                kafka(&path, &name, table, properties, problems);
                continue;
            }
            Value::Null => continue,
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(flag) => flag.to_string(),
            // The only property of librdkafka that takes a fraction; it would cut any other at the point.
            Value::Number(number) if properties::canonical(&name) == "queue.buffering.max.ms" => number.clone(),
            value => {
                wrong_type(&path, "a string, an integer or a boolean", value, problems);
                continue;
            }
        };
        if properties.get(&name).is_some() {
            problems.add(&path, ProblemKind::Conflict, "the property is set twice; remove one of them");
        }
        properties.set(name, value);
    }
}
