//! A handler in a child process: one child a lane, JSON lines in both directions.
//!
//! A batch is written as one object a line and then `{"end":N}`. The child answers with one object
//! a line for each output and then `{"end":N}`. A child that dies, answers nonsense or is too slow
//! fails the batch: nothing of it is applied, and a new child is started for the next attempt.
//!
//! A line `{"error":"…"}` fails the batch too, and the child lives. With `"partition":P,"offset":O` it names the record that is
//! to blame, and with `"permanent":true` no other attempt is made at it. A verdict on a record is
//! `{"verdict":"retry|dead_letter|skip","partition":P,"offset":O,"reason":"…"}`. Where a batch has several topics, `"topic"` says which.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ksem::{Batch, HandlerFailure, HandlerResult, Output};
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
            Err(Trouble::Refused(failure)) => Err(failure.into()),
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
    Refused(HandlerFailure),
    /// The child can't be used any more.
    Broken(String),
}

/// A running child.
struct Worker {
    child: Child,
    to: SyncSender<Vec<u8>>,
    from: Receiver<String>,
}

/// What an answer has besides outputs.
#[derive(Deserialize)]
#[serde(untagged)]
enum Control {
    End { end: usize },
    Verdict(Verdict),
    Error(Refusal),
}

/// A verdict on one record.
#[derive(Deserialize)]
struct Verdict {
    verdict: Fate,
    #[serde(default)]
    reason: Option<String>,
    #[serde(flatten)]
    place: Place,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    Retry,
    DeadLetter,
    Skip,
}

/// An error that the child reports.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    permanent: bool,
    #[serde(flatten)]
    place: Option<Place>,
}

/// Where a record of the batch is.
#[derive(Deserialize)]
struct Place {
    #[serde(default)]
    topic: Option<String>,
    partition: i32,
    offset: i64,
}

/// The records of a batch by their places; made when the first one is named.
struct Places<'a> {
    batch: &'a Batch,
    found: Option<HashMap<(&'a str, i32, i64), usize>>,
}

impl<'a> Places<'a> {
    fn new(batch: &'a Batch) -> Self {
        Self { batch, found: None }
    }

    fn index(&mut self, place: &Place) -> Result<usize, String> {
        let batch = self.batch;
        let all =
            || batch.records().enumerate().map(|(index, it)| ((it.topic, it.partition, it.offset), index)).collect();
        let found = self.found.get_or_insert_with(all);
        let Place { topic, partition, offset } = place;
        let index = match topic {
            Some(topic) => found.get(&(topic.as_str(), *partition, *offset)).copied(),
            None => {
                let mut topics: Vec<&str> = found.keys().map(|(topic, ..)| *topic).collect();
                topics.sort_unstable();
                topics.dedup();
                let mut there = topics.into_iter().filter_map(|topic| found.get(&(topic, *partition, *offset)));
                match (there.next(), there.next()) {
                    (Some(_), Some(_)) => {
                        return Err("it names a record that is in several topics, without `topic`".into());
                    }
                    (index, _) => index.copied(),
                }
            }
        };
        index.ok_or_else(|| format!("it names partition {partition}, offset {offset}, which is not in the batch"))
    }
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
        let mut places = Places::new(batch);
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
                Ok(Some(Control::Verdict(verdict))) => {
                    give(&verdict, &mut places, output).map_err(|reason| nonsense(&reason, &line))?;
                }
                Ok(Some(Control::Error(refusal))) => return Err(self.refused(refusal, &mut places, until)),
                Err(reason) => return Err(nonsense(&reason, &line)),
            }
        }
    }

    /// Reads up to the end of a batch that the child refuses, so that it can go on with the next. It may name more records
    /// on the way.
    fn refused(&mut self, first: Refusal, places: &mut Places<'_>, until: Instant) -> Trouble {
        let error = first.error.clone();
        let mut failure = HandlerFailure::new(error.clone());
        let mut next = Some(first);
        loop {
            if let Some(Refusal { place, permanent, .. }) = next.take() {
                if permanent {
                    failure = failure.permanent();
                }
                match place.map(|place| places.index(&place)) {
                    Some(Ok(index)) => failure = failure.of(index),
                    Some(Err(reason)) => return Trouble::Broken(format!("{error}; and {reason}")),
                    None => {}
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.from.recv_timeout(left).map(|line| serde_json::from_str::<Control>(&line)) {
                Ok(Ok(Control::End { .. })) => return Trouble::Refused(failure),
                Ok(Ok(Control::Error(refusal))) => next = Some(refusal),
                Ok(_) => {}
                Err(_) => return Trouble::Broken(error),
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

fn give(verdict: &Verdict, places: &mut Places<'_>, output: &mut Output) -> Result<(), String> {
    let index = places.index(&verdict.place)?;
    let reason = verdict.reason.as_deref();
    match verdict.verdict {
        Fate::Retry => output.retry_because(index, reason.unwrap_or("the handler asked for another attempt")),
        Fate::DeadLetter => output.dead_letter(index, reason.unwrap_or("the handler gave no reason")),
        Fate::Skip => output.skip(index),
    }
    Ok(())
}

fn nonsense(reason: &str, line: &str) -> Trouble {
    Trouble::Broken(format!("the child's answer makes no sense: {reason}: {}", shortened(line)))
}

fn shortened(line: &str) -> String {
    // Payloads may be personal data: enough to recognise, not to read.
    line.chars().take(80).collect()
}
