//! The configuration: what it accepts, what it reports, and what reaches librdkafka.

mod librdkafka;
mod problems;
mod rules;
mod secrets;
mod sources;

use ksem::Guarantee;
use ksem::config::{Acks, Config, ConfigError, OnLostOffsets, ProblemKind, StartFrom, Strategy};

const TOP: &str = "group = \"g\"\ninputs = [\"in\"]\n";
const KAFKA: &str = "[kafka]\n\"bootstrap.servers\" = \"localhost:9092\"\n";

/// A sound configuration with `top` at its start and `rest` in its table `[kafka]` or after it.
fn text(top: &str, rest: &str) -> String {
    format!("{TOP}{top}\n{KAFKA}{rest}\n")
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::from_toml_str(text, "f.toml")
}

fn sound() -> Config {
    parse(&text("", "")).expect("sound")
}

/// The problems as `(path, kind, line)`.
fn problems(text: &str) -> Vec<(String, ProblemKind, Option<usize>)> {
    let error = parse(text).expect_err(text);
    error.problems.into_iter().map(|p| (p.path, p.kind, p.line)).collect()
}

/// The message of the only problem, which has to be of this kind and path.
fn only(text: &str, path: &str, kind: ProblemKind) -> String {
    let mut error = parse(text).expect_err(text);
    assert_eq!(error.problems.len(), 1, "{error}");
    let problem = error.problems.remove(0);
    assert_eq!((problem.path.as_str(), problem.kind), (path, kind), "{}", problem.message);
    problem.message
}

#[test]
fn a_minimal_file_has_the_documented_defaults() {
    let config = sound();
    let expected = Config {
        group: "g".into(),
        inputs: vec!["in".into()],
        kafka: [("bootstrap.servers", "localhost:9092")].into_iter().collect(),
        ..Config::default()
    };
    assert_eq!(config, expected);
    assert_eq!(config.guarantee, Guarantee::AtLeastOnce);
    assert_eq!((config.start_from, config.on_lost_offsets), (StartFrom::Earliest, OnLostOffsets::Fail));
    let batch = &config.batch;
    assert_eq!((batch.max_records, batch.max_bytes, batch.linger_ms), (10_000, 16 << 20, 5));
    let commit = &config.commit;
    assert_eq!((commit.max_records, commit.max_bytes), (10_000, 16 << 20));
    assert_eq!((commit.commit_interval_ms, commit.target_latency_ms), (100, None));
    let transactions = &config.transactions;
    assert_eq!((transactions.timeout_ms, transactions.lanes, transactions.in_flight), (60_000, None, None));
    assert_eq!((&transactions.instance_id, &transactions.state_dir), (&None, &None));
    let retry = &config.retry;
    assert_eq!((retry.max_attempts, retry.backoff_ms, retry.max_backoff_ms), (10, 100, 10_000));
    let dead_letter = &config.dead_letter;
    assert_eq!((&dead_letter.topic, dead_letter.max_failures, dead_letter.payload), (&None, None, true));
    assert_eq!((config.at_most_once.acks, config.shutdown.deadline_ms), (Acks::One, 30_000));
    assert_eq!(config.fetch.max_bytes, 64 << 20);
    assert_eq!((config.rebalance.deadline_ms, config.rebalance.strategy), (10_000, Strategy::CooperativeSticky));
    assert_eq!((&config.exec.command, config.exec.timeout_ms), (&None, 30_000));
    assert!(!config.security.allow_unverified_tls && !config.security.allow_plaintext_password);
}

#[test]
fn the_reference_is_sound_and_shows_every_field_with_its_default() {
    let reference = parse(Config::reference()).expect("the reference parses");
    let defaults = Config { group: "invoicing".into(), inputs: vec!["orders".into()], ..sound() };
    assert_eq!(reference, defaults);

    let mut uncommented = String::new();
    for line in Config::reference().lines() {
        let field = line.strip_prefix("# ").filter(|rest| rest.contains(" = ") || rest.starts_with("[["));
        uncommented.push_str(field.unwrap_or(line));
        uncommented.push('\n');
    }
    let table: toml::Table = toml::from_str(&uncommented).expect("the commented fields are TOML too");
    for field in Config::fields() {
        let mut value = &toml::Value::Table(table.clone());
        for name in field.split('.') {
            let inner = value.as_array().map_or(value, |array| &array[0]);
            value = inner.get(name).unwrap_or_else(|| panic!("{field} is not in the reference"));
        }
    }
}

#[test]
fn every_field_is_known_and_refuses_a_wrong_type() {
    for field in Config::fields() {
        let (table, name) = field.split_once('.').unwrap_or(("", field));
        let header = match table {
            "" => String::new(),
            "route" => "[[route]]\n".into(),
            _ => format!("[{table}]\n"),
        };
        let found = problems(&format!("{header}{name} = 1979-05-27\n"));
        let path = field.replace("route.", "route[0].");
        assert!(found.iter().any(|(p, kind, _)| *p == path && *kind == ProblemKind::WrongType), "{field}: {found:?}");
        assert!(found.iter().all(|(_, kind, _)| *kind != ProblemKind::UnknownField), "{field}: {found:?}");
    }
}
