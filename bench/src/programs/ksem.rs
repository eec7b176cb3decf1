//! ksem, as a user writes it in Rust, with everything at its default.

use std::sync::Arc;

use anyhow::{Result, ensure};
use ksem::{Config, Pipeline, Until};

use super::{Clock, Done, Job};
use crate::cadence::Cadence;
use crate::contestant::{Contestant, System};
use crate::settings::configuration;
use crate::shape::Compression;

/// Records and bytes that no commit reaches before its time.
const BY_TIME: [(&str, &str); 2] = [("commit.max_records", "1000000"), ("commit.max_bytes", "67108864")];

pub(super) fn run(job: &Job) -> Result<Done> {
    let guarantee = job.contestant.guarantee;
    let fields = fields(&job.contestant, job.compression);
    let text = configuration(&job.bootstrap, &job.group, &job.inputs, guarantee, &fields);
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
    let done = clock.done(metrics.batches_retried + metrics.transactions_aborted)?;
    Ok(Done { commits: Some(metrics.commits), ..done })
}

/// What is set besides addresses and names.
fn fields(contestant: &Contestant, compression: Compression) -> Vec<(String, String)> {
    let System::Ksem { set, paced, .. } = &contestant.system else { return Vec::new() };
    let own = |field: &str, value: &str| (field.to_owned(), value.to_owned());
    let cadence = match contestant.cadence {
        _ if !paced => Vec::new(),
        Cadence::Records(records) => vec![own("commit.max_records", &records.to_string())],
        Cadence::Ms(ms) => BY_TIME
            .iter()
            .map(|(field, value)| own(field, value))
            .chain([own("commit.commit_interval_ms", &ms.to_string())])
            .collect(),
    };
    let compressed =
        (compression != Compression::None).then(|| own("kafka.compression.type", &format!("\"{compression}\"")));
    cadence.into_iter().chain(compressed).chain(set.iter().cloned()).collect()
}

pub(super) fn settings(contestant: &Contestant, compression: Compression) -> Vec<(String, String)> {
    let guarantee = ("guarantee".to_owned(), contestant.guarantee.to_string());
    std::iter::once(guarantee).chain(fields(contestant, compression)).collect()
}

/// What this contestant's configuration lets it hold: every `max_bytes` that it has, once. `None` for another system.
pub(crate) fn byte_limits(contestant: &Contestant) -> Option<u64> {
    if !matches!(contestant.system, System::Ksem { .. }) {
        return None;
    }
    let fields = fields(contestant, Compression::None);
    let text = configuration("localhost:9092", "g", &["in".to_owned()], contestant.guarantee, &fields);
    let config = Config::from_toml_str(&text, "the contestant's settings").ok()?;
    Some((config.fetch.max_bytes + config.batch.max_bytes + config.commit.max_bytes) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestant;

    #[test]
    fn limits_are_those_of_the_configuration() {
        let all = contestant::all(&[Cadence::Records(10_000), Cadence::Ms(100)], &[], &[]);
        let of = |name: &str| all.iter().find(|one| one.name() == name).and_then(byte_limits);
        assert_eq!(of("ksem-eos-10k"), Some(96 << 20));
        assert_eq!(of("ksem-eos-100ms"), Some(144 << 20));
        assert_eq!(of("ksem-eos-100ms-defaults"), of("ksem-eos-10k"));
        assert_eq!(of("java-eos-10k"), None);
    }
}
