//! What the fields have to satisfy together, whichever way the configuration was made.

use std::collections::BTreeSet;

use super::limits::{self, Limit};
use super::problem::{ProblemKind, Problems};
use super::{Config, rules_kafka};
use crate::Guarantee;

/// Kafka's own limit for a topic's name.
const TOPIC_MAX_LEN: usize = 249;
const GROUP_MAX_LEN: usize = 255;
const INSTANCE_MAX_LEN: usize = 200;

/// Checks every rule. A field that was already reported isn't reported again.
pub(super) fn check(config: &Config, problems: &Problems) {
    let rules = Rules { config, problems };
    rules.group_and_inputs();
    rules.routes();
    rules.ranges();
    rules.times();
    rules.transactions();
    rules.dead_letter();
    rules.exec();
    rules_kafka::check(&rules);
}

/// A configuration and what is known to be wrong with it.
pub(super) struct Rules<'a> {
    pub(super) config: &'a Config,
    problems: &'a Problems,
}

impl Rules<'_> {
    /// Reports a problem, unless there is one with the same field.
    pub(super) fn fault(&self, path: &str, kind: ProblemKind, message: impl Into<String>) {
        if self.sound(path) {
            self.problems.add(path, kind, message);
        }
    }

    /// Whether nothing is known to be wrong with a field, with what is in it and with what it is in.
    pub(super) fn sound(&self, path: &str) -> bool {
        let mut outer = path;
        while let Some(end) = outer.rfind(['.', '[']) {
            outer = &outer[..end];
            if self.problems.has(outer) {
                return false;
            }
        }
        !self.problems.touch(path)
    }

    fn group_and_inputs(&self) {
        let group = &self.config.group;
        if group.trim().is_empty() {
            self.fault("group", ProblemKind::Missing, "no name; set it to the name of the consumer group");
        } else if group.chars().count() > GROUP_MAX_LEN || group.chars().any(char::is_control) {
            let message = format!("set it to at most {GROUP_MAX_LEN} characters without control characters");
            self.fault("group", ProblemKind::OutOfRange, message);
        }
        if self.config.inputs.is_empty() {
            self.fault("inputs", ProblemKind::Missing, "no topics; set it to the topics to read");
        }
        let mut seen = BTreeSet::new();
        for (index, topic) in self.config.inputs.iter().enumerate() {
            let path = format!("inputs[{index}]");
            self.topic(&path, topic);
            if !seen.insert(topic) {
                self.fault(&path, ProblemKind::Conflict, "the topic is listed twice; remove one of them");
            }
        }
    }

    fn topic(&self, path: &str, topic: &str) {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if topic.is_empty() || topic.len() > TOPIC_MAX_LEN || !topic.chars().all(legal) || [".", ".."].contains(&topic)
        {
            let message =
                format!("not a topic's name; set it to 1 to {TOPIC_MAX_LEN} of the characters a-z A-Z 0-9 . _ -");
            self.fault(path, ProblemKind::OutOfRange, message);
        }
    }

    fn routes(&self) {
        let inputs_known = self.sound("inputs");
        let is_input = |topic: &String| inputs_known && self.config.inputs.contains(topic);
        let mut seen = BTreeSet::new();
        for (index, route) in self.config.routes.iter().enumerate() {
            let from = format!("route[{index}].from");
            self.topic(&from, &route.from);
            if inputs_known && !is_input(&route.from) {
                let message = "the topic is not read; add it to `inputs`, or name one of them";
                self.fault(&from, ProblemKind::Conflict, message);
            }
            if route.to.is_empty() {
                let message = "no topics; set it to the topics to write to";
                self.fault(&format!("route[{index}].to"), ProblemKind::Missing, message);
            }
            for (position, topic) in route.to.iter().enumerate() {
                let path = format!("route[{index}].to[{position}]");
                self.topic(&path, topic);
                if is_input(topic) {
                    let message =
                        "the topic is also an input, so its records would go round for ever; name another topic";
                    self.fault(&path, ProblemKind::Conflict, message);
                }
                if !seen.insert((&route.from, topic)) {
                    let message = "the same route twice, so every record would be written twice; remove one of them";
                    self.fault(&path, ProblemKind::Conflict, message);
                }
            }
        }
    }

    fn ranges(&self) {
        let config = self.config;
        self.range("batch.max_records", config.batch.max_records as u64, limits::BATCH_MAX_RECORDS);
        self.range("batch.max_bytes", config.batch.max_bytes as u64, limits::BATCH_MAX_BYTES);
        self.range("batch.linger_ms", config.batch.linger_ms, limits::BATCH_LINGER_MS);
        self.range("commit.max_records", config.commit.max_records as u64, limits::BATCH_MAX_RECORDS);
        self.range("commit.max_bytes", config.commit.max_bytes as u64, limits::BATCH_MAX_BYTES);
        self.range("commit.commit_interval_ms", config.commit.commit_interval_ms, limits::COMMIT_INTERVAL_MS);
        if let Some(target) = config.commit.target_latency_ms {
            self.range("commit.target_latency_ms", target, limits::COMMIT_TARGET_LATENCY_MS);
        }
        self.range("transactions.timeout_ms", config.transactions.timeout_ms, limits::TRANSACTIONS_TIMEOUT_MS);
        if let Some(lanes) = config.transactions.lanes {
            self.range("transactions.lanes", lanes as u64, limits::TRANSACTIONS_LANES);
        }
        if let Some(in_flight) = config.transactions.in_flight {
            self.range("transactions.in_flight", in_flight as u64, limits::TRANSACTIONS_IN_FLIGHT);
        }
        self.range("retry.max_attempts", config.retry.max_attempts.into(), limits::RETRY_MAX_ATTEMPTS);
        self.range("retry.backoff_ms", config.retry.backoff_ms, limits::RETRY_BACKOFF_MS);
        self.range("retry.max_backoff_ms", config.retry.max_backoff_ms, limits::RETRY_MAX_BACKOFF_MS);
        if let Some(most) = config.dead_letter.max_failures {
            self.range("dead_letter.max_failures", most, limits::DEAD_LETTER_MAX_FAILURES);
        }
        self.range("shutdown.deadline_ms", config.shutdown.deadline_ms, limits::SHUTDOWN_DEADLINE_MS);
        self.range("fetch.max_bytes", config.fetch.max_bytes as u64, limits::FETCH_MAX_BYTES);
        self.range("rebalance.deadline_ms", config.rebalance.deadline_ms, limits::REBALANCE_DEADLINE_MS);
        self.range("exec.timeout_ms", config.exec.timeout_ms, limits::EXEC_TIMEOUT_MS);
    }

    fn range(&self, path: &str, value: u64, limit: Limit) {
        if !limit.allows(value.into()) {
            self.fault(path, ProblemKind::OutOfRange, limit.message(value.into()));
        }
    }

    fn times(&self) {
        let Config { batch, commit, transactions, retry, fetch, .. } = self.config;
        self.order(
            ("retry.backoff_ms", retry.backoff_ms),
            ("retry.max_backoff_ms", retry.max_backoff_ms),
            Order::NotAbove,
        );
        self.order(
            ("batch.linger_ms", batch.linger_ms),
            ("transactions.timeout_ms", transactions.timeout_ms),
            Order::Below,
        );
        self.order(
            ("commit.commit_interval_ms", commit.commit_interval_ms),
            ("transactions.timeout_ms", transactions.timeout_ms),
            Order::Below,
        );
        self.order(
            ("batch.max_bytes", batch.max_bytes as u64),
            ("fetch.max_bytes", fetch.max_bytes as u64),
            Order::NotAbove,
        );
    }

    /// Reports `small` unless it stands in `order` to `large`.
    pub(super) fn order(&self, small: (&str, u64), large: (&str, u64), order: Order) {
        let ((small, small_value), (large, large_value)) = (small, large);
        let (holds, words) = match order {
            Order::Below => (small_value < large_value, "below"),
            Order::NotAbove => (small_value <= large_value, "at most"),
        };
        if !holds && self.sound(small) && self.sound(large) {
            let message =
                format!("{small_value} has to be {words} `{large}` ({large_value}); lower this one or raise the other");
            self.fault(small, ProblemKind::Conflict, message);
        }
    }

    fn transactions(&self) {
        let Some(id) = &self.config.transactions.instance_id else {
            return;
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if id.is_empty() || id.len() > INSTANCE_MAX_LEN || !id.chars().all(legal) {
            let message = format!("set it to 1 to {INSTANCE_MAX_LEN} of the characters a-z A-Z 0-9 . _ -");
            self.fault("transactions.instance_id", ProblemKind::OutOfRange, message);
        }
    }

    fn dead_letter(&self) {
        let dead_letter = &self.config.dead_letter;
        let Some(topic) = &dead_letter.topic else {
            if dead_letter.max_failures.is_some() {
                let message = "there are no dead letters without `dead_letter.topic`; set that, or remove this";
                self.fault("dead_letter.max_failures", ProblemKind::Conflict, message);
            }
            return;
        };
        self.topic("dead_letter.topic", topic);
        if self.sound("inputs") && self.config.inputs.contains(topic) {
            let message =
                "the topic is also an input, so a record that fails would go round for ever; name another topic";
            self.fault("dead_letter.topic", ProblemKind::Conflict, message);
        }
    }

    fn exec(&self) {
        let Some(command) = &self.config.exec.command else {
            return;
        };
        if command.trim().is_empty() || command.contains('\0') {
            let message = "no command; set it to the handler's command line, or remove it";
            self.fault("exec.command", ProblemKind::OutOfRange, message);
        }
        if !self.config.routes.is_empty() {
            let message =
                "there are `[[route]]` tables too, and a record can have only one handler; remove this or them";
            self.fault("exec.command", ProblemKind::Conflict, message);
        }
        if self.config.guarantee == Guarantee::ExactlyOnce {
            self.order(
                ("exec.timeout_ms", self.config.exec.timeout_ms),
                ("transactions.timeout_ms", self.config.transactions.timeout_ms),
                Order::Below,
            );
        }
    }
}

/// How two numbers have to stand to each other.
#[derive(Clone, Copy)]
pub(super) enum Order {
    Below,
    NotAbove,
}
