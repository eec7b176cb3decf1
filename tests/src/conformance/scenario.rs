//! Scenarios as data: `tests/scenarios/*.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use toml::Table;

use super::step::Step;

/// A broker that scenarios run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerKind {
    /// The crate `ksem-broker`, in the runner's process.
    Embedded,
    /// One node of Apache Kafka.
    Real,
}

impl BrokerKind {
    /// Its name on the command line and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Real => "real",
        }
    }
}

/// A file: the scenarios of one area.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    scenario: Vec<Scenario>,
}

/// One scenario: topics, records, what is done, and what the brokers' logs have to show after it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// `area/name`; the file adds the area, and the guarantee where there are several.
    pub id: String,
    /// What it shows, in one sentence.
    pub what: String,
    /// The guarantee of the configuration and of every call that names none.
    #[serde(default = "exactly_once")]
    pub guarantee: String,
    /// Instead: the same scenario for each of these.
    #[serde(default)]
    guarantees: Vec<String>,
    /// The row of the guarantee's crash table that it shows.
    pub crash_point: Option<String>,
    /// Topics and their partitions. `in` and `out` are there by default, with one partition each.
    #[serde(default)]
    pub topics: BTreeMap<String, i32>,
    /// Properties of every topic, on real Kafka.
    #[serde(default)]
    pub topic_config: BTreeMap<String, String>,
    /// How many numbered records `in` has at the start.
    #[serde(default = "three_hundred")]
    pub records: u64,
    /// What differs from the usual configuration.
    #[serde(default)]
    pub config: Table,
    /// Why a broker can't carry it.
    #[serde(default)]
    pub cannot: BTreeMap<BrokerKind, String>,
    /// Where it is not asked for: its point has nothing to do with that broker.
    #[serde(default)]
    pub not_on: BTreeSet<BrokerKind>,
    /// What is done.
    pub steps: Vec<Step>,
    /// What the outputs have to hold at the end.
    #[serde(default)]
    pub expect: Vec<Expect>,
    /// What the group has to have committed of `in` at the end, over all partitions; by default, everything that was written.
    pub committed: Option<i64>,
}

fn exactly_once() -> String {
    "exactly_once".into()
}

fn three_hundred() -> u64 {
    300
}

/// How often ids may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    /// Each once.
    ExactlyOnce,
    /// Each once or more often.
    AtLeastOnce,
    /// Each once, in whatever order.
    ExactlyOnceAnyOrder,
    /// None twice.
    AtMostOnce,
    /// No record at all, also under `read_uncommitted`.
    Never,
    /// No record that readers of committed records see.
    NeverCommitted,
    /// The same records as in the input, with everything that they have but offset and partition.
    SameRecords,
    /// As `same_records`, with the partition.
    SamePlaces,
    /// Anything; `count` says how much.
    Anything,
}

/// What one topic has to hold at the end, under `read_committed`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The topic, by its name in the scenario.
    #[serde(default = "out")]
    pub topic: String,
    /// How often each record of the input is there.
    pub is: Times,
    /// So many ids are missing, exactly.
    pub missing: Option<u64>,
    /// So many ids are there more than once, exactly.
    pub repeated: Option<u64>,
    /// At most so many are.
    pub repeated_at_most: Option<u64>,
    /// The ids that are expected, instead of all those of the input.
    pub ids: Option<(u64, u64)>,
    /// How many records there are, whatever they are.
    pub count: Option<usize>,
}

fn out() -> String {
    "out".into()
}

/// Where the scenarios are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// Reads all scenarios.
///
/// # Errors
/// When a file has a mistake, or two scenarios have the same id.
pub fn load(folder: &Path) -> Result<Vec<Scenario>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path)?;
        let area = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let file: File = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        for scenario in file.scenario {
            all.extend(expand(scenario, &area));
        }
    }
    let mut ids = BTreeSet::new();
    for scenario in &all {
        ensure!(ids.insert(scenario.id.clone()), "two scenarios have the id {}", scenario.id);
        check(scenario).with_context(|| format!("in scenario {}", scenario.id))?;
    }
    Ok(all)
}

fn expand(scenario: Scenario, area: &str) -> Vec<Scenario> {
    if scenario.guarantees.is_empty() {
        return vec![Scenario { id: format!("{area}/{}", scenario.id), ..scenario }];
    }
    let each = scenario.guarantees.iter().map(|guarantee| Scenario {
        id: format!("{area}/{}/{guarantee}", scenario.id),
        guarantee: guarantee.clone(),
        ..scenario.clone()
    });
    each.collect()
}

