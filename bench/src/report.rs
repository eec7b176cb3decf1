//! Medians, the table, the ratios and the JSON document.

use std::fmt::Write;

use serde::Serialize;

use crate::child::Run;
use crate::contestant::Contestant;
use crate::programs;

/// The middle of some measurements, with their ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` where nothing was measured.
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
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
    pub(crate) runs: Vec<Run>,
}

impl Row {
    fn spread(&self, of: impl Fn(&Run) -> f64) -> Option<Spread> {
        Spread::of(self.runs.iter().map(of))
    }
}

/// One figure over another.
struct Target {
    meaning: &'static str,
    over: &'static str,
    under: &'static str,
    at_least: f64,
}

const TARGETS: &[Target] = &[
    Target {
        meaning: "exactly-once / at-least-once, by 10,000",
        over: "ksem-eos-10k",
        under: "ksem-alo-10k",
        at_least: 0.65,
    },
    Target {
        meaning: "at-least-once by 10,000 / the plain rdkafka loop",
        over: "ksem-alo-10k",
        under: "rdkafka-plain-alo-10k",
        at_least: 3.0,
    },
];

/// What became of a target.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    meaning: &'static str,
    over: &'static str,
    under: &'static str,
    at_least: f64,
    /// The ratio of the medians.
    value: Option<f64>,
    /// The smallest and the largest ratio within one round.
    rounds: Option<(f64, f64)>,
    pub(crate) pass: bool,
}

/// Judges every target. One whose contestants did not run is not met.
pub(crate) fn ratios(rows: &[Row]) -> Vec<Ratio> {
    let find = |name: &str| rows.iter().find(|row| row.contestant.name() == name);
    let ratio = |target: &Target| {
        let Target { meaning, over, under, at_least } = *target;
        let pair = find(over).zip(find(under));
        let value = pair.and_then(|(over, under)| {
            let speed = |run: &Run| run.records_per_s;
            Some(over.spread(speed)?.median / under.spread(speed)?.median)
        });
        let rounds = pair.and_then(|(over, under)| {
            let pairs = over.runs.iter().zip(&under.runs);
            Spread::of(pairs.map(|(over, under)| over.records_per_s / under.records_per_s))
        });
        Ratio {
            meaning,
            over,
            under,
            at_least,
            value,
            rounds: rounds.map(|spread| (spread.min, spread.max)),
            pass: value.is_some_and(|value| value >= at_least),
        }
    };
    TARGETS.iter().map(ratio).collect()
}

/// What everybody did.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Work {
    pub(crate) records: u64,
    pub(crate) size: usize,
    pub(crate) partitions: i32,
    pub(crate) rounds: usize,
    pub(crate) processors: usize,
}

/// The table, as it is printed.
pub(crate) fn table(rows: &[Row], work: Work) -> String {
    let millions = work.records as f64 / 1e6;
    let width = rows.iter().map(|row| row.contestant.name().len()).max().unwrap_or(0).max("contestant".len());
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:width$}  {:>9} {:<23}  {:>8}  {:>8}  {:>8}  {:>8}",
        "contestant", "records/s", "[min - max]", "first s", "CPU s/M", "peak MiB", "broker s/M"
    );
    for row in rows {
        let Some(speed) = row.spread(|run| run.records_per_s) else { continue };
        let median = |of: &dyn Fn(&Run) -> f64| row.spread(of).map_or(f64::NAN, |spread| spread.median);
        let _ = writeln!(
            text,
            "{:width$}  {:>9} {:<23}  {:>8.2}  {:>8.2}  {:>8.0}  {:>8.2}",
            row.contestant.name(),
            grouped(speed.median),
            format!("[{} - {}]", grouped(speed.min), grouped(speed.max)),
            median(&|run| run.first_record_s),
            median(&|run| run.client_cpu_s / millions),
            median(&|run| run.client_peak_bytes as f64 / f64::from(1 << 20)),
            median(&|run| run.broker_cpu_s / millions),
        );
    }
    text
}

/// The ratios, as they are printed.
pub(crate) fn verdicts(ratios: &[Ratio]) -> String {
    let mut text = String::new();
    for Ratio { meaning, over, under, at_least, value, rounds, pass } in ratios {
        let verdict = match value {
            None => "NOT RUN",
            Some(_) if *pass => "PASS",
            Some(_) => "FAIL",
        };
        let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        let rounds = rounds.map_or_else(String::new, |(min, max)| format!(" [{min:.2} - {max:.2}]"));
        let _ = writeln!(text, "{verdict:7}  {value}{rounds}, at least {at_least}: {meaning} ({over} / {under})");
    }
    text
}

/// The whole result for programs.
pub(crate) fn json(rows: &[Row], ratios: &[Ratio], work: Work) -> serde_json::Value {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let settings: serde_json::Map<_, _> =
                programs::settings(&row.contestant).into_iter().map(|(name, value)| (name, value.into())).collect();
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
            })
        })
        .collect();
    serde_json::json!({ "work": work, "contestants": rows, "ratios": ratios })
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
mod tests {
    use super::*;
    use crate::contestant;

    #[test]
    fn medians() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!(grouped(12.4), "12");
        assert_eq!(grouped(123_456.0), "123,456");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
    }

    fn rows(speed: impl Fn(&str) -> f64) -> Vec<Row> {
        let row = |contestant: Contestant| {
            let records_per_s = speed(&contestant.name());
            let run = Run {
                records_per_s,
                elapsed_s: 1.0,
                first_record_s: 0.1,
                client_cpu_s: 1.0,
                client_peak_bytes: 1 << 20,
                broker_cpu_s: 1.0,
                retried: 0,
            };
            Row { contestant, runs: vec![run] }
        };
        contestant::all(&[10_000], &[], &[]).into_iter().map(row).collect()
    }

    #[test]
    fn targets_name_contestants_that_exist_and_are_judged() {
        let speed = |name: &str| match name {
            "ksem-alo-10k" => 100.0,
            "ksem-eos-10k" => 65.0,
            _ => 50.0,
        };
        let judged = ratios(&rows(speed));
        assert_eq!(judged.iter().map(|ratio| ratio.pass).collect::<Vec<_>>(), [true, false]);
        assert!(verdicts(&judged).contains("FAIL     2.00 [2.00 - 2.00], at least 3"));
        assert!(ratios(&[]).iter().all(|ratio| !ratio.pass), "what did not run is not met");
    }
}
