//! The crashes: a worker is killed at each crash point and started again.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use ksem::Guarantee;
use ksem::discipline::{CrashEffect, CrashPoint, crash_points};
use ksem_broker::EmbeddedBroker;

use super::Crash;
use super::orders::{self, Topics};
use super::show::Screen;
use super::worker::READY_TO_DIE;
use crate::exit::{Done, Failure};

/// How long a worker may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs every row of every crash table, two at a time.
pub(super) fn all(broker: &EmbeddedBroker, records: u64, screen: &Screen) -> Done<Vec<Crash>> {
    let rows: Vec<(Guarantee, &CrashPoint)> =
        Guarantee::ALL.into_iter().flat_map(|g| crash_points(g).iter().map(move |point| (g, point))).collect();
    let state = tempfile::tempdir()?;
    let next = Mutex::new(rows.iter().enumerate());
    let results: Mutex<Vec<Option<Crash>>> = Mutex::new(vec![None; rows.len()]);
    let shown = Mutex::new(0);
    let work = || -> Done {
        loop {
            let Some((index, (guarantee, point))) = next.lock().ok().and_then(|mut rows| rows.next()) else {
                return Ok(());
            };
            let crash = one(broker, *guarantee, point, records, state.path())?;
            let (Ok(mut results), Ok(mut shown)) = (results.lock(), shown.lock()) else { return Ok(()) };
            results[index] = Some(crash);
            // In the order of the tables, as soon as a row and all before it are known.
            while let Some(Some(crash)) = results.get(*shown) {
                screen.crash(crash);
                *shown += 1;
            }
        }
    };
    thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(Failure::internal("a thread of the demo panicked")))
        })
    })?;
    Ok(results.into_inner().unwrap_or_default().into_iter().flatten().collect())
}

/// Returns whether every row kept its promise, and the loss and the repeat were really seen.
pub(super) fn promise_held(crashes: &[Crash]) -> bool {
    let happened = |guarantee: Guarantee, what: fn(&Crash) -> u64| {
        crashes.iter().any(|crash| crash.guarantee == guarantee.name() && what(crash) > 0)
    };
    crashes.iter().all(|crash| crash.kept)
        && happened(Guarantee::AtMostOnce, |crash| crash.lost)
        && happened(Guarantee::AtLeastOnce, |crash| crash.repeated)
}

fn one(broker: &EmbeddedBroker, guarantee: Guarantee, point: &CrashPoint, records: u64, state: &Path) -> Done<Crash> {
    let run = format!("{}.{}", guarantee.name(), point.name);
    let topics = Topics::create(broker, &run);
    orders::send(&orders::publisher(broker.bootstrap()), &topics.orders, 0..records)?;
    let batch = (records / 10).max(1);
    let worker = Worker { bootstrap: broker.bootstrap(), run: &run, guarantee, state, batch };
    worker.die_at(point.name)?;
    worker.finish()?;
    let (lost, repeated) = topics.count(broker.bootstrap(), records)?;
    let expected = match point.effect {
        CrashEffect::None => (0..=0, 0..=0),
        CrashEffect::Lost => (1..=batch, 0..=0),
        CrashEffect::Repeated => (0..=0, 1..=batch),
    };
    let kept = expected.0.contains(&lost) && expected.1.contains(&repeated);
    Ok(Crash { guarantee: guarantee.name(), crash_point: point.name, sent: records, lost, repeated, kept })
}

struct Worker<'a> {
    bootstrap: &'a str,
    run: &'a str,
    guarantee: Guarantee,
    state: &'a Path,
    batch: u64,
}

impl Worker<'_> {
    fn spawn(&self, crash_point: Option<&str>) -> Done<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["-q", "demo-worker", "--bootstrap", self.bootstrap, "--run", self.run]);
        command.args(["--guarantee", self.guarantee.name(), "--batch", &self.batch.to_string()]);
        command.arg("--state").arg(self.state).stdin(Stdio::null()).stdout(Stdio::piped());
        command.args(crash_point.iter().flat_map(|point| ["--crash-point", point]));
        Ok(command.spawn()?)
    }

    /// Starts the pipeline and kills it at the crash point.
    fn die_at(&self, crash_point: &str) -> Done {
        let mut child = self.spawn(Some(crash_point))?;
        let stdout = child.stdout.take();
        let (said, hears) = channel();
        thread::spawn(move || {
            let lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines());
            // Nobody listens any more once the worker was too slow.
            let _ = said.send(lines.map_while(Result::ok).any(|line| line == READY_TO_DIE));
        });
        let ready = hears.recv_timeout(PATIENCE);
        child.kill()?;
        child.wait()?;
        match ready {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(Failure::internal(format!("{}: the worker ended before its crash point {crash_point}", self.run)))
            }
            Err(_) => {
                Err(Failure::internal(format!("{}: the worker did not reach {crash_point} in {PATIENCE:?}", self.run)))
            }
        }
    }

    /// Starts the pipeline again and lets it catch up.
    fn finish(&self) -> Done {
        let mut child = self.spawn(None)?;
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(Failure::internal(format!("{}: the restarted worker failed: {status}", self.run)))
                };
            }
            if Instant::now() > until {
                child.kill()?;
                child.wait()?;
                return Err(Failure::internal(format!(
                    "{}: the restarted worker did not catch up in {PATIENCE:?}",
                    self.run
                )));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