fn check(scenario: &Scenario) -> Result<()> {
    ensure!(ksem::Guarantee::parse(&scenario.guarantee).is_some(), "{} is no guarantee", scenario.guarantee);
    ensure!(!scenario.steps.is_empty(), "it does nothing");
    // A scenario that looks at nothing can't fail.
    let asserts = !scenario.expect.is_empty() || scenario.steps.iter().any(Step::asserts);
    ensure!(asserts, "it expects nothing");
    let topics = scenario.topics();
    for expect in &scenario.expect {
        ensure!(expect.is != Times::Anything || expect.count.is_some(), "anything would do, so it needs a `count`");
        if !topics.contains_key(&expect.topic) {
            bail!("it expects something of a topic {} that is not there", expect.topic);
        }
    }
    Ok(())
}

impl Scenario {
    /// The topics with their partitions.
    pub fn topics(&self) -> BTreeMap<String, i32> {
        let mut topics = self.topics.clone();
        for name in ["in", "out"] {
            topics.entry(name.into()).or_insert(1);
        }
        topics
    }

    /// Whether it is asked for on that broker.
    pub fn is_for(&self, broker: BrokerKind) -> bool {
        !self.not_on.contains(&broker)
    }
}

#[cfg(test)]
mod tests {
    use ksem::Guarantee;
    use ksem::discipline::{CrashEffect, crash_points};

    use super::*;

    #[test]
    fn there_are_sixty_scenarios_or_more_and_each_has_its_own_id() {
        let all = load(&folder()).expect("the scenarios");
        assert!(all.len() >= 60, "{}", all.len());
    }

    #[test]
    fn each_row_of_each_crash_table_has_a_scenario_that_expects_what_the_row_says() {
        let all = load(&folder()).expect("the scenarios");
        for guarantee in Guarantee::ALL {
            for point in crash_points(guarantee) {
                let of_row: Vec<_> = all
                    .iter()
                    .filter(|s| s.guarantee == guarantee.name() && s.crash_point.as_deref() == Some(point.name))
                    .collect();
                assert!(!of_row.is_empty(), "{guarantee}: no scenario for `{}`", point.name);
                for scenario in of_row {
                    let [expect] = &scenario.expect[..] else { panic!("{}: one expectation", scenario.id) };
                    let (missing, repeated) = (expect.missing.unwrap_or(0), expect.repeated.unwrap_or(0));
                    let effect = match (missing, repeated) {
                        (0, 0) => CrashEffect::None,
                        (_, 0) => CrashEffect::Lost,
                        _ => CrashEffect::Repeated,
                    };
                    assert_eq!(effect, point.effect, "{}", scenario.id);
                }
            }
        }
    }

    #[test]
    fn both_brokers_carry_nearly_everything() {
        let all = load(&folder()).expect("the scenarios");
        let cells = all.len() * 2;
        let reasons: usize = all.iter().map(|scenario| scenario.cannot.len()).sum();
        assert!(reasons * 20 <= cells, "{reasons} of {cells} cells are reasons");
    }

    #[test]
    fn mistakes_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = |text: &str, why: &str| {
            fs::write(folder.path().join("a.toml"), text).expect("writing");
            let error = format!("{:#}", load(folder.path()).expect_err(text));
            assert!(error.contains(why), "{error}");
        };
        let scenario = |body: &str| format!("[[scenario]]\nid = \"x\"\nwhat = \"y\"\n{body}");
        refused(&scenario("steps = [{ open = {} }]"), "expects nothing");
        refused(&scenario("steps = []"), "does nothing");
        refused(&scenario("steps = [{ opn = {} }]"), "opn");
        refused(&scenario("steps = [{ open = { pip = \"p\" } }]"), "pip");
        refused(&scenario("stepz = []"), "stepz");
        refused(
            &scenario("steps = [{ open = {} }]\nexpect = [{ topic = \"nowhere\", is = \"never\" }]"),
            "a topic nowhere",
        );
        let twice = scenario("steps = [{ open = { error = \"misuse\" } }]");
        refused(&format!("{twice}\n{twice}"), "the id a/x");
    }
}
