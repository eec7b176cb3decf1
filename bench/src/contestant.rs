//! Who runs: every contestant with its name and settings.

use ksem::Guarantee;
use serde::{Deserialize, Serialize};

use crate::cadence::Cadence;
use crate::peers::PEERS;

/// What a contestant is made of. Each kind has its program in [`crate::programs`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "system", rename_all = "kebab-case")]
pub(crate) enum System {
    /// ksem's pipeline.
    Ksem {
        /// What is special about it; empty for ksem as it is.
        variant: String,
        /// Fields of the configuration, with values as in TOML.
        set: Vec<(String, String)>,
        /// Whether its configuration says when to commit. If not, its defaults decide that too.
        paced: bool,
    },
    /// The loop that a user writes with the `rdkafka` crate.
    RdkafkaPlain {
        /// With the three settings that cost librdkafka most at their defaults.
        tuned: bool,
    },
    /// The `krafka` crate.
    Krafka,
    /// ksem through the layer of another language: a program that `cargo xtask bench layers` has built.
    Layer {
        /// As in a contestant's name; what comes behind a dash is another program in the same language.
        language: String,
        /// What starts it.
        command: Vec<String>,
    },
    /// A program of its own, in another language or with its own dependencies: a row of [`PEERS`].
    Peer {
        /// The row's name.
        peer: String,
    },
}

/// One row of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Contestant {
    #[serde(flatten)]
    pub(crate) system: System,
    #[serde(with = "guarantee_name")]
    pub(crate) guarantee: Guarantee,
    pub(crate) cadence: Cadence,
}

impl Contestant {
    /// Whether it is ksem with something that sets it apart from ksem as it is.
    pub(crate) fn is_variant(&self) -> bool {
        matches!(&self.system, System::Ksem { variant, .. } if !variant.is_empty())
    }

    /// The name in tables and for `--only`, as in `ksem-eos-10k`.
    pub(crate) fn name(&self) -> String {
        let (system, variant) = match &self.system {
            System::Ksem { variant, .. } if variant.is_empty() => ("ksem", String::new()),
            System::Ksem { variant, .. } => ("ksem", format!("-{variant}")),
            System::RdkafkaPlain { tuned: false } => ("rdkafka-plain", String::new()),
            System::RdkafkaPlain { tuned: true } => ("rdkafka-plain", "-tuned".to_owned()),
            System::Krafka => ("krafka", String::new()),
            System::Layer { language, .. } => {
                return format!("ksem-{language}-{}-{}", short(self.guarantee), self.cadence);
            }
            System::Peer { peer } => match peer.split_once(':') {
                Some((peer, variant)) => (peer, format!("-{variant}")),
                None => (peer.as_str(), String::new()),
            },
        };
        format!("{system}-{}-{}{variant}", short(self.guarantee), self.cadence)
    }
}

impl System {
    /// Whether it copies at all: a handler that is empty shows what the rest costs others in its process.
    pub(crate) fn copies(&self) -> bool {
        !matches!(self, Self::Layer { language, .. } if language.ends_with("-counting"))
    }

    /// Whether it keeps the timestamps. A column of values that is sent is new.
    pub(crate) fn keeps_timestamps(&self) -> bool {
        !matches!(self, Self::Layer { language, .. } if ["python", "node"].contains(&language.as_str()))
    }
}

/// ksem with other settings than its defaults, beside ksem as it is.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) name: String,
    pub(crate) set: Vec<(String, String)>,
}

/// A variant that every run has.
struct Standing {
    cadence: Cadence,
    name: &'static str,
    set: &'static [(&'static str, &'static str)],
    guarantees: &'static [Guarantee],
    /// Whether it is told when to commit.
    paced: bool,
}

impl Standing {
    const fn new(cadence: Cadence, name: &'static str, set: &'static [(&'static str, &'static str)]) -> Self {
        Self { cadence, name, set, guarantees: &Guarantee::ALL, paced: true }
    }

    /// Exactly-once with the best settings that were found by hand.
    const fn tuned(cadence: Cadence, set: &'static [(&'static str, &'static str)]) -> Self {
        Self { guarantees: &[Guarantee::ExactlyOnce], ..Self::new(cadence, "tuned", set) }
    }

    /// Exactly-once with nothing set: its defaults decide when to commit, whoever it is compared with.
    const fn defaults(cadence: Cadence) -> Self {
        Self { guarantees: &[Guarantee::ExactlyOnce], paced: false, ..Self::new(cadence, "defaults", &[]) }
    }
}

