//! A handler in a child process: one child a lane, JSON lines in both directions.
//!
//! A batch is written as one object a line and then `{"end":N}`. The child answers with one object
//! a line for each output and then `{"end":N}`. A child that dies, answers nonsense or is too slow
//! fails the batch: nothing of it is applied, and a new child is started for the next attempt.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ksem::{Batch, HandlerResult, Output};
use serde::Deserialize;

use crate::json::{InputLine, OutputLine};

/// The children of all lanes.
pub(crate) struct Exec {
    command: String,
    timeout: Duration,
    children: Vec<Mutex<Option<Worker>>>,
}

/// Lanes are numbered from 0, and there are never more than this.
const MOST_LANES: usize = 64;
/// How long a child that closed its output may take to be gone.
const A_MOMENT: Duration = Duration::from_millis(200);

impl Exec {
    pub(crate) fn new(command: String, timeout: Duration) -> Self {
        Self { command, timeout, children: (0..MOST_LANES).map(|_| Mutex::default()).collect() }
    }

    /// Hands the batch to the lane's child and takes its answer.
    pub(crate) fn handle(&self, batch: &Batch, output: &mut Output) -> HandlerResult {
        let slot = &self.children[batch.lane() % MOST_LANES];
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some(Worker::start(&self.command)?);
        }
        let Some(worker) = slot.as_mut() else { return Ok(()) };
        let result = worker.process(batch, output, self.timeout);
        match result {
            Ok(()) => Ok(()),
            // It answered in good order: it may live.
            Err(Trouble::Refused(reason)) => Err(reason.into()),
            Err(Trouble::Broken(reason)) => {
                let how = slot.take().map(Worker::end).unwrap_or_default();
                Err(format!("{reason}{how}").into())
            }
        }
    }
}

/// Why a batch failed.
enum Trouble {
    /// The child said so itself.
    Refused(String),
    /// The child can't be used any more.
    Broken(String),
}

/// A running child.
struct Worker {
    child: Child,
    to: SyncSender<Vec<u8>>,
    from: Receiver<String>,
}

/// The last line of a batch, or an error that the child reports.
#[derive(Deserialize)]
#[serde(untagged)]
enum Control {
    End { end: usize },
    Error { error: String },
}

impl Worker {
    fn start(command: &str) -> std::io::Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for ksem, which ends its children when they are done.
            .process_group(0)
            .spawn()?;
        let (to, input) = sync_channel::<Vec<u8>>(1);
        let (lines, from) = sync_channel::<String>(1_024);
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        thread::Builder::new().name("ksem-exec-in".into()).spawn(move || {
            if let Some(stdin) = stdin {
                feed(stdin, &input);
            }
        })?;
        thread::Builder::new().name("ksem-exec-out".into()).spawn(move || {
            let Some(stdout) = stdout else { return };
            for line in BufReader::with_capacity(1 << 16, stdout).lines() {
                // Not UTF-8, or the end: the batch fails by the closed channel.
                let Ok(line) = line else { return };
                if lines.send(line).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { child, to, from })
    }

    fn process(&mut self, batch: &Batch, output: &mut Output, timeout: Duration) -> Result<(), Trouble> {
        let broken = |reason: &str| Trouble::Broken(reason.to_owned());
        if self.from.try_recv().is_ok() {
            return Err(broken("the child wrote a line that nobody asked for"));
        }
        let until = Instant::now() + timeout;
        self.to.send(encode(batch)).map_err(|_| broken("the child's input is closed"))?;
        let mut outputs = 0_usize;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = match self.from.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Trouble::Broken(format!(
                        "the child did not answer within `exec.timeout_ms` = {}",
                        timeout.as_millis()
                    )));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(broken("the child closed its output in the middle of a batch"));
                }
            };
            match answer(&line, output, &mut outputs) {
                Ok(None) => {}
                Ok(Some(Control::End { end })) if end == batch.len() || end == outputs => return Ok(()),
                Ok(Some(Control::End { end })) => {
                    return Err(Trouble::Broken(format!(
                        "the child ended a batch of {} records with {{\"end\":{end}}}",
                        batch.len()
                    )));
                }
                Ok(Some(Control::Error { error })) => return self.drain_refusal(error, until),
                Err(reason) => {
                    return Err(Trouble::Broken(format!(
                        "the child's answer makes no sense: {reason}: {}",
                        shortened(&line)
                    )));
                }
            }
        }
    }

    /// Reads up to the end of a batch that the child refuses, so that it can go on with the next.
    fn drain_refusal(&mut self, error: String, until: Instant) -> Result<(), Trouble> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.from.recv_timeout(left).map(|line| serde_json::from_str::<Control>(&line)) {
                Ok(Ok(Control::End { .. })) => return Err(Trouble::Refused(error)),
                Ok(_) => {}
                Err(_) => return Err(Trouble::Broken(error)),
            }
        }
    }

    /// Ends the child with everything it started, and says how it had ended if it had.
    fn end(mut self) -> String {
        // Its pipes close a moment before it can be waited for.
        let until = Instant::now() + A_MOMENT;
        let status = loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
                ended => break ended.ok().flatten(),
            }
        };
        let how = match status.map(|status| (status.code(), status.signal())) {
            Some((Some(code), _)) => format!(" (it exited with status {code})"),
            Some((_, Some(signal))) => format!(" (it was ended by signal {signal})"),
            _ => String::new(),
        };
        self.kill();
        how
    }

    fn kill(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // It may be gone already.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn feed(mut stdin: ChildStdin, batches: &Receiver<Vec<u8>>) {
    while let Ok(bytes) = batches.recv() {
        // A child that has gone is noticed by its output.
        if stdin.write_all(&bytes).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn encode(batch: &Batch) -> Vec<u8> {
    let mut lines = Vec::with_capacity(batch.bytes() + batch.len() * 120);
    for record in batch.records() {
        // Writing to memory, of types that are always JSON, can't fail.
        let _ = serde_json::to_writer(&mut lines, &InputLine::new(&record));
        lines.push(b'\n');
    }
    let _ = writeln!(lines, "{{\"end\":{}}}", batch.len());
    lines
}

fn answer(line: &str, output: &mut Output, outputs: &mut usize) -> Result<Option<Control>, String> {
    match serde_json::from_str::<OutputLine>(line) {
        Ok(mut record) => {
            let topic = record.topic.take().ok_or("an output needs a `topic`")?;
            record.decode()?.by_key().send(&topic, output);
            *outputs += 1;
            Ok(None)
        }
        Err(error) => serde_json::from_str::<Control>(line).map(Some).map_err(|_| error.to_string()),
    }
}

fn shortened(line: &str) -> String {
    // Payloads may be personal data: enough to recognise, not to read.
    line.chars().take(80).collect()
}
