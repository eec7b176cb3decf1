//! What was measured, as it is written to JSON and read for the report.

use std::time::Duration;

use ksem::Guarantee;
use serde::{Deserialize, Serialize};

use super::load::Sent;
use super::pipeline::Piped;
use super::reader::Seen;
use crate::machine::Machine;

/// What a guarantee should reach.
pub(super) struct Target {
    pub(super) guarantee: Guarantee,
    pub(super) rate: u64,
    pub(super) p99_ms: f64,
}

pub(super) const TARGETS: [Target; 3] = [
    Target { guarantee: Guarantee::AtMostOnce, rate: 100_000, p99_ms: 2.0 },
    Target { guarantee: Guarantee::AtLeastOnce, rate: 75_000, p99_ms: 5.0 },
    Target { guarantee: Guarantee::ExactlyOnce, rate: 50_000, p99_ms: 15.0 },
];

/// The whole result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) work: Work,
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Row>,
}

/// What every run did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) seconds: u64,
    pub(crate) warm_up_s: u64,
    pub(crate) size: usize,
    pub(crate) partitions: i32,
    pub(crate) runs: u32,
}

/// A guarantee at a rate.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// `None`: nothing was between the load and the reader.
    pub(crate) guarantee: Option<String>,
    pub(crate) rate: u64,
    pub(crate) target_p99_ms: Option<f64>,
    /// ksem's settings beside its defaults.
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) runs: Vec<Run>,
}

/// Processors that were busy, by process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cores {
    pub(crate) broker: f64,
    pub(crate) pipeline: f64,
    pub(crate) load: f64,
    pub(crate) reader: f64,
}

impl Cores {
    pub(crate) fn all(self) -> f64 {
        self.broker + self.pipeline + self.load + self.reader
    }

    /// From CPU seconds at two moments to processors that were busy between them.
    pub(super) fn since(self, before: Self, elapsed: Duration) -> Self {
        let share = |now: f64, then: f64| (now - then) / elapsed.as_secs_f64();
        Self {
            broker: share(self.broker, before.broker),
            pipeline: share(self.pipeline, before.pipeline),
            load: share(self.load, before.load),
            reader: share(self.reader, before.reader),
        }
    }
}

/// One run. Times are milliseconds from the time at which a record had to be sent to its sight.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
    /// The whole distribution: quantile and milliseconds.
    pub(crate) distribution: Vec<(f64, f64)>,
    /// Records, those of the warm-up included.
    pub(crate) produced: u64,
    pub(crate) visible: u64,
    pub(crate) repeated: u64,
    /// Batches that were tried again or aborted.
    pub(crate) retried: u64,
    pub(crate) batches: u64,
    /// From the time at which a record had to be sent to the call that sent it.
    pub(crate) load_late_p99_ms: f64,
    pub(crate) cores: Cores,
}

impl Run {
    pub(super) fn of(records: u64, sent: &Sent, seen: Seen, piped: Option<Piped>, cores: Cores) -> Self {
        let (batches, retried) = piped.map_or((0, 0), |piped| (piped.batches, piped.retried));
        Self {
            p50_ms: seen.p50_ms,
            p99_ms: seen.p99_ms,
            p999_ms: seen.p999_ms,
            max_ms: seen.max_ms,
            distribution: seen.distribution,
            // The load ends with an error where one was not acknowledged.
            produced: records,
            visible: seen.visible,
            repeated: seen.repeated,
            retried,
            batches,
            load_late_p99_ms: sent.late_p99_ms,
            cores,
        }
    }

    /// Whether every record was visible once.
    pub(crate) fn is_correct(&self) -> bool {
        self.visible == self.produced && self.repeated == 0
    }
}

impl Row {
    /// The run with the lowest 99th percentile, of those that were correct.
    pub(crate) fn best(&self) -> Option<usize> {
        let correct = self.runs.iter().enumerate().filter(|(_, run)| run.is_correct());
        correct.min_by(|(_, a), (_, b)| a.p99_ms.total_cmp(&b.p99_ms)).map(|(index, _)| index)
    }

    pub(crate) fn is_correct(&self) -> bool {
        self.runs.iter().all(Run::is_correct)
    }

    /// How many runs met the target; `None` where there is none.
    pub(crate) fn met(&self) -> Option<usize> {
        let most = self.target_p99_ms?;
        Some(self.runs.iter().filter(|run| run.is_correct() && run.p99_ms <= most).count())
    }

    /// Whether the best run met the target and every run was correct.
    pub(crate) fn pass(&self) -> Option<bool> {
        Some(self.met()? > 0 && self.is_correct())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn run(p99_ms: f64, visible: u64) -> Run {
        Run {
            p50_ms: p99_ms / 4.0,
            p99_ms,
            p999_ms: p99_ms * 2.0,
            max_ms: p99_ms * 5.0,
            distribution: vec![(0.0, p99_ms / 10.0), (0.5, p99_ms / 4.0), (0.99, p99_ms), (1.0, p99_ms * 5.0)],
            produced: 100,
            visible,
            repeated: 0,
            retried: 0,
            batches: 10,
            load_late_p99_ms: 0.1,
            cores: Cores { broker: 0.5, pipeline: 0.25, load: 0.125, reader: 0.125 },
        }
    }

    pub(crate) fn row(guarantee: Option<&str>, rate: u64, runs: Vec<Run>) -> Row {
        let target_p99_ms = TARGETS
            .iter()
            .find(|target| guarantee == Some(target.guarantee.name()) && target.rate == rate)
            .map(|target| target.p99_ms);
        Row { guarantee: guarantee.map(str::to_owned), rate, target_p99_ms, settings: Vec::new(), runs }
    }

    #[test]
    fn the_best_run_is_judged_and_a_wrong_one_is_never_the_best() {
        let of = |runs| row(Some("at_most_once"), 100_000, runs);
        let good = of(vec![run(3.0, 100), run(1.9, 100), run(2.5, 100)]);
        assert_eq!((good.best(), good.met(), good.pass()), (Some(1), Some(1), Some(true)));
        let slow = of(vec![run(3.0, 100)]);
        assert_eq!((slow.met(), slow.pass()), (Some(0), Some(false)));
        let wrong = of(vec![run(3.0, 100), run(1.0, 99)]);
        assert_eq!((wrong.best(), wrong.met(), wrong.pass()), (Some(0), Some(0), Some(false)));
        let mixed = of(vec![run(1.5, 100), run(1.0, 99)]);
        assert_eq!(mixed.pass(), Some(false), "one run lost a record");
        assert_eq!(row(Some("at_most_once"), 1_000, vec![run(1.0, 100)]).pass(), None);
    }

    #[test]
    fn processors_are_seconds_of_cpu_over_time() {
        let at = |seconds| Cores { broker: seconds, pipeline: 0.0, load: seconds, reader: 0.0 };
        let cores = at(3.0).since(at(1.0), Duration::from_secs(4));
        assert!((cores.all() - 1.0).abs() < 1e-9);
    }
}
