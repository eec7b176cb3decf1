//! The configuration of a pipeline: typed fields with defaults, read from TOML or JSON, checked as a whole.
//!
//! Every mistake in a source is reported in one pass, each with its line and with what to set instead.

mod choices;
mod kafka;
pub mod librdkafka;
mod limits;
mod owned;
mod position;
mod problem;
mod properties;
mod read;
mod rules;
mod rules_kafka;
mod secrets;
mod section;
mod sections;
mod suggest;
mod tree;

use std::path::Path;

use toml::de::DeTable;

pub use choices::{Acks, OnLostOffsets, StartFrom, Strategy};
pub use kafka::{KafkaProperties, shown};
pub use problem::{ConfigError, Problem, ProblemKind};
pub use sections::{
    AtMostOnceConfig, BatchConfig, CommitConfig, DeadLetterConfig, ExecConfig, FetchConfig, RebalanceConfig,
    RetryConfig, Route, SecurityConfig, ShutdownConfig, TransactionsConfig,
};

use crate::Guarantee;
use position::{Positions, line_and_column};
use problem::Problems;
use tree::{Table, Value};

/// The configuration of a pipeline. [`Config::reference`] explains every field.
///
/// `Debug` never shows a secret.
///
/// ```
/// let text = r#"
///     group = "invoicing"
///     inputs = ["orders"]
///     guarantee = "exactly_once"
///     [kafka]
///     bootstrap.servers = "localhost:9092"
/// "#;
/// let config = ksem::config::Config::from_toml_str(text, "pipeline.toml").unwrap();
/// assert_eq!(config.batch.max_records, 10_000);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The consumer group.
    pub group: String,
    /// The topics to read.
    pub inputs: Vec<String>,
    /// What is promised about every record.
    pub guarantee: Guarantee,
    /// Where a partition starts that never had a committed offset.
    pub start_from: StartFrom,
    /// What happens when a committed offset is no longer in the log.
    pub on_lost_offsets: OnLostOffsets,
    /// `[[route]]`: topics to copy records to, in place of a handler.
    pub routes: Vec<Route>,
    /// `[kafka]`: librdkafka properties that pass through.
    pub kafka: KafkaProperties,
    /// `[batch]`: what the handler gets at once.
    pub batch: BatchConfig,
    /// `[commit]`: what is committed together.
    pub commit: CommitConfig,
    /// `[transactions]`: Kafka transactions.
    pub transactions: TransactionsConfig,
    /// `[at_most_once]`: what only at-most-once uses.
    pub at_most_once: AtMostOnceConfig,
    /// `[retry]`: what happens to a batch that fails.
    pub retry: RetryConfig,
    /// `[dead_letter]`: what happens to a record that keeps failing.
    pub dead_letter: DeadLetterConfig,
    /// `[shutdown]`: the end of the pipeline.
    pub shutdown: ShutdownConfig,
    /// `[fetch]`: reading ahead.
    pub fetch: FetchConfig,
    /// `[rebalance]`: the consumer group.
    pub rebalance: RebalanceConfig,
    /// `[exec]`: a handler in a process of its own.
    pub exec: ExecConfig,
    /// `[security]`: what has to be allowed by name.
    pub security: SecurityConfig,
}

/// The path of every field, except the properties in `kafka`.
const FIELDS: &[&str] = &[
    "group",
    "inputs",
    "guarantee",
    "start_from",
    "on_lost_offsets",
    "kafka",
    "batch.max_records",
    "batch.max_bytes",
    "batch.linger_ms",
    "commit.max_records",
    "commit.max_bytes",
    "commit.commit_interval_ms",
    "commit.target_latency_ms",
    "transactions.instance_id",
    "transactions.timeout_ms",
    "transactions.lanes",
    "transactions.in_flight",
    "transactions.state_dir",
    "at_most_once.acks",
    "retry.max_attempts",
    "retry.backoff_ms",
    "retry.max_backoff_ms",
    "dead_letter.topic",
    "dead_letter.max_failures",
    "dead_letter.payload",
    "shutdown.deadline_ms",
    "fetch.max_bytes",
    "rebalance.deadline_ms",
    "rebalance.strategy",
    "exec.command",
    "exec.timeout_ms",
    "security.allow_unverified_tls",
    "security.allow_plaintext_password",
    "route.from",
    "route.to",
];

/// A text that isn't TOML at all has an error in each line.
const MAX_SYNTAX_ERRORS: usize = 20;

