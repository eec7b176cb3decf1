//! Memory under a load that stays the same for long: the latency's load, pipeline and reader, with a look at the
//! pipeline's memory every second.

use std::time::Instant;

use anyhow::Result;
use ksem::Guarantee;
use serde::{Deserialize, Serialize};

use super::Case;
use super::field::Field;
use super::result::Run;
use crate::process;
use crate::report::grouped;

/// The broker keeps so much of each partition: far more than the pipeline may be behind, and not an hour of it.
const TOPICS: [(&str, &str); 2] = [("segment.bytes", "33554432"), ("retention.bytes", "268435456")];
/// How often the broker looks for what it need not keep.
const RETENTION: (&str, &str) = ("log.retention.check.interval.ms", "10000");
/// At the start memory grows to what the work needs: this part of the samples is not in the slope.
const SETTLING: f64 = 0.1;
const MIB: f64 = (1 << 20) as f64;

/// What became of a steady load.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Steady {
    pub(crate) guarantee: String,
    /// Records a second.
    pub(crate) rate: u64,
    pub(crate) minutes: u64,
    /// Seconds since the start, and resident memory in MiB.
    pub(crate) samples: Vec<(f64, f64)>,
    pub(crate) max_mib: f64,
    /// By least squares, without the first tenth of the samples.
    pub(crate) slope_mib_an_hour: f64,
    pub(crate) run: Run,
}

/// Runs a steady load.
pub(crate) fn run(guarantee: Guarantee, rate: u64, minutes: u64, set: &[(String, String)]) -> Result<Steady> {
    let field = Field::prepare(set.to_vec(), &[RETENTION], &TOPICS)?;
    let (started, mut samples) = (Instant::now(), Vec::new());
    let mut sample = |pipeline: u32| -> Result<()> {
        samples.push((started.elapsed().as_secs_f64(), process::resident_memory(pipeline)? as f64 / MIB));
        Ok(())
    };
    let label = format!("{minutes} min");
    let run = field.run_sampled(Case { guarantee: Some(guarantee), rate }, minutes * 60, &label, Some(&mut sample))?;
    let start = samples.first().map_or(0.0, |(seconds, _)| *seconds);
    samples.iter_mut().for_each(|(seconds, _)| *seconds -= start);
    Ok(Steady::of(guarantee, rate, minutes, samples, run))
}

impl Steady {
    fn of(guarantee: Guarantee, rate: u64, minutes: u64, samples: Vec<(f64, f64)>, run: Run) -> Self {
        let settled = (samples.len() as f64 * SETTLING) as usize;
        Self {
            guarantee: guarantee.name().to_owned(),
            rate,
            minutes,
            max_mib: samples.iter().map(|(_, mib)| *mib).fold(0.0, f64::max),
            slope_mib_an_hour: slope(&samples[settled..]) * 3_600.0,
            samples,
            run,
        }
    }

    pub(crate) fn text(&self) -> String {
        format!(
            "{}, {} records/s for {} min: {:.0} MiB at most, {:+.1} MiB an hour behind the first tenth; p99 {:.2} ms, {}",
            self.guarantee,
            grouped(self.rate as f64),
            self.minutes,
            self.max_mib,
            self.slope_mib_an_hour,
            self.run.p99_ms,
            if self.run.is_correct() { "every record once" } else { "NOT CORRECT" }
        )
    }
}

/// What the second grows by for each unit of the first, by least squares.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let spread: f64 = samples.iter().map(|sample| (sample.0 - x).powi(2)).sum();
    let together: f64 = samples.iter().map(|sample| (sample.0 - x) * (sample.1 - y)).sum();
    if spread > 0.0 { together / spread } else { 0.0 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::result::tests::run;
    use super::*;

    /// Memory that jumps at the start and then grows by a MiB in a minute.
    pub(crate) fn document() -> Steady {
        let memory = |second: u32| if second < 60 { 20.0 } else { 80.0 + f64::from(second) / 60.0 };
        let samples = (0..600).map(|second| (f64::from(second), memory(second))).collect();
        Steady::of(Guarantee::ExactlyOnce, 10_000, 10, samples, run(4.0, 100))
    }

    #[test]
    fn the_slope_leaves_the_start_out() {
        let steady = document();
        assert!((steady.slope_mib_an_hour - 60.0).abs() < 1e-6, "{}", steady.slope_mib_an_hour);
        assert!((steady.max_mib - 89.98).abs() < 0.01, "{}", steady.max_mib);
        let text = steady.text();
        assert!(text.contains("90 MiB at most, +60.0 MiB an hour") && text.ends_with("every record once"), "{text}");
    }

    #[test]
    fn few_samples_have_no_slope() {
        assert!(slope(&[]).abs() < f64::EPSILON && slope(&[(1.0, 5.0)]).abs() < f64::EPSILON);
    }
}
