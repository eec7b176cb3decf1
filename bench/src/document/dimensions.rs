//! The page's section on dimensions.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::Result;

use super::lines::{self, Line, Panel, places};
use super::page::Page;
use super::throughput::{Cadence, parts};
use crate::child::Run;
use crate::dimensions::result::{Dimension, Dimensions, Point};
use crate::report::grouped;
use crate::shape::Compression;

/// A name, what it is of a run, and its digits.
type Figure = (&'static str, fn(&Run) -> f64, usize);

const FIGURES: [Figure; 4] = [
    ("records/s", |run| run.records_per_s, 0),
    ("client CPU s/M", Run::client_cpu_a_million, 2),
    ("broker CPU s/M", Run::broker_cpu_a_million, 2),
    ("peak MiB", Run::peak_mib, 0),
];

pub(super) fn write(page: &mut Page, documents: &[(String, Dimensions)]) -> Result<()> {
    for (index, (_, document)) in documents.iter().enumerate() {
        let number = if index == 0 { String::new() } else { format!("-{}", index + 1) };
        let Some(Point { task, .. }) = document.points.first() else { continue };
        let shape = task.shape;
        line!(page.text, "## Dimensions{}\n", if index == 0 { String::new() } else { format!(", {}", index + 1) });
        line!(
            page.text,
            "One thing is changed at a time around {} bytes, {} partitions and no compression, with {} on {}. \
             Medians of {} round{}; every run was checked, and in each round every contestant ran once at every point. \
             The values are orders as JSON (`bench/src/payload.rs`): names that repeat, and numbers and identifiers that don't.\n",
            shape.size,
            shape.partitions,
            Cadence::words(&document.cadence.to_string()),
            if document.nodes == 1 { "one node".to_owned() } else { format!("{} nodes", document.nodes) },
            document.rounds,
            if document.rounds == 1 { "" } else { "s" },
        );
        for dimension in &document.dimensions {
            section(page, document, *dimension, &number)?;
        }
    }
    Ok(())
}

fn section(page: &mut Page, document: &Dimensions, dimension: Dimension, number: &str) -> Result<()> {
    let points = document.along(dimension);
    line!(page.text, "### {}\n", dimension.name());
    line!(page.text, "{}\n", about(dimension, &points));
    let file = format!("dimension-{}{number}.svg", dimension.name().to_lowercase().replace(' ', "-"));
    let svg = lines::draw(
        &format!("Records/s by {}", dimension.name().to_lowercase()),
        &panels(document, dimension, &points),
    )?;
    page.plot(&format!("Records/s by {}", dimension.name().to_lowercase()), file, svg);
    let values: Vec<String> = points.iter().map(|point| dimension.value(&point.task.shape)).collect();
    for (what, of, digits) in FIGURES {
        line!(page.text, "| {what} | {} |", values.join(" | "));
        line!(page.text, "|---|{}", "---:|".repeat(values.len()));
        for name in document.names() {
            let cell = |point: &&Point| {
                let value = document.row(name, point).and_then(|row| row.median(of));
                let shown = |value: f64| if digits == 0 { grouped(value) } else { format!("{value:.digits$}") };
                value.map_or_else(|| "-".to_owned(), shown)
            };
            line!(page.text, "| `{name}` | {} |", points.iter().map(cell).collect::<Vec<_>>().join(" | "));
        }
        line!(page.text, "");
    }
    Ok(())
}

/// What one has to know to read the figures.
fn about(dimension: Dimension, points: &[&Point]) -> String {
    let each =
        |words: &dyn Fn(&Point) -> String| points.iter().map(|point| words(point)).collect::<Vec<_>>().join(", ");
    match dimension {
        Dimension::Size => format!(
            "Records in a run: {}. ksem's commits end at `commit.max_bytes` (16 MiB), too, which is less than 10,000 records of \
             10,000 bytes; the others hold all of them.",
            each(&|point| format!("{} of {}", grouped(point.task.records as f64), dimension.value(&point.task.shape)))
        ),
        Dimension::Partitions => "Input and output have so many partitions each.".to_owned(),
        Dimension::Compression => {
            let plain = points.iter().find(|point| point.task.shape.compression == Compression::None);
            let plain = plain.map_or(0, |point| point.input_bytes).max(1) as f64;
            format!(
                "Everybody reads what the broker has compressed and compresses what it writes, at the default level. What the input \
                 takes on the broker's disk, beside the uncompressed one: {}.",
                each(&|point| format!(
                    "{} {:.0} %",
                    dimension.value(&point.task.shape),
                    point.input_bytes as f64 / plain * 100.0
                ))
            )
        }
    }
}

/// A panel for each guarantee, with a line for each system.
fn panels(document: &Dimensions, dimension: Dimension, points: &[&Point]) -> Vec<Panel> {
    let ticks = places(points.iter().map(|point| dimension.value(&point.task.shape)));
    let names = document.names();
    let guarantees: BTreeSet<_> = names.iter().filter_map(|name| Some(parts(name)?.1)).collect();
    let panel = |short| {
        let of = |name: &&&str| parts(name).is_some_and(|(_, of, _)| of == short);
        let line = |name: &&str| Line {
            name: parts(name).map(|(system, _, _)| system).unwrap_or_default(),
            dots: true,
            points: (points.iter().zip(&ticks))
                .filter_map(|(point, (place, _))| {
                    Some((*place, document.row(name, point)?.median(|run| run.records_per_s)?))
                })
                .collect(),
        };
        Panel {
            title: format!("{short}"),
            log: true,
            ticks: ticks.clone(),
            lines: names.iter().filter(of).map(line).collect(),
        }
    };
    guarantees.into_iter().map(panel).collect()
}
