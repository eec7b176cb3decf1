//! Lines in panels: how a figure goes with something that was changed.

use anyhow::Result;
use plotters::prelude::*;

use super::bars::step;
use super::plot::{self, FAINT, GREY, INK, Side, failed};
use crate::report::grouped;

const PANEL: (i32, i32) = (440, 290);
const IN_A_LINE: usize = 2;
const TOP: i32 = 72;
/// Inside a panel, around its field.
const MARGIN: (i32, i32, i32, i32) = (76, 34, 18, 36);
/// Colours that the colour-blind can tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 60),
    GREY,
];

/// One figure.
pub(super) struct Panel {
    pub(super) title: String,
    /// Powers of ten up the side instead of a scale from 0.
    pub(super) log: bool,
    /// Places from 0 to 1, with their names.
    pub(super) ticks: Vec<(f64, String)>,
    pub(super) lines: Vec<Line>,
}

pub(super) struct Line {
    pub(super) name: String,
    /// A line with points, or one of so many that they would hide it.
    pub(super) dots: bool,
    /// Place and value.
    pub(super) points: Vec<(f64, f64)>,
}

/// Places that are as far from each other, with their names.
pub(super) fn places(names: impl IntoIterator<Item = String>) -> Vec<(f64, String)> {
    let names: Vec<String> = names.into_iter().collect();
    let last = names.len().saturating_sub(1).max(1) as f64;
    names.into_iter().enumerate().map(|(index, name)| (index as f64 / last, name)).collect()
}

/// Draws panels beside and below each other. A line of the same name has the same colour in all of them.
pub(super) fn draw(title: &str, panels: &[Panel]) -> Result<String> {
    let mut names: Vec<&str> = Vec::new();
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if !names.contains(&line.name.as_str()) {
            names.push(&line.name);
        }
    }
    let colour = |name: &str| COLOURS[names.iter().position(|known| *known == name).unwrap_or(0) % COLOURS.len()];
    let in_a_line = panels.len().clamp(1, IN_A_LINE);
    let size = (PANEL.0 * IN_A_LINE as i32 + 16, TOP + PANEL.1 * panels.len().div_ceil(in_a_line) as i32 + 8);
    plot::paper((size.0.unsigned_abs(), size.1.unsigned_abs()), |canvas| {
        plot::write(canvas, title, (16, 20), 19, INK, Side::Right)?;
        let mut x = 16;
        for name in &names {
            let square = [(x, 42), (x + 12, 54)];
            canvas.draw(&Rectangle::new(square, colour(name).filled())).map_err(failed)?;
            plot::write(canvas, name, (x + 18, 48), 14, INK, Side::Right)?;
            x += 18 + 8 * name.len() as i32 + 22;
        }
        for (index, panel) in panels.iter().enumerate() {
            let corner = (PANEL.0 * (index % in_a_line) as i32, TOP + PANEL.1 * (index / in_a_line) as i32);
            self::panel(canvas, corner, panel, &colour)?;
        }
        Ok(())
    })
}

fn panel(
    canvas: &plot::Canvas<'_>,
    corner: (i32, i32),
    panel: &Panel,
    colour: &impl Fn(&str) -> RGBColor,
) -> Result<()> {
    let (left, top) = (corner.0 + MARGIN.0, corner.1 + MARGIN.1);
    let (right, bottom) = (corner.0 + PANEL.0 - MARGIN.2, corner.1 + PANEL.1 - MARGIN.3);
    let scale = Scale::of(panel);
    let x = |place: f64| left + (place.clamp(0.0, 1.0) * f64::from(right - left)).round() as i32;
    let y = |value: f64| bottom - (scale.height(value).clamp(0.0, 1.0) * f64::from(bottom - top)).round() as i32;
    plot::write(canvas, &panel.title, (i32::midpoint(left, right), corner.1 + 16), 15, INK, Side::Middle)?;
    for value in scale.ticks() {
        let line = [(left, y(value)), (right, y(value))];
        canvas.draw(&PathElement::new(line, FAINT)).map_err(failed)?;
        plot::write(canvas, &shown(value), (left - 6, y(value)), 12, GREY, Side::Left)?;
    }
    for (place, name) in &panel.ticks {
        let line = [(x(*place), top), (x(*place), bottom)];
        canvas.draw(&PathElement::new(line, FAINT)).map_err(failed)?;
        plot::write(canvas, name, (x(*place), bottom + 14), 12, GREY, Side::Middle)?;
    }
    for line in &panel.lines {
        let colour = colour(&line.name);
        let points: Vec<(i32, i32)> = line.points.iter().map(|(place, value)| (x(*place), y(*value))).collect();
        if line.dots {
            for point in &points {
                canvas.draw(&Circle::new(*point, 4, colour.filled())).map_err(failed)?;
            }
        }
        let width = if line.dots { 2 } else { 1 };
        canvas.draw(&PathElement::new(points, colour.stroke_width(width))).map_err(failed)?;
    }
    Ok(())
}

