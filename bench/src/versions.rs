//! The versions of the peers, from the files that pin them.

use std::collections::BTreeMap;

use crate::contestant::{Contestant, System};
use crate::machine;

/// A peer's library, and where its version stands: behind these words, in this file.
struct Pinned {
    /// The names of peers that use it begin with this.
    peer: &'static str,
    library: &'static str,
    file: &'static str,
    behind: &'static str,
}

const fn pinned(peer: &'static str, library: &'static str, file: &'static str, behind: &'static str) -> Pinned {
    Pinned { peer, library, file, behind }
}

const PINNED: &[Pinned] = &[
    pinned("franz-go", "franz-go", include_str!("../peers/go/go.mod"), "github.com/twmb/franz-go v"),
    pinned(
        "java",
        "kafka-clients (Java)",
        include_str!("../peers/java/pom.xml"),
        "kafka-clients</artifactId><version>",
    ),
    pinned("streams", "Kafka Streams", include_str!("../peers/java/pom.xml"), "kafka-streams</artifactId><version>"),
    pinned(
        "confluent-rust",
        "confluent-kafka (crate)",
        include_str!("../peers/confluent-rust/Cargo.lock"),
        "name=\"confluent-kafka\"version=\"",
    ),
    pinned(
        "confluent-python",
        "confluent-kafka-python",
        include_str!("../peers/python/requirements-confluent.txt"),
        "confluent-kafka==",
    ),
    pinned("quix", "Quix Streams", include_str!("../peers/python/requirements-quix.txt"), "quixstreams=="),
    pinned(
        "platformatic",
        "@platformatic/kafka",
        include_str!("../peers/node/package.json"),
        "@platformatic/kafka\":\"",
    ),
];

/// The libraries of these contestants that are not in this program, and krafka.
pub(crate) fn of<'a>(contestants: impl Iterator<Item = &'a Contestant>) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    for contestant in contestants {
        let found = match &contestant.system {
            System::Krafka => machine::locked(machine::LOCK, "krafka").map(|version| ("krafka (crate)", version)),
            System::Peer { peer } => library(peer),
            System::Ksem { .. } | System::Layer { .. } | System::RdkafkaPlain { .. } => None,
        };
        versions.extend(found.map(|(library, version)| (library.to_owned(), version)));
    }
    versions
}

fn library(peer: &str) -> Option<(&'static str, String)> {
    let Pinned { library, file, behind, .. } = PINNED.iter().find(|pinned| peer.starts_with(pinned.peer))?;
    // However the file is laid out.
    let file: String = file.lines().flat_map(|line| [line.trim(), " "]).collect::<String>().replace("> <", "><");
    let file = file.replace(" = ", "=").replace("\" version", "\"version").replace("\": ", "\":");
    let (_, version) = file.split_once(behind)?;
    let version = version.split(|c: char| c.is_whitespace() || "\"<,".contains(c)).next()?;
    Some((library, version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cadence::Cadence;
    use crate::contestant;
    use crate::peers::PEERS;

    #[test]
    fn every_peer_has_a_version() {
        for peer in PEERS {
            let (library, version) = library(peer.name).unwrap_or_else(|| panic!("{}", peer.name));
            assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{library}: {version}");
            assert_eq!(version.split('.').count(), 3, "{library}: {version}");
        }
        let all = contestant::all(&Cadence::DEFAULTS, &[], &[]);
        assert_eq!(of(all.iter()).len(), PINNED.len() + 1);
    }
}
