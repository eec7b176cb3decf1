//! The page's sections on throughput, and the targets.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::Result;

use super::bars;
use super::page::Page;
use super::throughput::{Cadence, Contestant, Limit, Ratio, Spread, Throughput, Work};
use crate::report::grouped;

/// The documents of several runs, with the file of each.
type Documents = [(String, Throughput)];

/// A section for each cadence, from the run that has most of its contestants.
pub(super) fn write(page: &mut Page, documents: &Documents) -> Result<()> {
    if documents.is_empty() {
        return Ok(());
    }
    line!(page.text, "## Throughput\n\nKeyed records, copied from one topic to another.");
    line!(
        page.text,
        "Every run was checked: each record is in the output once, and the group's offsets are at the end.\n"
    );
    for (index, (_, document)) in documents.iter().enumerate() {
        for cadence in document.cadences() {
            if home(documents, &cadence.name, &document.work) == Some(index) {
                section(page, documents, index, &cadence)?;
            }
        }
    }
    Ok(())
}

/// The document that has most of those who commit that often and do the same. Those in others are there for a ratio.
fn home(documents: &Documents, cadence: &str, work: &Work) -> Option<usize> {
    let count = |document: &Throughput| if document.work.is_like(work) { at(document, cadence).count() } else { 0 };
    let most = documents.iter().map(|(_, document)| count(document)).max()?;
    documents.iter().position(|(_, document)| count(document) == most)
}

fn at<'a>(document: &'a Throughput, cadence: &'a str) -> impl Iterator<Item = &'a Contestant> {
    document.contestants.iter().filter(move |row| row.parts().is_some_and(|(_, _, of)| of == cadence))
}

fn section(page: &mut Page, documents: &Documents, index: usize, cadence: &Cadence) -> Result<()> {
    let document = &documents[index].1;
    let (words, work) = (Cadence::words(&cadence.name), &document.work);
    let unusual = work.unusual();
    let (title, file) = if unusual.is_empty() {
        (String::new(), String::new())
    } else {
        (format!(", {}", unusual.join(", ")), format!("-{}", unusual.join("-").replace(' ', "-")))
    };
    line!(page.text, "### With {words}{title}\n");
    let records = at(document, &cadence.name).find_map(|row| row.records(work.records));
    line!(
        page.text,
        "{}records of {} bytes in {} partitions on {}, medians of {}.\n",
        records.map_or_else(String::new, |records| grouped(records as f64) + " "),
        work.size,
        work.partitions,
        if work.nodes == 1 { "one node".to_owned() } else { format!("{} nodes", work.nodes) },
        if work.rounds == 1 { "one round".to_owned() } else { format!("{} rounds", work.rounds) },
    );
    if cadence.systems.iter().any(|system| !system.bars.is_empty()) {
        page.plot(
            &format!("Records/s with {words}"),
            format!("throughput-{}{file}.svg", cadence.name),
            bars::draw(cadence)?,
        );
    }
    table(page, at(document, &cadence.name), work.records);
    let names: BTreeSet<String> = document.cadences().into_iter().map(|cadence| cadence.name).collect();
    let homes = |name: &&String| home(documents, name, work) == Some(index);
    if names.iter().rfind(homes) == Some(&cadence.name) {
        let guests: Vec<&Contestant> =
            names.iter().filter(|name| !homes(name)).flat_map(|name| at(document, name)).collect();
        if !guests.is_empty() {
            line!(page.text, "In the same run, because a target compares them with some of these:\n");
            table(page, guests.into_iter(), work.records);
        }
    }
    Ok(())
}

fn table<'a>(page: &mut Page, rows: impl Iterator<Item = &'a Contestant>, records: Option<u64>) {
    line!(page.text, "| contestant | records/s | slowest - fastest | CPU s/M | peak MiB | broker s/M |");
    line!(page.text, "|---|---:|---:|---:|---:|---:|");
    rows.for_each(|row| contestant(&mut page.text, row, records));
    line!(page.text, "");
}