const VARIANTS: &[Standing] = &[
    // A handler that takes a hundred records at a call.
    Standing::new(Cadence::Ms(100), "calls100", &[("batch.max_records", "100")]),
    // One lane, with four transactions in flight and with one.
    Standing::new(Cadence::Records(1_000), "lane1", &[("transactions.lanes", "1")]),
    Standing::new(
        Cadence::Records(1_000),
        "lane1-serial",
        &[("transactions.lanes", "1"), ("transactions.in_flight", "1")],
    ),
    Standing::tuned(Cadence::Records(10_000), TUNED),
    Standing::defaults(Cadence::Records(10_000)),
    Standing::tuned(Cadence::Ms(100), TUNED),
    Standing::defaults(Cadence::Ms(100)),
];

/// What the defaults are compared with, for two processors and four partitions. Change it whenever `--variant` finds
/// something that is faster: the target is about the best that is known.
const TUNED: &[(&str, &str)] = &[("transactions.in_flight", "1")];

/// Every contestant for these cadences. `set` is set for ksem everywhere.
pub(crate) fn all(cadences: &[Cadence], set: &[(String, String)], more: &[Variant]) -> Vec<Contestant> {
    let mut contestants = Vec::new();
    for &cadence in cadences {
        let mut add = |system: &System, guarantees: &[Guarantee]| {
            let row = |guarantee: &Guarantee| Contestant { system: system.clone(), guarantee: *guarantee, cadence };
            contestants.extend(guarantees.iter().map(row));
        };
        add(&System::Ksem { variant: String::new(), set: set.to_vec(), paced: true }, &Guarantee::ALL);
        for variant in VARIANTS.iter().filter(|variant| variant.cadence == cadence) {
            let own = variant.set.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned()));
            let set = own.chain(set.iter().cloned()).collect();
            let system = System::Ksem { variant: variant.name.to_owned(), set, paced: variant.paced };
            add(&system, variant.guarantees);
        }
        for Variant { name, set: own } in more {
            let set = own.iter().chain(set).cloned().collect();
            add(&System::Ksem { variant: name.clone(), set, paced: true }, &Guarantee::ALL);
        }
        // A commit takes the plain loop a tenth of a second: small ones would take minutes, and show nothing new.
        if cadence.batch().is_none_or(|batch| batch >= 1_000) {
            for tuned in [false, true] {
                add(&System::RdkafkaPlain { tuned }, &NOT_AT_MOST_ONCE);
            }
        }
        add(&System::Krafka, &NOT_AT_MOST_ONCE);
        for peer in PEERS.iter().filter(|peer| peer.commits.allow(cadence)) {
            add(&System::Peer { peer: peer.name.to_owned() }, &NOT_AT_MOST_ONCE);
        }
    }
    contestants
}

/// When the contestant of that name commits.
pub(crate) fn cadence(name: &str) -> Option<Cadence> {
    let mut parts = name.split('-').skip_while(|part| !["amo", "alo", "eos"].contains(part));
    parts.nth(1)?.parse().ok()
}

/// What peers are asked for: at-most-once is nobody's documented way.
const NOT_AT_MOST_ONCE: [Guarantee; 2] = [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];

fn short(guarantee: Guarantee) -> &'static str {
    match guarantee {
        Guarantee::AtMostOnce => "amo",
        Guarantee::AtLeastOnce => "alo",
        Guarantee::ExactlyOnce => "eos",
    }
}

/// A guarantee is written by its name.
mod guarantee_name {
    use ksem::Guarantee;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(guarantee: &Guarantee, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(guarantee.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Guarantee, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_survive_the_way_to_the_child() {
        let cadences = [Cadence::Records(500), Cadence::Records(1_000), Cadence::Records(10_000), Cadence::Ms(100)];
        let contestants = all(
            &cadences,
            &[("kafka.linger.ms".to_owned(), "1".to_owned())],
            &[Variant { name: "two".to_owned(), set: vec![("transactions.lanes".to_owned(), "2".to_owned())] }],
        );
        let mut names: Vec<String> = contestants.iter().map(Contestant::name).collect();
        for contestant in &contestants {
            let text = serde_json::to_string(contestant).expect("it has a form in JSON");
            let back: Contestant = serde_json::from_str(&text).expect("its own form");
            assert_eq!(back.name(), contestant.name());
            assert_eq!(cadence(&contestant.name()), Some(contestant.cadence));
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), contestants.len());
        for name in ["ksem-eos-10k", "rdkafka-plain-alo-1k-tuned", "franz-go-eos-500", "streams-eos-100ms-threads2"] {
            assert!(names.contains(&name.to_owned()), "{name}");
        }
        assert!(!names.contains(&"streams-eos-10k".to_owned()), "Kafka Streams commits by time only");
    }
}
