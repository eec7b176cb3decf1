//! The peers that are programs of their own, most in other languages: data only. What builds and starts them is in [`crate::kit`].

use ksem::Guarantee;

use crate::cadence::Cadence;
use crate::kit::{CONFLUENT_PYTHON, CONFLUENT_RUST, GO, JAVA, Kit, NODE, QUIX};
use crate::shape::Compression;

/// What decides when a peer commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commits {
    /// The program: by records or by time.
    Itself,
    /// A framework, which knows an interval only.
    ByTime,
}

impl Commits {
    pub(crate) fn allow(self, cadence: Cadence) -> bool {
        self == Self::Itself || cadence.interval().is_some()
    }
}

/// A program of its own, with the settings that favour it.
#[derive(Debug)]
pub(crate) struct Peer {
    /// As in a contestant's name; what comes behind a colon is a variant of the same program.
    pub(crate) name: &'static str,
    pub(crate) kit: &'static Kit,
    /// Arguments behind the kit's command line: which of its programs it is.
    pub(crate) program: &'static [&'static str],
    pub(crate) commits: Commits,
    /// Settings by the client's own names, with `consumer.` or `producer.` in front where there are two clients.
    settings: &'static [Settings],
    /// More of them for exactly-once.
    exactly_once: Settings,
    /// The setting that takes the name of a compression; `None` where the program knows none.
    pub(crate) compression: Option<&'static str>,
}

type Settings = &'static [(&'static str, &'static str)];

pub(crate) const PEERS: &[Peer] = &[
    Peer {
        name: "franz-go",
        kit: &GO,
        program: &[],
        commits: Commits::Itself,
        settings: &[&[("RetryBackoffFn", "5ms")]],
        exactly_once: &[("ConcurrentTransactionsBackoff", "5ms")],
        compression: Some("ProducerBatchCompression"),
    },
    Peer {
        name: "java",
        kit: &JAVA,
        program: &["Clients"],
        commits: Commits::Itself,
        settings: &[JAVA_CLIENTS],
        exactly_once: READ_COMMITTED,
        compression: Some("producer.compression.type"),
    },
    Peer {
        name: "streams",
        kit: &JAVA,
        program: &["Streams"],
        commits: Commits::ByTime,
        settings: &[STREAMS, &[("num.stream.threads", "1")]],
        exactly_once: &[],
        compression: Some("producer.compression.type"),
    },
    Peer {
        name: "streams:threads2",
        kit: &JAVA,
        program: &["Streams"],
        commits: Commits::ByTime,
        settings: &[STREAMS, &[("num.stream.threads", "2")]],
        exactly_once: &[],
        compression: Some("producer.compression.type"),
    },
    Peer {
        name: "confluent-rust",
        kit: &CONFLUENT_RUST,
        program: &[],
        commits: Commits::Itself,
        settings: &[CONFLUENT_RUST_CLIENTS],
        exactly_once: READ_COMMITTED,
        compression: Some("producer.compression.type"),
    },
    Peer {
        name: "confluent-python",
        kit: &CONFLUENT_PYTHON,
        program: &[],
        commits: Commits::Itself,
        settings: &[],
        exactly_once: &[],
        compression: Some("producer.compression.type"),
    },
    Peer {
        name: "confluent-python:tuned",
        kit: &CONFLUENT_PYTHON,
        program: &[],
        commits: Commits::Itself,
        settings: &[&[
            ("consumer.fetch.queue.backoff.ms", "2"),
            ("producer.linger.ms", "0"),
            ("producer.retry.backoff.ms", "5"),
        ]],
        exactly_once: &[],
        compression: Some("producer.compression.type"),
    },
    Peer {
        name: "quix",
        kit: &QUIX,
        program: &[],
        commits: Commits::ByTime,
        settings: &[],
        exactly_once: &[],
        compression: None,
    },
    Peer {
        name: "platformatic",
        kit: &NODE,
        program: &[],
        commits: Commits::Itself,
        settings: &[&[("highWaterMark", "20000"), ("maxWaitTime", "100"), ("retryDelay", "5")]],
        exactly_once: &[],
        compression: None,
    },
];

const JAVA_CLIENTS: Settings = &[
    ("consumer.fetch.min.bytes", "1"),
    ("consumer.max.partition.fetch.bytes", "4194304"),
    ("consumer.retry.backoff.ms", "5"),
    ("consumer.retry.backoff.max.ms", "5"),
    ("producer.batch.size", "131072"),
    ("producer.buffer.memory", "134217728"),
    ("producer.linger.ms", "5"),
    ("producer.retry.backoff.ms", "5"),
    ("producer.retry.backoff.max.ms", "5"),
];
const STREAMS: Settings = &[
    ("consumer.max.partition.fetch.bytes", "4194304"),
    ("consumer.max.poll.records", "10000"),
    ("producer.batch.size", "131072"),
    ("producer.buffer.memory", "134217728"),
    ("retry.backoff.ms", "5"),
    ("retry.backoff.max.ms", "5"),
];
/// The crate has KIP-848 groups only.
const CONFLUENT_RUST_CLIENTS: Settings = &[
    ("consumer.group.protocol", "consumer"),
    ("consumer.max.partition.fetch.bytes", "4194304"),
    ("consumer.retry.backoff.ms", "5"),
    ("consumer.retry.backoff.max.ms", "5"),
    ("producer.batch.size", "131072"),
    ("producer.buffer.memory", "134217728"),
    ("producer.retry.backoff.ms", "5"),
    ("producer.retry.backoff.max.ms", "5"),
];
const READ_COMMITTED: Settings = &[("consumer.isolation.level", "read_committed")];

impl Peer {
    /// The row of that name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        PEERS.iter().find(|peer| peer.name == name)
    }

    /// What the program is given, and the report shows.
    pub(crate) fn settings(&self, guarantee: Guarantee, compression: Compression) -> Vec<(String, String)> {
        let compressed = self.compression.filter(|_| compression != Compression::None);
        let more = if guarantee == Guarantee::ExactlyOnce { self.exactly_once } else { &[] };
        self.settings
            .iter()
            .copied()
            .flatten()
            .chain(more)
            .copied()
            .chain(compressed.map(|setting| (setting, compression.name())))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        for (index, peer) in PEERS.iter().enumerate() {
            assert_eq!(PEERS.iter().position(|other| other.name == peer.name), Some(index), "{}", peer.name);
        }
    }

    #[test]
    fn more_is_set_for_exactly_once() {
        let java = Peer::find("java").expect("it is there");
        let of = |guarantee| java.settings(guarantee, Compression::None).len();
        assert_eq!(of(Guarantee::ExactlyOnce), of(Guarantee::AtLeastOnce) + READ_COMMITTED.len());
        assert!(Peer::find("nobody").is_none());
        let compressed = java.settings(Guarantee::AtLeastOnce, Compression::Lz4);
        assert!(compressed.contains(&("producer.compression.type".to_owned(), "lz4".to_owned())));
    }
}
