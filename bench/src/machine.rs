//! The machine and the versions that a result belongs to.

use std::fs;
use std::thread;

use serde::{Deserialize, Serialize};

/// What a result has to be read with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) system: String,
    /// Names and versions of the programs that were measured.
    pub(crate) versions: Vec<(String, String)>,
}

/// What this program was built with.
pub(crate) const LOCK: &str = include_str!("../../Cargo.lock");

impl Machine {
    pub(crate) fn here() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| -> Option<String> {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory_kib = field(&text("/proc/meminfo"), "MemTotal")
            .and_then(|memory| memory.split_whitespace().next()?.parse::<u64>().ok());
        let crates = ["rdkafka"].into_iter().filter_map(|name| Some((format!("{name} (crate)"), locked(LOCK, name)?)));
        let mut versions = vec![
            ("Apache Kafka".to_owned(), ksem_testkit::KAFKA_VERSION.to_owned()),
            ("ksem".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("librdkafka".to_owned(), rdkafka::util::get_rdkafka_version().1),
        ];
        versions.extend(crates);
        Self {
            processor: field(&text("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors: thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory_kib.unwrap_or(0) * 1024,
            system: format!("Linux {}", text("/proc/sys/kernel/osrelease").trim()),
            versions,
        }
    }
}

/// The version of a package in a lock file.
pub(crate) fn locked(lock: &str, name: &str) -> Option<String> {
    let (_, entry) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(entry.split_once('"')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"rdkafka-sys\"\nversion = \"4\"\n\n[[package]]\nname = \"rdkafka\"\nversion = \"0.1\"\n";
        assert_eq!(locked(lock, "rdkafka").as_deref(), Some("0.1"));
        assert_eq!(locked(lock, "nothing"), None);
        assert!(locked(LOCK, "rdkafka").is_some());
    }

    #[test]
    fn this_machine_has_something() {
        let machine = Machine::here();
        assert!(machine.processors > 0 && machine.memory_bytes > 1 << 20, "{machine:?}");
        assert!(machine.versions.iter().all(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit())));
    }
}
