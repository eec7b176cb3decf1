//! Records, partitions and positions, as the rest of ksem and its users see them.

use std::fmt;
use std::sync::Arc;

/// A partition of a topic.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A position to continue from: the next offset, and the leader epoch of the record before it,
/// which lets the consumer detect a truncated log (KIP-320).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The next offset to read: last processed + 1.
    pub offset: i64,
    /// The leader epoch of the last processed record, where the broker gave one.
    pub leader_epoch: Option<i32>,
}

/// One header. Names may repeat; a value may be null.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// An input record: views on memory that its [`Batch`](crate::Batch) holds.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// The topic that it was read from.
    pub topic: &'a str,
    /// The partition that it was read from.
    pub partition: i32,
    /// Its offset. Offsets are sparse: control records and compaction take numbers.
    pub offset: i64,
    /// Milliseconds since 1970, or `None` where the record has no timestamp.
    pub timestamp: Option<i64>,
    /// The key; null is not the same as empty.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub(crate) headers: &'a dyn HeaderSource,
}

/// Where a record's headers are read from, when they are asked for.
pub(crate) trait HeaderSource {
    /// Calls `each` with every header in order.
    fn for_each<'a>(&'a self, each: &mut dyn FnMut(Header<'a>));
}

/// No headers.
impl HeaderSource for () {
    fn for_each<'a>(&'a self, _: &mut dyn FnMut(Header<'a>)) {}
}

impl HeaderSource for Vec<(String, Option<Vec<u8>>)> {
    fn for_each<'a>(&'a self, each: &mut dyn FnMut(Header<'a>)) {
        for (name, value) in self {
            each((name, value.as_deref()));
        }
    }
}

impl<'a> Record<'a> {
    /// Returns the headers in order. They are parsed on the first call that asks for them.
    pub fn headers(&self) -> Vec<Header<'a>> {
        let mut all = Vec::new();
        self.headers.for_each(&mut |header| all.push(header));
        all
    }

    /// Returns the last value of the header, as Kafka's own `lastHeader` does.
    pub fn header(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.headers().into_iter().rev().find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

impl fmt::Debug for Record<'_> {
    // Payloads may be personal data, so only their sizes are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .field("key_bytes", &self.key.map(<[u8]>::len))
            .field("value_bytes", &self.value.map(<[u8]>::len))
            .finish_non_exhaustive()
    }
}
