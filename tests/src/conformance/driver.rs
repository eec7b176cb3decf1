//! A driver process: lines out, lines in, and signals.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};

/// What a driver answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// The result.
    Ok(Value),
    /// An error of ksem's.
    Error(Value),
    /// Its language has no way to say that.
    Cannot(String),
}

/// A running driver. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Driver {
    child: Child,
    stdin: Option<ChildStdin>,
    inbox: Arc<Inbox>,
    asked: u64,
    verbs: HashMap<u64, String>,
    log: PathBuf,
}

#[derive(Debug, Default)]
struct Inbox {
    came: Mutex<Came>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Came {
    answers: HashMap<u64, Result<Answer, String>>,
    answered: BTreeSet<u64>,
    pauses: BTreeSet<String>,
    /// No more lines will come.
    over: bool,
    /// It broke the protocol.
    broken: Option<String>,
}

/// How many of the last bytes of its log are shown with a failure.
const TAIL: usize = 1500;

impl Driver {
    /// Starts one. What it writes to standard error goes to a file.
    ///
    /// # Errors
    /// When there is no such program.
    pub(super) fn start(command: &[String], log: PathBuf) -> Result<Self> {
        let (program, args) = command.split_first().context("a driver's command is empty")?;
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("starting the driver {program}"))?;
        let inbox = Arc::<Inbox>::default();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().context("its standard output")?);
        let reading = Arc::clone(&inbox);
        thread::Builder::new().name("driver".into()).spawn(move || reading.read(stdout))?;
        Ok(Self { child, stdin, inbox, asked: 0, verbs: HashMap::new(), log })
    }

    /// Sends a request, and returns its number.
    ///
    /// # Errors
    /// When the driver has ended.
    pub(super) fn ask(&mut self, request: &Value) -> Result<u64> {
        self.asked += 1;
        let number = self.asked;
        let mut line = Map::from_iter([("id".to_owned(), json!(number))]);
        line.extend(request.as_object().context("a request is an object")?.clone());
        let verb = request["do"].as_str().unwrap_or_default().to_owned();
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        let stdin = self.stdin.as_mut().context("its standard input is closed")?;
        if let Err(error) = stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()) {
            bail!("the driver took no `{verb}` ({error}): {}", self.fate());
        }
        self.verbs.insert(number, verb);
        Ok(number)
    }

    /// Waits for the reply to a request.
    ///
    /// # Errors
    /// When none comes in time, the driver ends, or it breaks the protocol.
    pub(super) fn answer(&mut self, number: u64, limit: Duration) -> Result<Answer> {
        let verb = self.verbs.get(&number).cloned().unwrap_or_default();
        let (answer, over) = self.inbox.wait(limit, |came| came.answers.remove(&number));
        match answer {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(what)) => bail!("the driver is broken at `{verb}`: {what}{}", self.tail()),
            None => bail!(self.silence(&format!("reply to `{verb}`"), limit, over)),
        }
    }

    /// Waits until a handler stands at a pause.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub(super) fn paused(&mut self, at: &str, limit: Duration) -> Result<()> {
        let (found, over) = self.inbox.wait(limit, |came| came.pauses.take(at));
        if found.is_some() { Ok(()) } else { bail!(self.silence(&format!("handler at the pause `{at}`"), limit, over)) }
    }

    fn silence(&mut self, what: &str, limit: Duration, over: bool) -> String {
        if let Some(broken) = self.inbox.lock().broken.clone() {
            return format!("the driver broke the protocol: {broken}{}", self.tail());
        }
        if over {
            return format!("no {what}: {}", self.fate());
        }
        format!("no {what} within {:.0} s: the driver hangs{}", limit.as_secs_f64(), self.tail())
    }

    /// Ends it as `kill -9` does, wherever it is.
    ///
    /// # Errors
    /// When it had ended before.
    pub(super) fn kill(&mut self) -> Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "there was nothing to kill: {}", self.fate());
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops or continues all its threads.
    ///
    /// # Errors
    /// When there is no such process.
    pub(super) fn freeze(&mut self, freeze: bool) -> Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "there was nothing to freeze: {}", self.fate());
        kill_process(Pid::from_child(&self.child), if freeze { Signal::STOP } else { Signal::CONT })?;
        Ok(())
    }

    /// Closes its standard input and waits for its end.
    ///
    /// # Errors
    /// When it does not end, or not with status 0.
    pub(super) fn end(&mut self, limit: Duration) -> Result<()> {
        drop(self.stdin.take());
        let until = Instant::now() + limit;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the driver ended with {status}{}", self.tail()),
                None if Instant::now() >= until => {
                    bail!("the driver did not end within {limit:?} after the end of its input{}", self.tail())
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Fails if it has broken the protocol in a way that no reply showed.
    ///
    /// # Errors
    /// Then.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.inbox.lock().broken.clone() {
            Some(broken) => bail!("the driver broke the protocol: {broken}{}", self.tail()),
            None => Ok(()),
        }
    }

    fn fate(&mut self) -> String {
        // Its output ends a moment before it does.
        let until = Instant::now() + Duration::from_secs(1);
        let status: Option<ExitStatus> = loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
                Ok(status) => break status,
                Err(_) => break None,
            }
        };
        let how = status.map_or("it closed its output".to_owned(), |status| format!("it ended with {status}"));
        format!("{how}{}", self.tail())
    }

    fn tail(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text =
            String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL)..]).trim().replace('\n', "\n      | ");
        if text.is_empty() { String::new() } else { format!("; it had said:\n      | {text}") }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Came> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `take` finds something. The flag says that nothing more will come.
    fn wait<T>(&self, limit: Duration, mut take: impl FnMut(&mut Came) -> Option<T>) -> (Option<T>, bool) {
        let until = Instant::now() + limit;
        let mut came = self.lock();
        loop {
            if let Some(found) = take(&mut came) {
                return (Some(found), came.over);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || came.over || came.broken.is_some() {
                return (None, came.over);
            }
            came = self.changed.wait_timeout(came, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn read(&self, stdout: ChildStdout) {
        for line in BufReader::new(stdout).split(b'\n') {
            let Ok(line) = line else { break };
            let mut came = self.lock();
            if let Err(error) = came.take(&line) {
                came.broken.get_or_insert_with(|| {
                    let start = String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
                    format!("{error:#} in the line {start}")
                });
            }
            drop(came);
            self.changed.notify_all();
        }
        self.lock().over = true;
        self.changed.notify_all();
    }
}

impl Came {
    fn take(&mut self, line: &[u8]) -> Result<()> {
        let line: Value = serde_json::from_slice(line).context("no JSON")?;
        let number = line["id"].as_u64().context("no number")?;
        if line["event"] == "paused" {
            self.pauses.insert(line["at"].as_str().context("no name of the pause")?.to_owned());
            return Ok(());
        }
        let mut kinds = ["ok", "error", "cannot", "broken"].into_iter().filter(|kind| line.get(kind).is_some());
        let (Some(kind), None) = (kinds.next(), kinds.next()) else { bail!("not one of ok, error, cannot, broken") };
        ensure!(self.answered.insert(number), "a second reply to request {number}");
        let text = || line[kind].as_str().unwrap_or_default().to_owned();
        let answer = match kind {
            "ok" => Ok(Answer::Ok(line["ok"].clone())),
            "error" => Ok(Answer::Error(line["error"].clone())),
            "cannot" => Ok(Answer::Cannot(text())),
            _ => Err(text()),
        };
        self.answers.insert(number, answer);
        Ok(())
    }
}
