//! The page's section on growth.

use std::fmt::Write;

use anyhow::Result;

use super::lines::{self, Line, Panel, places};
use super::page::Page;
use super::throughput::parts;
use crate::growth::result::{Burden, Costs, Grown, Growth, INSTANCES, Part};
use crate::latency::steady::Steady;
use crate::report::grouped;

/// Points of a line that goes with time: more can't be seen.
const MOST_POINTS: usize = 400;

/// A name, and what it is of the costs.
type Figure = (&'static str, fn(&Costs) -> f64);

pub(super) fn write(page: &mut Page, documents: &[(String, Growth)]) -> Result<()> {
    let parts = || documents.iter().flat_map(|(_, document)| document.parts.iter().map(move |part| (document, part)));
    if !documents.is_empty() {
        line!(page.text, "## Growth\n");
    }
    if parts().next().is_some() {
        line!(
            page.text,
            "Records of 200 bytes, commits by 10,000 records, one node; every run was checked. × is beside the smallest step. \
             Costs are those of a record, so what stays is linear: it is paid for records and for nothing else. \
             Memory is that of one process.\n"
        );
    }
    for (document, grown) in parts() {
        if grown.part == Part::Coordinator {
            coordinator(page, grown);
        } else {
            section(page, document, grown)?;
        }
    }
    for (_, document) in documents {
        if let Some(measured) = &document.steady {
            steady(page, measured)?;
        }
    }
    Ok(())
}

fn section(page: &mut Page, document: &Growth, grown: &Grown) -> Result<()> {
    let name = grown.part.name();
    line!(page.text, "### {name}\n");
    let records: Vec<String> = grown.steps.iter().map(|step| grouped(step.task.records as f64)).collect();
    let same = records.windows(2).all(|two| two[0] == two[1]);
    line!(
        page.text,
        "{} {} records; medians of {} round{}.\n",
        grown.part.about(),
        if same { records.first().cloned().unwrap_or_default() } else { records.join(" and ") },
        document.rounds,
        if document.rounds == 1 { "" } else { "s" },
    );
    let file = format!("growth-{}.svg", name.to_lowercase().replace(' ', "-"));
    page.plot(&format!("What more {} cost", name.to_lowercase()), file, lines::draw(name, &panels(grown))?);
    let text = &mut page.text;
    line!(
        text,
        "| | {} | records/s | × | client CPU s/M | × | broker CPU s/M | × | peak MiB | × | records a commit |",
        name.to_lowercase()
    );
    line!(text, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for series in grown.series() {
        let first = series.first().and_then(|row| Costs::of(row));
        for (step, row) in grown.steps.iter().zip(&series) {
            let Some((costs, first)) = Costs::of(row).zip(first) else {
                line!(text, "| `{}` | {} | FAILED | | | | | | | | |", row.name, step.label);
                continue;
            };
            let times = costs.over(&first);
            line!(
                text,
                "| `{}` | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} | {:.2} | {} |",
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
    }
    line!(text, "");
    for series in grown.series() {
        let name = series.first().map_or("", |row| row.name.as_str());
        line!(text, "* `{name}`: {}.", grown.verdict(&series));
    }
    line!(text, "");
    Ok(())
}

/// A panel for each cost, with a line for each guarantee.
fn panels(grown: &Grown) -> Vec<Panel> {
    let figures: [Figure; 4] = [
        ("records/s", |costs| costs.records_per_s),
        ("client CPU s/M", |costs| costs.client_cpu),
        ("broker CPU s/M", |costs| costs.broker_cpu),
        ("peak MiB of a process", |costs| costs.peak_mib),
    ];
    let ticks = places(grown.steps.iter().map(|step| step.label.clone()));
    let panel = |(title, of): Figure| Panel {
        title: title.to_owned(),
        log: false,
        ticks: ticks.clone(),
        lines: (grown.series().iter())
            .map(|series| Line {
                name: series
                    .first()
                    .and_then(|row| parts(&row.name))
                    .map(|(_, short, _)| short.to_string())
                    .unwrap_or_default(),
                dots: true,
                points: series
                    .iter()
                    .zip(&ticks)
                    .filter_map(|(row, (place, _))| Some((*place, of(&Costs::of(row)?))))
                    .collect(),
            })
            .collect(),
    };
    figures.into_iter().map(panel).collect()
}

fn coordinator(page: &mut Page, grown: &Grown) {
    let text = &mut page.text;
    line!(text, "### {}\n", grown.part.name());
    line!(
        text,
        "{} Measured are the transactions of one instance under a backlog; what {} of them would do is computed. A transaction asks \
         the transaction coordinator three times (`AddPartitionsToTxn`, at least once, `AddOffsetsToTxn`, `EndTxn`) and the group \
         coordinator once (`TxnOffsetCommit`). The transaction coordinator writes four records to its log and sends \
         `WriteTxnMarkers` to every broker that leads a partition of the transaction. Every lane has a producer, with a \
         `transactional.id`, for each transaction in flight. All of it is spread over the coordinators by group and by \
         `transactional.id`.\n",
        grown.part.about(),
        grouped(INSTANCES)
    );
    line!(
        text,
        "| commits by | transactions/s of one | producer ids | transactions/s | transaction coordinators, requests/s | group coordinators, requests/s | transaction log, records/s |"
    );
    line!(text, "|---|---:|---:|---:|---:|---:|---:|");
    for burden in grown.burdens() {
        line!(
            text,
            "| {} | {:.1} | {} | {} | {} | {} | {} |",
            burden.cadence,
            burden.transactions_a_second,
            grouped(Burden::producers()),
            grouped(burden.transactions()),
            grouped(burden.transaction_requests()),
            grouped(burden.offset_requests()),
            grouped(burden.log_records()),
        );
    }
    line!(text, "");
}

fn steady(page: &mut Page, steady: &Steady) -> Result<()> {
    line!(page.text, "### {}\n", Part::Steady.name());
    line!(
        page.text,
        "{} The load is the one of the latency runs; memory was looked at every second.\n",
        steady.text() + "."
    );
    // Of some seconds the most, so that no peak is lost.
    let chunk = steady.samples.len().div_ceil(MOST_POINTS).max(1);
    let end = steady.samples.last().map_or(1.0, |(second, _)| second.max(1.0));
    let most = |samples: &[(f64, f64)]| {
        let mib = samples.iter().map(|(_, mib)| *mib).fold(0.0, f64::max);
        (samples[0].0 / end, mib)
    };
    let panel = Panel {
        title: "resident MiB by minute".to_owned(),
        log: false,
        ticks: places((0..=4).map(|quarter| format!("{:.0}", end / 60.0 * f64::from(quarter) / 4.0))),
        lines: vec![Line {
            name: steady.guarantee.clone(),
            dots: false,
            points: steady.samples.chunks(chunk).map(most).collect(),
        }],
    };
    let svg = lines::draw(Part::Steady.name(), &[panel])?;
    page.plot(Part::Steady.name(), "growth-steady.svg".to_owned(), svg);
    Ok(())
}
