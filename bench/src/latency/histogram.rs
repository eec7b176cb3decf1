//! Histograms of microseconds.

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

/// The points of a distribution that are kept.
pub(super) const QUANTILES: &[f64] =
    &[0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];

/// A histogram with three digits, for as long as a record may take.
pub(super) fn new() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 600_000_000, 3).context("a histogram")
}

/// Milliseconds of what a histogram holds.
pub(super) fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}
