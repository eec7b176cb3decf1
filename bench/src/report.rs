//! Medians, the table and the JSON document.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::child::Run;
use crate::contestant::Contestant;
use crate::limits::Limit;
use crate::machine::Machine;
use crate::programs;
use crate::shape::{Shape, Task};
use crate::targets::Ratio;
use crate::versions;

/// The middle of some measurements, with their ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` where nothing was measured.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median: f64::midpoint(low, high), min, max })
    }
}

/// A contestant with its runs, one a round.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) contestant: Contestant,
    pub(crate) task: Task,
    pub(crate) runs: Vec<Run>,
    pub(crate) trouble: Option<Trouble>,
}

/// Why a contestant has no figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Trouble {
    /// It could not be built.
    NotRun(String),
    /// A run was not correct, or did not end.
    Failed(String),
}

impl Row {
    pub(crate) fn spread(&self, of: impl Fn(&Run) -> f64) -> Option<Spread> {
        Spread::of(self.runs.iter().map(of))
    }

    pub(crate) fn measured(&self) -> Measured {
        Measured {
            name: self.contestant.name(),
            task: self.task,
            runs: self.runs.clone(),
            trouble: self.trouble.clone(),
        }
    }
}

/// A row in a document that is read again for the page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) task: Task,
    pub(crate) runs: Vec<Run>,
    pub(crate) trouble: Option<Trouble>,
}

impl Measured {
    /// The median of something; `None` where the contestant has no figures.
    pub(crate) fn median(&self, of: impl Fn(&Run) -> f64) -> Option<f64> {
        if self.trouble.is_some() {
            return None;
        }
        Some(Spread::of(self.runs.iter().map(of))?.median)
    }
}

/// What everybody did.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Work {
    /// The same number for everybody; `None` is a number for each cadence.
    pub(crate) records: Option<u64>,
    /// The numbers for each cadence divided by this.
    pub(crate) part: u64,
    pub(crate) size: usize,
    pub(crate) partitions: u32,
    pub(crate) scattered: bool,
    pub(crate) nodes: usize,
    pub(crate) rounds: usize,
    pub(crate) processors: usize,
}

impl Work {
    /// What this contestant does: as many records as all others of its cadence.
    pub(crate) fn task(&self, contestant: &Contestant) -> Task {
        let records = self.records.unwrap_or(contestant.cadence.records() / self.part);
        let Self { size, partitions, scattered, .. } = *self;
        let shape = Shape { partitions, size, scattered, ..Shape::STANDARD };
        Task { shape, records, processes: 1 }
    }

    /// Whether the targets are about this.
    pub(crate) fn is_standard(&self) -> bool {
        let Shape { size, partitions, scattered, .. } = Shape::STANDARD;
        (self.size, self.partitions, self.scattered, self.nodes) == (size, partitions, scattered, 1)
    }
}

/// The table, as it is printed.
pub(crate) fn table(rows: &[&Row]) -> String {
    let width = rows.iter().map(|row| row.contestant.name().len()).max().unwrap_or(0).max("contestant".len());
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:width$}  {:>9} {:<23}  {:>8}  {:>8}  {:>8}  {:>8}",
        "contestant", "records/s", "[min - max]", "first s", "CPU s/M", "peak MiB", "broker s/M"
    );
    for row in rows {
        let name = row.contestant.name();
        if let Some(trouble) = &row.trouble {
            let (verdict, reason) = match trouble {
                Trouble::NotRun(reason) => ("NOT RUN", reason),
                Trouble::Failed(reason) => ("FAILED", reason),
            };
            let _ = writeln!(text, "{name:width$}  {verdict:>9} {}", reason.lines().next().unwrap_or_default());
            continue;
        }
        let Some(speed) = row.spread(|run| run.records_per_s) else { continue };
        let median = |of: &dyn Fn(&Run) -> f64| row.spread(of).map_or(f64::NAN, |spread| spread.median);
        let _ = writeln!(
            text,
            "{name:width$}  {:>9} {:<23}  {:>8.2}  {:>8.2}  {:>8.0}  {:>8.2}",
            grouped(speed.median),
            format!("[{} - {}]", grouped(speed.min), grouped(speed.max)),
            median(&|run| run.first_record_s),
            median(&Run::client_cpu_a_million),
            median(&Run::peak_mib),
            median(&Run::broker_cpu_a_million),
        );
    }
    text
}

