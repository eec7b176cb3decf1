//! ksem, as a user writes it in Rust, with everything at its default.

use std::sync::Arc;

use anyhow::{Result, ensure};
use ksem::{Config, Pipeline, Until};

use super::{Clock, Done, Job};
use crate::cadence::Cadence;
use crate::contestant::Contestant;

/// Records and bytes that no commit reaches before its time.
const BY_TIME: (usize, usize) = (1_000_000, 64 << 20);

pub(super) fn run(job: &Job, lanes: Option<usize>, kafka: &[(String, String)]) -> Result<Done> {
    let mut config = Config {
        group: job.group.clone(),
        inputs: vec![job.input.clone()],
        guarantee: job.contestant.guarantee,
        ..Config::default()
    };
    config.kafka.set("bootstrap.servers", job.bootstrap.as_str());
    for (name, value) in kafka {
        config.kafka.set(name, value);
    }
    match job.contestant.cadence {
        Cadence::Records(records) => config.commit.max_records = records as usize,
        Cadence::Ms(ms) => {
            config.commit.max_records = BY_TIME.0;
            config.commit.max_bytes = BY_TIME.1;
            config.commit.commit_interval_ms = ms;
        }
    }
    config.transactions.lanes = lanes;
    // Given, so that nothing is left in the user's state folder.
    config.transactions.instance_id = Some("bench".to_owned());

    let clock = Arc::new(Clock::new());
    let probed = Arc::clone(&clock);
    // `run_until` returns a moment after the last commit: the probe is told of the commit itself, once a batch.
    let pipeline = Pipeline::open_probed(config, Some(Arc::new(move |_, _| probed.step_taken())))?;
    pipeline.run_until(Until::CaughtUp, |batch, out| {
        clock.record_seen();
        for index in 0..batch.len() {
            out.forward(&job.output, index);
        }
        Ok(())
    })?;
    let metrics = pipeline.metrics();
    pipeline.close()?;
    ensure!(metrics.records_lost == 0, "{} records were lost without a crash", metrics.records_lost);
    clock.done(metrics.batches_retried + metrics.transactions_aborted)
}

pub(super) fn settings(
    contestant: &Contestant,
    lanes: Option<usize>,
    kafka: &[(String, String)],
) -> Vec<(String, String)> {
    let mut settings = vec![("guarantee".to_owned(), contestant.guarantee.to_string())];
    match contestant.cadence {
        Cadence::Records(records) => settings.push(("commit.max_records".to_owned(), records.to_string())),
        Cadence::Ms(ms) => settings.extend([
            ("commit.max_records".to_owned(), BY_TIME.0.to_string()),
            ("commit.max_bytes".to_owned(), BY_TIME.1.to_string()),
            ("commit.commit_interval_ms".to_owned(), ms.to_string()),
        ]),
    }
    settings.extend(lanes.map(|lanes| ("transactions.lanes".to_owned(), lanes.to_string())));
    settings.extend(kafka.iter().map(|(name, value)| (format!("kafka.{name}"), value.clone())));
    settings
}
