//! What was measured, as it is written to JSON and read for the page, and what follows from it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

pub(crate) use super::part::Part;
use super::part::{IN_FLIGHT, LANES};
use crate::child::Run;
use crate::latency::steady::Steady;
use crate::machine::Machine;
use crate::report::{Measured, grouped};
use crate::shape::Task;

/// Costs of a record that stay within this, beside the smallest step's, have not grown.
const STAYS: f64 = 1.25;
/// For so many instances it is computed what a coordinator has to bear.
pub(crate) const INSTANCES: f64 = 1_000.0;

/// The whole result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Growth {
    pub(crate) machine: Machine,
    /// What the bench was started with.
    pub(crate) arguments: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) parts: Vec<Grown>,
    pub(crate) steady: Option<Steady>,
}

/// A part with its steps, the smallest first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Grown {
    pub(crate) part: Part,
    pub(crate) steps: Vec<Stepped>,
}

/// A step, with a row for each guarantee.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stepped {
    pub(crate) amount: u64,
    pub(crate) label: String,
    pub(crate) task: Task,
    pub(crate) rows: Vec<Measured>,
}

/// What a run cost, in medians.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    pub(crate) records_per_s: f64,
    pub(crate) client_cpu: f64,
    pub(crate) broker_cpu: f64,
    /// Of one process.
    pub(crate) peak_mib: f64,
    pub(crate) records_a_commit: Option<f64>,
}

impl Costs {
    pub(crate) fn of(row: &Measured) -> Option<Self> {
        let processes = row.task.processes as f64;
        Some(Self {
            records_per_s: row.median(|run| run.records_per_s)?,
            client_cpu: row.median(Run::client_cpu_a_million)?,
            broker_cpu: row.median(Run::broker_cpu_a_million)?,
            peak_mib: row.median(Run::peak_mib)? / processes,
            records_a_commit: row
                .median(|run| run.commits.map_or(f64::NAN, |commits| run.records as f64 / commits as f64))
                .filter(|records| records.is_finite()),
        })
    }

    /// How much more this is than the smallest step's.
    pub(crate) fn over(&self, first: &Self) -> Self {
        Self {
            records_per_s: self.records_per_s / first.records_per_s,
            client_cpu: self.client_cpu / first.client_cpu,
            broker_cpu: self.broker_cpu / first.broker_cpu,
            peak_mib: self.peak_mib / first.peak_mib,
            records_a_commit: self.records_a_commit.zip(first.records_a_commit).map(|(now, then)| now / then),
        }
    }
}

impl Grown {
    /// The rows of one guarantee, a step each.
    pub(crate) fn series(&self) -> Vec<Vec<&Measured>> {
        let rows = self.steps.first().map_or(0, |step| step.rows.len());
        (0..rows).map(|index| self.steps.iter().filter_map(|step| step.rows.get(index)).collect()).collect()
    }

    /// Whether costs grow with the number of records and with nothing else, and if not, what has grown.
    pub(crate) fn verdict(&self, series: &[&Measured]) -> String {
        let Some(first) = series.first().and_then(|row| Costs::of(row)) else {
            return "not measured".to_owned();
        };
        let mut why = Vec::new();
        for (step, row) in self.steps.iter().zip(series).skip(1) {
            let Some(costs) = Costs::of(row) else {
                why.push(format!("{}: not measured", step.label));
                continue;
            };
            let times = costs.over(&first);
            let mut grown = Vec::new();
            if times.client_cpu > STAYS {
                grown.push(format!("client CPU a record {:.2} ×", times.client_cpu));
            }
            if times.broker_cpu > STAYS {
                grown.push(format!("broker CPU a record {:.2} ×", times.broker_cpu));
            }
            if times.peak_mib > STAYS {
                grown.push(format!("memory of a process {:.2} ×", times.peak_mib));
            }
            if !grown.is_empty() {
                why.push(format!("{}: {}{}", step.label, grown.join(", "), cause(step, &costs)));
            }
        }
        if why.is_empty() { "linear".to_owned() } else { format!("not linear; at {}", why.join("; at ")) }
    }

