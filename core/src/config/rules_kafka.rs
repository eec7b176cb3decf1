//! What `[kafka]` may hold, and how it has to fit ksem's own fields.

use super::librdkafka::shortest_message_timeout_ms;
use super::problem::ProblemKind;
use super::rules::{Order, Rules};
use super::suggest::nearest;
use super::tree::join;
use super::{KafkaProperties, owned, properties};
use crate::Guarantee;

/// librdkafka's defaults for what is compared.
const MAX_POLL_INTERVAL_MS: u64 = 300_000;
const SESSION_TIMEOUT_MS: u64 = 45_000;
const HEARTBEAT_INTERVAL_MS: u64 = 3000;
/// More requests in flight than this lose the order of an idempotent producer's records.
const MAX_IN_FLIGHT: u64 = 5;

pub(super) fn check(rules: &Rules<'_>) {
    let kafka = &rules.config.kafka;
    for (name, value) in kafka.iter() {
        property(rules, name, value);
    }
    // An alias under the wrong name is reported as such, and not as missing too.
    if kafka.get_canonical("bootstrap.servers").is_none_or(|value| value.trim().is_empty()) {
        let message = "no broker; set it to host:port of one or more brokers, with commas between them";
        rules.fault("kafka.bootstrap.servers", ProblemKind::Missing, message);
    }
    security(rules, kafka);
    times(rules, kafka);
}

fn property(rules: &Rules<'_>, name: &str, value: &str) {
    let path = path(name);
    if let Some(message) = owned::refusal(name) {
        return rules.fault(&path, ProblemKind::OwnedProperty, message);
    }
    if properties::scope(name).is_none() {
        let message = nearest(name, properties::names().filter(|name| owned::refusal(name).is_none())).map_or_else(
            || "unknown property; remove it, or look its name up in librdkafka's CONFIGURATION.md".to_owned(),
            |known| format!("unknown property; did you mean `{known}`?"),
        );
        return rules.fault(&path, ProblemKind::UnknownField, message);
    }
    let canonical = properties::canonical(name);
    if canonical != name && rules.config.kafka.get(canonical).is_some() {
        let message = format!("this is an alias of `{canonical}`, which is set too; remove one of them");
        rules.fault(&path, ProblemKind::Conflict, message);
    }
    if value.contains('\0') {
        rules.fault(&path, ProblemKind::OutOfRange, "the value contains a NUL character; remove it");
    }
    // librdkafka would read `45s` as 45 milliseconds.
    let is_amount = [".ms", ".bytes", ".kbytes", ".messages"].iter().any(|unit| name.ends_with(unit));
    let is_number = value.parse::<i64>().is_ok()
        || canonical == "queue.buffering.max.ms" && value.parse::<f64>().is_ok_and(f64::is_finite);
    if is_amount && !is_number {
        rules.fault(&path, ProblemKind::WrongType, "wrong type: not a number; set it to a number without a unit");
    }
}

/// Refuses what would let anybody between ksem and the broker read or change records or passwords. What isn't
/// known to be safe counts as unsafe: librdkafka takes several spellings.
fn security(rules: &Rules<'_>, kafka: &KafkaProperties) {
    let is = |value: &str, word: &str| value.trim().eq_ignore_ascii_case(word);
    if !rules.config.security.allow_unverified_tls {
        let safe: [(&str, &[&str]); 2] = [
            ("enable.ssl.certificate.verification", &["true", "t", "1"]),
            ("ssl.endpoint.identification.algorithm", &["https"]),
        ];
        for (name, words) in safe {
            if kafka.get(name).is_some_and(|value| !words.iter().any(|word| is(value, word))) {
                let message = format!(
                    "the connection would trust any broker; set it to \"{}\" or remove it, or set \
                     `security.allow_unverified_tls = true`",
                    words[0]
                );
                rules.fault(&path(name), ProblemKind::Conflict, message);
            }
        }
    }
    let plain =
        kafka.iter().any(|(name, value)| properties::canonical(name) == "sasl.mechanisms" && is(value, "PLAIN"));
    let no_tls = kafka
        .get("security.protocol")
        .is_some_and(|protocol| !["plaintext", "ssl", "sasl_ssl"].iter().any(|word| is(protocol, word)));
    if plain && no_tls && !rules.config.security.allow_plaintext_password {
        let message = "the mechanism PLAIN would send the password unencrypted; set it to \"sasl_ssl\", or set \
                       `security.allow_plaintext_password = true`";
        rules.fault("kafka.security.protocol", ProblemKind::Conflict, message);
    }
}

fn times(rules: &Rules<'_>, kafka: &KafkaProperties) {
    let number = |name: &str| kafka.get_canonical(name).and_then(|value| value.parse::<u64>().ok());
    let max_poll_ms = number("max.poll.interval.ms").unwrap_or(MAX_POLL_INTERVAL_MS);
    let session_ms = number("session.timeout.ms").unwrap_or(SESSION_TIMEOUT_MS);
    let heartbeat_ms = number("heartbeat.interval.ms").unwrap_or(HEARTBEAT_INTERVAL_MS);
    let max_poll = ("kafka.max.poll.interval.ms", max_poll_ms);
    rules.order(("rebalance.deadline_ms", rules.config.rebalance.deadline_ms), max_poll, Order::Below);
    rules.order(("kafka.session.timeout.ms", session_ms), max_poll, Order::Below);
    rules.order(("kafka.heartbeat.interval.ms", heartbeat_ms), ("kafka.session.timeout.ms", session_ms), Order::Below);
    if let (Some(first), Some(longest)) = (number("retry.backoff.ms"), number("retry.backoff.max.ms")) {
        rules.order(("kafka.retry.backoff.ms", first), ("kafka.retry.backoff.max.ms", longest), Order::NotAbove);
    }
    if rules.config.guarantee == Guarantee::ExactlyOnce
        && let Some(socket_ms) = number("socket.timeout.ms")
    {
        let transaction = ("transactions.timeout_ms", rules.config.transactions.timeout_ms);
        rules.order(("kafka.socket.timeout.ms", socket_ms), transaction, Order::NotAbove);
    }
    for (name, value) in kafka.iter() {
        match properties::canonical(name) {
            "queue.buffering.max.ms" => linger(rules, name, value),
            "max.in.flight.requests.per.connection" if value.parse::<u64>().is_ok_and(|n| n > MAX_IN_FLIGHT) => {
                let message = format!("an idempotent producer allows {MAX_IN_FLIGHT} at most; lower it or remove it");
                rules.fault(&path(name), ProblemKind::OutOfRange, message);
            }
            _ => {}
        }
    }
}

/// librdkafka refuses a producer whose records would time out before they are sent.
fn linger(rules: &Rules<'_>, name: &str, value: &str) {
    let limit_ms = shortest_message_timeout_ms(rules.config);
    if value.parse::<f64>().is_ok_and(|linger_ms| linger_ms >= limit_ms as f64) {
        let message = format!(
            "records would time out before they are sent; set it below {limit_ms}, or raise `transactions.timeout_ms`"
        );
        rules.fault(&path(name), ProblemKind::Conflict, message);
    }
}

fn path(name: &str) -> String {
    join("kafka", name)
}
