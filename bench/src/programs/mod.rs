//! The contestants' programs. Each runs in a process of its own.

mod krafka;
pub(crate) mod ksem;
mod pace;
mod rdkafka_plain;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::child;
use crate::contestant::{Contestant, System};
use crate::peers::Peer;
use crate::shape::Compression;
use pace::Pace;

/// What a contestant is told, as JSON in its last argument.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) contestant: Contestant,
    pub(crate) bootstrap: String,
    /// The input, or the first of several. Only ksem is asked to read several.
    pub(crate) input: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) output: String,
    pub(crate) group: String,
    pub(crate) records: u64,
    /// Of what is written. What is read says it itself.
    pub(crate) compression: Compression,
    /// As [`settings`] says. ksem and the loops in this crate have theirs themselves.
    pub(crate) settings: BTreeMap<String, String>,
}

/// What a contestant says when everything is committed and closed: one line of JSON on standard output. It then
/// waits for the end of its standard input, so that its memory and CPU time can be read meanwhile.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// When it saw the first record, in microseconds since 1970.
    pub(crate) first_unix_us: u64,
    /// From the first record seen to the commit of the last one.
    pub(crate) elapsed_s: f64,
    /// Batches that were tried again or aborted; 0 unless something went wrong on the way.
    pub(crate) retried: u64,
    /// Transactions, or commits of offsets, where the contestant counts them.
    #[serde(default)]
    pub(crate) commits: Option<u64>,
    /// What else it measured, by name.
    #[serde(default)]
    pub(crate) beside: BTreeMap<String, f64>,
}

/// The command line of a contestant, which takes the job as its last argument.
pub(crate) fn command(contestant: &Contestant) -> Result<Command> {
    if let System::Peer { peer } = &contestant.system {
        let peer = Peer::find(peer).with_context(|| format!("there is no peer {peer}"))?;
        return peer.kit.command(peer.program);
    }
    if let System::Layer { command: words, .. } = &contestant.system {
        let (program, arguments) = words.split_first().context("a layer without a command")?;
        let mut command = Command::new(program);
        command.args(arguments);
        return Ok(command);
    }
    let mut command = Command::new(std::env::current_exe().context("the path of this program")?);
    command.arg(child::SUBCOMMAND);
    Ok(command)
}

/// Runs a contestant of this program to its end.
pub(crate) fn run(job: &Job) -> Result<Done> {
    match &job.contestant.system {
        System::Ksem { .. } => ksem::run(job),
        System::RdkafkaPlain { tuned } => rdkafka_plain::run(job, *tuned),
        System::Krafka => krafka::run(job),
        System::Layer { language: name, .. } | System::Peer { peer: name } => bail!("{name} is a program of its own"),
    }
}

/// The settings of a contestant beside the group, the addresses and the topics: for the report, and for programs in
/// other languages.
pub(crate) fn settings(contestant: &Contestant, compression: Compression) -> BTreeMap<String, String> {
    let guarantee = contestant.guarantee;
    let settings = match &contestant.system {
        System::Ksem { .. } => ksem::settings(contestant, compression),
        System::RdkafkaPlain { tuned } => rdkafka_plain::settings(guarantee, *tuned, compression),
        System::Krafka => krafka::settings(guarantee),
        System::Layer { .. } => Vec::new(),
        System::Peer { peer } => Peer::find(peer).map_or_else(Vec::new, |peer| peer.settings(guarantee, compression)),
    };
    settings.into_iter().collect()
}

/// Whether its program can be told to compress.
pub(crate) fn compresses(contestant: &Contestant) -> bool {
    match &contestant.system {
        System::Ksem { .. } | System::RdkafkaPlain { .. } => true,
        System::Krafka | System::Layer { .. } => false,
        System::Peer { peer } => Peer::find(peer).is_some_and(|peer| peer.compression.is_some()),
    }
}

/// The first record seen and the last step taken, by whichever thread.
#[derive(Debug)]
struct Clock {
    origin: Instant,
    origin_unix: Duration,
    first_ns: AtomicU64,
    last_ns: AtomicU64,
}

impl Clock {
    fn new() -> Self {
        Self {
            origin: Instant::now(),
            origin_unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            first_ns: AtomicU64::new(u64::MAX),
            last_ns: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// A record is there. Only the first call counts.
    fn record_seen(&self) {
        if self.first_ns.load(Ordering::Relaxed) == u64::MAX {
            self.first_ns.fetch_min(self.now(), Ordering::Relaxed);
        }
    }

    /// A step was taken. Only the last call counts.
    fn step_taken(&self) {
        self.last_ns.fetch_max(self.now(), Ordering::Relaxed);
    }

    fn done(&self, retried: u64) -> Result<Done> {
        let (first, last) = (self.first_ns.load(Ordering::Relaxed), self.last_ns.load(Ordering::Relaxed));
        ensure!(first < last, "no record was processed");
        Ok(Done {
            first_unix_us: (self.origin_unix + Duration::from_nanos(first)).as_micros() as u64,
            elapsed_s: Duration::from_nanos(last - first).as_secs_f64(),
            retried,
            commits: None,
            beside: BTreeMap::new(),
        })
    }
}
