//! ksem, as a user writes it in Rust, with everything at its default.

use std::sync::Arc;

use anyhow::{Result, ensure};
use ksem::{Config, Pipeline, Until};

use super::{Clock, Done, Job};
use crate::cadence::Cadence;
use crate::contestant::Contestant;
use crate::settings::configuration;

/// Records and bytes that no commit reaches before its time.
const BY_TIME: [(&str, &str); 2] = [("commit.max_records", "1000000"), ("commit.max_bytes", "67108864")];

pub(super) fn run(job: &Job, set: &[(String, String)]) -> Result<Done> {
    let guarantee = job.contestant.guarantee;
    let fields = fields(&job.contestant, set);
    let text = configuration(&job.bootstrap, &job.group, &job.input, guarantee, &fields);
    let config = Config::from_toml_str(&text, "the contestant's settings")?;
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

/// What is set besides addresses and names.
fn fields(contestant: &Contestant, set: &[(String, String)]) -> Vec<(String, String)> {
    let own = |field: &str, value: &str| (field.to_owned(), value.to_owned());
    let cadence = match contestant.cadence {
        Cadence::Records(records) => vec![own("commit.max_records", &records.to_string())],
        Cadence::Ms(ms) => BY_TIME
            .iter()
            .map(|(field, value)| own(field, value))
            .chain([own("commit.commit_interval_ms", &ms.to_string())])
            .collect(),
    };
    cadence.into_iter().chain(set.iter().cloned()).collect()
}

pub(super) fn settings(contestant: &Contestant, set: &[(String, String)]) -> Vec<(String, String)> {
    let guarantee = ("guarantee".to_owned(), contestant.guarantee.to_string());
    std::iter::once(guarantee).chain(fields(contestant, set)).collect()
}
