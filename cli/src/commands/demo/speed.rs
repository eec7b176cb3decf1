//! The speed of the three guarantees, side by side.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use ksem::{Guarantee, Pipeline, Until};
use ksem_broker::EmbeddedBroker;

use super::Speed;
use super::orders::{self, Topics};
use crate::exit::{Done, Failure};

/// Orders that wait when the throughput is measured.
const BACKLOG: u64 = 100_000;
/// Orders a second, and for how long, when the latency is measured.
const RATE: u64 = 5_000;
const SECONDS: u64 = 2;
/// An order that takes longer counts as this.
const LONGEST_MS: u64 = 3_600_000;
/// Between two groups of orders.
const TICK: Duration = Duration::from_millis(10);

pub(super) fn measure(broker: &EmbeddedBroker, guarantee: Guarantee) -> Done<Speed> {
    Ok(Speed {
        guarantee: guarantee.name(),
        records_per_s: throughput(broker, guarantee)?.round(),
        p99_ms: latency(broker, guarantee)?,
    })
}

/// Records a second from the first batch to the last commit, with a backlog.
fn throughput(broker: &EmbeddedBroker, guarantee: Guarantee) -> Done<f64> {
    let run = format!("{}.throughput", guarantee.name());
    let topics = Topics::create(broker, &run);
    let publisher = orders::publisher(broker.bootstrap());
    for start in (0..BACKLOG).step_by(10_000) {
        orders::send(&publisher, &topics.orders, start..start + 10_000)?;
    }
    let state = tempfile::tempdir()?;
    let pipeline = Pipeline::open(topics.config(broker.bootstrap(), &run, guarantee, state.path()))?;
    let first = std::sync::OnceLock::new();
    let started = Instant::now();
    pipeline.run_until(Until::CaughtUp, |batch, output| {
        first.get_or_init(Instant::now);
        topics.handle(batch, output)
    })?;
    let took = first.get().unwrap_or(&started).elapsed();
    let records = pipeline.metrics().records_in;
    pipeline.close()?;
    Ok(records as f64 / took.as_secs_f64())
}

/// The 99th percentile of the milliseconds from an order's timestamp to the commit of its
/// outputs, under a steady load.
fn latency(broker: &EmbeddedBroker, guarantee: Guarantee) -> Done<f64> {
    let run = format!("{}.latency", guarantee.name());
    let topics = Topics::create(broker, &run);
    let state = tempfile::tempdir()?;
    let pipeline = Pipeline::open(topics.config(broker.bootstrap(), &run, guarantee, state.path()))?;
    let publisher = orders::publisher(broker.bootstrap());
    let total = RATE * SECONDS;
    // With bounds: a histogram that grows by itself takes what is above its first size, 2 s, for nearly nothing.
    let times = Histogram::<u64>::new_with_bounds(1, LONGEST_MS, 3);
    let mut times = times.map_err(|error| Failure::internal(error.to_string()))?;
    thread::scope(|scope| -> Done {
        let load = scope.spawn(|| steadily(&publisher, &topics.orders, total));
        let (mut seen, deadline) = (0, Instant::now() + Duration::from_secs(SECONDS + 15));
        while seen < total && Instant::now() < deadline {
            let Some(batch) = pipeline.poll(Duration::from_millis(100))? else { continue };
            let sent: Vec<i64> = batch.records().filter_map(|record| record.timestamp).collect();
            let report = pipeline.process(batch, guarantee, |batch, output| topics.handle(batch, output))?;
            seen += report.records as u64;
            let now = millis();
            sent.iter().for_each(|then| times.saturating_record(now.saturating_sub(*then).max(0) as u64));
        }
        load.join().unwrap_or_else(|_| Err(Failure::internal("the load panicked")))
    })?;
    pipeline.close()?;
    Ok(times.value_at_quantile(0.99) as f64)
}

fn steadily(publisher: &ksem::Publisher, topic: &str, total: u64) -> Done {
    let each = RATE * TICK.as_millis() as u64 / 1_000;
    let mut due = Instant::now();
    for start in (0..total).step_by(each as usize) {
        orders::send(publisher, topic, start..(start + each).min(total))?;
        due += TICK;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

fn millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64)
}
