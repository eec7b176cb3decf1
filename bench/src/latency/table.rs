//! What is printed.

use std::fmt::Write;

use super::result::{Latency, Row};
use crate::report::grouped;

/// Every run, the best of each row marked.
pub(super) fn table(latency: &Latency) -> String {
    let mut text = String::new();
    // Writing to a string can't fail, here and below.
    let _ = writeln!(
        text,
        "{} s a run after {} s, {} bytes, {} partitions, {} processors. Milliseconds; * is the best run by p99.\n",
        latency.work.seconds,
        latency.work.warm_up_s,
        latency.work.size,
        latency.work.partitions,
        latency.machine.processors
    );
    let _ = writeln!(
        text,
        "{:<13} {:>9}   {:>8} {:>8} {:>8} {:>8}   {:>8}   {:>5} {:>6} {:>8} {:>5} {:>6}   records",
        "guarantee",
        "records/s",
        "p50",
        "p99",
        "p99.9",
        "max",
        "late p99",
        "cores",
        "broker",
        "pipeline",
        "load",
        "reader"
    );
    for row in &latency.rows {
        rows(&mut text, row);
    }
    text
}

fn rows(text: &mut String, row: &Row) {
    let best = row.best();
    for (index, run) in row.runs.iter().enumerate() {
        let name = if index == 0 { row.guarantee.as_deref().unwrap_or("(no pipeline)") } else { "" };
        let rate = if index == 0 { grouped(row.rate as f64) } else { String::new() };
        let mark = if best == Some(index) && row.runs.len() > 1 { '*' } else { ' ' };
        let records = if run.is_correct() {
            "all, once".to_owned()
        } else {
            format!("WRONG: {} of {} visible, {} repeated", run.visible, run.produced, run.repeated)
        };
        let retried = if run.retried > 0 { format!(", {} RETRIED", run.retried) } else { String::new() };
        let cores = run.cores;
        let _ = writeln!(
            text,
            "{name:<13} {rate:>9} {mark} {:>8.2} {:>8.2} {:>8.2} {:>8.2}   {:>8.2}   {:>5.2} {:>6.2} {:>8.2} {:>5.2} {:>6.2}   {records}{retried}",
            run.p50_ms,
            run.p99_ms,
            run.p999_ms,
            run.max_ms,
            run.load_late_p99_ms,
            cores.all(),
            cores.broker,
            cores.pipeline,
            cores.load,
            cores.reader,
        );
    }
}

/// The targets that were measured, as they are printed.
pub(super) fn verdicts(latency: &Latency) -> String {
    let mut text = String::new();
    for row in &latency.rows {
        if let Some(verdict) = verdict(row) {
            let _ = writeln!(text, "{verdict}");
        }
    }
    text
}

/// What became of a row's target.
pub(crate) fn verdict(row: &Row) -> Option<String> {
    let (pass, met, most) = (row.pass()?, row.met()?, row.target_p99_ms?);
    let best = row.best().map_or_else(|| "-".to_owned(), |best| format!("{:.2}", row.runs[best].p99_ms));
    Some(format!(
        "{}  {} at {} records/s: p99 {best} ms in the best run, at most {most} ms; {met} of {} runs met it",
        if pass { "PASS" } else { "FAIL" },
        row.guarantee.as_deref().unwrap_or_default(),
        grouped(row.rate as f64),
        row.runs.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::super::result::Work;
    use super::super::result::tests::{row, run};
    use super::*;
    use crate::machine::Machine;

    #[test]
    fn every_run_is_shown_the_best_is_marked_and_targets_are_judged() {
        let latency = Latency {
            work: Work { seconds: 30, warm_up_s: 3, size: 200, partitions: 4, runs: 2 },
            machine: Machine::default(),
            rows: vec![
                row(None, 50_000, vec![run(0.8, 100)]),
                row(Some("exactly_once"), 50_000, vec![run(16.0, 100), run(14.5, 100)]),
                row(Some("at_least_once"), 75_000, vec![run(4.0, 97)]),
            ],
        };
        let text = table(&latency);
        assert_eq!(text.lines().count(), 2 + 1 + 4);
        let best: Vec<&str> = text.lines().skip(3).filter(|line| line.contains(" * ")).collect();
        assert_eq!(best.len(), 1);
        assert!(best[0].contains("14.50"), "{text}");
        assert!(text.contains("WRONG: 97 of 100 visible"), "{text}");
        let verdicts = verdicts(&latency);
        assert!(
            verdicts.contains(
                "PASS  exactly_once at 50,000 records/s: p99 14.50 ms in the best run, at most 15 ms; 1 of 2"
            )
        );
        assert!(verdicts.contains("FAIL  at_least_once at 75,000 records/s: p99 - ms"), "{verdicts}");
    }
}
