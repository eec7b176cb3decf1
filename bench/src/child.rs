//! One run of one contestant, in a process of its own.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::process;
use crate::programs::{self, Done, Job};

/// The subcommand that runs a contestant.
pub(crate) const SUBCOMMAND: &str = "contestant";

/// What one run took.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) records: u64,
    pub(crate) records_per_s: f64,
    /// From the first record seen to the commit of the last.
    pub(crate) elapsed_s: f64,
    /// From the start of the process to the first record.
    pub(crate) first_record_s: f64,
    /// CPU time of the contestant's process, from its start to its end.
    pub(crate) client_cpu_s: f64,
    pub(crate) client_peak_bytes: u64,
    /// CPU time of the broker meanwhile.
    pub(crate) broker_cpu_s: f64,
    pub(crate) retried: u64,
}

/// A contestant's process; ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a contestant and measures it until it has said that it is done.
pub(crate) fn measure(job: &Job, broker: u32, limit: Duration) -> Result<Run> {
    let broker_before = process::cpu_seconds(broker)?;
    let started = SystemTime::now();
    let child = programs::command(&job.contestant)?
        .arg(serde_json::to_string(job)?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting a contestant")?;
    let mut child = Running(child);
    let pid = child.0.id();
    let output = child.0.stdout.take().context("the contestant's output")?;
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        let _ = send.send(read.map(|_| line));
    });
    let Ok(line) = receive.recv_timeout(limit) else { bail!("it was not done after {limit:?}") };
    let line = line.context("reading the contestant's result")?;
    if line.is_empty() {
        let status = child.0.wait().context("waiting for the contestant")?;
        bail!("it ended without a result: {status}");
    }
    // It is alive still, with all it had.
    let client_cpu_s = process::cpu_seconds(pid)?;
    let client_peak_bytes = process::peak_memory(pid)?;
    let broker_cpu_s = process::cpu_seconds(broker)? - broker_before;
    drop(child.0.stdin.take());
    let status = child.0.wait().context("waiting for the contestant")?;
    ensure!(status.success(), "it ended badly: {status}");
    let done: Done = serde_json::from_str(&line).context("the contestant's result")?;
    ensure!(done.elapsed_s > 0.0, "it took no time");
    let first = UNIX_EPOCH + Duration::from_micros(done.first_unix_us);
    Ok(Run {
        records: job.records,
        records_per_s: job.records as f64 / done.elapsed_s,
        elapsed_s: done.elapsed_s,
        first_record_s: first.duration_since(started).unwrap_or_default().as_secs_f64(),
        client_cpu_s,
        client_peak_bytes,
        broker_cpu_s,
        retried: done.retried,
    })
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