/// The side of a panel.
struct Scale {
    log: bool,
    from: f64,
    to: f64,
}

impl Scale {
    fn of(panel: &Panel) -> Self {
        let values = || panel.lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
        let most = values().fold(0.0, f64::max);
        if panel.log {
            let least = values().filter(|value| *value > 0.0).fold(f64::MAX, f64::min).min(most.max(1.0));
            let (from, to) = (least.log10().floor(), most.max(1.0).log10().ceil());
            return Self { log: true, from, to: to.max(from + 1.0) };
        }
        let step = step(most.max(1e-9));
        Self { log: false, from: 0.0, to: (most / step).ceil().max(1.0) * step }
    }

    /// From 0 at the bottom to 1 at the top.
    fn height(&self, value: f64) -> f64 {
        let value = if self.log { value.max(1e-9).log10() } else { value };
        (value - self.from) / (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let powers = self.from as i32..=self.to as i32;
            let two_and_five = self.to - self.from < 3.0;
            let parts: &[f64] = if two_and_five { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let all = powers.flat_map(|power| parts.iter().map(move |part| part * 10_f64.powi(power)));
            return all.filter(|value| self.height(*value) <= 1.001).collect();
        }
        let step = step(self.to);
        (0..=(self.to / step).round() as u32).map(|index| f64::from(index) * step).collect()
    }
}

fn shown(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 { grouped(value) } else { format!("{}", (value * 1e6).round() / 1e6) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(log: bool, values: &[f64]) -> Panel {
        let ticks = places(values.iter().map(ToString::to_string));
        let points = ticks.iter().zip(values).map(|((place, _), value)| (*place, *value)).collect();
        Panel {
            title: "Records/s".to_owned(),
            log,
            ticks,
            lines: vec![Line { name: "ksem".to_owned(), dots: true, points }],
        }
    }

    #[test]
    fn every_point_is_on_the_paper_and_every_line_has_a_name() {
        let svg = draw("By size", &[panel(true, &[1e3, 5e5]), panel(false, &[0.5, 1.2, 0.9])]).expect("a plot");
        for text in ["By size", "Records/s", "ksem", "1,000", "1,000,000", "0.5"] {
            assert!(svg.contains(text), "no {text}");
        }
        assert_eq!(svg.matches("<circle").count(), 5);
        for values in [&[1e3, 5e5][..], &[7.0], &[0.001, 0.5]] {
            for log in [true, false] {
                let panel = panel(log, values);
                let scale = Scale::of(&panel);
                for value in values {
                    assert!((0.0..=1.0).contains(&scale.height(*value)), "{value} of {values:?}");
                }
                assert!((2..=13).contains(&scale.ticks().len()), "{values:?}: {:?}", scale.ticks());
            }
        }
    }

    #[test]
    fn nothing_is_drawn_without_falling() {
        assert!(draw("Nothing", &[panel(true, &[]), panel(false, &[])]).is_ok());
        assert!(draw("Nothing", &[]).is_ok());
    }

    #[test]
    fn places_go_from_side_to_side() {
        let places: Vec<f64> = places(["a", "b", "c"].map(str::to_owned)).into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, [0.0, 0.5, 1.0]);
    }
}