    /// The part, as it is printed.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string can't fail, here and below.
        let _ = writeln!(text, "\n{}\n", self.part.name());
        let _ = writeln!(
            text,
            "{:<16} {:>10}  {:>10} {:>6}  {:>8} {:>6}  {:>8} {:>6}  {:>9} {:>6}  {:>9}",
            "", "", "records/s", "×", "CPU s/M", "×", "broker", "×", "peak MiB", "×", "a commit"
        );
        for series in self.series() {
            let first = series.first().and_then(|row| Costs::of(row));
            for (step, row) in self.steps.iter().zip(&series) {
                let Some((costs, first)) = Costs::of(row).zip(first) else {
                    let _ = writeln!(text, "{:<16} {:>10}  FAILED or not run", row.name, step.label);
                    continue;
                };
                let times = costs.over(&first);
                let _ = writeln!(
                    text,
                    "{:<16} {:>10}  {:>10} {:>6.2}  {:>8.2} {:>6.2}  {:>8.2} {:>6.2}  {:>9.0} {:>6.2}  {:>9}",
                    row.name,
                    step.label,
                    grouped(costs.records_per_s),
                    times.records_per_s,
                    costs.client_cpu,
                    times.client_cpu,
                    costs.broker_cpu,
                    times.broker_cpu,
                    costs.peak_mib,
                    times.peak_mib,
                    costs.records_a_commit.map_or_else(|| "-".to_owned(), grouped),
                );
            }
            if self.part == Part::Coordinator {
                continue;
            }
            let name = series.first().map_or("", |row| &row.name);
            let _ = writeln!(text, "{name}: {}", self.verdict(&series));
        }
        for burden in self.burdens() {
            let _ = writeln!(text, "{}", burden.text());
        }
        text
    }

    /// What a thousand instances ask of the coordinators, at each cadence.
    pub(crate) fn burdens(&self) -> Vec<Burden> {
        if self.part != Part::Coordinator {
            return Vec::new();
        }
        let burden = |step: &Stepped| {
            let row = step.rows.first()?;
            let transactions =
                row.median(|run| run.commits.map_or(f64::NAN, |commits| commits as f64 / run.elapsed_s))?;
            Some(Burden { cadence: step.label.clone(), transactions_a_second: transactions })
        };
        self.steps.iter().filter_map(burden).collect()
    }
}

/// What follows from how the records of a commit are spread.
fn cause(step: &Stepped, costs: &Costs) -> String {
    let partitions = f64::from(step.task.shape.output_partitions());
    let Some(records) = costs.records_a_commit else { return String::new() };
    format!(
        " (a commit has {} records, {} for each partition that it writes to)",
        grouped(records),
        if records >= partitions * 10.0 {
            grouped(records / partitions)
        } else {
            format!("{:.1}", records / partitions)
        }
    )
}

/// What one instance was measured to do, and what a thousand would.
///
/// A transaction asks the transaction coordinator three times (`AddPartitionsToTxn`, at least once, `AddOffsetsToTxn`
/// and `EndTxn`), and the group coordinator once (`TxnOffsetCommit`). The transaction coordinator writes four records
/// to its log (a partition's and the offsets' arrival, the decision, the end) and sends `WriteTxnMarkers` to each
/// broker that leads one of its partitions, one at least. Every lane has a producer for each transaction in flight.
#[derive(Debug)]
pub(crate) struct Burden {
    pub(crate) cadence: String,
    /// Of one instance.
    pub(crate) transactions_a_second: f64,
}

impl Burden {
    /// Producer ids, each with a `transactional.id`.
    pub(crate) fn producers() -> f64 {
        INSTANCES * (LANES * IN_FLIGHT) as f64
    }

    pub(crate) fn transactions(&self) -> f64 {
        INSTANCES * self.transactions_a_second
    }

    /// To the transaction coordinators.
    pub(crate) fn transaction_requests(&self) -> f64 {
        self.transactions() * 3.0
    }

