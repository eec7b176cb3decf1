//! How `ksem topic`, `produce`, `consume` and `bench` reach the cluster: options, or a pipeline's configuration.

use std::fmt::Display;
use std::path::PathBuf;

use ksem::Config;
use ksem::config::ConfigError;
use ksem::error::Code;

use crate::exit::{Done, Failure};

/// Options of every command that talks to a cluster. Flattened last: the heading holds for what follows it.
#[derive(clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Brokers to connect to first, with commas between them [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT", env = "KSEM_BOOTSTRAP")]
    bootstrap: Option<String>,
    /// A librdkafka property, such as security.protocol=ssl; may be repeated. A secret may be given as
    /// `env:VARIABLE` or `file:PATH`, which keeps it out of the list of processes
    // Not parsed by clap, which would repeat a value that it refuses: it may be a secret.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Take the `[kafka]` table of this pipeline configuration; --bootstrap and --set override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const DEFAULT_BOOTSTRAP: &str = "127.0.0.1:9092";

impl Connection {
    /// Makes a configuration whose `kafka` is what the user asked for. `change` sets what a command
    /// has of its own, before everything is checked.
    pub(crate) fn config(&self, change: impl FnOnce(&mut Config)) -> Done<Config> {
        let mut config = match &self.config {
            Some(path) => Config::from_toml_file(path).map_err(|error| refused(&error, &path.display()))?,
            // No group is joined and no input is read, but the rules ask for their names.
            None => Config { group: "ksem".into(), inputs: vec!["none".into()], ..Config::default() },
        };
        match &self.bootstrap {
            Some(bootstrap) => drop(config.kafka.set("bootstrap.servers", bootstrap.as_str())),
            None if self.config.is_none() => drop(config.kafka.set("bootstrap.servers", DEFAULT_BOOTSTRAP)),
            None => {}
        }
        for (index, pair) in self.set.iter().enumerate() {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(Failure::usage(format!("--set number {}: give it as NAME=VALUE", index + 1)));
            };
            config.kafka.set(name.trim(), value);
        }
        change(&mut config);
        config.resolve_secrets().and_then(|()| config.validate()).map_err(|error| refused(&error, &"the options"))?;
        Ok(config)
    }
}

fn refused(error: &ConfigError, source: &dyn Display) -> Failure {
    let lines: Vec<_> = error
        .problems
        .iter()
        .map(|problem| {
            let line = problem.line.map(|line| format!("line {line}: ")).unwrap_or_default();
            let path = if problem.path.is_empty() { String::new() } else { format!("`{}`: ", problem.path) };
            format!("\n  {line}{path}{}", problem.message)
        })
        .collect();
    let plural = if lines.len() == 1 { "problem" } else { "problems" };
    ksem::Error::new(Code::ConfigInvalid, format!("{} {plural} in {source}:{}", lines.len(), lines.concat())).into()
}

/// Whether `--quiet` was given: then not even errors are logged.
pub(crate) fn quiet() -> bool {
    !tracing::enabled!(tracing::Level::ERROR)
}

/// A topic's name, for clap.
pub(crate) fn topic_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.is_empty() || text.len() > 249 || [".", ".."].contains(&text) || !text.chars().all(legal) {
        return Err("a topic's name is 1 to 249 of the characters a-z A-Z 0-9 . _ -".into());
    }
    Ok(text.to_owned())
}
