//! ksem's pipeline, as a user runs it: every record goes to the output.

use std::thread;

use anyhow::{Context, Result};
use ksem::{Config, Guarantee, Pipeline};
use serde::{Deserialize, Serialize};

use super::part::{self, Job};

/// ksem's settings beside its defaults, as fields of the configuration with values as in TOML. **This is the one place
/// to set something for latency**; `--set` on the command line adds to it or replaces it.
pub(super) fn settings(_guarantee: Guarantee) -> Vec<(&'static str, &'static str)> {
    // A batch is what is there; while it is in work, the next one gathers.
    vec![("batch.linger_ms", "0")]
}

/// What became of the pipeline.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Piped {
    pub(super) batches: u64,
    /// Batches that were tried again or aborted; 0 unless something went wrong on the way.
    pub(super) retried: u64,
}

/// The settings of a guarantee, with those of the command line.
pub(super) fn all_settings(guarantee: Guarantee, more: &[(String, String)]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> =
        settings(guarantee).into_iter().map(|(field, value)| (field.to_owned(), value.to_owned())).collect();
    for (field, value) in more {
        all.retain(|(other, _)| other != field);
        all.push((field.clone(), value.clone()));
    }
    all
}

/// Runs until it is told to end.
pub(super) fn run(job: &Job) -> Result<()> {
    let config = Config::from_toml_str(&job.config, "the bench's settings").context("ksem's configuration")?;
    let pipeline = Pipeline::open(config)?;
    let stopper = pipeline.stopper();
    thread::spawn(move || {
        // Told or left alone, it ends.
        let _ = part::wait_for_go();
        stopper.stop();
    });
    pipeline.run(|batch, out| {
        (0..batch.len()).for_each(|index| out.forward(&job.output, index));
        Ok(())
    })?;
    let metrics = pipeline.metrics();
    pipeline.close()?;
    part::say(&Piped { batches: metrics.batches, retried: metrics.batches_retried + metrics.transactions_aborted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::configuration;

    #[test]
    fn the_settings_of_every_guarantee_are_a_configuration() {
        let more = [("batch.linger_ms", "1"), ("kafka.fetch.wait.max.ms", "7"), ("batch.linger_ms", "0")];
        let more = more.map(|(field, value)| (field.to_owned(), value.to_owned()));
        for guarantee in Guarantee::ALL {
            let text =
                configuration("127.0.0.1:9092", "g", &["in".to_owned()], guarantee, &all_settings(guarantee, &more));
            let config = Config::from_toml_str(&text, "test").expect("a configuration");
            assert_eq!((config.guarantee, config.batch.linger_ms), (guarantee, 0));
            assert_eq!(config.kafka.get("fetch.wait.max.ms"), Some("7"));
        }
    }
}
