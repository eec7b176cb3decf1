//! The document of a throughput run, as far as the page needs it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::machine::Machine;

/// What `ksem-bench --json` wrote.
#[derive(Debug, Deserialize)]
pub(super) struct Throughput {
    pub(super) work: Work,
    pub(super) contestants: Vec<Contestant>,
    #[serde(default)]
    pub(super) ratios: Vec<Ratio>,
    #[serde(default)]
    pub(super) limits: Vec<Limit>,
    #[serde(default)]
    pub(super) machine: Option<Machine>,
    /// What the bench was started with.
    #[serde(default)]
    pub(super) arguments: Option<Vec<String>>,
    /// Peers by name, with their versions.
    #[serde(default)]
    pub(super) versions: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Work {
    /// `None`: as many as fit the cadence; each run says it.
    pub(super) records: Option<u64>,
    pub(super) size: usize,
    pub(super) partitions: i32,
    pub(super) rounds: usize,
    #[serde(default = "one")]
    pub(super) nodes: usize,
}

fn one() -> usize {
    1
}

impl Work {
    fn shape(&self) -> (usize, i32, usize) {
        (self.size, self.partitions, self.nodes)
    }

    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.shape() == other.shape()
    }

    /// What is not as in a bench without options.
    pub(super) fn unusual(&self) -> Vec<String> {
        let (size, partitions, nodes) = self.shape();
        let size = (size != 200).then(|| format!("{size} bytes"));
        let partitions = (partitions != 4).then(|| format!("{partitions} partitions"));
        let nodes = (nodes != 1).then(|| format!("{nodes} nodes"));
        [size, partitions, nodes].into_iter().flatten().collect()
    }
}

/// One row.
#[derive(Debug, Deserialize)]
pub(super) struct Contestant {
    pub(super) name: String,
    pub(super) records_per_s: Option<Spread>,
    pub(super) client_cpu_s: Option<Spread>,
    pub(super) client_peak_bytes: Option<Spread>,
    pub(super) broker_cpu_s: Option<Spread>,
    #[serde(default)]
    pub(super) runs: Vec<Run>,
    /// Why there are no figures.
    #[serde(default)]
    pub(super) trouble: Option<Value>,
}

/// One run of a row, as far as it is not in the row.
#[derive(Debug, Deserialize)]
pub(super) struct Run {
    #[serde(default)]
    pub(super) records: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// One figure over another, judged.
#[derive(Debug, Deserialize)]
pub(super) struct Ratio {
    pub(super) over: String,
    pub(super) under: String,
    pub(super) value: Option<f64>,
    #[serde(default)]
    pub(super) rounds: Option<(f64, f64)>,
    pub(super) at_least: Option<f64>,
    pub(super) pass: bool,
}

/// What a contestant used, judged.
#[derive(Debug, Deserialize)]
pub(super) struct Limit {
    pub(super) of: String,
    pub(super) what: String,
    pub(super) at_most: Option<f64>,
    pub(super) value: Option<f64>,
    #[serde(default)]
    pub(super) runs: Option<(f64, f64)>,
    pub(super) pass: bool,
}

/// A guarantee, as it is written in a contestant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Short {
    Amo,
    Alo,
    Eos,
}

impl fmt::Display for Short {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(Self::ALL[*self as usize].1)
    }
}

