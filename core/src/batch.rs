//! A batch: input records of one lane, with what is needed to commit them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::record::{HeaderSource, Position, Record, TopicPartition};

/// The memory behind a batch. The Kafka consumer and the tests' simulation each have one.
pub(crate) trait Messages: Send + Sync {
    /// Returns the record's own parts; topic and partition come from the run.
    fn get(&self, index: usize) -> Parts<'_>;
}

/// What a message holds besides topic and partition.
pub(crate) struct Parts<'a> {
    pub(crate) offset: i64,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a dyn HeaderSource,
}

/// Consecutive messages of one partition and one assignment of it.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) source: TopicPartition,
    /// The assignment under which it was fetched; a later one makes the run stale.
    pub(crate) epoch: u64,
    /// Where the run starts in the messages, and how many it has.
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// The first record's offset, and the position after the last one.
    pub(crate) first: i64,
    pub(crate) next: Position,
}

/// A batch's content, shared between its handle and its lane, which keeps it until it is done.
pub(crate) struct Content {
    messages: Arc<dyn Messages>,
    runs: Vec<Run>,
    /// How many records come before each run.
    before: Vec<usize>,
    len: usize,
    bytes: usize,
}

impl Content {
    pub(crate) fn new(messages: Arc<dyn Messages>, runs: Vec<Run>, bytes: usize) -> Self {
        let mut before = Vec::with_capacity(runs.len());
        let mut len = 0;
        for run in &runs {
            before.push(len);
            len += run.len;
        }
        Self { messages, runs, before, len, bytes }
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the batch without the runs that `keep` refuses, or `None` if nothing is left.
    pub(crate) fn retain(&self, keep: impl Fn(&Run) -> bool) -> Option<Self> {
        let runs: Vec<Run> = self.runs.iter().filter(|run| keep(run)).cloned().collect();
        (!runs.is_empty()).then(|| Self::new(Arc::clone(&self.messages), runs, self.bytes))
    }

    /// Returns some of its records, by their indices.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        let cut = |(run, before): (&Run, &usize)| {
            let from = range.start.clamp(*before, before + run.len) - before;
            let to = range.end.clamp(*before, before + run.len) - before;
            (from < to).then(|| self.cut(run, from..to))
        };
        let runs: Vec<Run> = self.runs.iter().zip(&self.before).filter_map(cut).collect();
        Self::new(Arc::clone(&self.messages), runs, self.bytes * range.len() / self.len.max(1))
    }

    fn cut(&self, run: &Run, range: Range<usize>) -> Run {
        let offset = |index| self.messages.get(run.start + index).offset;
        let first = if range.start == 0 { run.first } else { offset(range.start) };
        let next = if range.end == run.len {
            run.next
        } else {
            // The epoch is known of the run's last record only, and no epoch is better than a wrong one.
            Position { offset: offset(range.end - 1) + 1, leader_epoch: None }
        };
        Run { source: run.source.clone(), start: run.start + range.start, len: range.len(), first, next, ..*run }
    }

    /// Returns a batch of the records of several slices of one.
    pub(crate) fn join(slices: &[Arc<Self>]) -> Option<Self> {
        let messages = Arc::clone(&slices.first()?.messages);
        let runs = slices.iter().flat_map(|slice| slice.runs.iter().cloned()).collect();
        Some(Self::new(messages, runs, slices.iter().map(|slice| slice.bytes).sum()))
    }

    pub(crate) fn record(&self, index: usize) -> Record<'_> {
        assert!(index < self.len, "record {index} of a batch of {}", self.len);
        let run_index = self.before.partition_point(|before| *before <= index) - 1;
        self.in_run(&self.runs[run_index], index - self.before[run_index])
    }

    fn in_run<'a>(&'a self, run: &'a Run, index: usize) -> Record<'a> {
        let Parts { offset, timestamp, key, value, headers } = self.messages.get(run.start + index);
        let TopicPartition { topic, partition } = &run.source;
        Record { topic, partition: *partition, offset, timestamp, key, value, headers }
    }

    /// Returns the position to commit for each partition.
    pub(crate) fn offsets(&self) -> Vec<(TopicPartition, Position)> {
        offsets(&self.runs)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns `topic[partition] first..=last` for each partition, for errors and logs.
    pub(crate) fn describe(&self) -> String {
        let mut parts: Vec<(TopicPartition, i64, i64)> = Vec::new();
        for run in &self.runs {
            match parts.iter_mut().find(|(source, ..)| *source == run.source) {
                Some((_, _, next)) => *next = run.next.offset,
                None => parts.push((run.source.clone(), run.first, run.next.offset)),
            }
        }
        let texts = parts.iter().map(|(tp, first, next)| format!("{tp} {first}..={}", next - 1));
        texts.collect::<Vec<_>>().join(", ")
    }
}

/// Returns the position behind the last run of each partition.
pub(crate) fn offsets<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Vec<(TopicPartition, Position)> {
    let mut offsets: Vec<(TopicPartition, Position)> = Vec::new();
    for run in runs {
        match offsets.iter_mut().find(|(source, _)| *source == run.source) {
            Some((_, position)) => *position = run.next,
            None => offsets.push((run.source.clone(), run.next)),
        }
    }
    offsets
}

/// Input records of one lane, in the order of their partitions.
///
/// A batch that is dropped without having been processed is delivered again by the next
/// [`poll`](crate::Pipeline::poll): records are never skipped.
pub struct Batch {
    pub(crate) content: Arc<Content>,
    pub(crate) ticket: Ticket,
}

/// What ties a batch to its lane until it is finished.
pub(crate) struct Ticket {
    pub(crate) lane: usize,
    pub(crate) home: Option<Arc<dyn Home>>,
}

/// The lane that a batch goes back to.
pub(crate) trait Home: Send + Sync {
    /// Takes the batch back; it is delivered again.
    fn give_back(&self);
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.give_back();
        }
    }
}

impl Batch {
    /// A batch that its lane keeps for itself.
    pub(crate) fn lent(content: &Arc<Content>, lane: usize) -> Self {
        Self { content: Arc::clone(content), ticket: Ticket { lane, home: None } }
    }

    /// Returns another handle to the same records, which can't be processed. Their memory lives as
    /// long as it, also beyond the handler that was given the batch.
    #[must_use]
    pub fn view(&self) -> Self {
        Self::lent(&self.content, self.lane())
    }

    /// Returns how many records it has; never 0.
    pub fn len(&self) -> usize {
        self.content.len()
    }

    /// Returns whether it has no records, which never happens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the size of all keys and values in bytes.
    pub fn bytes(&self) -> usize {
        self.content.bytes()
    }

    /// Returns the lane that it belongs to.
    pub fn lane(&self) -> usize {
        self.ticket.lane
    }

    /// Returns record `index`.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn record(&self, index: usize) -> Record<'_> {
        self.content.record(index)
    }

    /// Iterates over the records; those of one partition come in the order of their offsets.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let content = &*self.content;
        content.runs.iter().flat_map(move |run| (0..run.len).map(move |i| content.in_run(run, i)))
    }

    /// Returns the positions that are committed with this batch: last offset + 1 and the leader
    /// epoch, for each partition.
    pub fn offsets(&self) -> Vec<(TopicPartition, Position)> {
        self.content.offsets()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} records, lane {}: {})", self.len(), self.lane(), self.content.describe())
    }
}