fn contestant(text: &mut String, row: &Contestant, records: Option<u64>) {
    let records = row.records(records);
    let a_million = |spread: Spread| records.map(|records| spread.median / (records as f64 / 1e6));
    let Some(speed) = row.records_per_s else {
        let why = row.trouble.as_ref().and_then(|trouble| {
            let inner = trouble.as_object().and_then(|kinds| kinds.values().next()).unwrap_or(trouble);
            inner.as_str().map(|why| why.lines().next().unwrap_or_default().replace('|', "\\|"))
        });
        line!(text, "| `{}` | - | did not run: {} | | | |", row.name, why.unwrap_or_default());
        return;
    };
    let number =
        |value: Option<f64>, digits: usize| value.map_or_else(String::new, |value| format!("{value:.digits$}"));
    line!(
        text,
        "| `{}` | {} | {} - {} | {} | {} | {} |",
        row.name,
        grouped(speed.median),
        grouped(speed.min),
        grouped(speed.max),
        number(row.client_cpu_s.and_then(a_million), 2),
        number(row.client_peak_bytes.map(|spread| spread.median / f64::from(1 << 20)), 0),
        number(row.broker_cpu_s.and_then(a_million), 2),
    );
}

/// Every target of these documents, each as it was measured in the first that has its contestants.
pub(super) fn targets(page: &mut Page, documents: &Documents) {
    let mut ratios: Vec<&Ratio> = Vec::new();
    for ratio in documents.iter().flat_map(|(_, document)| &document.ratios) {
        match ratios.iter_mut().find(|known| known.over == ratio.over && known.under == ratio.under) {
            Some(known) if known.value.is_none() => *known = ratio,
            Some(_) => {}
            None => ratios.push(ratio),
        }
    }
    let mut limits: Vec<&Limit> = Vec::new();
    for limit in documents.iter().flat_map(|(_, document)| &document.limits) {
        match limits.iter_mut().find(|known| known.of == limit.of && known.what == limit.what) {
            Some(known) if known.value.is_none() => *known = limit,
            Some(_) => {}
            None => limits.push(limit),
        }
    }
    if ratios.is_empty() && limits.is_empty() {
        return;
    }
    let outcomes = ratios
        .iter()
        .map(|ratio| verdict(ratio.value, ratio.pass))
        .chain(limits.iter().map(|limit| verdict(limit.value, limit.pass)));
    let outcomes: Vec<&str> = outcomes.collect();
    let count = |which: &str| outcomes.iter().filter(|outcome| **outcome == which).count();
    line!(page.text, "## Targets\n");
    line!(
        page.text,
        "{} are met, {} are not, {} were not measured. Each is judged within one run; ratios are of medians, in brackets within one round.\n",
        count("PASS"),
        count("FAIL"),
        count("not measured")
    );
    if !ratios.is_empty() {
        line!(page.text, "| records/s of … over … | ratio | target | |\n|---|---:|---:|---|");
        ratios.iter().for_each(|ratio| self::ratio(&mut page.text, ratio));
        line!(page.text, "");
    }
    if !limits.is_empty() {
        line!(page.text, "| of | what | measured | target | |\n|---|---|---:|---:|---|");
        limits.iter().for_each(|limit| self::limit(&mut page.text, limit));
        line!(page.text, "");
    }
}

fn verdict(value: Option<f64>, pass: bool) -> &'static str {
    match value {
        None => "not measured",
        Some(_) if pass => "PASS",
        Some(_) => "FAIL",
    }
}

fn measured(value: Option<f64>, ends: Option<(f64, f64)>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    ends.map_or_else(|| format!("{value:.2}"), |(min, max)| format!("{value:.2} [{min:.2} - {max:.2}]"))
}

fn ratio(text: &mut String, ratio: &Ratio) {
    let target = ratio.at_least.map_or_else(String::new, |least| format!("at least {least}"));
    line!(
        text,
        "| `{}` / `{}` | {} | {target} | {} |",
        ratio.over,
        ratio.under,
        measured(ratio.value, ratio.rounds),
        verdict(ratio.value, ratio.pass)
    );
}

fn limit(text: &mut String, limit: &Limit) {
    let target = limit.at_most.map_or_else(String::new, |most| format!("at most {most}"));
    let what = match limit.what.as_str() {
        "client-cpu" => "client CPU s/M",
        "peak-memory" => "peak MiB, largest run",
        other => other,
    };
    line!(
        text,
        "| `{}` | {what} | {} | {target} | {} |",
        limit.of,
        measured(limit.value, limit.runs),
        verdict(limit.value, limit.pass)
    );
}
