//! What ksem may use: processor time for a million records, and memory under a backlog.

use serde::Serialize;

use crate::cadence::Cadence;
use crate::child::Run;
use crate::contestant;
use crate::programs::ksem::byte_limits;
use crate::report::{self, Row, Spread};

/// Memory beside what the byte limits of the configuration allow.
const BESIDE: u64 = 64 << 20;
const MIB: f64 = (1 << 20) as f64;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// CPU seconds of the contestant's process for a million records: the median.
    ClientCpu,
    /// The most memory of the process that was resident at once, in MiB: the largest of all runs.
    PeakMemory,
}

impl What {
    fn unit(self) -> &'static str {
        match self {
            Self::ClientCpu => "CPU s/M",
            Self::PeakMemory => "peak MiB",
        }
    }

    fn of(self, run: &Run) -> f64 {
        match self {
            Self::ClientCpu => run.client_cpu_a_million(),
            Self::PeakMemory => run.peak_mib(),
        }
    }
}

const CPU: [(&str, f64); 3] = [("ksem-amo-10k", 0.9), ("ksem-alo-10k", 1.2), ("ksem-eos-10k", 1.5)];
const MEMORY: [&str; 6] =
    ["ksem-amo-100ms", "ksem-alo-100ms", "ksem-eos-100ms", "ksem-amo-10k", "ksem-alo-10k", "ksem-eos-10k"];

/// What became of a limit.
#[derive(Debug, Serialize)]
pub(crate) struct Limit {
    of: &'static str,
    what: What,
    at_most: Option<f64>,
    value: Option<f64>,
    /// The smallest and the largest of all runs.
    runs: Option<(f64, f64)>,
    pub(crate) pass: bool,
}

/// The limits at these cadences, memory behind processor time.
fn limited(cadences: &[Cadence]) -> impl Iterator<Item = (&'static str, What)> {
    let cpu = CPU.iter().map(|(of, _)| (*of, What::ClientCpu));
    let all = cpu.chain(MEMORY.iter().map(|of| (*of, What::PeakMemory)));
    all.filter(|(of, _)| contestant::cadence(of).is_some_and(|of| cadences.contains(&of)))
}

/// Whom the limits at these cadences name.
pub(crate) fn contestants(cadences: &[Cadence]) -> impl Iterator<Item = &'static str> {
    limited(cadences).map(|(of, _)| of)
}

/// Judges every limit at these cadences. One whose contestant did not run is not met.
pub(crate) fn limits(rows: &[Row], cadences: &[Cadence]) -> Vec<Limit> {
    let limit = |(of, what): (&'static str, What)| {
        let row = rows.iter().find(|row| row.contestant.name() == of);
        let at_most = match what {
            What::ClientCpu => CPU.iter().find(|(name, _)| *name == of).map(|(_, seconds)| *seconds),
            What::PeakMemory => {
                row.and_then(|row| byte_limits(&row.contestant)).map(|bytes| (bytes + BESIDE) as f64 / MIB)
            }
        };
        let runs = row.filter(|row| row.trouble.is_none()).and_then(|row| row.spread(|run| what.of(run)));
        let judged = |runs: Spread| if what == What::PeakMemory { runs.max } else { runs.median };
        let value = runs.map(judged);
        let pass = value.zip(at_most).is_some_and(|(value, most)| value <= most);
        Limit { of, what, at_most, value, runs: runs.map(|runs| (runs.min, runs.max)), pass }
    };
    limited(cadences).map(limit).collect()
}

/// The limits, as they are printed.
pub(crate) fn verdicts(limits: &[Limit]) -> String {
    let line = |Limit { of, what, at_most, value, runs, pass }: &Limit| {
        let most = at_most.map_or_else(String::new, |most| format!(", at most {most}"));
        report::verdict(*value, *runs, *pass, &format!(" {}{most}: {of}", what.unit()))
    };
    limits.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::rows;

    #[test]
    fn limits_name_contestants_that_exist_and_are_judged() {
        // Every run takes a second of processor time for a million records, and a MiB.
        let judged = limits(&rows(|_| 1.0), &Cadence::DEFAULTS);
        assert_eq!(judged.len(), CPU.len() + MEMORY.len());
        assert!(judged.iter().all(|limit| limit.value.is_some() && limit.at_most.is_some()), "{judged:?}");
        let missed: Vec<&str> = judged.iter().filter(|limit| !limit.pass).map(|limit| limit.of).collect();
        assert_eq!(missed, ["ksem-amo-10k"]);
        let text = verdicts(&judged);
        assert!(text.contains("FAIL     1.00 [1.00 - 1.00] CPU s/M, at most 0.9: ksem-amo-10k"), "{text}");
        assert!(text.contains("PASS     1.00 [1.00 - 1.00] peak MiB, at most 160: ksem-eos-10k"), "{text}");
    }

    #[test]
    fn memory_is_judged_by_the_largest_run_and_what_did_not_run_is_not_met() {
        let mut rows = rows(|_| 1.0);
        for row in &mut rows {
            let mut large = row.runs[0].clone();
            large.client_peak_bytes = 1 << 30;
            row.runs = vec![row.runs[0].clone(), large, row.runs[0].clone()];
        }
        let by_time = [Cadence::Ms(100)];
        assert!(limits(&rows, &by_time).iter().all(|limit| limit.what == What::PeakMemory && !limit.pass));
        assert!(verdicts(&limits(&[], &by_time)).lines().all(|line| line.starts_with("NOT RUN")));
        assert!(limits(&rows, &[Cadence::Records(100)]).is_empty());
    }
}
