//! What a handler sends: kept until the handler is done, so that a failed batch leaves nothing.

use std::ops::Range;
use std::sync::Arc;

use crate::batch::Content;
use crate::record::Header;

/// An output record with everything that Kafka lets a producer choose.
///
/// ```
/// use ksem::OutputRecord;
/// let record = OutputRecord { key: Some(b"order-1"), value: Some(b"{}"), ..Default::default() };
/// let tombstone = OutputRecord { value: None, ..record };
/// assert!(tombstone.value.is_none());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputRecord<'a> {
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: &'a [Header<'a>],
    /// The partition; `None` lets the key decide as the Java client does (murmur2).
    pub partition: Option<i32>,
    /// Milliseconds since 1970; `None` is the time of sending.
    pub timestamp: Option<i64>,
}

/// The output of one batch: filled by the handler, sent when the handler has succeeded.
#[derive(Default)]
pub struct Output {
    arena: Vec<u8>,
    headers: Vec<(Range<usize>, Option<Range<usize>>)>,
    topics: Vec<Arc<str>>,
    entries: Vec<Entry>,
    /// Verdicts on records of the batch; one without is done.
    marks: Vec<Mark>,
}

/// A verdict on one record of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) index: usize,
    pub(crate) fate: Fate,
}

/// What a verdict says, with the reason where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Retry(String),
    DeadLetter(String),
    Skip,
}

pub(crate) struct Entry {
    pub(crate) topic: usize,
    body: Body,
}

enum Body {
    Owned {
        key: Option<Range<usize>>,
        value: Option<Range<usize>>,
        headers: Range<usize>,
        partition: Option<i32>,
        timestamp: Option<i64>,
    },
    /// A record of the input, unchanged; nothing is copied until librdkafka takes it.
    Forward(usize),
}

/// An entry as the producer needs it.
pub(crate) struct View<'a> {
    pub(crate) topic: usize,
    pub(crate) record: OutputRecord<'a>,
}

impl Output {
    /// Sends a record with a key and a value; see [`send_record`](Self::send_record) for the rest.
    pub fn send(&mut self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.send_record(topic, &OutputRecord { key, value, ..OutputRecord::default() });
    }

    /// Sends a record.
    pub fn send_record(&mut self, topic: &str, record: &OutputRecord<'_>) {
        let topic = self.topic(topic);
        let key = record.key.map(|bytes| self.keep(bytes));
        let value = record.value.map(|bytes| self.keep(bytes));
        let first = self.headers.len();
        for (name, value) in record.headers {
            let kept = (self.keep(name.as_bytes()), value.map(|bytes| self.keep(bytes)));
            self.headers.push(kept);
        }
        let headers = first..self.headers.len();
        let OutputRecord { partition, timestamp, .. } = *record;
        self.entries.push(Entry { topic, body: Body::Owned { key, value, headers, partition, timestamp } });
    }

    /// Sends record `index` of the batch as it is: key, value, headers and timestamp are kept, and
    /// nothing is copied before librdkafka takes it.
    pub fn forward(&mut self, topic: &str, index: usize) {
        let topic = self.topic(topic);
        self.entries.push(Entry { topic, body: Body::Forward(index) });
    }

    /// The verdict that record `index` of the batch has to be handled again: nothing of the batch is applied, it is
    /// split around the record, and the others are handled again without it. When `retry.max_attempts` is used up, the
    /// record becomes a dead letter. Under at-most-once, which tries nothing again, it is counted as lost.
    pub fn retry(&mut self, index: usize) {
        self.retry_because(index, "the handler asked for another attempt");
    }

    /// As [`retry`](Self::retry), with the reason that its dead letter will tell.
    pub fn retry_because(&mut self, index: usize, reason: &str) {
        self.mark(index, Fate::Retry(reason.to_owned()));
    }

    /// The verdict that record `index` of the batch is set aside: it goes to `dead_letter.topic` together with what the
    /// batch sends. The reason becomes a header.
    pub fn dead_letter(&mut self, index: usize, reason: &str) {
        self.mark(index, Fate::DeadLetter(reason.to_owned()));
    }

    /// The verdict that record `index` of the batch is done although nothing came of it. It is counted.
    pub fn skip(&mut self, index: usize) {
        self.mark(index, Fate::Skip);
    }

    /// The last verdict on a record counts.
    fn mark(&mut self, index: usize, fate: Fate) {
        self.marks.push(Mark { index, fate });
    }

    /// Returns whether there is a verdict.
    pub(crate) fn is_marked(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Takes the verdicts, one of each record, in the order of the records.
    pub(crate) fn take_marks(&mut self) -> Vec<Mark> {
        let mut marks = std::mem::take(&mut self.marks);
        marks.reverse();
        marks.sort_by_key(|mark| mark.index);
        marks.dedup_by_key(|mark| mark.index);
        marks
    }

    /// Returns how many records were sent.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether nothing was sent.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets everything that was sent and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.headers.clear();
        self.topics.clear();
        self.entries.clear();
        self.marks.clear();
        // One huge batch must not hold its memory for ever.
        self.arena.shrink_to(ARENA_KEPT);
    }

    /// Returns how many bytes the records take once they are with a producer, more or less: those of `batch` that are
    /// forwarded count as its average.
    pub(crate) fn weight(&self, batch: &Content) -> usize {
        let forwarded = self.entries.iter().filter(|entry| matches!(entry.body, Body::Forward(_))).count();
        self.arena.len() + forwarded * batch.bytes() / batch.len().max(1) + self.entries.len() * RECORD_WEIGHT
    }

    pub(crate) fn topics(&self) -> &[Arc<str>] {
        &self.topics
    }

    /// Calls `each` with every record. `scratch` holds one record's headers at a time.
    pub(crate) fn try_for_each<E>(
        &self,
        batch: Option<&Content>,
        mut each: impl FnMut(View<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut scratch: Vec<Header<'_>> = Vec::new();
        for entry in &self.entries {
            scratch.clear();
            let record = match &entry.body {
                Body::Owned { key, value, headers, partition, timestamp } => {
                    scratch.extend(self.headers[headers.clone()].iter().map(|(name, value)| {
                        let name = std::str::from_utf8(&self.arena[name.clone()]);
                        (name.unwrap_or_default(), value.clone().map(|range| &self.arena[range]))
                    }));
                    OutputRecord {
                        key: key.clone().map(|range| &self.arena[range]),
                        value: value.clone().map(|range| &self.arena[range]),
                        headers: &scratch,
                        partition: *partition,
                        timestamp: *timestamp,
                    }
                }
                Body::Forward(index) => {
                    let Some(batch) = batch else { continue };
                    let input = batch.record(*index);
                    scratch.extend(input.headers());
                    OutputRecord {
                        key: input.key,
                        value: input.value,
                        headers: &scratch,
                        partition: None,
                        timestamp: input.timestamp,
                    }
                }
            };
            each(View { topic: entry.topic, record })?;
        }
        Ok(())
    }

    fn topic(&mut self, name: &str) -> usize {
        // A batch has few output topics, and neighbours tend to go to the same one.
        if let Some(index) = self.topics.iter().rposition(|topic| &**topic == name) {
            index
        } else {
            self.topics.push(name.into());
            self.topics.len() - 1
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        start..self.arena.len()
    }
}

/// What a record takes besides its bytes, in librdkafka.
const RECORD_WEIGHT: usize = 256;

/// What an idle output keeps of its memory.
const ARENA_KEPT: usize = 64 << 20;

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("records", &self.entries.len())
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}
