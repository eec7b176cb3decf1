//! Throughput at one cadence: a bar for each contestant.

use anyhow::Result;
use plotters::prelude::*;

use super::plot::{self, FAINT, GREY, INK, Side, colour, failed};
use super::throughput::{Cadence, Short, Spread};
use crate::report::grouped;

const WIDTH: u32 = 900;
const TOP: i32 = 76;
const BOTTOM: i32 = 46;
const LABELS: i32 = 190;
/// Room for the figure behind the longest bar.
const FIGURES: i32 = 80;
const BAR: i32 = 20;
const GAP: i32 = 10;

pub(super) fn draw(cadence: &Cadence) -> Result<String> {
    let bars = || cadence.systems.iter().flat_map(|system| &system.bars);
    let rows: i32 = cadence.systems.iter().map(|system| BAR * system.bars.len() as i32 + GAP).sum();
    let most = bars().map(|(_, speed)| speed.max).fold(1.0, f64::max);
    let step = step(most);
    let room = f64::from(WIDTH as i32 - LABELS - FIGURES);
    let x = |value: f64| LABELS + (value / most * room) as i32;
    let height = TOP + rows + BOTTOM;
    plot::paper((WIDTH, height.unsigned_abs()), |canvas| {
        let title = format!("Records/s with {}", Cadence::words(&cadence.name));
        plot::write(canvas, &title, (16, 22), 20, INK, Side::Right)?;
        let shown: Vec<(Option<Short>, &str)> = Short::ALL
            .into_iter()
            .filter(|(short, _)| bars().any(|(of, _)| of == short))
            .map(|(short, name)| (Some(short), name))
            .collect();
        plot::legend(canvas, &shown, (16, 50))?;
        let mut tick = 0.0;
        while tick <= most {
            let (at, end) = (x(tick), TOP + rows);
            canvas.draw(&PathElement::new([(at, TOP - 4), (at, end)], FAINT)).map_err(failed)?;
            plot::write(canvas, &grouped(tick), (at, end + 14), 13, GREY, Side::Middle)?;
            tick += step;
        }
        let note = "bars: median of the rounds; lines: from the slowest to the fastest round";
        plot::write(canvas, note, (LABELS, TOP + rows + 34), 12, GREY, Side::Right)?;
        let mut y = TOP;
        for system in &cadence.systems {
            let middle = y + BAR * system.bars.len() as i32 / 2;
            plot::write(canvas, &system.name, (LABELS - 10, middle), 14, INK, Side::Left)?;
            for (short, speed) in &system.bars {
                bar(canvas, (*short, *speed), y, x)?;
                y += BAR;
            }
            y += GAP;
        }
        Ok(())
    })
}

fn bar(canvas: &plot::Canvas<'_>, (short, speed): (Short, Spread), y: i32, x: impl Fn(f64) -> i32) -> Result<()> {
    let (top, bottom, middle) = (y + 2, y + BAR - 2, y + BAR / 2);
    let body = [(x(0.0), top), (x(speed.median), bottom)];
    canvas.draw(&Rectangle::new(body, colour(Some(short)).filled())).map_err(failed)?;
    let spread = [(x(speed.min), middle), (x(speed.max), middle)];
    canvas.draw(&PathElement::new(spread, INK.stroke_width(2))).map_err(failed)?;
    let end = x(speed.max).max(x(speed.median));
    plot::write(canvas, &grouped(speed.median), (end + 6, middle), 13, INK, Side::Right)
}

/// A round distance of which four to eight fit.
pub(super) fn step(most: f64) -> f64 {
    let power = 10_f64.powf(most.log10().floor());
    [0.1, 0.2, 0.5, 1.0, 2.0].into_iter().map(|part| part * power).find(|step| most / step <= 8.0).unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::super::throughput::tests::document;
    use super::*;

    #[test]
    fn every_contestant_with_figures_has_a_bar() {
        let cadences = document().cadences();
        let svg = draw(&cadences[0]).expect("a plot");
        for text in ["a commit every 10,000 records", "ksem", "franz-go", "rdkafka-plain tuned", "517,454", "82,307"] {
            assert!(svg.contains(text), "no {text}");
        }
        // One for the paper, one for each bar, one for each guarantee of the legend.
        assert_eq!(svg.matches("<rect").count(), 1 + 4 + 2);
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (most, expected) in [(1_100_000.0, 200_000.0), (82_307.0, 20_000.0), (950.0, 200.0), (1_000.0, 200.0)] {
            let step = step(most);
            assert!((step - expected).abs() < 1e-6, "{most}: {step}");
        }
    }
}
