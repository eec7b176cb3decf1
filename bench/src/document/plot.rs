//! What the plots have in common.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::throughput::Short;

/// A drawing of so many pixels.
pub(super) type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Paper that is white on dark pages, too.
pub(super) const INK: RGBColor = RGBColor(40, 40, 40);
pub(super) const GREY: RGBColor = RGBColor(130, 130, 130);
pub(super) const FAINT: RGBColor = RGBColor(225, 225, 225);

/// Colours that the colour-blind can tell apart (Okabe and Ito).
pub(super) fn colour(short: Option<Short>) -> RGBColor {
    match short {
        Some(Short::Amo) => RGBColor(230, 159, 0),
        Some(Short::Alo) => RGBColor(0, 114, 178),
        Some(Short::Eos) => RGBColor(0, 158, 115),
        None => GREY,
    }
}

/// Draws on white paper and returns the picture.
pub(super) fn paper(size: (u32, u32), draw: impl FnOnce(&Canvas<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        canvas.fill(&WHITE).map_err(failed)?;
        draw(&canvas)?;
        canvas.present().map_err(failed)?;
    }
    Ok(svg)
}

/// Where a text is, seen from its point.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Left,
    Middle,
    Right,
}

/// Writes a text that is centred on the line `at.1`.
pub(super) fn write(
    canvas: &Canvas<'_>,
    text: &str,
    at: (i32, i32),
    size: u32,
    ink: RGBColor,
    side: Side,
) -> Result<()> {
    let horizontal = match side {
        Side::Left => HPos::Right,
        Side::Middle => HPos::Center,
        Side::Right => HPos::Left,
    };
    let style = ("sans-serif", size).into_font().color(&ink).pos(Pos::new(horizontal, VPos::Center));
    canvas.draw(&Text::new(text.to_owned(), at, style)).map_err(failed)
}

/// The meaning of the colours, in a line.
pub(super) fn legend(canvas: &Canvas<'_>, entries: &[(Option<Short>, &str)], mut at: (i32, i32)) -> Result<()> {
    for (short, name) in entries {
        let square = [(at.0, at.1 - 6), (at.0 + 12, at.1 + 6)];
        canvas.draw(&Rectangle::new(square, colour(*short).filled())).map_err(failed)?;
        write(canvas, name, (at.0 + 18, at.1), 14, INK, Side::Right)?;
        at.0 += 18 + 8 * name.len() as i32 + 24;
    }
    Ok(())
}

/// plotters' error has a type for each way to draw.
pub(super) fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("drawing a plot: {error}")
}