/// The whole result for programs.
pub(crate) fn json(rows: &[Row], ratios: &[Ratio], limits: &[Limit], work: Work) -> serde_json::Value {
    let versions = versions::of(rows.iter().map(|row| &row.contestant));
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let settings: serde_json::Map<_, _> = programs::settings(&row.contestant, row.task.shape.compression)
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .collect();
            serde_json::json!({
                "name": row.contestant.name(),
                "contestant": row.contestant,
                "settings": settings,
                "records_per_s": row.spread(|run| run.records_per_s),
                "first_record_s": row.spread(|run| run.first_record_s),
                "client_cpu_s": row.spread(|run| run.client_cpu_s),
                "client_peak_bytes": row.spread(|run| run.client_peak_bytes as f64),
                "broker_cpu_s": row.spread(|run| run.broker_cpu_s),
                "runs": row.runs,
                "trouble": row.trouble,
            })
        })
        .collect();
    serde_json::json!({
        "machine": Machine::here(),
        "versions": versions,
        "arguments": arguments(std::env::args().skip(1)),
        "work": work,
        "contestants": rows,
        "ratios": ratios,
        "limits": limits,
    })
}

/// What the bench was started with, without the file that the document goes to.
pub(crate) fn arguments(given: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut is_file = false;
    for argument in given {
        if std::mem::take(&mut is_file) || argument.starts_with("--json=") {
            continue;
        }
        if argument == "--json" {
            is_file = true;
        } else {
            kept.push(argument);
        }
    }
    kept
}

/// A line of what was judged: `PASS     1.23 [1.20 - 1.30]`, and then `rest`.
pub(crate) fn verdict(value: Option<f64>, range: Option<(f64, f64)>, pass: bool, rest: &str) -> String {
    let word = match value {
        None => "NOT RUN",
        Some(_) if pass => "PASS",
        Some(_) => "FAIL",
    };
    let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    let range = range.map_or_else(String::new, |(min, max)| format!(" [{min:.2} - {max:.2}]"));
    format!("{word:7}  {value}{range}{rest}\n")
}

/// A whole number with commas.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cadence::Cadence;
    use crate::contestant;

    #[test]
    fn medians() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
    }

    #[test]
    fn arguments_are_kept_without_the_file() {
        let given = ["--cadence", "10k", "--json", "a.json", "--quick", "--json=b.json"].map(str::to_owned);
        assert_eq!(arguments(given.into_iter()), ["--cadence", "10k", "--quick"]);
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!(grouped(12.4), "12");
        assert_eq!(grouped(123_456.0), "123,456");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
    }

    /// Every contestant of a bench without options, each with one run.
    pub(crate) fn rows(speed: impl Fn(&str) -> f64) -> Vec<Row> {
        let row = |contestant: Contestant| {
            let run = Run {
                records: 1_000_000,
                records_per_s: speed(&contestant.name()),
                elapsed_s: 1.0,
                first_record_s: 0.1,
                client_cpu_s: 1.0,
                client_peak_bytes: 1 << 20,
                broker_cpu_s: 1.0,
                retried: 0,
                commits: None,
                beside: std::collections::BTreeMap::new(),
            };
            let task = Task { shape: Shape::STANDARD, records: 1_000_000, processes: 1 };
            Row { contestant, task, runs: vec![run], trouble: None }
        };
        contestant::all(&Cadence::DEFAULTS, &[], &[]).into_iter().map(row).collect()
    }

    #[test]
    fn who_did_not_run_is_in_the_table() {
        let mut rows = rows(|_| 123_456.0);
        rows.truncate(2);
        rows[1].runs.clear();
        rows[1].trouble = Some(Trouble::NotRun("`go` is not installed\nmore".to_owned()));
        let text = table(&rows.iter().collect::<Vec<_>>());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("123,456"), "{text}");
        assert!(lines[2].ends_with("NOT RUN `go` is not installed"), "{text}");
    }

    #[test]
    fn the_number_of_records_goes_by_the_cadence() {
        let mut work = Work {
            records: None,
            part: 5,
            size: 200,
            partitions: 4,
            scattered: false,
            nodes: 1,
            rounds: 1,
            processors: 2,
        };
        let contestants = contestant::all(&[Cadence::Records(100), Cadence::Ms(100)], &[], &[]);
        let last = contestants.len() - 1;
        assert_eq!(work.task(&contestants[0]).records, 20_000);
        assert_eq!(work.task(&contestants[last]).records, 200_000);
        work.records = Some(7);
        assert_eq!(work.task(&contestants[0]).records, 7);
        assert!(work.is_standard() && !Work { nodes: 3, ..work }.is_standard());
    }
}