    /// To the group coordinators.
    pub(crate) fn offset_requests(&self) -> f64 {
        self.transactions()
    }

    /// Records of `__transaction_state`.
    pub(crate) fn log_records(&self) -> f64 {
        self.transactions() * 4.0
    }

    fn text(&self) -> String {
        format!(
            "by {}: {:.1} transactions/s of one instance; of {}: {} producer ids, {} transactions/s, {} requests/s to the \
             transaction coordinators, {} to the group coordinators, {} records/s in the transaction log",
            self.cadence,
            self.transactions_a_second,
            grouped(INSTANCES),
            grouped(Self::producers()),
            grouped(self.transactions()),
            grouped(self.transaction_requests()),
            grouped(self.offset_requests()),
            grouped(self.log_records()),
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::child::tests::run;
    use crate::latency::steady;
    use crate::shape::Shape;

    /// A part whose steps cost so many times what the first costs.
    fn grown(part: Part, times: &[f64]) -> Grown {
        let step = |(times, amount): (&f64, u64)| {
            let shape = Shape { partitions: amount as u32 * 4, ..Shape::STANDARD };
            let task = Task { shape, records: 1_000_000, processes: 1 };
            let rows = ["ksem-alo-10k", "ksem-eos-10k"].map(|name| Measured {
                name: name.to_owned(),
                task,
                runs: vec![run(1_000_000, 500_000.0 / times)],
                trouble: None,
            });
            Stepped { amount, label: amount.to_string(), task, rows: rows.to_vec() }
        };
        Grown { part, steps: times.iter().zip(1..).map(step).collect() }
    }

    pub(crate) fn document() -> Growth {
        Growth {
            machine: Machine::here(),
            arguments: vec!["growth".to_owned()],
            rounds: 3,
            parts: vec![grown(Part::Partitions, &[1.0, 2.0]), grown(Part::Coordinator, &[1.0, 1.0])],
            steady: Some(steady::tests::document()),
        }
    }

    #[test]
    fn what_stays_is_linear_and_what_grows_is_named() {
        let flat = grown(Part::Lanes, &[1.0, 1.1]);
        assert_eq!(flat.verdict(&flat.series()[0]), "linear");
        let steep = grown(Part::Partitions, &[1.0, 2.0]);
        let verdict = steep.verdict(&steep.series()[1]);
        assert!(
            verdict.starts_with("not linear; at 2: client CPU a record 2.00 ×, broker CPU a record 2.00 × (a commit")
        );
        assert!(verdict.contains("10,000 records, 1,250 for each partition"), "{verdict}");
        assert!(steep.text().contains("ksem-eos-10k: not linear"), "{}", steep.text());
        let mut broken = grown(Part::Lanes, &[1.0, 1.0]);
        broken.steps[1].rows[0].runs.clear();
        assert_eq!(broken.verdict(&broken.series()[0]), "not linear; at 2: not measured");
        assert_eq!(broken.verdict(&[]), "not measured");
    }

    #[test]
    fn a_thousand_instances_are_computed_from_one() {
        // A hundred commits in two seconds.
        let burdens = grown(Part::Coordinator, &[1.0]).burdens();
        assert_eq!(burdens.len(), 1);
        assert!((burdens[0].transactions() - 50_000.0).abs() < 1e-6);
        assert!((burdens[0].transaction_requests() - 150_000.0).abs() < 1e-6);
        assert!((Burden::producers() - 8_000.0).abs() < 1e-6);
        assert!(burdens[0].text().contains("8,000 producer ids, 50,000 transactions/s"), "{}", burdens[0].text());
        assert!(grown(Part::Lanes, &[1.0]).burdens().is_empty());
    }

    #[test]
    fn the_document_is_read_back() {
        let text = serde_json::to_string(&document()).expect("JSON");
        let back: Growth = serde_json::from_str(&text).expect("its own form");
        assert_eq!(back.parts[0].series().len(), 2);
        assert_eq!(back.parts[0].steps[1].amount, 2);
    }
}