impl Config {
    /// Reads TOML. `source_name` names the text in messages.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it. If the text isn't TOML, only that.
    pub fn from_toml_str(text: &str, source_name: &str) -> Result<Self, ConfigError> {
        let problems = Problems::default();
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            // The parser's own report would quote the line, which may hold a secret.
            let mut found = Vec::new();
            for error in errors.iter().take(MAX_SYNTAX_ERRORS) {
                let position = error.span().map(|span| line_and_column(text, span.start));
                found.push(syntax(error.message(), position));
            }
            return Err(ConfigError { problems: found, source_name: source_name.to_owned() });
        }
        let table = tree::from_toml(document.get_ref());
        let config = Self::from_tree(&table, &problems);
        let mut found = problems.into_inner();
        Positions::of(&table).locate(text, &mut found);
        finish(config, found, source_name)
    }

    /// Reads a TOML file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, a file that can't be read included.
    pub fn from_toml_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let source_name = path.display().to_string();
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let problems = Problems::default();
                let message = format!("can't read the file ({error}); name a file that ksem may read");
                problems.add("", ProblemKind::Missing, message);
                return Err(ConfigError { problems: problems.into_inner(), source_name });
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => Self::from_toml_str(&text, &source_name),
            Err(error) => {
                let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
                let position = line_and_column(&valid, valid.len());
                let problem = syntax("not UTF-8; save the file as UTF-8", Some(position));
                Err(ConfigError { problems: vec![problem], source_name })
            }
        }
    }

    /// Reads JSON with the same fields. A `null` leaves its field out.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it. If the text isn't JSON, only that.
    pub fn from_json_str(text: &str, source_name: &str) -> Result<Self, ConfigError> {
        let problems = Problems::default();
        let table = match serde_json::from_str::<Value>(text) {
            Ok(Value::Table(table)) => table,
            Ok(value) => {
                section::wrong_type("", "an object with ksem's fields", &value, &problems);
                return Err(ConfigError { problems: problems.into_inner(), source_name: source_name.to_owned() });
            }
            Err(_) if text.trim().is_empty() => Table::new(),
            Err(error) => {
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
                let problem = syntax(message, Some((error.line(), error.column())));
                return Err(ConfigError { problems: vec![problem], source_name: source_name.to_owned() });
            }
        };
        let config = Self::from_tree(&table, &problems);
        finish(config, problems.into_inner(), source_name)
    }

    /// Checks a configuration that was filled in field by field. The functions that read do this themselves.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let problems = Problems::default();
        rules::check(self, &problems);
        finish((), problems.into_inner(), "configuration")
    }

    /// Replaces references to secrets (`env:NAME`, `file:/path`) by the secrets. The functions that read do
    /// this themselves; a configuration that was filled in field by field needs it once.
    ///
    /// # Errors
    ///
    /// Every reference to something that isn't there.
    pub fn resolve_secrets(&mut self) -> Result<(), ConfigError> {
        let problems = Problems::default();
        secrets::resolve(&mut self.kafka, &problems);
        finish((), problems.into_inner(), "configuration")
    }

    /// How often the member tells the group that it lives.
    pub(crate) fn heartbeat_interval(&self) -> std::time::Duration {
        let millis = self.kafka.get("heartbeat.interval.ms").and_then(|text| text.parse().ok());
        // librdkafka's default.
        std::time::Duration::from_millis(millis.unwrap_or(3_000))
    }

    /// An example that lists and explains every field, with the defaults.
    pub fn reference() -> &'static str {
        include_str!("reference.toml")
    }

    /// The path of every field, as in `batch.max_records`. `kafka` stands for librdkafka's properties.
    pub fn fields() -> &'static [&'static str] {
        FIELDS
    }

    /// The librdkafka properties that `[kafka]` refuses because ksem sets them.
    pub fn owned_properties() -> impl Iterator<Item = &'static str> {
        owned::names()
    }

    fn from_tree(table: &Table, problems: &Problems) -> Self {
        if table.is_empty() {
            let message = "no fields; set at least `group`, `inputs` and, in `[kafka]`, `bootstrap.servers`";
            problems.add("", ProblemKind::Empty, message);
            return Self::default();
        }
        let mut config = read::config(table, problems);
        secrets::resolve(&mut config.kafka, problems);
        rules::check(&config, problems);
        config
    }
}

fn finish<T>(value: T, problems: Vec<Problem>, source_name: &str) -> Result<T, ConfigError> {
    if problems.is_empty() {
        return Ok(value);
    }
    Err(ConfigError { problems, source_name: source_name.to_owned() })
}

fn syntax(message: &str, position: Option<(usize, usize)>) -> Problem {
    Problem {
        path: String::new(),
        line: position.map(|(line, _)| line),
        column: position.map(|(_, column)| column),
        kind: ProblemKind::Syntax,
        message: format!("syntax error: {message}"),
    }
}
