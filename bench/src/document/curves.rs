//! Latency: a panel for each rate, a curve for each guarantee.

use anyhow::Result;
use plotters::prelude::*;

use super::plot::{self, FAINT, GREY, INK, Side, colour, failed};
use super::throughput::Short;
use crate::latency::result::{Latency, Row, Run};
use crate::report::grouped;

const PANEL: (i32, i32) = (330, 300);
const IN_A_LINE: usize = 3;
const TOP: i32 = 72;
const BOTTOM: i32 = 30;
/// Inside a panel, around its field.
const MARGIN: (i32, i32, i32, i32) = (56, 30, 12, 36);
/// Where quantiles are: each nine is as far from the one before.
const QUANTILES: [(f64, &str); 5] = [(0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9"), (0.9999, "99.99")];

pub(super) fn draw(latency: &Latency) -> Result<String> {
    let mut rates: Vec<u64> = latency.rows.iter().map(|row| row.rate).collect();
    rates.sort_unstable();
    rates.dedup();
    let in_a_line = rates.len().clamp(1, IN_A_LINE);
    let lines = rates.len().div_ceil(in_a_line) as i32;
    let size = (PANEL.0 * in_a_line as i32 + 16, TOP + PANEL.1 * lines + BOTTOM);
    // The narrowest plot still has to hold its legend.
    let size = (size.0.max(700).unsigned_abs(), size.1.unsigned_abs());
    let scale = Scale::of(latency);
    plot::paper(size, |canvas| {
        plot::write(
            canvas,
            "Milliseconds from a record's time to its sight, by percentile",
            (16, 20),
            19,
            INK,
            Side::Right,
        )?;
        let shown: Vec<(Option<Short>, &str)> = Short::ALL
            .into_iter()
            .map(|(short, name)| (Some(short), name))
            .chain([(None, "no pipeline")])
            .filter(|(short, _)| latency.rows.iter().any(|row| self::short(row) == *short))
            .collect();
        plot::legend(canvas, &shown, (16, 48))?;
        let note = "thick: the best run by p99; thin: the others; dashed: the target for p99";
        plot::write(canvas, note, (16, size.1 as i32 - 14), 12, GREY, Side::Right)?;
        for (index, rate) in rates.iter().enumerate() {
            let corner = (PANEL.0 * (index % in_a_line) as i32, TOP + PANEL.1 * (index / in_a_line) as i32);
            let rows: Vec<&Row> = latency.rows.iter().filter(|row| row.rate == *rate).collect();
            panel(canvas, corner, *rate, &rows, scale)?;
        }
        Ok(())
    })
}

fn short(row: &Row) -> Option<Short> {
    let name = row.guarantee.as_deref()?;
    Short::ALL.into_iter().find(|(_, known)| *known == name).map(|(short, _)| short)
}

/// The same for all panels, so that they can be compared.
#[derive(Clone, Copy)]
struct Scale {
    /// Powers of ten.
    from: i32,
    to: i32,
}

impl Scale {
    fn of(latency: &Latency) -> Self {
        let times = || {
            let runs = latency.rows.iter().flat_map(|row| &row.runs);
            runs.flat_map(points).map(|(_, ms)| ms).chain(latency.rows.iter().filter_map(|row| row.target_p99_ms))
        };
        let least = times().fold(f64::MAX, f64::min).clamp(0.01, 1.0);
        let most = times().fold(10.0, f64::max);
        Self { from: least.log10().floor() as i32, to: most.log10().ceil() as i32 }
    }

    /// From 0 at the bottom to 1 at the top.
    fn height(self, ms: f64) -> f64 {
        (ms.max(1e-3).log10() - f64::from(self.from)) / f64::from(self.to - self.from)
    }
}

/// From 0 at the left to 1 at the right.
fn across(quantile: f64) -> f64 {
    let nines = |quantile: f64| -(1.0 - quantile).log10();
    (nines(quantile) - nines(QUANTILES[0].0)) / (nines(QUANTILES[4].0) - nines(QUANTILES[0].0))
}

/// The part of a distribution that is drawn. The maximum is in the table.
fn points(run: &Run) -> impl Iterator<Item = (f64, f64)> + '_ {
    run.distribution.iter().copied().filter(|(quantile, _)| (0.5..1.0).contains(quantile))
}

fn panel(canvas: &plot::Canvas<'_>, corner: (i32, i32), rate: u64, rows: &[&Row], scale: Scale) -> Result<()> {
    let (left, top) = (corner.0 + MARGIN.0, corner.1 + MARGIN.1);
    let (right, bottom) = (corner.0 + PANEL.0 - MARGIN.2, corner.1 + PANEL.1 - MARGIN.3);
    let at = |quantile: f64, ms: f64| {
        let across = across(quantile) * f64::from(right - left);
        let height = scale.height(ms).clamp(0.0, 1.0) * f64::from(bottom - top);
        (left + across.round() as i32, bottom - height.round() as i32)
    };
    let title = format!("{} records/s", grouped(rate as f64));
    plot::write(canvas, &title, (i32::midpoint(left, right), corner.1 + 14), 15, INK, Side::Middle)?;
    for power in scale.from..=scale.to {
        let ms = 10_f64.powi(power);
        let line = [at(QUANTILES[0].0, ms), at(QUANTILES[4].0, ms)];
        canvas.draw(&PathElement::new(line, FAINT)).map_err(failed)?;
        let name = if ms < 1_000.0 { format!("{ms} ms") } else { format!("{} s", ms / 1e3) };
        plot::write(canvas, &name, (left - 6, line[0].1), 12, GREY, Side::Left)?;
    }
    for (quantile, name) in QUANTILES {
        let x = at(quantile, 1.0).0;
        canvas.draw(&PathElement::new([(x, top), (x, bottom)], FAINT)).map_err(failed)?;
        plot::write(canvas, name, (x, bottom + 14), 12, GREY, Side::Middle)?;
    }
    for row in rows {
        let colour = colour(short(row));
        for (index, run) in row.runs.iter().enumerate() {
            let curve: Vec<(i32, i32)> = points(run).map(|(quantile, ms)| at(quantile, ms)).collect();
            let best = row.best() == Some(index);
            let style = if best { colour.stroke_width(3) } else { colour.mix(0.45).stroke_width(1) };
            canvas.draw(&PathElement::new(curve, style)).map_err(failed)?;
        }
        if let Some(most) = row.target_p99_ms {
            let (y, from) = (at(0.5, most).1, left);
            for x in (from..right - 6).step_by(12) {
                canvas.draw(&PathElement::new([(x, y), (x + 6, y)], colour.stroke_width(1))).map_err(failed)?;
            }
            // At the bottom, where no curve is.
            let name = format!("target for p99: {most} ms");
            plot::write(canvas, &name, (right - 4, bottom - 12), 12, colour, Side::Left)?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::latency::result::Work;
    use crate::latency::result::tests::{row, run};
    use crate::machine::Machine;

    pub(crate) fn document() -> Latency {
        Latency {
            work: Work { seconds: 30, warm_up_s: 3, size: 200, partitions: 4, runs: 2 },
            machine: Machine::here(),
            rows: vec![
                row(None, 1_000, vec![run(0.8, 100)]),
                row(Some("at_most_once"), 1_000, vec![run(7.0, 100)]),
                row(None, 50_000, vec![run(0.9, 100)]),
                row(Some("exactly_once"), 50_000, vec![run(16.0, 100), run(14.5, 100)]),
            ],
        }
    }

    #[test]
    fn every_rate_has_a_panel_and_every_guarantee_a_name() {
        let svg = draw(&document()).expect("a plot");
        for text in [
            "1,000 records/s",
            "50,000 records/s",
            "at_most_once",
            "exactly_once",
            "no pipeline",
            "target for p99: 15 ms",
        ] {
            assert!(svg.contains(text), "no {text}");
        }
        assert!(!svg.contains("at_least_once"), "what was not measured has no name");
    }

    #[test]
    fn the_scales_hold_every_point() {
        let scale = Scale::of(&document());
        for (quantile, ms) in document().rows.iter().flat_map(|row| &row.runs).flat_map(points) {
            assert!((0.0..=1.0).contains(&scale.height(ms)), "{ms} ms");
            assert!((0.0..=1.0).contains(&across(quantile)), "{quantile}");
        }
        assert!((across(0.99) - across(0.9) - (across(0.999) - across(0.99))).abs() < 1e-9, "a nine is a nine");
    }
}
