//! One guarantee: copies the input and takes the times.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ksem::discipline::Step;
use ksem::{Config, Guarantee, Metrics, Pipeline, Until};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::commands::connection::quiet;
use crate::exit::{Done, Failure};
use crate::progress::Progress;

/// What a guarantee did.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Speed {
    /// From the first record that the handler saw to the last batch's last step.
    pub(super) records_per_s: f64,
    pub(super) seconds: f64,
    /// From the handler's start to the batch's last step: the commit, or under at-most-once, which commits first, the
    /// acknowledgement of its records.
    pub(super) batch_p50_ms: f64,
    pub(super) batch_p99_ms: f64,
    /// CPU time of this process, connecting included.
    pub(super) cpu_s_per_million: f64,
    pub(super) batches: u64,
    /// Batches that were tried again or aborted.
    pub(super) retried: u64,
    /// Records that at-most-once lost.
    pub(super) lost: u64,
}

pub(super) fn measure(mut config: Config, output: &str, records: u64, stop: &AtomicBool, what: &str) -> Done<Speed> {
    // Given, so that nothing is left in the user's state folder.
    config.transactions.instance_id = Some("bench".to_owned());
    let guarantee = config.guarantee;
    let (before, times) = (cpu_seconds(), Arc::new(Times::new()?));
    let probe = Arc::clone(&times);
    let pipeline = Pipeline::open_probed(config, Some(Arc::new(move |of, step| probe.after(of, step))))?;
    let result = copy(&pipeline, output, &times, stop, what);
    let metrics = pipeline.metrics();
    let closed = pipeline.close();
    result?;
    closed?;
    let cpu_s = cpu_seconds() - before;
    if stop.load(Ordering::SeqCst) || metrics.records_in + metrics.records_lost == records {
        return Ok(times.speed(metrics, records, cpu_s));
    }
    Err(Failure::internal(format!("{guarantee}: {} of {records} records came through", metrics.records_in)))
}

fn copy(pipeline: &Pipeline, output: &str, times: &Times, stop: &AtomicBool, what: &str) -> ksem::Result<()> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut progress = Progress::start(quiet(), what);
            while !done.load(Ordering::SeqCst) {
                if stop.load(Ordering::SeqCst) {
                    pipeline.stop();
                }
                progress.show(pipeline.metrics().records_in, "");
                thread::sleep(Duration::from_millis(50));
            }
            progress.finish();
        });
        let result = pipeline.run_until(Until::CaughtUp, |batch, out| {
            times.batch_begins();
            (0..batch.len()).for_each(|index| out.forward(output, index));
            Ok(())
        });
        done.store(true, Ordering::SeqCst);
        result
    })
}

/// A batch that takes longer counts as this.
const LONGEST_US: u64 = 3_600_000_000;

/// When batches began and ended. A batch stays on the thread of its lane.
struct Times {
    first: OnceLock<Instant>,
    ended: Mutex<(Option<Instant>, Histogram<u64>)>,
}

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

impl Times {
    fn new() -> Done<Self> {
        // With bounds: a histogram that grows by itself takes what is above its first size for nearly nothing.
        let micros = Histogram::new_with_bounds(1, LONGEST_US, 3);
        let micros = micros.map_err(|error| Failure::internal(error.to_string()))?;
        Ok(Self { first: OnceLock::new(), ended: Mutex::new((None, micros)) })
    }

    fn batch_begins(&self) {
        let now = Instant::now();
        self.first.get_or_init(|| now);
        BEGAN.set(Some(now));
    }

    fn after(&self, guarantee: Guarantee, step: Step) {
        let last = match guarantee {
            Guarantee::AtMostOnce => Step::Produce,
            Guarantee::AtLeastOnce => Step::CommitOffsets,
            Guarantee::ExactlyOnce => Step::CommitTransaction,
        };
        // At-least-once commits positions without a batch, too.
        if step == last
            && let Some(began) = BEGAN.take()
        {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.0 = Some(Instant::now());
            ended.1.saturating_record(began.elapsed().as_micros() as u64);
        }
    }

    fn speed(&self, metrics: Metrics, records: u64, cpu_s: f64) -> Speed {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let took = self.first.get().zip(ended.0).map_or(Duration::ZERO, |(first, last)| last.duration_since(*first));
        let seconds = took.as_secs_f64();
        let millis = |quantile| ended.1.value_at_quantile(quantile) as f64 / 1e3;
        Speed {
            records_per_s: (records as f64 / seconds.max(1e-6)).round(),
            seconds,
            batch_p50_ms: millis(0.5),
            batch_p99_ms: millis(0.99),
            cpu_s_per_million: cpu_s / (records as f64 / 1e6),
            batches: metrics.batches,
            retried: metrics.batches_retried + metrics.transactions_aborted,
            lost: metrics.records_lost,
        }
    }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_lasts_from_the_handler_to_the_guarantees_last_step() {
        let times = Times::new().expect("a histogram");
        for _ in 0..2 {
            times.batch_begins();
            thread::sleep(Duration::from_millis(20));
            times.after(Guarantee::ExactlyOnce, Step::Produce);
            times.after(Guarantee::ExactlyOnce, Step::CommitTransaction);
            // A commit without a batch is none.
            times.after(Guarantee::AtLeastOnce, Step::CommitOffsets);
        }
        let speed = times.speed(Metrics::default(), 1_000, 0.5);
        assert!(speed.batch_p50_ms >= 20.0 && speed.batch_p99_ms >= speed.batch_p50_ms, "{speed:?}");
        assert!(speed.seconds >= 0.04, "from the first batch to the last commit: {speed:?}");
        assert!((speed.cpu_s_per_million - 500.0).abs() < 1e-6);
        assert_eq!(times.ended.lock().expect("no panic").1.len(), 2);
    }
}
