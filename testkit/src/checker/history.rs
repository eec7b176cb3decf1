//! What happened, as those saw it who did it and as independent readers saw it afterwards.
//!
//! A history is lines of JSON. A process under test appends to a file of its own, before the effect that a line is about,
//! so that the lines are there whatever becomes of the process; the harness appends to another one. Reads of whole topics
//! are lines of many records.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since 1970. Everybody is on one machine.
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// Input records that lie next to each other in a partition, but for offsets that no record has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The partition of the input.
    pub partition: i32,
    /// The first record's offset.
    pub first: i64,
    /// The last record's offset.
    pub last: i64,
}

/// A record that was read: its offset, the id of the input record that it was made of, and the attempt that made it.
pub type Seen = (i64, u64, u64);

/// The topic name under which the input itself is read, where attempts have written it: a chain of pipelines.
pub const INPUT: &str = "(input)";

/// How records were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Under `read_committed`, after everything was over.
    Committed,
    /// Under `read_uncommitted`, after everything was over.
    Uncommitted,
    /// Under `read_committed`, while the faults went on.
    Meanwhile,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum What {
    /// A process attempts a batch, or takes another one into an attempt. Its outputs will carry `attempt`.
    Invoke {
        /// A number that no other attempt has.
        attempt: u64,
        /// The instance that attempts it.
        instance: String,
        /// Which run of that instance, counted from 0: a restart is the next one.
        run: u32,
        /// How many assignments the process had completed.
        epoch: u64,
        /// What it reads.
        inputs: Vec<Range>,
    },
    /// The end of the attempt is about to be asked for.
    Committing {
        /// The attempt.
        attempt: u64,
    },
    /// The attempt took effect.
    Ok {
        /// The attempt.
        attempt: u64,
    },
    /// The attempt did not take effect, for certain.
    Fail {
        /// The attempt.
        attempt: u64,
    },
    /// Nobody knows. An attempt with no end is the same.
    Info {
        /// The attempt.
        attempt: u64,
    },
    /// A process says how many records it has lost (at-most-once).
    Lost {
        /// How many.
        records: u64,
    },
    /// A process was killed, or frozen for good.
    Killed {
        /// What may have been in flight.
        in_flight: u64,
    },
    /// What the group had committed.
    Offset {
        /// The partition of the input.
        partition: i32,
        /// The next offset.
        offset: i64,
    },
    /// A fault that was planned.
    Fault {
        /// Of which kind.
        kind: String,
        /// How often it hit.
        hits: u64,
    },
    /// The last fault is over.
    Healed {
        /// How long everything may take from here, in milliseconds.
        limit: u64,
    },
    /// The group has committed the end of the input.
    Drained,
    /// The input as it is: offset and id.
    Input {
        /// The partition.
        partition: i32,
        /// The records.
        records: Vec<(i64, u64)>,
        /// The offset behind the last one; control records count.
        end: i64,
    },
    /// Outputs that a reader saw.
    Read {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// How.
        view: View,
        /// The records.
        records: Vec<Seen>,
    },
    /// Whether the last reads have reached the end, and no transaction was open there.
    ReadAll {
        /// The topic.
        topic: String,
        /// Whether nothing was open any more.
        stable: bool,
    },
}

/// Writes a history.
#[derive(Debug)]
pub struct Recorder(Mutex<File>);

impl Recorder {
    /// Starts a file, or goes on with it.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn append_to(path: &Path) -> Result<Self> {
        let file = File::options().append(true).create(true).open(path);
        Ok(Self(Mutex::new(file.with_context(|| format!("opening {}", path.display()))?)))
    }

    /// Writes a line, at once and whole. A process that is killed behind it leaves it there.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn note(&self, what: What) -> Result<()> {
        let mut line = serde_json::to_vec(&Event { at: now(), what })?;
        line.push(b'\n');
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line).context("writing a history")
    }
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

/// Reads a file of a history. Its last line may be cut off: its writer was killed while it wrote, before the effect.
///
/// # Errors
/// When it can't be read, or another line is no event.
pub fn read(path: &Path) -> Result<Vec<Event>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let lines = BufReader::new(file).lines().collect::<std::io::Result<Vec<_>>>()?;
    let mut events = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        match serde_json::from_str(line) {
            Ok(event) => events.push(event),
            Err(_) if index + 1 == lines.len() => {}
            Err(error) => return Err(error).with_context(|| format!("{} line {}", path.display(), index + 1)),
        }
    }
    Ok(events)
}