impl Short {
    pub(super) const ALL: [(Self, &'static str); 3] =
        [(Self::Amo, "at_most_once"), (Self::Alo, "at_least_once"), (Self::Eos, "exactly_once")];
}

/// Everybody who commits that often.
pub(super) struct Cadence {
    /// As in `10k` or `100ms`.
    pub(super) name: String,
    pub(super) systems: Vec<System>,
}

/// A system with its bars, one for each guarantee.
pub(super) struct System {
    pub(super) name: String,
    pub(super) bars: Vec<(Short, Spread)>,
}

impl Cadence {
    /// The cadence in words.
    pub(super) fn words(name: &str) -> String {
        match (name.strip_suffix("ms"), name.strip_suffix('k')) {
            (Some(ms), _) => format!("a commit every {ms} ms"),
            (None, Some(thousands)) => format!("a commit every {thousands},000 records"),
            (None, None) => format!("a commit every {name} records"),
        }
    }
}

impl Contestant {
    /// How many records it copied; `all` is what everybody did, where that is one number.
    pub(super) fn records(&self, all: Option<u64>) -> Option<u64> {
        self.runs.first().and_then(|run| run.records).or(all)
    }

    pub(super) fn parts(&self) -> Option<(String, Short, String)> {
        parts(&self.name)
    }
}

/// System, guarantee and cadence: a contestant's name is `system-guarantee-cadence-variant`.
pub(super) fn parts(name: &str) -> Option<(String, Short, String)> {
    let parts: Vec<&str> = name.split('-').collect();
    let at = parts.iter().position(|part| ["amo", "alo", "eos"].contains(part))?;
    let short = [Short::Amo, Short::Alo, Short::Eos][["amo", "alo", "eos"].iter().position(|s| *s == parts[at])?];
    let cadence = (*parts.get(at + 1)?).to_owned();
    let system = [&[parts[..at].join("-").as_str()], &parts[at + 2..]].concat().join(" ");
    Some((system, short, cadence))
}

impl Throughput {
    /// The arguments that measure the same again.
    pub(super) fn arguments(&self) -> String {
        if let Some(arguments) = &self.arguments {
            return arguments.join(" ");
        }
        let cadences: Vec<String> = self.cadences().into_iter().map(|cadence| cadence.name).collect();
        let records = self.work.records.map_or_else(String::new, |records| format!(" --records {records}"));
        format!("--cadence {}{records} --size {} --rounds {}", cadences.join(","), self.work.size, self.work.rounds)
    }

    /// The contestants by cadence, in the order of the document; ksem first and then the fastest.
    pub(super) fn cadences(&self) -> Vec<Cadence> {
        let mut cadences: Vec<Cadence> = Vec::new();
        for contestant in &self.contestants {
            let Some((system, short, name)) = contestant.parts() else { continue };
            let at = cadences.iter().position(|cadence| cadence.name == name).unwrap_or_else(|| {
                cadences.push(Cadence { name, systems: Vec::new() });
                cadences.len() - 1
            });
            let systems = &mut cadences[at].systems;
            let at = systems.iter().position(|known| known.name == system).unwrap_or_else(|| {
                systems.push(System { name: system, bars: Vec::new() });
                systems.len() - 1
            });
            systems[at].bars.extend(contestant.records_per_s.map(|speed| (short, speed)));
        }
        for cadence in &mut cadences {
            let fastest = |system: &System| system.bars.iter().map(|(_, speed)| speed.median).fold(0.0, f64::max);
            cadence.systems.retain(|system| !system.bars.is_empty());
            cadence.systems.iter_mut().for_each(|system| system.bars.sort_by_key(|(short, _)| *short));
            cadence.systems.sort_by(|a, b| {
                let ksem = |system: &System| system.name == "ksem";
                ksem(b).cmp(&ksem(a)).then(fastest(b).total_cmp(&fastest(a)))
            });
        }
        cadences
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn document() -> Throughput {
        let row = |name: &str, speed: f64| {
            serde_json::json!({
                "name": name,
                "records_per_s": { "median": speed, "min": speed * 0.9, "max": speed * 1.1 },
                "client_cpu_s": { "median": 2.5, "min": 2.4, "max": 2.6 },
                "client_peak_bytes": { "median": 1e8, "min": 1e8, "max": 1e8 },
                "broker_cpu_s": { "median": 1.0, "min": 1.0, "max": 1.0 },
                "runs": [{ "records": 1_000_000 }],
            })
        };
        let document = serde_json::json!({
            "work": { "records": null, "size": 200, "partitions": 4, "rounds": 3, "processors": 2 },
            "contestants": [
                row("rdkafka-plain-alo-10k-tuned", 82_307.0),
                row("ksem-eos-10k", 427_408.0),
                row("ksem-alo-10k", 517_454.0),
                row("franz-go-alo-10k", 900_000.0),
                row("ksem-alo-100ms", 400_000.0),
                { "name": "streams-eos-100ms", "records_per_s": null, "trouble": { "not-run": "no java" } },
            ],
            "ratios": [
                { "over": "ksem-eos-10k", "under": "ksem-alo-10k",
                  "at_least": 0.65, "value": 0.83, "rounds": [0.64, 0.83], "pass": true },
            ],
            "limits": [
                { "of": "ksem-eos-10k", "what": "client-cpu", "at_most": 1.5, "value": 1.4, "runs": [1.3, 1.6], "pass": true },
            ],
        });
        serde_json::from_value(document).expect("a document")
    }

    /// A run of another cadence.
    pub(crate) fn another() -> Throughput {
        let speed = |median: f64| serde_json::json!({ "median": median, "min": median, "max": median });
        let document = serde_json::json!({
            "work": { "records": null, "size": 200, "partitions": 4, "rounds": 3, "processors": 2, "nodes": 1 },
            "machine": Machine::here(),
            "arguments": ["--cadence", "1k", "--targets"],
            "versions": { "franz-go": "1.2.3" },
            "contestants": [
                { "name": "ksem-eos-1k", "records_per_s": speed(200_000.0) },
                { "name": "java-eos-1k", "records_per_s": speed(100_000.0) },
                { "name": "ksem-alo-10k", "records_per_s": speed(500_000.0) },
            ],
            "ratios": [
                { "over": "ksem-eos-1k", "under": "java-eos-1k",
                  "at_least": 3.0, "value": 2.0, "rounds": [1.9, 2.1], "pass": false },
                { "over": "ksem-eos-10k", "under": "ksem-alo-10k", "at_least": 0.65, "value": null, "pass": false },
                { "over": "ksem-eos-100", "under": "java-eos-100", "at_least": 2.0, "value": null, "pass": false },
            ],
        });
        serde_json::from_value(document).expect("a document")
    }

    #[test]
    fn contestants_are_grouped_by_cadence_with_ksem_first() {
        let cadences = document().cadences();
        assert_eq!(cadences.iter().map(|cadence| cadence.name.as_str()).collect::<Vec<_>>(), ["10k", "100ms"]);
        let names =
            |index: usize| cadences[index].systems.iter().map(|system| system.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names(0), ["ksem", "franz-go", "rdkafka-plain tuned"]);
        assert_eq!(names(1), ["ksem"], "who did not run has no bar");
        let bars: Vec<Short> = cadences[0].systems[0].bars.iter().map(|(short, _)| *short).collect();
        assert_eq!(bars, [Short::Alo, Short::Eos]);
    }

    #[test]
    fn what_is_unusual_is_said() {
        let mut work = document().work;
        assert_eq!(work.unusual(), Vec::<String>::new());
        (work.partitions, work.nodes) = (64, 3);
        assert_eq!(work.unusual(), ["64 partitions", "3 nodes"]);
        assert!(!work.is_like(&document().work));
    }

    #[test]
    fn cadences_have_words() {
        assert_eq!(Cadence::words("10k"), "a commit every 10,000 records");
        assert_eq!(Cadence::words("500"), "a commit every 500 records");
        assert_eq!(Cadence::words("100ms"), "a commit every 100 ms");
    }
}
