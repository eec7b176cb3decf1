//! The table of scenario × language × broker.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::scenario::BrokerKind;
use super::suite::Suite;

/// How a cell ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was as the scenario says.
    Passed,
    /// Something was not.
    Failed(String),
    /// It can't run there.
    Reason(String),
    /// The language has no driver.
    NoDriver(String),
}

type Key = (String, String, BrokerKind);

/// Every cell, in the order of the scenarios.
#[derive(Debug)]
pub struct Table {
    rows: Vec<String>,
    columns: Vec<(String, BrokerKind)>,
    cells: BTreeMap<Key, (Verdict, Duration)>,
    expected: BTreeSet<Key>,
}

/// Of a hundred cells, so many may have a reason.
const MOST_REASONS: usize = 5;

impl Table {
    pub(super) fn new(suite: &Suite) -> Self {
        let rows = suite.scenarios.iter().map(|scenario| scenario.id.clone()).collect();
        let columns = suite.brokers.iter();
        let columns = columns.flat_map(|broker| suite.drivers.iter().map(move |(name, _)| (name.clone(), *broker)));
        let mut table = Self { rows, columns: columns.collect(), cells: BTreeMap::new(), expected: BTreeSet::new() };
        for scenario in &suite.scenarios {
            for (language, broker) in table.columns.clone() {
                if !scenario.is_for(broker) {
                    continue;
                }
                table.expected.insert((scenario.id.clone(), language.clone(), broker));
                if let Some(why) = scenario.cannot.get(&broker) {
                    table.set(&scenario.id, &language, broker, Verdict::Reason(why.clone()), Duration::ZERO);
                }
            }
        }
        table
    }

    pub(super) fn set(&mut self, scenario: &str, language: &str, broker: BrokerKind, verdict: Verdict, took: Duration) {
        self.cells.insert((scenario.into(), language.into(), broker), (verdict, took));
    }

    /// How a cell ended; `None` if there is no such cell.
    pub fn verdict(&self, scenario: &str, language: &str, broker: BrokerKind) -> Option<&Verdict> {
        self.cells.get(&(scenario.into(), language.into(), broker)).map(|(verdict, _)| verdict)
    }

    fn count(&self, of: impl Fn(&Verdict) -> bool) -> usize {
        self.cells.values().filter(|(verdict, _)| of(verdict)).count()
    }

    /// Why the suite has not passed, if it has not. A cell without a verdict, or no cell at all, is a failure.
    pub fn failure(&self) -> Option<String> {
        let failed = self.count(|verdict| matches!(verdict, Verdict::Failed(_)));
        let no_driver = self.count(|verdict| matches!(verdict, Verdict::NoDriver(_)));
        let reasons = self.count(|verdict| matches!(verdict, Verdict::Reason(_)));
        let passed = self.count(|verdict| *verdict == Verdict::Passed);
        let absent = self.expected.iter().filter(|key| !self.cells.contains_key(key)).count();
        let mut why = Vec::new();
        for (count, what) in [(failed, "failed"), (no_driver, "have no driver"), (absent, "were not played")] {
            if count > 0 {
                why.push(format!("{count} cells {what}"));
            }
        }
        if passed == 0 {
            why.push("no cell passed".into());
        }
        // A part of the suite may be one that has many reasons.
        let whole = self.rows.len() > 60 && self.columns.iter().any(|(_, broker)| *broker != self.columns[0].1);
        if whole && reasons * 100 > self.expected.len() * MOST_REASONS {
            why.push(format!("{reasons} of {} cells have a reason, at most {MOST_REASONS} % may", self.expected.len()));
        }
        (!why.is_empty()).then(|| why.join("; "))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.rows.iter().map(String::len).max().unwrap_or(0);
        let head = |(language, broker): &(String, BrokerKind)| format!("{language}/{}", broker.name());
        let width = self.columns.iter().map(|column| head(column).len()).max().unwrap_or(0);
        write!(f, "{:widest$}", "scenario")?;
        for column in &self.columns {
            write!(f, "  {:width$}", head(column))?;
        }
        let mut notes: Vec<&str> = Vec::new();
        for row in &self.rows {
            write!(f, "\n{row:widest$}")?;
            for (language, broker) in &self.columns {
                let cell = match self.cells.get(&(row.clone(), language.clone(), *broker)) {
                    Some((Verdict::Passed, took)) => format!("ok {:.1}", took.as_secs_f64()),
                    Some((Verdict::Failed(_), _)) => "FAILED".into(),
                    Some((Verdict::NoDriver(_), _)) => "NO DRIVER".into(),
                    Some((Verdict::Reason(why), _)) => {
                        let known = notes.iter().position(|note| note == why);
                        let number = known.unwrap_or_else(|| {
                            notes.push(why);
                            notes.len() - 1
                        });
                        format!("[{}]", number + 1)
                    }
                    None => "-".into(),
                };
                write!(f, "  {cell:width$}")?;
            }
        }
        writeln!(f)?;
        for (index, note) in notes.iter().enumerate() {
            write!(f, "\n[{}] {note}", index + 1)?;
        }
        for ((row, language, broker), (verdict, _)) in &self.cells {
            if let Verdict::Failed(why) = verdict {
                write!(f, "\nFAILED {row} {language}/{}: {why}", broker.name())?;
            }
        }
        let missing: BTreeMap<&str, &str> = self
            .cells
            .iter()
            .filter_map(|((_, language, _), (verdict, _))| match verdict {
                Verdict::NoDriver(why) => Some((language.as_str(), why.as_str())),
                _ => None,
            })
            .collect();
        for (language, why) in missing {
            write!(f, "\nNO DRIVER for {language}: {why}")?;
        }
        write!(
            f,
            "\n{} cells: {} passed, {} failed, {} without a driver, {} with a reason ({:.1} %)",
            self.expected.len(),
            self.count(|verdict| *verdict == Verdict::Passed),
            self.count(|verdict| matches!(verdict, Verdict::Failed(_))),
            self.count(|verdict| matches!(verdict, Verdict::NoDriver(_))),
            self.count(|verdict| matches!(verdict, Verdict::Reason(_))),
            self.count(|verdict| matches!(verdict, Verdict::Reason(_))) as f64 * 100.0
                / self.expected.len().max(1) as f64,
        )
    }
}
