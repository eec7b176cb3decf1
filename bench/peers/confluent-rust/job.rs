//! What the bench says, as JSON in the last argument, and what it is told.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Job {
    contestant: Contestant,
    pub bootstrap: String,
    pub input: String,
    pub output: String,
    pub group: String,
    records: u64,
    settings: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Contestant {
    guarantee: String,
    cadence: Cadence,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cadence {
    Records(u64),
    Ms(u64),
}

static DONE: AtomicBool = AtomicBool::new(false);

impl Job {
    /// Reads the job; ends the program when the bench is gone.
    pub fn read() -> Result<(Self, thread::JoinHandle<()>)> {
        let job = std::env::args().next_back().context("there is no job")?;
        let bench = thread::spawn(|| {
            let _ = io::stdin().read(&mut [0]);
            if !DONE.load(Ordering::SeqCst) {
                std::process::exit(1);
            }
        });
        Ok((serde_json::from_str(&job)?, bench))
    }

    pub fn is_exactly_once(&self) -> bool {
        self.contestant.guarantee == "exactly_once"
    }

    pub fn cadence(&self) -> Cadence {
        self.contestant.cadence
    }

    /// The settings whose names begin with a prefix, without it, and the address.
    pub fn properties(&self, prefix: &str, more: &[(&str, &str)]) -> HashMap<String, String> {
        let given = self.settings.iter();
        let given = given.filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())));
        let all = given.chain(more.iter().copied()).chain([("bootstrap.servers", self.bootstrap.as_str())]);
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// Counts records, says when the next commit is due, and keeps the time.
pub struct Pace {
    records: u64,
    batch: u64,
    interval: Duration,
    seen: u64,
    taken: u64,
    first: Option<(SystemTime, Instant)>,
    last: Instant,
    retried: u64,
}

impl Pace {
    pub fn new(job: &Job) -> Self {
        let (batch, interval) = match job.cadence() {
            Cadence::Records(records) => (records, Duration::MAX),
            Cadence::Ms(ms) => (u64::MAX, Duration::from_millis(ms)),
        };
        let last = Instant::now();
        Self { records: job.records, batch, interval, seen: 0, taken: 0, first: None, last, retried: 0 }
    }

    /// Nothing was taken since the last commit.
    pub fn is_fresh(&self) -> bool {
        self.taken == 0
    }

    /// How many more records this commit may hold.
    pub fn room(&self) -> usize {
        usize::try_from(self.batch - self.taken).unwrap_or(usize::MAX)
    }

    pub fn took(&mut self, records: usize) {
        if self.first.is_none() {
            self.last = Instant::now();
            self.first = Some((SystemTime::now(), self.last));
        }
        self.taken += records as u64;
        self.seen += records as u64;
    }

    pub fn is_due(&self) -> bool {
        let all = self.seen >= self.records;
        self.taken > 0 && (self.taken >= self.batch || all || self.last.elapsed() >= self.interval)
    }

    pub fn committed(&mut self) {
        self.taken = 0;
        self.last = Instant::now();
    }

    /// An attempt was aborted; its records come again.
    pub fn aborted(&mut self) {
        self.seen -= self.taken;
        self.taken = 0;
        self.retried += 1;
    }

    pub fn at_the_end(&self) -> bool {
        self.taken == 0 && self.seen >= self.records
    }

    /// Prints the result, and waits until the bench has read what it wants to know about this process.
    pub fn report(&self, bench: thread::JoinHandle<()>) -> Result<()> {
        let (time, first) = self.first.context("no record was processed")?;
        DONE.store(true, Ordering::SeqCst);
        let result = serde_json::json!({
            "first_unix_us": time.duration_since(UNIX_EPOCH)?.as_micros() as u64,
            "elapsed_s": self.last.duration_since(first).as_secs_f64(),
            "retried": self.retried,
        });
        println!("{result}");
        io::stdout().flush()?;
        let _ = bench.join();
        Ok(())
    }
}
