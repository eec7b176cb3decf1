//! One run of one contestant, in a process of its own.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::process;
use crate::programs::{self, Done, Job};

/// The subcommand that runs a contestant.
pub(crate) const SUBCOMMAND: &str = "contestant";

/// What one run took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) records: u64,
    pub(crate) records_per_s: f64,
    /// From the first record seen to the commit of the last.
    pub(crate) elapsed_s: f64,
    /// From the start of the process to the first record.
    pub(crate) first_record_s: f64,
    /// CPU time of the contestant's process, from its start to its end; of all of them, where several share the work.
    pub(crate) client_cpu_s: f64,
    /// The most memory that was resident at once, of all processes together.
    pub(crate) client_peak_bytes: u64,
    /// CPU time of the brokers meanwhile.
    pub(crate) broker_cpu_s: f64,
    pub(crate) retried: u64,
    /// Transactions, or commits of offsets, where they were counted.
    #[serde(default)]
    pub(crate) commits: Option<u64>,
    /// What the contestant measured beside that, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) beside: BTreeMap<String, f64>,
}

impl Run {
    /// Seconds of the contestant's CPU time for a million records.
    pub(crate) fn client_cpu_a_million(&self) -> f64 {
        self.client_cpu_s / (self.records as f64 / 1e6)
    }

    /// Seconds of the brokers' CPU time for a million records.
    pub(crate) fn broker_cpu_a_million(&self) -> f64 {
        self.broker_cpu_s / (self.records as f64 / 1e6)
    }

    pub(crate) fn peak_mib(&self) -> f64 {
        self.client_peak_bytes as f64 / f64::from(1 << 20)
    }
}

/// A contestant's process; ended when it is dropped.
struct Running {
    child: Child,
    line: mpsc::Receiver<io::Result<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(job: &Job) -> Result<Self> {
        let mut child = programs::command(&job.contestant)?
            .arg(serde_json::to_string(job)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a contestant")?;
        let output = child.stdout.take().context("the contestant's output")?;
        let (send, line) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(output).read_line(&mut line);
            let _ = send.send(read.map(|_| line));
        });
        Ok(Self { child, line })
    }

    /// What it says when everything is committed and closed.
    fn result(&mut self, until: Instant) -> Result<Done> {
        let Ok(line) = self.line.recv_timeout(until.saturating_duration_since(Instant::now())) else {
            bail!("it was not done in time")
        };
        let line = line.context("reading the contestant's result")?;
        if line.is_empty() {
            let status = self.child.wait().context("waiting for the contestant")?;
            bail!("it ended without a result: {status}");
        }
        let done: Done = serde_json::from_str(&line).context("the contestant's result")?;
        ensure!(done.elapsed_s > 0.0, "it took no time");
        Ok(done)
    }

    fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait().context("waiting for the contestant")?;
        ensure!(status.success(), "it ended badly: {status}");
        Ok(())
    }
}

/// Starts a contestant, which may be several processes of one group, and measures it until it has said that it is done.
pub(crate) fn measure(jobs: &[Job], brokers: &[u32], limit: Duration) -> Result<Run> {
    let used = || -> Result<f64> { brokers.iter().map(|broker| process::cpu_seconds(*broker)).sum() };
    let (before, started, until) = (used()?, SystemTime::now(), Instant::now() + limit);
    let mut running: Vec<Running> = jobs.iter().map(Running::start).collect::<Result<_>>()?;
    let done: Vec<Done> = running
        .iter_mut()
        .map(|one| one.result(until).with_context(|| format!("after {limit:?}")))
        .collect::<Result<_>>()?;
    // They are alive still, with all they had.
    let broker_cpu_s = used()? - before;
    let (mut client_cpu_s, mut client_peak_bytes) = (0.0, 0);
    for one in &running {
        client_cpu_s += process::cpu_seconds(one.child.id())?;
        client_peak_bytes += process::peak_memory(one.child.id())?;
    }
    running.into_iter().try_for_each(Running::end)?;
    let (first, elapsed) = span(&done);
    let records = jobs.first().context("there is nothing to do")?.records;
    Ok(Run {
        records,
        records_per_s: records as f64 / elapsed.as_secs_f64(),
        elapsed_s: elapsed.as_secs_f64(),
        first_record_s: (UNIX_EPOCH + first).duration_since(started).unwrap_or_default().as_secs_f64(),
        client_cpu_s,
        client_peak_bytes,
        broker_cpu_s,
        retried: done.iter().map(|done| done.retried).sum(),
        commits: done.iter().map(|done| done.commits).sum(),
        beside: done.into_iter().flat_map(|done| done.beside).collect(),
    })
}

/// From the first record that any of them saw, since 1970, and how long it was to the last commit of any.
fn span(done: &[Done]) -> (Duration, Duration) {
    let first = |done: &Done| Duration::from_micros(done.first_unix_us);
    let start = done.iter().map(first).min().unwrap_or_default();
    let end = done.iter().map(|done| first(done) + Duration::from_secs_f64(done.elapsed_s)).max().unwrap_or_default();
    (start, end.saturating_sub(start))
}

/// The contestant's side. Returns when the other side has read what it wants to know.
pub(crate) fn serve(job: &str) -> Result<()> {
    static DONE: AtomicBool = AtomicBool::new(false);
    let job: Job = serde_json::from_str(job).context("the job")?;
    let parent = thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        if !DONE.load(Ordering::SeqCst) {
            // Nobody wants the result any more; the broker is gone too.
            std::process::exit(1);
        }
    });
    let done = programs::run(&job)?;
    DONE.store(true, Ordering::SeqCst);
    let mut output = io::stdout();
    writeln!(output, "{}", serde_json::to_string(&done)?)?;
    output.flush()?;
    let _ = parent.join();
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run at so many records a second.
    pub(crate) fn run(records: u64, records_per_s: f64) -> Run {
        let elapsed_s = records as f64 / records_per_s;
        Run {
            records,
            records_per_s,
            elapsed_s,
            first_record_s: 0.1,
            client_cpu_s: elapsed_s,
            client_peak_bytes: 100 << 20,
            broker_cpu_s: elapsed_s / 2.0,
            retried: 0,
            commits: Some(records.div_ceil(10_000)),
            beside: BTreeMap::new(),
        }
    }

    #[test]
    fn the_time_of_several_goes_from_the_first_record_to_the_last_commit() {
        let done = |first_unix_us, elapsed_s| Done {
            first_unix_us,
            elapsed_s,
            retried: 0,
            commits: None,
            beside: BTreeMap::new(),
        };
        let (start, elapsed) = span(&[done(2_000_000, 3.0), done(1_000_000, 2.5), done(4_000_000, 0.5)]);
        assert_eq!((start, elapsed), (Duration::from_secs(1), Duration::from_secs(4)));
    }
}
