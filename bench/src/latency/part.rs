//! The processes of a run: they are told what to do in an argument, and answer with lines of JSON.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{load, pipeline, reader};
use crate::process;

/// The subcommand that runs a part.
pub(crate) const SUBCOMMAND: &str = "latency-part";

/// Who does what in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    /// Writes records to the input by a schedule.
    Load,
    /// Copies the input to the output.
    Pipeline,
    /// Takes the time of every record of the output.
    Reader,
}

/// What the processes of a run are told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) role: Role,
    pub(super) bootstrap: String,
    pub(super) input: String,
    pub(super) output: String,
    /// Records a second.
    pub(super) rate: u64,
    /// Records in all, those of the warm-up included.
    pub(super) records: u64,
    /// So many of them come first and are not measured.
    pub(super) warm_up: u64,
    /// ksem's configuration.
    pub(super) config: String,
}

/// A part is ready to go on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {}

/// A part's process; ended when it is dropped.
pub(super) struct Process {
    role: Role,
    child: Child,
    lines: Receiver<io::Result<String>>,
}

impl Process {
    pub(super) fn start(role: Role, job: &Job) -> Result<Self> {
        let job = Job { role, ..job.clone() };
        let mut child = Command::new(std::env::current_exe().context("the path of this program")?)
            .arg(SUBCOMMAND)
            .arg(serde_json::to_string(&job)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting the {role:?}"))?;
        let output = child.stdout.take().context("a part's output")?;
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { role, child, lines })
    }

    /// The next thing that it says.
    pub(super) fn says<T: DeserializeOwned>(&mut self, limit: Duration) -> Result<T> {
        let role = self.role;
        match self.lines.recv_timeout(limit) {
            Ok(line) => {
                let line = line.with_context(|| format!("reading from the {role:?}"))?;
                serde_json::from_str(&line).with_context(|| format!("what the {role:?} says"))
            }
            Err(RecvTimeoutError::Timeout) => bail!("the {role:?} said nothing for {limit:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait().context("waiting for a part")?;
                bail!("the {role:?} ended without a result: {status}")
            }
        }
    }

    /// Lets it go on; each part waits for that once.
    pub(super) fn go(&mut self) {
        if let Some(mut input) = self.child.stdin.take() {
            // One that has gone is noticed by what it does not say.
            let _ = input.write_all(b"\n");
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        process::cpu_seconds(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The part's side.
pub(crate) fn serve(job: &str) -> Result<()> {
    let job: Job = serde_json::from_str(job).context("the job")?;
    match job.role {
        Role::Load => load::run(&job),
        Role::Pipeline => pipeline::run(&job),
        Role::Reader => reader::run(&job),
    }
}

/// Says something to the process that started this one.
pub(super) fn say(what: &impl Serialize) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(what)?)?;
    output.flush().context("writing to the bench")
}

/// Waits until this part may go on. `false`: the process that started it has gone.
pub(super) fn wait_for_go() -> bool {
    matches!(io::stdin().read(&mut [0]), Ok(1))
}
