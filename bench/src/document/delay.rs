//! The page's sections on latency.

use std::fmt::Write;

use anyhow::Result;

use super::curves;
use super::page::Page;
use crate::latency::result::{Latency, Row};
use crate::report::grouped;

pub(super) fn write(page: &mut Page, documents: &[(String, Latency)]) -> Result<()> {
    for (index, (_, latency)) in documents.iter().enumerate() {
        let work = &latency.work;
        line!(page.text, "## Latency{}\n", if index == 0 { String::new() } else { format!(", {}", index + 1) });
        line!(
            page.text,
            "Milliseconds from the time at which a record had to be sent to the moment at which a reader of committed records has it. \
             The load keeps to its schedule whatever happens: {} bytes a record, {} partitions, {} s a run after {} s that are not \
             measured, {} run{} of each guarantee at each rate. **Bold** is the best run by p99; `late` is the p99 of how late the load itself \
             sent. \"no pipeline\" is the same without ksem: what load, broker and reader take by themselves.\n",
            work.size,
            work.partitions,
            work.seconds,
            work.warm_up_s,
            work.runs,
            if work.runs == 1 { "" } else { "s" },
        );
        let number = if index == 0 { String::new() } else { format!("-{}", index + 1) };
        page.plot("Latency by percentile, rate and guarantee", format!("latency{number}.svg"), curves::draw(latency)?);
        let text = &mut page.text;
        line!(text, "| guarantee | records/s | p50 | p99 | p99.9 | max | late | cores busy | visible of produced |");
        line!(text, "|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        latency.rows.iter().for_each(|row| runs(text, row));
        line!(text, "");
        if latency.rows.iter().any(|row| row.pass().is_some()) {
            line!(text, "| target | best p99 | runs that met it | |\n|---|---:|---:|---|");
            latency.rows.iter().for_each(|row| target(text, row));
            line!(text, "");
        }
        settings(text, latency);
    }
    Ok(())
}

fn runs(text: &mut String, row: &Row) {
    for (index, run) in row.runs.iter().enumerate() {
        let bold = if row.best() == Some(index) && row.runs.len() > 1 { "**" } else { "" };
        let records = if run.is_correct() {
            "all, once".to_owned()
        } else {
            let (visible, produced) = (grouped(run.visible as f64), grouped(run.produced as f64));
            format!("WRONG: {visible} of {produced}, {} repeated", run.repeated)
        };
        line!(
            text,
            "| {} | {} | {bold}{:.2}{bold} | {bold}{:.2}{bold} | {bold}{:.2}{bold} | {bold}{:.2}{bold} | {:.2} | {:.2} | {records} |",
            if index == 0 { row.guarantee.as_deref().unwrap_or("no pipeline") } else { "" },
            if index == 0 { grouped(row.rate as f64) } else { String::new() },
            run.p50_ms,
            run.p99_ms,
            run.p999_ms,
            run.max_ms,
            run.load_late_p99_ms,
            run.cores.all(),
        );
    }
}

fn target(text: &mut String, row: &Row) {
    let (Some(pass), Some(met), Some(most)) = (row.pass(), row.met(), row.target_p99_ms) else { return };
    let best = row.best().map_or_else(|| "-".to_owned(), |best| format!("{:.2} ms", row.runs[best].p99_ms));
    line!(
        text,
        "| {}: {} records/s with p99 of at most {most} ms | {best} | {met} of {} | {} |",
        row.guarantee.as_deref().unwrap_or_default(),
        grouped(row.rate as f64),
        row.runs.len(),
        if pass { "PASS" } else { "FAIL" }
    );
}

fn settings(text: &mut String, latency: &Latency) {
    let mut shown: Vec<String> = Vec::new();
    for row in &latency.rows {
        let Some(guarantee) = &row.guarantee else { continue };
        let set: Vec<String> = row.settings.iter().map(|(field, value)| format!("`{field} = {value}`")).collect();
        let set = if set.is_empty() { "ksem's defaults".to_owned() } else { set.join(", ") };
        let sentence = format!("{guarantee}: {set}");
        if !shown.contains(&sentence) {
            shown.push(sentence);
        }
    }
    line!(text, "Settings: {}.\n", shown.join("; "));
}

/// The arguments that measure the same again.
pub(super) fn arguments(latency: &Latency) -> String {
    let measured = |row: &&Row| row.guarantee.is_some();
    let rows: Vec<&Row> = latency.rows.iter().filter(measured).collect();
    let targets = !rows.is_empty() && rows.iter().all(|row| row.target_p99_ms.is_some());
    let mut arguments = if targets {
        "--targets".to_owned()
    } else {
        let mut rates: Vec<String> = latency.rows.iter().map(|row| row.rate.to_string()).collect();
        rates.dedup();
        let mut guarantees: Vec<&str> = rows.iter().filter_map(|row| row.guarantee.as_deref()).collect();
        guarantees.sort_unstable();
        guarantees.dedup();
        let all = guarantees.len() == 3;
        let only = guarantees.join(" --guarantee ");
        format!("--rate {}{}", rates.join(","), if all { String::new() } else { format!(" --guarantee {only}") })
    };
    let _ = write!(arguments, " --seconds {} --runs {}", latency.work.seconds, latency.work.runs);
    arguments
}
